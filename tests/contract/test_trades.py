"""Trades, on every backend: booked once, exactly, with their position."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.support.backends import run_together
from tradebook import (
    AbstractUnitOfWork,
    DuplicateOrder,
    InstrumentMismatch,
    InvalidInput,
    InvalidTransition,
    NotFound,
    exact,
    handlers,
)
from tradebook.service_layer.book import Book

BUY = {"symbol": "AAPL", "action": "BUY", "quantity": 100, "price": "150.25"}
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_a_recorded_trade_reads_back_digit_for_digit(book: Book) -> None:
    book.record_trade(
        symbol="BTC/USD",
        action="BUY",
        quantity="12345678901234567890.123456789012345678",
        price="0.000000000000000001",
        fee="-0.1",
        venue="kraken",
        order_id="o-1",
        execution_id="e-1",
        executed_at=NOON,
        strategy="dip",
        details={"a": [1, 2.5, None, {"b": "c"}]},
    )
    [trade] = book.get_trades_by_symbol("BTC/USD")
    assert trade.quantity == Decimal("12345678901234567890.123456789012345678")
    assert str(trade.price) == "1E-18"
    assert str(trade.fee) == "-0.1"
    assert (trade.venue, trade.order_id, trade.execution_id) == ("kraken", "o-1", "e-1")
    assert trade.executed_at == NOON
    assert trade.executed_at.utcoffset() == timedelta(0)
    assert trade.strategy == "dip"
    assert trade.details == {"a": [1, 2.5, None, {"b": "c"}]}
    assert trade.status == "EXECUTED"
    assert trade.sequence == 1


@pytest.mark.parametrize(
    "value",
    [
        "100000000000000000000",
        "0.000000000000000001",
        "12345678901234567890123456789012345678",
        "-98765432109876543210.123456789012345678",
        "1e20",
        "7.5",
        "0",
    ],
)
def test_prices_of_any_size_round_trip(book: Book, value: str) -> None:
    book.record_trade(symbol="X", action="BUY", quantity=1, price=value)
    [trade] = book.get_trades_by_symbol("X")
    position = book.get_position_by_symbol("X")
    assert trade.price == Decimal(value)
    assert position is not None
    assert position.cost_basis == Decimal(value)
    assert position.current_price == Decimal(value)


def test_a_position_follows_from_its_trades(book: Book) -> None:
    book.record_trade(**BUY, fee=1)
    book.record_trade(symbol="AAPL", action="SELL", quantity=30, price="155.25", fee="0.333")
    position = book.get_position_by_symbol("AAPL")
    assert position is not None
    assert position.quantity == 70
    assert position.cost_basis == Decimal("10517.5")
    assert position.realized_pnl == 150
    assert position.fees == Decimal("1.333")
    assert position.cash_flow == Decimal("-10368.833")
    assert position.entry_price == Decimal("150.25")
    assert position.sequence == position.version == 2
    assert position.realized_pnl - position.fees == position.cash_flow + position.cost_basis


def test_the_remainder_of_a_division_stays_in_the_cost_basis(book: Book) -> None:
    book.record_trade(symbol="X", action="BUY", quantity=3, price="0.3333333333")
    book.record_trade(symbol="X", action="BUY", quantity=4, price="1")
    book.record_trade(symbol="X", action="SELL", quantity=1, price=2)
    position = book.get_position_by_symbol("X")
    assert position is not None
    with exact():
        assert position.realized_pnl == position.cash_flow + position.cost_basis
    assert book.verify().proven


def test_positions_close_flip_and_open_again(book: Book) -> None:
    for action, quantity in [("BUY", 2), ("SELL", 2), ("SELL", 1), ("BUY", 3)]:
        book.record_trade(symbol="X", action=action, quantity=quantity, price=10)
    position = book.get_position_by_symbol("X")
    assert position is not None
    assert (position.quantity, position.status) == (2, "OPEN")
    book.record_trade(symbol="X", action="SELL", quantity=2, price=11)
    assert book.get_open_positions() == []
    [closed] = book.get_positions()
    assert (closed.status, closed.quantity, closed.realized_pnl) == ("CLOSED", 0, 2)


def test_the_same_fill_again_returns_the_booked_trade(book: Book) -> None:
    first = book.record_trade(**BUY, order_id="o-1", executed_at=NOON)
    again = book.record_trade(**BUY, order_id="o-1")
    assert again.id == first.id
    assert again.executed_at == NOON
    [position] = book.get_open_positions()
    assert position.quantity == 100
    assert book.verify().trades == 1


def test_the_same_fill_with_other_terms_is_refused_by_name(book: Book) -> None:
    book.record_trade(**BUY, order_id="o-1")
    with pytest.raises(DuplicateOrder, match=r"price is '150.25', given '150.26'"):
        book.record_trade(**{**BUY, "price": "150.26"}, order_id="o-1")
    [position] = book.get_open_positions()
    assert position.sequence == 1


def test_order_ids_collide_across_symbols_and_venues_without_harm(book: Book) -> None:
    for symbol, venue in [("A", "x"), ("A", "y"), ("B", "x")]:
        book.record_trade(
            symbol=symbol, action="BUY", quantity=1, price=1, order_id="1", venue=venue
        )
    assert book.verify().trades == 3


def test_an_order_filled_in_parts_is_several_trades(book: Book) -> None:
    for part in ("e-1", "e-2", "e-1"):
        book.record_trade(
            symbol="A", action="BUY", quantity=5, price=1, order_id="o", execution_id=part
        )
    [position] = book.get_open_positions()
    assert position.quantity == 10


def test_the_constants_of_a_symbol_are_fixed_by_its_first_trade(book: Book) -> None:
    terms: dict[str, Any] = {"symbol": "ESZ6", "quantity": 1, "price": 5000}
    book.record_trade(**terms, action="BUY", multiplier=50, settlement="MARGINED", currency="EUR")
    inherited = book.record_trade(**terms, action="BUY")
    assert (inherited.multiplier, inherited.settlement, inherited.currency) == (
        50,
        "MARGINED",
        "EUR",
    )
    with pytest.raises(InstrumentMismatch, match="multiplier is '50'"):
        book.record_trade(**terms, action="BUY", multiplier=5)
    [position] = book.get_open_positions()
    assert position.sequence == 2
    assert position.cash_flow == 0


def test_a_fee_that_takes_the_whole_quantity_is_refused_and_nothing_is_written(book: Book) -> None:
    with pytest.raises(InvalidInput, match=r"fee: .* less than the quantity 100"):
        book.record_trade(**BUY, fee=100, fee_currency="AAPL")
    assert book.get_positions() == []
    assert book.get_trades_by_symbol("AAPL") == []


def test_a_batch_is_recorded_in_order_and_counts_its_duplicates(book: Book) -> None:
    fills: list[Any] = [
        {"symbol": "AB"[i % 2], "action": "BUY", "quantity": 1, "price": i, "order_id": f"o{i}"}
        for i in range(10)
    ]
    first = book.record_trades(fills[:6])
    assert (first.booked, first.duplicates) == (6, 0)
    second = book.record_trades([*fills, fills[9]])
    assert (second.booked, second.duplicates) == (4, 7)
    assert [trade.order_id for trade in second.trades] == [f"o{i}" for i in range(10)] + ["o9"]
    assert [(p.symbol, p.sequence) for p in book.get_open_positions()] == [("A", 5), ("B", 5)]
    assert book.verify().proven


def test_a_batch_opens_its_pages_in_one_order_so_that_two_cannot_wait_for_each_other(
    book: Book,
) -> None:
    opened: list[str] = []

    def record(uow: AbstractUnitOfWork) -> None:
        really_open = uow.ledger.open

        def spy(symbol: str, orders: Any) -> Any:
            opened.append(symbol)
            return really_open(symbol, orders)

        uow.ledger.open = spy  # type: ignore[method-assign]
        fill: Any = {"action": "BUY", "quantity": 1, "price": 1}
        handlers.record_trades(uow, [{"symbol": symbol, **fill} for symbol in "CABA"])

    book.run(record)
    assert opened == ["A", "B", "C"]


def test_a_batch_with_one_bad_fill_books_none(book: Book) -> None:
    good: dict[str, Any] = {"symbol": "A", "action": "BUY", "quantity": 1, "price": 1}
    with pytest.raises(InvalidInput, match="quantity"):
        book.record_trades([good, {**good, "quantity": -1}])
    with pytest.raises(InstrumentMismatch):
        book.record_trades([good, {**good, "multiplier": 2}])
    assert book.get_trades_by_symbol("A") == []
    assert book.verify().trades == 0


def test_a_pending_trade_moves_nothing_until_it_is_executed(book: Book) -> None:
    pending = book.record_trade(**BUY, order_id="o", status="PENDING")
    assert pending.status == "PENDING"
    assert book.get_positions() == []
    executed = book.execute_trade(order_id="o", price="149.5", quantity=100, fee=1)
    assert (executed.id, executed.status) == (pending.id, "EXECUTED")
    [position] = book.get_open_positions()
    assert (position.quantity, position.cost_basis) == (100, 14950)
    assert book.execute_trade(order_id="o", price="149.5", quantity=100, fee=1).id == pending.id
    [read] = book.get_trades_by_symbol("AAPL")
    assert (read.status, read.price, read.sequence) == ("EXECUTED", Decimal("149.5"), 1)
    with pytest.raises(DuplicateOrder, match="price"):
        book.execute_trade(order_id="o", price=150)


def test_an_order_and_its_fills_may_come_in_one_batch(book: Book) -> None:
    order: dict[str, Any] = {**BUY, "order_id": "o"}
    recorded = book.record_trades(
        [
            {**order, "status": "PENDING"},
            {**order, "quantity": 60, "execution_id": "e-1"},
            {**order, "quantity": 40, "execution_id": "e-2"},
        ]
    )
    assert recorded.trades[0] is recorded.trades[2]
    assert [trade.sequence for trade in recorded.trades] == [2, 1, 2]
    assert book.verify().trades == 2


def test_an_order_submitted_again_after_its_fill_adds_nothing(book: Book) -> None:
    order: dict[str, Any] = {**BUY, "order_id": "o"}
    pending = book.record_trade(**order, status="PENDING")
    book.record_trade(**{**order, "price": 150}, execution_id="e-1")
    assert book.record_trade(**order, status="PENDING").id == pending.id
    assert len(book.get_trades_by_symbol("AAPL")) == 1
    with pytest.raises(DuplicateOrder, match="action"):
        book.record_trade(**{**order, "action": "SELL"}, status="PENDING")


def test_executing_an_order_books_no_second_fill(book: Book) -> None:
    book.record_trade(**BUY, order_id="o", status="PENDING")
    first = book.execute_trade(order_id="o", execution_id="e-1")
    assert book.execute_trade(order_id="o", execution_id="e-1").id == first.id
    with pytest.raises(InvalidTransition, match="record_trade"):
        book.execute_trade(order_id="o", execution_id="e-2")
    book.record_trade(**BUY, order_id="never", status="PENDING")
    book.cancel_trade(order_id="never")
    with pytest.raises(InvalidTransition, match="CANCELLED"):
        book.execute_trade(order_id="never", execution_id="e-1")
    assert book.get_open_positions()[0].quantity == 100


def test_a_taken_over_order_leaves_its_place_to_a_fill_of_the_same_batch(book: Book) -> None:
    order: dict[str, Any] = {**BUY, "order_id": "o"}
    pending = book.record_trade(**order, status="PENDING")
    recorded = book.record_trades([{**order, "execution_id": "e-1"}, {**order, "quantity": 5}])
    assert recorded.booked == 2
    assert recorded.trades[0].id == pending.id
    assert [p.quantity for p in book.get_open_positions()] == [105]


@pytest.mark.parametrize("end", ["cancel_trade", "reject_trade"])
def test_a_pending_trade_ends_once(book: Book, end: str) -> None:
    book.record_trade(**BUY, order_id="o", status="PENDING")
    status = "CANCELLED" if end == "cancel_trade" else "REJECTED"
    assert getattr(book, end)(order_id="o", reason="too late").status == status
    assert getattr(book, end)(order_id="o", reason="again").status == status
    assert book.get_trades_by_symbol("AAPL")[0].status == status
    with pytest.raises(InvalidTransition, match=status):
        book.execute_trade(order_id="o")
    with pytest.raises(InvalidTransition, match="its own execution_id"):
        book.record_trade(**BUY, order_id="o")
    late = book.record_trade(**BUY, order_id="o", execution_id="late")
    assert late.status == "EXECUTED"


def test_an_executed_trade_cannot_be_cancelled(book: Book) -> None:
    trade = book.record_trade(**BUY, order_id="o")
    with pytest.raises(InvalidTransition, match="EXECUTED"):
        book.cancel_trade(trade_id=trade.id)
    with pytest.raises(NotFound, match="'nowhere'"):
        book.cancel_trade(order_id="nowhere")
    with pytest.raises(InvalidInput, match="either"):
        book.cancel_trade()


def test_recent_trades_are_newest_first_and_within_the_days(book: Book) -> None:
    now = datetime.now(UTC)
    for days in (1, 3, 10, 2):
        book.record_trade(**BUY, order_id=f"{days}", executed_at=now - timedelta(days=days))
    assert [t.order_id for t in book.get_recent_trades(days=7)] == ["1", "2", "3"]
    assert [t.order_id for t in book.get_recent_trades(days=70, limit=2)] == ["1", "2"]


def test_an_order_delivered_by_many_at_once_is_booked_once(book: Book) -> None:
    calls = [{**BUY, "order_id": f"o{i % 4}"} for i in range(16)]
    trades = run_together(book, handlers.record_trade, calls)
    assert len({trade.id for trade in trades}) == 4
    [position] = book.get_open_positions()
    assert (position.quantity, position.sequence) == (400, 4)
    assert book.verify().proven


def test_many_writers_of_one_symbol_lose_no_update(book: Book) -> None:
    calls = [
        {"symbol": "X", "action": "BUY" if i % 3 else "SELL", "quantity": i + 1, "price": i}
        for i in range(24)
    ]
    run_together(book, handlers.record_trade, calls)
    [position] = book.get_positions()
    assert position.quantity == sum(i + 1 if i % 3 else -(i + 1) for i in range(24))
    assert position.sequence == 24
    assert book.verify().proven


def test_a_trade_names_the_decision_behind_it_and_executes_it(book: Book) -> None:
    decision = book.record_decision("bot", "AAPL", "BUY")
    book.record_trade(**BUY, decision_id=decision.id)
    book.record_trade(**BUY, decision_id=decision.id)
    [read] = book.get_decisions()
    assert read.status == "EXECUTED"
    events = book.read(lambda uow: uow.events.of("AgentDecision", decision.id))
    assert [e.event_type for e in events] == ["DecisionRecorded", "DecisionExecuted"]
    with pytest.raises(NotFound, match="AgentDecision"):
        book.record_trade(**BUY, decision_id=decision.id + 1000)
