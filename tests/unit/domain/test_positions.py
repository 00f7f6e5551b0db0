"""Position accounting by worked examples: what each fill does to what is held, owed and earned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tradebook import (
    InstrumentMismatch,
    InvalidInput,
    InvalidTransition,
    Position,
    PositionStatus,
    Settlement,
    Trade,
)
from tradebook.domain.events import Effect, TradeRecorded
from tradebook.domain.numbers import EXACT
from tradebook.domain.positions import Mark, MarkSource

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


def position() -> Position:
    return Position(symbol="X", created_at=NOW)


def fill(action: str, quantity: Any, price: Any, **terms: Any) -> Trade:
    return Trade(
        symbol="X",
        action=action,
        quantity=quantity,
        price=price,
        **{"executed_at": NOW, **terms},
    )


def held(*fills: tuple[Any, ...], **terms: Any) -> Position:
    made = position()
    for action, quantity, price in fills:
        made.apply(fill(action, quantity, price, **terms), NOW)
    return made


@pytest.mark.parametrize(
    ("fills", "quantity", "cost_basis", "entry_price", "realized_pnl", "cash_flow"),
    [
        pytest.param([("BUY", 10, 5)], 10, 50, "5", 0, -50, id="open"),
        pytest.param([("BUY", 10, 5), ("BUY", 10, 7)], 20, 120, "6", 0, -120, id="add"),
        pytest.param([("BUY", 10, 5), ("SELL", 4, 8)], 6, 30, "5", 12, -18, id="reduce"),
        pytest.param([("BUY", 10, 5), ("SELL", 10, 8)], 0, 0, None, 30, 30, id="close"),
        pytest.param([("BUY", 10, 5), ("SELL", 10, 3)], 0, 0, None, -20, -20, id="close at a loss"),
        pytest.param([("BUY", 10, 5), ("SELL", 15, 8)], -5, -40, "8", 30, 70, id="flip to short"),
        pytest.param([("SELL", 10, 5)], -10, -50, "5", 0, 50, id="short"),
        pytest.param([("SELL", 10, 5), ("SELL", 10, 7)], -20, -120, "6", 0, 120, id="add to short"),
        pytest.param([("SELL", 10, 5), ("BUY", 4, 3)], -6, -30, "5", 8, 38, id="cover some"),
        pytest.param([("SELL", 10, 5), ("BUY", 10, 3)], 0, 0, None, 20, 20, id="cover all"),
        pytest.param([("SELL", 10, 5), ("BUY", 15, 3)], 5, 15, "3", 20, 5, id="flip to long"),
        pytest.param([("BUY", 10, -5)], 10, -50, "-5", 0, 50, id="negative price"),
        pytest.param([("BUY", 1, -37), ("SELL", 1, 10)], 0, 0, None, 47, 47, id="negative to up"),
        pytest.param([("SELL", 2, -3), ("BUY", 1, -5)], -1, 3, "-3", 2, -1, id="short negative"),
        pytest.param([("BUY", 10, 0)], 10, 0, "0", 0, 0, id="given for nothing"),
        pytest.param([("BUY", 10, 0), ("SELL", 10, 0)], 0, 0, None, 0, 0, id="worth nothing"),
    ],
)
def test_fills_move_a_position_of_cash_settlement(
    fills: list[tuple[Any, ...]],
    quantity: int,
    cost_basis: int,
    entry_price: str | None,
    realized_pnl: int,
    cash_flow: int,
) -> None:
    made = held(*fills)

    assert made.quantity == quantity
    assert made.cost_basis == cost_basis
    assert made.entry_price == (None if entry_price is None else Decimal(entry_price))
    assert made.realized_pnl == realized_pnl
    assert made.cash_flow == cash_flow
    assert made.status == ("OPEN" if quantity else "CLOSED")


@pytest.mark.parametrize(
    ("fills", "effects"),
    [
        ([("BUY", 1, 1), ("BUY", 1, 1)], ["OPENED", "INCREASED"]),
        ([("BUY", 2, 1), ("SELL", 1, 1), ("SELL", 1, 1)], ["OPENED", "REDUCED", "CLOSED"]),
        ([("SELL", 2, 1), ("BUY", 3, 1), ("SELL", 9, 1)], ["OPENED", "FLIPPED", "FLIPPED"]),
        ([("SELL", 2, 1), ("SELL", 1, 1), ("BUY", 1, 1)], ["OPENED", "INCREASED", "REDUCED"]),
    ],
)
def test_each_fill_says_what_it_did(fills: list[tuple[Any, ...]], effects: list[str]) -> None:
    made = position()

    assert [made.apply(fill(*terms), NOW).effect for terms in fills] == effects


def test_a_fill_returns_what_happened_in_full() -> None:
    made = held(("BUY", 10, 5))

    happened = made.apply(fill("SELL", 4, 8, fee="0.5", order_id="o", execution_id="e"), NOW)

    assert happened == TradeRecorded(
        symbol="X",
        order_id="o",
        execution_id="e",
        action="SELL",
        quantity=Decimal(4),
        price=Decimal(8),
        fee=Decimal("0.5"),
        currency="USD",
        executed_at=NOW,
        sequence=2,
        effect=Effect.REDUCED,
        quantity_before=Decimal(10),
        quantity_after=Decimal(6),
        realized_pnl=Decimal(12),
    )


def test_the_remainder_of_a_division_stays_in_the_cost_basis() -> None:
    made = held(("BUY", 3, 10), ("BUY", 4, 11), ("SELL", 1, 12))

    # 12 less a seventh of 74, which is 10.571428..., rounded to 40 decimals
    assert made.realized_pnl == Decimal("1.4285714285714285714285714285714285714286")
    made.apply(fill("SELL", 6, 12), NOW)
    assert made.cost_basis == 0
    assert made.realized_pnl == 7 * 12 - 74  # nothing was lost on the way


def test_realized_pnl_is_before_fees_and_net_pnl_after() -> None:
    made = held(("BUY", 10, 5), fee=1)
    made.apply(fill("SELL", 4, 8, fee="-0.25"), NOW)  # a rebate
    made.mark(7, NOW + timedelta(1))

    assert made.realized_pnl == 12
    assert made.fees == Decimal("0.75")
    assert made.cash_flow == -50 - 1 + 32 + Decimal("0.25")
    assert made.unrealized_pnl == 6 * 7 - 30
    assert made.net_pnl == 12 + 12 - Decimal("0.75")


def test_a_multiplier_scales_amounts_but_not_prices() -> None:
    made = held(("BUY", 2, "4000.25"), ("SELL", 1, "4010.25"), multiplier=50)

    assert made.multiplier == 50
    assert made.entry_price == Decimal("4000.25")
    assert made.cost_basis == Decimal("4000.25") * 50
    assert made.realized_pnl == 500
    made.mark(4000, NOW)
    assert made.market_value == 200_000
    assert made.unrealized_pnl == Decimal("-12.5")


def test_a_margined_position_moves_cash_by_pnl_and_fees_only() -> None:
    made = held(("BUY", 2, 4000), multiplier=50, settlement="MARGINED", fee=2)
    assert made.cash_flow == -2

    made.apply(fill("SELL", 3, 4010, multiplier=50, settlement="MARGINED", fee=3), NOW)

    assert made.settlement is Settlement.MARGINED
    assert made.realized_pnl == 1000
    assert made.cash_flow == made.realized_pnl - made.fees == 995
    assert made.quantity == -1


def test_direction_is_the_sign_of_the_quantity_and_never_of_the_cost() -> None:
    made = held(("BUY", 10, -5))
    assert made.cost_basis < 0

    happened = made.apply(fill("BUY", 10, -7), NOW)

    assert happened.effect is Effect.INCREASED
    assert made.entry_price == -6


def test_booking_gives_the_trade_its_place_its_time_and_its_pnl() -> None:
    made = held(("BUY", 10, 5))
    trade = fill("SELL", 4, 8)

    made.apply(trade, NOW + timedelta(seconds=1))

    assert (trade.status, trade.sequence, trade.realized_pnl) == ("EXECUTED", 2, 12)
    assert trade.booked_at == trade.updated_at == made.updated_at == NOW + timedelta(seconds=1)
    assert (made.sequence, made.version) == (2, 2)


def test_the_booking_time_never_goes_back() -> None:
    made = held(("BUY", 10, 5))
    trade = fill("BUY", 1, 5)

    made.apply(trade, NOW - timedelta(hours=1))

    assert trade.booked_at == NOW


def test_a_first_booking_takes_its_own_time_however_late_the_position_was_made() -> None:
    made, trade = position(), fill("BUY", 1, 5)

    made.apply(trade, NOW - timedelta(hours=1))

    assert trade.booked_at == made.updated_at == NOW - timedelta(hours=1)


def test_a_bust_takes_the_next_entry_and_says_who_when_and_why() -> None:
    made, trade = position(), fill("BUY", 1, 5)
    made.apply(trade, NOW)

    changes = made.bust(trade, at=NOW - timedelta(1), by="ann", reason="typo")

    assert changes["bust_reason"] == [None, "typo"]
    assert (trade.bust_sequence, trade.busted_by, trade.busted_at) == (2, "ann", NOW)
    assert (made.sequence, made.version, made.updated_at) == (2, 2, NOW)


def test_a_correction_takes_the_next_entry_and_the_pnl_it_is_given() -> None:
    made, right = held(("BUY", 1, 5)), fill("BUY", 1, 6)

    made.book_correction(right, at=NOW - timedelta(1), realized_pnl=Decimal(3))

    assert (right.status, right.sequence, right.realized_pnl) == ("EXECUTED", 2, 3)
    assert right.booked_at == made.updated_at == NOW
    assert (made.sequence, made.version, made.quantity) == (2, 2, 1)  # refold makes the rest


def test_opening_and_closing_times_are_trade_times() -> None:
    made = position()
    times = [NOW + timedelta(minutes=minutes) for minutes in range(4)]

    made.apply(fill("BUY", 2, 5, executed_at=times[0]), NOW)
    assert (made.opened_at, made.closed_at, made.status) == (times[0], None, PositionStatus.OPEN)
    made.apply(fill("SELL", 1, 5, executed_at=times[1]), NOW)
    assert (made.opened_at, made.closed_at) == (times[0], None)
    made.apply(fill("SELL", 1, 5, executed_at=times[2]), NOW)
    assert (made.opened_at, made.closed_at) == (times[0], times[2])
    made.apply(fill("SELL", 1, 5, executed_at=times[3]), NOW)
    assert (made.opened_at, made.closed_at) == (times[3], None)
    made.apply(fill("BUY", 2, 5, executed_at=times[1]), NOW)
    assert (made.opened_at, made.closed_at) == (times[1], None)


@pytest.mark.parametrize(
    ("constant", "value", "message"),
    [
        ("currency", "EUR", "X: currency is 'USD' since its first trade, given 'EUR'"),
        ("multiplier", 10, "X: multiplier is '1' since its first trade, given '10'"),
        ("settlement", "MARGINED", "X: settlement is 'CASH' since its first trade"),
    ],
)
def test_constants_are_fixed_by_the_first_trade_even_after_closing(
    constant: str, value: Any, message: str
) -> None:
    made = held(("BUY", 10, 5), ("SELL", 10, 5))
    trade = fill("BUY", 1, 5, **{constant: value})

    with pytest.raises(InstrumentMismatch, match=message):
        made.apply(trade, NOW)

    assert (made.sequence, trade.status) == (2, "PENDING")


def test_the_first_trade_fixes_the_constants() -> None:
    made = held(("BUY", 1, 5), currency="JPY", multiplier=100, settlement="MARGINED")

    assert (made.currency, made.multiplier, made.settlement) == ("JPY", 100, "MARGINED")


def test_a_position_fills_in_the_constants_that_were_not_given() -> None:
    made = held(("BUY", 1, 5), currency="JPY", multiplier=100)
    trade = fill("BUY", 1, 5, multiplier=50)

    made.complete(trade, {"multiplier"})

    assert (trade.currency, trade.fee_currency, trade.multiplier) == ("JPY", "JPY", 50)


def test_nothing_is_filled_in_before_the_first_trade() -> None:
    trade = fill("BUY", 1, 5, currency="JPY")

    position().complete(trade, set())

    assert trade.currency == "JPY"


def test_a_refused_trade_leaves_the_position_as_it_was() -> None:
    made = held(("BUY", 10, 5))
    before = made.balance
    cancelled = fill("SELL", 1, 5)
    cancelled.cancel("", NOW)

    with pytest.raises(InvalidTransition):
        made.apply(cancelled, NOW)
    with pytest.raises(InvalidInput):
        made.apply(fill("BUY", 1, 5, fee=1, fee_currency="X"), NOW)

    assert made.balance == before
    assert (made.sequence, made.version) == (1, 1)


def test_a_fill_is_the_mark_unless_an_older_one() -> None:
    made = held(("BUY", 10, 5))
    assert made.last_mark == (5, NOW, "TRADE")

    later = NOW + timedelta(1)
    made.apply(fill("BUY", 10, 6, executed_at=later), NOW)
    assert made.last_mark == (6, later, "TRADE")
    made.apply(fill("SELL", 30, 7, executed_at=later), NOW)
    assert made.last_mark == (7, later, "TRADE")
    made.apply(fill("SELL", 30, 8, executed_at=NOW), NOW)
    assert made.last_mark == (7, later, "TRADE")


def test_a_quote_of_a_fills_time_stays() -> None:
    made = held(("BUY", 10, 5))
    assert made.mark(6, NOW)
    made.apply(fill("BUY", 10, 7, executed_at=NOW), NOW)
    assert made.last_mark == (6, NOW, "QUOTE")


def test_a_mark_without_a_source_counts_as_a_quote_and_no_refold_changes_it() -> None:
    made = Mark(Decimal(5), NOW, None)
    assert not made.is_replaced_by(NOW, MarkSource.TRADE)
    assert made.is_replaced_by(NOW, MarkSource.QUOTE)
    newest = Mark(Decimal(6), NOW + timedelta(1), MarkSource.TRADE)
    assert made.refolded(newest) == made


def test_opening_again_keeps_a_later_mark() -> None:
    made = held(("BUY", 10, 5), ("SELL", 10, 6))
    made.mark(9, NOW + timedelta(2))

    made.apply(fill("BUY", 1, 7, executed_at=NOW + timedelta(1)), NOW)
    assert made.current_price == 9

    made.apply(fill("SELL", 1, 7, executed_at=NOW + timedelta(1)), NOW)
    made.apply(fill("BUY", 1, 8, executed_at=NOW + timedelta(3)), NOW)
    assert made.current_price == 8


def test_an_older_mark_is_ignored_and_one_of_the_same_time_taken() -> None:
    made = held(("BUY", 10, 5))

    assert not made.mark(6, NOW - timedelta(microseconds=1))
    assert made.current_price == 5
    assert made.mark(7, NOW)
    assert made.current_price == 7


def test_marks_change_no_version_and_no_booking_time() -> None:
    made = held(("BUY", 10, 5))

    made.mark(6, NOW + timedelta(1))

    assert (made.version, made.sequence, made.updated_at) == (1, 1, NOW)


def test_a_flat_position_is_worth_nothing_whatever_its_mark() -> None:
    made = held(("BUY", 10, 5), ("SELL", 10, 8), fee=1)
    made.mark(100, NOW + timedelta(1))

    assert made.market_value == 0
    assert made.unrealized_pnl == 0
    assert made.net_pnl == 28


def test_an_open_position_without_a_mark_has_no_value() -> None:
    made = Position(symbol="X", quantity=Decimal(1), cost_basis=Decimal(5))

    assert made.market_value is None
    assert made.unrealized_pnl is None
    assert made.net_pnl is None
    assert made.entry_price == 5


def test_amounts_of_any_length_stay_exact() -> None:
    quantity, price = "1" * 20 + "." + "1" * 18, "9" * 20 + "." + "9" * 18

    made = held(("BUY", quantity, price), multiplier=price)

    expected = int(quantity.replace(".", "")) * int(price.replace(".", "")) ** 2
    assert made.cost_basis == EXACT.scaleb(Decimal(expected), -54)


def test_sales_of_any_length_stay_exact() -> None:
    made = held(("SELL", "12345678901234567890.123456789012345678", 1))

    assert made.quantity == Decimal("-12345678901234567890.123456789012345678")


def test_a_position_that_grows_by_its_thirtieth_digit_is_increased() -> None:
    made = held(("BUY", "1" + "0" * 19, 1))

    happened = made.apply(fill("BUY", "0." + "0" * 17 + "1", 1), NOW)

    assert happened.effect is Effect.INCREASED


def test_closing_removes_all_of_the_cost_however_fine() -> None:
    finest = "0." + "0" * 17 + "1"  # the cost has 54 decimals, a division keeps 40

    made = held(("BUY", finest, finest), multiplier=finest)
    assert made.cost_basis == Decimal("1e-54")
    made.apply(fill("SELL", finest, 0, multiplier=finest), NOW)

    assert made.cost_basis == 0
    assert made.realized_pnl == Decimal("-1e-54")
