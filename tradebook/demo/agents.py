"""Two simple agents: one follows trends, one bets on their reversal.

An agent's only data are closing prices and the stocks that it holds itself; it proposes trades with
its reasons, and the risk limits decide. Neither agent is investment advice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import ClassVar, Final

from attrs import frozen

from tradebook.domain.numbers import ZERO
from tradebook.domain.signals import SignalAction

_FOUR_PLACES: Final = Decimal("0.0001")


@frozen(kw_only=True)
class Opinion:
    """A trade that an agent proposes.

    Attributes:
        symbol: the stock.
        action: BUY or SELL; an agent that would hold has no opinion.
        price: the last close before the opinion, in USD.
        strength: on the agent's own scale.
        confidence: from 0 to 1.
        reasoning: the reason, in words.
        inputs: the figures behind it, as text.
    """

    symbol: str
    action: SignalAction
    price: Decimal
    strength: Decimal
    confidence: Decimal
    reasoning: str
    inputs: Mapping[str, str]


class Agent(ABC):
    """The base of both agents: a window of closing prices for each stock.

    Attributes:
        name: also the strategy that its trades are booked under.
        model: the rule that decides, and its version.
        stake: the share of the account's total value that it invests in one stock.
        memory: the number of closes that it needs for an opinion.
    """

    name: ClassVar[str]
    model: ClassVar[str]
    stake: ClassVar[Decimal]
    memory: ClassVar[int]

    def __init__(self) -> None:
        """Start without prices."""
        self._seen: dict[str, deque[Decimal]] = {}

    def observe(self, closes: Mapping[str, Decimal]) -> None:
        """Add a day's closing prices to the window."""
        for symbol, close in closes.items():
            self._seen.setdefault(symbol, deque(maxlen=self.memory)).append(close)

    def opinions(self, held: Collection[str]) -> list[Opinion]:
        """Return the trades that the agent proposes, given the stocks that it holds."""
        judged = (
            self._judge(symbol, list(seen), symbol in held)
            for symbol, seen in self._seen.items()
            if len(seen) == self.memory
        )
        return [opinion for opinion in judged if opinion is not None]

    @abstractmethod
    def _judge(self, symbol: str, closes: Sequence[Decimal], held: bool) -> Opinion | None:
        """Form an opinion on one stock from its last `memory` closes, the newest last."""


class Momentum(Agent):
    """Buys when the 20-day average crosses above the 60-day one, sells when it is below again."""

    name = "momentum"
    model = "moving averages 20/60, version 1"
    stake = Decimal("0.20")
    memory = 61

    def _judge(self, symbol: str, closes: Sequence[Decimal], held: bool) -> Opinion | None:
        fast, slow = mean(closes[-20:]), mean(closes[-60:])
        was_above = mean(closes[-21:-1]) > mean(closes[:-1])
        if not held and fast > slow and not was_above:
            action, verb = SignalAction.BUY, "rose above"
        elif held and fast < slow:
            action, verb = SignalAction.SELL, "fell below"
        else:
            return None
        trend = (closes[-1] / slow - 1).quantize(_FOUR_PLACES)
        return Opinion(
            symbol=symbol,
            action=action,
            price=closes[-1],
            strength=trend,
            confidence=_confidence(trend * 5),
            reasoning=f"The 20-day average {fast:.2f} {verb} the 60-day average {slow:.2f}.",
            inputs={"average_20": f"{fast:.4f}", "average_60": f"{slow:.4f}"},
        )


class Reversion(Agent):
    """Buys a fall of 2 standard deviations below the 20-day average, sells when that is regained."""

    name = "reversion"
    model = "band of 2 deviations over 20 days, version 1"
    stake = Decimal("0.20")
    memory = 21
    depth: ClassVar[Decimal] = Decimal(2)

    def _judge(self, symbol: str, closes: Sequence[Decimal], held: bool) -> Opinion | None:
        average, score = mean(closes[-20:]), deviations(closes[-20:])
        if not held and score < -self.depth <= deviations(closes[:-1]):
            action, seen = SignalAction.BUY, f"is {-score:.1f} deviations below"
        elif held and score >= ZERO:
            action, seen = SignalAction.SELL, "is back at"
        else:
            return None
        return Opinion(
            symbol=symbol,
            action=action,
            price=closes[-1],
            strength=score.quantize(_FOUR_PLACES),
            confidence=_confidence(score / 10),
            reasoning=f"The close {closes[-1]:.2f} {seen} the 20-day average {average:.2f}.",
            inputs={"average_20": f"{average:.4f}", "deviations": f"{score:.4f}"},
        )


def mean(values: Sequence[Decimal]) -> Decimal:
    """Return the arithmetic mean."""
    return sum(values, start=ZERO) / len(values)


def deviations(values: Sequence[Decimal]) -> Decimal:
    """Return the population standard deviations by which the last value exceeds the mean."""
    average = mean(values)
    variance = mean([(value - average) ** 2 for value in values])
    return (values[-1] - average) / variance.sqrt() if variance else ZERO


def _confidence(evidence: Decimal) -> Decimal:
    """Return 0.50 plus the evidence, at most 0.95."""
    return min(Decimal("0.95"), Decimal("0.5") + abs(evidence)).quantize(Decimal("0.01"))
