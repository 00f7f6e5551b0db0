"""That the public strategies make what a property test of a bot needs to meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from hypothesis import Phase, given, settings

from tradebook import Position, Settlement, Trade
from tradebook.domain.events import Effect
from tradebook.service_layer.handlers import TradeTerms
from tradebook.testing import strategies

NOW: Final = datetime(2026, 3, 2, tzinfo=UTC)
EXAMPLES: Final = 200
SELDOM: Final = EXAMPLES // 20
"""Of so many examples at least, each thing is met in one of twenty."""

EXPECTED: Final = {
    *Effect,
    *Settlement,
    "a short",
    "a second opening",
    "a negative price",
    "a price of 0",
    "a rebate",
    "a fee",
    "no fee",
    "a multiplier",
    "a 30-digit price",
    "a trade time that goes back",
}


def met(fills: list[TradeTerms]) -> Iterator[str]:
    """What a property meets that is given these fills."""
    position = Position(symbol=fills[0]["symbol"], created_at=NOW)
    last = None
    for terms in fills:
        trade = Trade(**terms)  # type: ignore[misc]
        happened = position.apply(trade, NOW)
        yield happened.effect
        yield trade.settlement
        seen: dict[str, Any] = {
            "a short": position.quantity < 0,
            "a second opening": happened.effect is Effect.OPENED and position.sequence > 1,
            "a negative price": trade.price < 0,
            "a price of 0": trade.price == 0,
            "a rebate": trade.fee < 0,
            "a fee": trade.fee > 0,
            "no fee": trade.fee == 0,
            "a multiplier": trade.multiplier != 1,
            "a 30-digit price": len(trade.price.as_tuple().digits) >= 30,
            "a trade time that goes back": last is not None and trade.executed_at < last,
        }
        yield from (name for name, is_met in seen.items() if is_met)
        last = trade.executed_at


def test_fills_meet_every_turn_that_a_position_can_take() -> None:
    examples: Counter[str] = Counter()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
    )
    @given(strategies.fills())
    def meet(fills: list[TradeTerms]) -> None:
        examples.update(set(met(fills)))

    meet()

    assert {name: examples[name] for name in EXPECTED if examples[name] < SELDOM} == {}


@given(strategies.prices(ordinary=True))
def test_ordinary_prices_are_as_venues_quote_them(price: Decimal) -> None:
    assert price > 0
    assert -int(price.as_tuple().exponent) <= 8
    assert len(price.as_tuple().digits) <= 9
    assert price < 10**7
