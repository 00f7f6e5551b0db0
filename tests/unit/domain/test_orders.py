"""Orders as values, and fills of them, without a book."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tradebook import InvalidInput, InvalidTransition, Order, OrderStatus, Position, Trade
from tradebook.domain.errors import DuplicateOrder, InstrumentMismatch
from tradebook.domain.events import Event
from tradebook.domain.orders import (
    by_order,
    ended_with,
    fill_order,
    leave_open,
    ordered_quantity,
    took_order_over,
    unfilled_row,
)

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


def trade(**terms: Any) -> Trade:
    given = {"symbol": "AAPL", "action": "BUY", "quantity": 10, "price": 100, **terms}
    return Trade(**{"order_id": "o", "executed_at": NOW, "created_at": NOW, **given})


def filled(order: Trade, *quantities: Any) -> list[Trade]:
    """The rows of an order, the first among them, once it was filled by these."""
    position, rows = Position(symbol="AAPL", created_at=NOW), [order]
    for number, quantity in enumerate(quantities):
        fill = trade(quantity=quantity, execution_id=f"e-{number}")
        given = {"quantity", "price", "execution_id"}
        done = fill_order(position, order, fill, given, recorded=rows, at=NOW)
        rows += [] if done.trade is order else [done.trade]
    return rows


def test_a_part_keeps_the_rest_in_the_row_and_the_last_part_becomes_it() -> None:
    order = trade()

    rows = filled(order, 4)
    assert (len(rows), order.status, order.quantity) == (2, "PENDING", 6)
    assert order.updated_at == NOW + timedelta(microseconds=1)

    rows = filled(trade(), 4, 6)
    assert (len(rows), rows[0].status, rows[0].quantity) == (2, "EXECUTED", 6)
    assert ordered_quantity(rows) == 10


def test_the_rest_of_fractions_is_exact_and_plain() -> None:
    order = trade(quantity="12345678901234567890.123456789012345678")

    filled(order, "0.123456789012345678")

    assert str(order.quantity) == "12345678901234567890"


@pytest.mark.parametrize(
    ("terms", "refusal"),
    [
        ({"quantity": 4}, InvalidInput),
        ({"action": "SELL"}, DuplicateOrder),
        ({"multiplier": 5}, InstrumentMismatch),
        ({"fee": 10**6, "fee_currency": "AAPL"}, InvalidInput),
    ],
)
def test_a_fill_that_is_refused_leaves_the_order_as_it_was(
    terms: dict[str, Any], refusal: type[Exception]
) -> None:
    position, order = Position(symbol="AAPL", created_at=NOW), trade(order_id="o")
    position.apply(trade(order_id="before"), NOW)
    before = dict(vars(order))

    with pytest.raises(refusal):
        fill_order(position, order, trade(**terms), terms, recorded=[order], at=NOW)

    assert vars(order) == before


def test_a_fill_of_an_order_that_ended_is_refused() -> None:
    order = trade()
    order.cancel("late", NOW)

    with pytest.raises(InvalidTransition, match="is CANCELLED"):
        filled(order, 10)


def test_a_trade_without_a_price_is_not_booked() -> None:
    market = trade(price=None)
    assert not market.has_price

    with pytest.raises(
        InvalidInput, match=r"price: None .* at which order 'o' for AAPL was filled"
    ):
        Position(symbol="AAPL").apply(market, NOW)
    assert market.status == "PENDING"


def test_an_order_of_one_row_is_pending() -> None:
    order = Order.from_trades([trade()])

    assert (order.status, order.ordered, order.filled, order.remaining) == ("PENDING", 10, 0, 10)
    assert (order.average_price, order.fees, order.fills, order.price) == (None, {}, (), 100)
    assert (order.recorded_at, order.first_filled_at, order.last_filled_at) == (NOW, None, None)


def test_fees_are_added_by_currency_and_prices_weighted_by_quantity() -> None:
    rows = filled(trade(), 4, 6)
    for row, price, fee, currency in zip(rows, (1, 3), (2, "-0.5"), ("USD", "BNB"), strict=True):
        row.set_unchecked(price=Decimal(price), fee=Decimal(fee), fee_currency=currency)

    order = Order.from_trades(rows)

    assert order.average_price == Decimal("1.8")
    assert order.fees == {"BNB": Decimal("-0.5"), "USD": 2}
    assert [fill.sequence for fill in order.fills] == [1, 2]


def test_what_was_ordered_is_what_the_event_says_that_ended_the_order() -> None:
    rows = filled(trade(), 4, 9)

    order = Order.from_trades(rows, Decimal(10))

    assert (order.status, order.ordered, order.filled) == (OrderStatus.FILLED, 10, 13)
    assert order.overfilled == 3
    assert Order.from_trades(filled(trade(), 4), Decimal(99)).ordered == 10


def event(event_type: str, **payload: Any) -> Event:
    terms: Any = {"entity": "Trade", "entity_id": 1, "occurred_at": NOW}
    return Event(event_type=event_type, payload=payload, **terms)


def test_the_last_event_that_ends_an_order_counts() -> None:
    submitted = event("TradeSubmitted", ordered="100")
    cancelled = event("TradeCancelled", ordered="80")

    assert ended_with([]) is None
    assert ended_with([submitted]) is None
    assert ended_with([submitted, cancelled]) == 80
    assert ended_with([cancelled, event("TradeRecorded", ordered="90")]) == 90


@pytest.mark.parametrize(
    ("payload", "is_so"),
    [
        ({}, False),
        ({"changes": None}, False),
        ({"changes": {"price": ["1", "2"]}}, False),
        ({"changes": {"status": ["EXECUTED", "BUSTED"]}}, False),
        ({"changes": {"status": ["PENDING", "EXECUTED"]}}, True),
    ],
)
def test_an_event_says_whether_a_fill_took_its_order_over(
    payload: dict[str, Any], is_so: bool
) -> None:
    assert took_order_over(event("TradeRecorded", **payload)) is is_so


def test_a_pending_row_is_what_is_open_before_one_that_ended() -> None:
    ended, pending, other = trade(), trade(execution_id="e-1"), trade(order_id="other")
    ended.reject("margin", NOW)

    assert unfilled_row([ended, pending]) is pending
    assert unfilled_row([ended]) is ended
    assert unfilled_row([]) is None
    assert [len(rows) for rows in by_order([ended, other, pending]).values()] == [2, 1]


def test_an_order_after_its_fills_is_lowered_to_what_they_left() -> None:
    rows = [filled(trade(quantity=4), 4)[0]]
    order = trade()

    assert leave_open(order, rows)
    assert order.quantity == 6
    assert not leave_open(trade(quantity=4), rows)
    with pytest.raises(InvalidInput, match=r"filled by 4 under this one, which leaves 6 open"):
        leave_open(trade(execution_id="e-0"), rows)
    with pytest.raises(DuplicateOrder, match="action"):
        leave_open(trade(action="SELL"), rows)
