"""Orders and their fills in batches, among others and by several writers, on every backend."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.backends import run_together
from tests.support.orders import ORDER, PENDING, amounts, order, part, require_sound
from tradebook import InvalidInput, handlers
from tradebook.service_layer.book import Book


def test_orders_and_partial_fills_in_one_batch_are_as_one_by_one(book: Any) -> None:
    rows = [
        part(20, "e-0"),
        PENDING,
        part(30, "e-1"),
        {**ORDER, "order_id": "plain", "quantity": 7},
        part(30, "e-2"),
        part(30, "e-1"),
        part(25, "e-3"),
        PENDING,
        part(1, "e-4"),
    ]
    recorded = book.record_trades(rows)
    assert (recorded.booked, recorded.duplicates) == (7, 2)
    assert recorded.trades[1] is recorded.trades[6]
    assert amounts(book) == ("FILLED", 100, 106, 0)
    other = [{**row, "symbol": "MSFT"} for row in rows]
    assert book.import_trades(other, batch=2).booked == 7
    found, imported = book.get_order("o", symbol="AAPL"), book.get_order("o", symbol="MSFT")
    assert imported.ordered == found.ordered
    assert [(f.execution_id, f.quantity) for f in imported.fills] == [
        (f.execution_id, f.quantity) for f in found.fills
    ]
    require_sound(book)


def test_a_batch_fills_one_order_and_submits_another_after_its_fills(book: Any) -> None:
    other = {"order_id": "p"}
    book.record_trade(**PENDING)
    book.record_trade(**{**PENDING, "order_id": "q"})
    book.record_trades(
        [
            part(100, "e-1"),
            part(10, "e-1", order_id="q"),
            part(60, "e-2", **other),
            {**PENDING, **other},
            {**PENDING, **other},
            part(40, "e-3", **other),
            {**PENDING, **other},
            PENDING,
        ]
    )
    found = [book.get_order(order_id) for order_id in "opq"]
    assert [(o.filled, o.remaining) for o in found] == [(100, 0), (100, 0), (10, 90)]
    require_sound(book)


def test_an_import_fills_a_market_order_that_was_recorded_before(book: Any) -> None:
    pending = book.record_trade(**{**PENDING, "price": None})
    book.record_trade(**{**ORDER, "order_id": "before"})
    fills = [part(20, f"e-{number}") for number in range(3)]
    assert book.import_trades([*fills, fills[0]], batch=2).booked == 3
    assert amounts(book) == ("PARTIALLY_FILLED", 100, 60, 40)
    assert book.import_trades([part(40, "e-9"), *fills]).booked == 1
    assert amounts(book) == ("FILLED", 100, 100, 0)
    assert order(book).fills[-1].id == pending.id
    require_sound(book)


def test_open_orders_are_listed_oldest_first_with_what_is_filled_of_each(book: Book) -> None:
    for number, symbol in enumerate(["B", "A", "A"]):
        book.record_trade(**{**PENDING, "symbol": symbol, "order_id": f"o{number}"})
    book.record_trade(**{**part(60, "e-1"), "symbol": "A", "order_id": "o1"})
    book.record_trade(**{**ORDER, "symbol": "B", "order_id": "o1"})
    book.cancel_trade(order_id="o2")
    found = [(o.symbol, o.order_id, o.filled, o.remaining) for o in book.get_open_orders()]
    assert found == [("B", "o0", 0, 100), ("A", "o1", 60, 40)]
    assert [o.order_id for o in book.get_open_orders(symbol="A")] == ["o1"]
    assert book.get_open_orders(symbol="C") == []


def test_an_order_is_found_by_its_id_and_where_that_is_shared_by_symbol_and_venue(
    book: Book,
) -> None:
    assert book.get_order("o") is None
    book.record_trade(**PENDING, venue="x")
    book.record_trade(**PENDING, venue="y")
    book.record_trade(**{**ORDER, "symbol": "MSFT"})
    with pytest.raises(InvalidInput, match=r"AAPL at 'x', AAPL at 'y', MSFT at ''"):
        book.get_order("o")
    assert (found := book.get_order("o", symbol="AAPL", venue="y")) is not None
    assert (found.symbol, found.venue) == ("AAPL", "y")
    assert (other := book.get_order("o", venue="")) is not None
    assert (other.symbol, other.status, other.ordered) == ("MSFT", "FILLED", 100)
    assert book.get_order("o", symbol="B") is None


def test_two_writers_who_fill_one_order_lose_no_part_of_it(book: Book) -> None:
    book.record_trade(**{**PENDING, "quantity": 12})
    fills = [part(1, f"e-{number % 12}") for number in range(24)]
    run_together(book, handlers.record_trade, fills)
    assert amounts(book) == ("FILLED", 12, 12, 0)
    assert [trade.sequence for trade in order(book).fills] == list(range(1, 13))
    assert book.verify().proven


def test_a_fill_and_a_cancel_at_the_same_time_leave_the_order_whole(book: Book) -> None:
    book.record_trade(**PENDING)

    def act(uow: Any, step: int) -> None:
        if step == 4:
            handlers.cancel_trade(uow, order_id="o")
        else:
            handlers.record_trade(uow, **part(10, f"e-{step}"))

    run_together(book, act, [{"step": step} for step in range(8)])
    found = order(book)
    assert (found.status, found.ordered, found.filled, found.remaining) == ("CANCELLED", 100, 70, 0)
    [row] = book.get_trades(status="CANCELLED")
    before = sum(trade.id > row.id for trade in found.fills)
    assert before == 7
    assert book.verify().proven
