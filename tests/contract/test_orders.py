"""Orders, on every backend: the PENDING row is what is open, each fill a trade of its own."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.support.orders import (
    NOON,
    ORDER,
    PENDING,
    amounts,
    events,
    order,
    part,
    require_sound,
    state,
)
from tradebook import (
    DuplicateOrder,
    InvalidInput,
    InvalidTransition,
    Trade,
    TradebookError,
    TradeStatus,
)
from tradebook.service_layer.book import Book


def test_a_partial_fill_is_a_trade_of_its_own_and_the_pending_row_keeps_the_rest(
    book: Book,
) -> None:
    pending = book.record_trade(**PENDING, strategy="dip", details={"why": "dip"})
    first = book.record_trade(**part(60, "e-1", price=149, fee="0.5", executed_at=NOON))
    assert first.id != pending.id
    assert (first.status, first.sequence, first.strategy) == ("EXECUTED", 1, "dip")
    [row] = book.get_trades(status="PENDING")
    assert (row.id, row.quantity, row.price) == (pending.id, 40, 150)
    assert row.updated_at > pending.updated_at
    found = order(book)
    assert (found.symbol, found.venue, found.order_id, found.action) == ("AAPL", "", "o", "BUY")
    assert (found.status, found.ordered, found.filled) == ("PARTIALLY_FILLED", 100, 60)
    assert (found.remaining, found.price, found.average_price) == (40, 150, 149)
    assert [trade.id for trade in found.fills] == [first.id]
    assert (found.first_filled_at, found.last_filled_at) == (NOON, NOON)
    [submitted, partly] = events(book, pending.id)
    assert submitted.payload["quantity"] == "100"
    assert partly.event_type == "TradePartiallyFilled"
    assert partly.payload["changes"] == {"quantity": ["100", "40"]}
    assert (partly.payload["execution_id"], partly.payload["quantity"]) == ("e-1", "60")
    require_sound(book)


def test_the_last_fill_takes_over_the_row(book: Book) -> None:
    pending = book.record_trade(**PENDING)
    book.record_trade(**part(60, "e-1", price=149, fee=1))
    last = book.record_trade(**part(40, "e-2", price="151.5", fee=2, executed_at=NOON))
    assert last.id == pending.id
    found = order(book)
    assert (found.status, found.ordered, found.filled, found.remaining) == ("FILLED", 100, 100, 0)
    assert (found.average_price, found.fees) == (150, {"USD": 3})
    assert (found.price, found.overfilled, found.first_filled_at) == (None, 0, NOON)
    assert book.get_open_orders() == []
    booking = events(book, pending.id)[-1]
    assert booking.payload["ordered"] == "100"
    assert booking.payload["changes"]["status"] == ["PENDING", "EXECUTED"]
    assert "overfilled" not in booking.payload
    [position] = book.get_open_positions()
    assert (position.quantity, position.sequence) == (100, 2)
    require_sound(book)


def test_an_overfill_is_booked_and_said(book: Book) -> None:
    pending = book.record_trade(**PENDING)
    book.record_trade(**part(60, "e-1"))
    book.record_trade(**part(50, "e-2"))
    booking = events(book, pending.id)[-1]
    assert (booking.payload["ordered"], booking.payload["overfilled"]) == ("100", "10")
    assert order(book).overfilled == 10
    book.record_trade(**part(5, "e-3"))
    assert amounts(book) == ("FILLED", 100, 115, 0)
    assert order(book).overfilled == 15
    require_sound(book)


@pytest.mark.parametrize("end", ["cancel_trade", "reject_trade"])
def test_a_cancel_ends_the_rest_and_the_fills_stay(book: Book, end: str) -> None:
    status = "CANCELLED" if end == "cancel_trade" else "REJECTED"
    pending = book.record_trade(**PENDING)
    book.record_trade(**part(60, "e-1"))
    ended = getattr(book, end)(order_id="o", reason="late")
    assert (ended.id, ended.quantity, ended.status) == (pending.id, 40, status)
    assert amounts(book) == (status, 100, 60, 0)
    assert getattr(book, end)(order_id="o").id == pending.id
    assert events(book, pending.id)[-1].payload["ordered"] == "100"
    before = state(book)
    assert book.record_trade(**part(60, "e-1")).quantity == 60
    assert book.record_trade(**PENDING).id == pending.id
    assert state(book) == before
    book.record_trade(**part(10, "late"))
    assert amounts(book) == (status, 100, 70, 0)
    assert book.get_open_orders() == []
    require_sound(book)


def test_a_filled_order_cannot_be_cancelled(book: Book) -> None:
    book.record_trade(**PENDING)
    book.record_trade(**part(60, "e-1"))
    book.record_trade(**part(40, "e-2"))
    before = state(book)
    with pytest.raises(InvalidTransition, match=r"order 'o'.* for AAPL is EXECUTED"):
        book.cancel_trade(order_id="o")
    assert state(book) == before


def test_a_partial_fill_without_an_execution_id_is_refused_while_the_rest_is_open(
    book: Book,
) -> None:
    book.record_trade(**PENDING, execution_id="x")
    before = state(book)
    refusal = r"execution_id: 'x' .* this one of 60 leaves 40 of order 'o' .* open"
    with pytest.raises(InvalidInput, match=refusal):
        book.record_trade(**{**ORDER, "quantity": 60})
    with pytest.raises(InvalidInput, match=refusal):
        book.execute_trade(order_id="o", quantity=60)
    with pytest.raises(InvalidInput, match=r"trades\[1\].*execution_id"):
        book.record_trades([{**ORDER, "order_id": "other"}, {**ORDER, "quantity": 60}])
    assert state(book) == before
    assert amounts(book) == ("PENDING", 100, 0, 100)


def test_executing_less_than_is_open_is_a_partial_fill_and_may_be_repeated(book: Book) -> None:
    pending = book.record_trade(**PENDING)
    first = book.execute_trade(order_id="o", quantity=60, price=149, fee=1, execution_id="e-1")
    before = state(book)
    again = book.execute_trade(order_id="o", quantity=60, price=149, fee=1, execution_id="e-1")
    assert (again.id, state(book)) == (first.id, before)
    rest = book.execute_trade(trade_id=pending.id)
    assert (rest.id, rest.quantity, rest.price) == (pending.id, 40, 150)
    before = state(book)
    assert book.execute_trade(order_id="o").id == rest.id
    assert book.execute_trade(order_id="o", quantity=60, execution_id="e-1").id == first.id
    assert state(book) == before
    assert amounts(book) == ("FILLED", 100, 100, 0)


def test_the_same_fill_again_changes_nothing_before_and_after_the_order_is_filled(
    book: Book,
) -> None:
    book.record_trade(**PENDING)
    for fill in (part(60, "e-1"), part(40, "e-2")):
        first = book.record_trade(**fill)
        before = state(book)
        assert book.record_trade(**fill).id == first.id
        assert book.record_trades([fill, fill]).duplicates == 2
        assert book.import_trades([fill]).duplicates == 1
        assert book.record_trade(**PENDING).order_id == "o"
        assert state(book) == before
    with pytest.raises(DuplicateOrder, match="quantity is '60', given '61'"):
        book.record_trade(**part(61, "e-1"))


def test_an_order_submitted_again_must_be_what_was_ordered(book: Book) -> None:
    book.record_trade(**PENDING)
    book.record_trade(**part(60, "e-1"))
    with pytest.raises(DuplicateOrder, match="quantity is '100', given '40'"):
        book.record_trade(**{**PENDING, "quantity": 40})
    with pytest.raises(DuplicateOrder, match="price"):
        book.record_trade(**{**PENDING, "price": 151})


def test_an_order_submitted_after_fills_of_it_is_what_they_left_open(book: Book) -> None:
    book.record_trade(**part(30, "e-1"))
    book.record_trade(**part(30, "e-2"))
    row = book.record_trade(**PENDING)
    assert (row.status, row.quantity) == ("PENDING", 40)
    assert amounts(book) == ("PARTIALLY_FILLED", 100, 60, 40)
    [submitted] = events(book, row.id)
    assert (submitted.payload["quantity"], submitted.payload["ordered"]) == ("40", "100")
    before = state(book)
    assert book.record_trade(**PENDING).id == row.id
    assert state(book) == before
    assert book.record_trade(**part(40, "e-3")).id == row.id
    assert amounts(book) == ("FILLED", 100, 100, 0)
    require_sound(book)


def test_an_order_that_came_after_its_first_fill_is_executed_and_cancelled_as_any(
    book: Book,
) -> None:
    book.record_trade(**part(30, "e-1"))
    row = book.record_trade(**PENDING)
    part_of_it = book.execute_trade(order_id="o", quantity=20, execution_id="e-2")
    assert part_of_it.id != row.id
    for _ in range(2):
        assert book.cancel_trade(order_id="o").id == row.id
    assert amounts(book) == ("CANCELLED", 100, 50, 0)


def test_an_order_that_was_filled_is_not_opened_again_by_another_quantity(book: Book) -> None:
    more = {**PENDING, "quantity": 150}
    recorded = book.record_trades([PENDING, part(100, "e-1"), more])
    assert (recorded.booked, recorded.trades[2].status) == (2, "EXECUTED")
    assert book.record_trade(**more).status == "EXECUTED"
    assert amounts(book) == ("FILLED", 100, 100, 0)


def test_an_order_submitted_after_it_was_filled_adds_nothing(book: Book) -> None:
    book.record_trade(**part(30, "e-1"))
    last = book.record_trade(**part(70, "e-2"))
    before = state(book)
    assert book.record_trade(**PENDING).status == "EXECUTED"
    assert state(book) == before
    assert amounts(book) == ("FILLED", 100, 100, 0)
    book.bust_trade(trade_id=last.id, reason="misread")
    before = state(book)
    book.record_trade(**PENDING)
    assert state(book) == before
    with pytest.raises(DuplicateOrder, match="action"):
        book.record_trade(**{**PENDING, "action": "SELL"})


def test_the_rest_of_an_order_cannot_share_the_key_of_its_first_fill(book: Book) -> None:
    book.record_trade(**{**ORDER, "quantity": 60})
    before = state(book)
    with pytest.raises(InvalidInput, match=r"execution_id: '' .* filled by 60 .* leaves 40 open"):
        book.record_trade(**PENDING)
    assert state(book) == before
    assert book.record_trade(**PENDING, execution_id="rest").quantity == 40


def test_an_amended_order_is_not_opened_again_by_its_first_terms(book: Book) -> None:
    row = book.create(Trade(**ORDER))
    row.quantity = Decimal(80)
    book.update(row)
    assert amounts(book) == ("PENDING", 80, 0, 80)
    book.record_trade(**part(80, "e-1"))
    assert book.record_trade(**PENDING).id == row.id
    assert amounts(book) == ("FILLED", 80, 80, 0)


def test_an_order_changed_while_it_is_partly_filled_is_refused_as_stale(book: Book) -> None:
    row = book.create(Trade(**ORDER))
    book.record_trade(**part(60, "e-1"))
    row.quantity = Decimal(80)
    with pytest.raises(TradebookError, match="changed by another writer"):
        book.update(row)
    assert amounts(book) == ("PARTIALLY_FILLED", 100, 60, 40)


def test_an_order_that_is_set_to_executed_is_filled_by_its_quantity(book: Book) -> None:
    wrong = book.create(Trade(**ORDER))
    wrong.quantity, wrong.status = Decimal(60), TradeStatus.EXECUTED
    with pytest.raises(InvalidInput, match="execution_id"):
        book.update(wrong)
    [row] = book.get_trades(status="PENDING")
    row.quantity, row.execution_id, row.status = Decimal(60), "e-1", TradeStatus.EXECUTED
    assert book.update(row).quantity == 60
    assert amounts(book) == ("PARTIALLY_FILLED", 100, 60, 40)
    [rest] = book.get_trades(status="PENDING")
    rest.status = TradeStatus.EXECUTED
    assert book.update(rest).quantity == 40
    assert amounts(book) == ("FILLED", 100, 100, 0)


def test_a_bust_lowers_what_is_filled_and_opens_nothing_again(book: Book) -> None:
    book.record_trade(**PENDING)
    book.record_trade(**part(60, "e-1", fee=1))
    book.bust_trade(order_id="o", execution_id="e-1", reason="cancelled by the venue")
    assert amounts(book) == ("PENDING", 100, 0, 40)
    assert (order(book).average_price, order(book).fees, order(book).fills) == (None, {}, ())
    book.record_trade(**part(40, "e-2"))
    assert amounts(book) == ("FILLED", 100, 40, 0)
    book.bust_trade(order_id="o", execution_id="e-2", reason="cancelled by the venue")
    assert amounts(book) == ("FILLED", 100, 0, 0)
    require_sound(book)


def test_a_correction_of_a_fill_counts_in_its_order(book: Book) -> None:
    book.record_trade(**PENDING)
    book.record_trade(**part(60, "e-1"))
    book.correct_trade(order_id="o", execution_id="e-1", quantity=50, price=151, reason="misread")
    assert amounts(book) == ("PARTIALLY_FILLED", 100, 50, 40)
    book.record_trade(**part(40, "e-2"))
    assert amounts(book) == ("FILLED", 100, 90, 0)
    book.correct_trade(order_id="o", execution_id="e-2", quantity=60, reason="misread")
    assert amounts(book) == ("FILLED", 100, 110, 0)
    assert order(book).overfilled == 10
    require_sound(book)


def test_the_fee_of_an_order_is_paid_once_by_its_last_fill(book: Book) -> None:
    book.record_trade(**PENDING, fee=3)
    assert book.record_trade(**part(60, "e-1")).fee == 0
    assert book.record_trade(**part(10, "e-2", fee=1)).fee == 1
    assert book.record_trade(**part(30, "e-3")).fee == 3
    assert order(book).fees == {"USD": 4}


def test_a_market_order_has_no_price_until_it_is_filled(book: Book) -> None:
    market = {name: value for name, value in PENDING.items() if name != "price"}
    row = book.record_trade(**market)
    assert row.price is None
    [read] = book.get_trades(status="PENDING")
    assert read.price is None
    assert order(book).price is None
    before = state(book)
    with pytest.raises(InvalidInput, match=r"expected the price at which order 'o' .* was filled"):
        book.execute_trade(order_id="o")
    refused = [
        lambda: book.execute_trade(order_id="o", quantity=60, execution_id="e-1"),
        lambda: book.record_trade(**{**market, "status": "EXECUTED"}),
        lambda: book.record_trade(**{**market, "status": "EXECUTED", "price": None}),
        lambda: book.import_trades([{**market, "status": "EXECUTED"}]),
        lambda: book.create(Trade(symbol="X", action="BUY", quantity=1, status="EXECUTED")),
    ]
    for call in refused:
        with pytest.raises(InvalidInput, match="price: None"):
            call()
    assert state(book) == before
    book.execute_trade(order_id="o", quantity=60, price=149, execution_id="e-1")
    assert book.record_trade(**part(40, "e-2", price=151)).id == row.id
    assert amounts(book) == ("FILLED", 100, 100, 0)
    require_sound(book)


def test_what_is_open_is_a_pending_trade_as_before(book: Book) -> None:
    row = book.create(Trade(symbol="AAPL", action="BUY", quantity=5, price=150))
    row.status = "EXECUTED"  # type: ignore[assignment]
    assert book.update(row).status == "EXECUTED"
    late = book.create(Trade(symbol="AAPL", action="SELL", quantity=5, price=151))
    late.status = "CANCELLED"  # type: ignore[assignment]
    assert book.update(late).status == "CANCELLED"
    gone = book.create(Trade(symbol="AAPL", action="SELL", quantity=5, price=151))
    book.delete(gone)
    assert book.get_open_orders() == []
    found = book.get_order(late.order_id)
    assert found is not None
    assert (found.status, found.ordered, found.recorded_at) == ("CANCELLED", 5, late.created_at)
