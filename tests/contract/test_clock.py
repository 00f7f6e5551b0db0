"""The clock goes back: what was booked stays in order, and so do events and snapshots."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.support.backends import BACKENDS, new_book, within
from tradebook import CallContext, Event, Portfolio, Trade, handlers

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CLOCK = [10, 5, 20, 0, 20, 19]
"""Minutes after noon, call by call."""


def minutes(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


def call(book: Any, at: datetime, handler: Callable[..., Any], *args: Any, **terms: Any) -> Any:
    """Call a handler when the clock says `at`."""
    with book.unit_of_work(context=CallContext(at=at)) as uow:
        result = within(uow, handler, *args, **terms)
        uow.commit()
    return result


def buy(book: Any, minute: int, symbol: str = "X") -> Trade:
    trade: Trade = call(
        book,
        minutes(minute),
        handlers.record_trade,
        symbol=symbol,
        action="BUY",
        quantity=1,
        price=10,
    )
    return trade


def test_the_booking_time_never_goes_back_along_the_sequence(book: Any) -> None:
    trades = [buy(book, minute) for minute in CLOCK]
    assert [trade.sequence for trade in trades] == [1, 2, 3, 4, 5, 6]
    assert [trade.booked_at for trade in trades] == [minutes(m) for m in (10, 10, 20, 20, 20, 20)]
    assert [trade.executed_at for trade in trades] == [minutes(m) for m in CLOCK]
    assert book.get_position_by_symbol("X").updated_at == minutes(20)
    assert book.verify().proven


def test_a_bust_is_not_dated_before_what_was_booked(book: Any) -> None:
    wrong = buy(book, 10)
    buy(book, 20)
    busted = call(book, NOON, handlers.bust_trade, trade_id=wrong.id, reason="a typing error")
    assert busted.busted_at == minutes(20)
    assert book.get_position_by_symbol("X").quantity == 1
    assert book.verify().proven


def test_events_stay_in_the_order_in_which_they_happened(book: Any) -> None:
    trades = [buy(book, minute) for minute in CLOCK]
    events = [event for event in book.iterate(Event) if event.entity == "Trade"]
    assert [event.entity_id for event in reversed(events)] == [trade.id for trade in trades]
    assert [event.payload["sequence"] for event in reversed(events)] == [1, 2, 3, 4, 5, 6]


def test_the_last_snapshot_is_the_one_that_was_taken_last(book: Any) -> None:
    taken = []
    for minute in CLOCK:
        buy(book, minute)
        taken.append(call(book, minutes(minute), handlers.take_snapshot))
    assert [snapshot.timestamp for snapshot in taken] == [
        minutes(minute) for minute in (10, 10, 20, 20, 20, 20)
    ]
    assert [found.id for found in book.iterate(Portfolio)] == [s.id for s in reversed(taken)]
    assert book.get_latest_portfolio().id == taken[-1].id
    assert book.verify().proven


def test_snapshots_without_a_trade_stay_in_order_too(book: Any) -> None:
    first = call(book, minutes(10), handlers.take_snapshot)
    second = call(book, NOON, handlers.take_snapshot)
    assert (first.timestamp, second.timestamp) == (minutes(10), minutes(10))
    assert book.get_latest_portfolio().id == second.id


def test_a_snapshot_is_not_dated_before_the_trades_that_it_holds(book: Any) -> None:
    buy(book, 10)
    snapshot = call(book, NOON, handlers.take_snapshot)
    said = book.portfolio_as_of(snapshot.timestamp).portfolio
    assert (said.positions_value, said.cash_balance) == (Decimal(10), Decimal(-10))
    assert (snapshot.positions_value, snapshot.cash_balance) == (Decimal(10), Decimal(-10))


def test_a_portfolio_of_the_future_built_by_hand_dates_no_snapshot(book: Any) -> None:
    book.create(Portfolio(total_value=1, cash_balance=1, timestamp=minutes(60)))
    assert call(book, minutes(1), handlers.take_snapshot).timestamp == minutes(1)


@pytest.mark.parametrize("name", ["fake", "fake-async"])
def test_a_fakes_clock_may_go_back(name: str) -> None:
    clock = iter(minutes(minute) for minute in (10, 5, 0))
    with new_book(BACKENDS[name][0], clock=lambda: next(clock)) as book:
        terms = {"symbol": "X", "action": "BUY", "quantity": 1, "price": 10}
        booked = [book.record_trade(**terms).booked_at for _ in range(2)]
        assert booked == [minutes(10), minutes(10)]
        assert book.take_snapshot().timestamp == minutes(10)
