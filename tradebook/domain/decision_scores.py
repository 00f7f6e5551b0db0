"""Scores of decisions: how many were right, by agent and week, and how long they waited for their first trades."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from statistics import median_high, median_low
from typing import Final

from attrs import define, field, frozen

from tradebook.domain.accounting import BookedTrade
from tradebook.domain.agents import DecisionFacts
from tradebook.domain.calibration import (
    BrierScore,
    ForecastSums,
    Reliability,
    ReliabilityBin,
    share,
)
from tradebook.domain.decision_outcomes import Outcome, Unscored
from tradebook.domain.durations import seconds
from tradebook.domain.numbers import canonical

_TICK: Final = timedelta(microseconds=1)


@frozen
class ScoreRow:
    """The decisions of one agent or week that have an outcome, and how right they were.

    Attributes:
        name: of the agent; or of the ISO week of `decided_at` in UTC, such as `2026-W09`.
        scored: decisions with an outcome.
        right: those that gained.
        hit_rate: `right / scored`, from 0 to 1.
        forecasts: those with a confidence.
        brier: the Brier score of these; None without one.
    """

    name: str
    scored: int
    right: int
    hit_rate: Decimal | None
    forecasts: int
    brier: Decimal | None


@frozen
class HorizonCalibration:
    """The decisions that can be judged at one horizon, and how right they were.

    `decisions` of the `Calibration` is the sum of its `held` and of `scored`, `unfinished`, `no_price`, `no_trade`, `open`
    and `unconverted` here.

    Attributes:
        horizon: the time after the decision at which it is judged, in seconds.
        scored: decisions with an outcome.
        right: those that gained.
        unchanged: those that gained exactly 0, which is not right.
        hit_rate: `right / scored`, from 0 to 1; None where none is scored.
        no_confidence: scored decisions without a confidence: in the hit rate, not in the Brier score.
        unfinished: decisions whose horizon was not over at the time of the call.
        no_price: decisions by price without a price within the horizon, before or after them.
        no_trade: decisions by P&L without an executed trade within the horizon.
        open: decisions by P&L whose trades realized nothing within the horizon.
        unconverted: decisions by P&L whose trades paid fees in a third asset, or have several currencies.
        brier: the Brier score of the confidences and its terms; None without a confidence.
        bins: reliability bins of the confidences, the lowest first.
        agents: the agents, sorted by name.
        weeks: the weeks with scored decisions, the earliest first: the drift.
    """

    horizon: Decimal
    scored: int
    right: int
    unchanged: int
    hit_rate: Decimal | None
    no_confidence: int
    unfinished: int
    no_price: int
    no_trade: int
    open: int
    unconverted: int
    brier: BrierScore | None
    bins: tuple[ReliabilityBin, ...]
    agents: tuple[ScoreRow, ...]
    weeks: tuple[ScoreRow, ...]


@frozen
class Latency:
    """The time from `decided_at` to the trade time of a decision's first executed trade, in seconds.

    Attributes:
        count: decisions with an executed trade at or after `decided_at`.
        early: decisions whose first trade was executed before `decided_at`: one of the times is wrong. They count
            nowhere else here.
        mean: rounded half-even to microseconds; None where the count is 0.
        median: the same; of an even count the mean of both in the middle.
        max: the longest.
    """

    count: int
    early: int
    mean: Decimal | None
    median: Decimal | None
    max: Decimal | None


@define
class _Scores:
    """Counts of decisions and of those that were right."""

    scored: int = 0
    right: int = 0
    forecasts: ForecastSums = field(factory=ForecastSums)

    def add(self, confidence: Decimal | None, is_right: bool) -> None:
        self.scored += 1
        self.right += is_right
        if confidence is not None:
            self.forecasts.add(confidence, is_right)

    def row(self, name: str) -> ScoreRow:
        hit_rate = share(self.right, self.scored)
        sums = self.forecasts
        return ScoreRow(name, self.scored, self.right, hit_rate, sums.count, sums.brier())


class HorizonScores:
    """The decisions judged at one horizon."""

    def __init__(self, length: timedelta, bins: int) -> None:
        """Prepare for decisions that are judged `length` after they were made."""
        self.length = length
        self._unscored: Counter[Unscored] = Counter()
        self._unchanged = 0
        self._all = _Scores()
        self._bins = Reliability(bins)
        self._agents: dict[str, _Scores] = defaultdict(_Scores)
        self._weeks: dict[str, _Scores] = defaultdict(_Scores)

    def add(self, decision: DecisionFacts, outcome: Outcome) -> None:
        """Count a decision by its outcome."""
        if isinstance(outcome, Unscored):
            self._unscored[outcome] += 1
            return
        self._unchanged += not outcome
        is_right = outcome > 0
        for scores in (
            self._all,
            self._agents[decision.agent],
            self._weeks[_week(decision.decided_at)],
        ):
            scores.add(decision.confidence, is_right)
        if decision.confidence is not None:
            self._bins.add(decision.confidence, is_right)

    def result(self) -> HorizonCalibration:
        """Return what was counted."""
        every = self._all.row("")
        return HorizonCalibration(
            horizon=seconds(self.length),
            scored=every.scored,
            right=every.right,
            unchanged=self._unchanged,
            hit_rate=every.hit_rate,
            no_confidence=every.scored - every.forecasts,
            **{reason.value: self._unscored[reason] for reason in Unscored},
            brier=self._bins.brier(),
            bins=self._bins.bins(),
            agents=_rows(self._agents),
            weeks=_rows(self._weeks),
        )


def _week(time: datetime) -> str:
    year, week, _ = time.isocalendar()
    return f"{year:04}-W{week:02}"


def _rows(scores: Mapping[str, _Scores]) -> tuple[ScoreRow, ...]:
    return tuple(scores[name].row(name) for name in sorted(scores))


@define
class Latencies:
    """The latencies of decisions, in microseconds, 8 bytes each."""

    found: array[int] = field(factory=lambda: array("q"))
    early: int = 0

    def add(self, decision: DecisionFacts, trades: Collection[BookedTrade]) -> None:
        """Count a decision, where trades of it were executed."""
        if trades:
            first = min(trade.executed_at for trade in trades)
            if first < decision.decided_at:
                self.early += 1
            else:
                self.found.append((first - decision.decided_at) // _TICK)

    def result(self) -> Latency:
        """Return what was counted."""
        count = len(self.found)
        if not count:
            return Latency(0, self.early, None, None, None)
        return Latency(
            count=count,
            early=self.early,
            mean=_seconds(Fraction(sum(self.found), count)),
            median=_seconds(Fraction(median_low(self.found) + median_high(self.found), 2)),
            max=_seconds(Fraction(max(self.found))),
        )


def _seconds(micros: Fraction) -> Decimal:
    return canonical(Decimal(round(micros)).scaleb(-6))
