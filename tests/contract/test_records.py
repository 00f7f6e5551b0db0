"""Entities of any kind, created, updated and deleted: the book's invariants hold all the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tradebook import (
    AgentAction,
    AgentDecision,
    Alert,
    CashFlow,
    ConcurrentUpdate,
    DuplicateOrder,
    Event,
    InstrumentMismatch,
    InvalidInput,
    InvalidTransition,
    NotFound,
    PerformanceMetric,
    Portfolio,
    Position,
    Signal,
    Trade,
    TradeStatus,
)
from tradebook.service_layer.book import Book

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def new_trade(**terms: Any) -> Trade:
    return Trade(**{"symbol": "AAPL", "action": "BUY", "quantity": 10, "price": 100, **terms})


def new_entities() -> list[Any]:
    return [
        new_trade(order_id="o-1"),
        new_trade(order_id="o-2", status="EXECUTED", symbol="MSFT"),
        Position(symbol="GOOG"),
        Portfolio(total_value=1000, cash_balance=400),
        CashFlow(kind="DEPOSIT", amount=1000, reference="wire-1"),
        Signal(symbol="AAPL", action="BUY", strength="1.5", reference="s-1"),
        AgentDecision(agent="momentum", symbol="AAPL", action="BUY", reference="d-1"),
        AgentAction(agent="momentum", action_type="tool_call", reference="a-1"),
        Alert(alert_type="drawdown", severity="WARNING", dedup_key="dd"),
        PerformanceMetric(name="sharpe", value="1.2", period_start=NOON, period_end=NOON),
    ]


def fields_of(entity: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(entity).items() if name[0] != "_"}


def events(book: Book) -> list[Event]:
    return book.read(lambda uow: uow.events.in_order())


@pytest.mark.parametrize("index", range(len(new_entities())))
def test_what_was_created_is_found_again_and_is_the_entity_that_was_given(
    book: Book, index: int
) -> None:
    given = new_entities()[index]
    made = book.create(given)
    assert made is given
    assert made.id is not None
    assert made.account == book.account  # type: ignore[attr-defined]
    found = book.get(type(made), made.id)
    assert found is not None
    mine, theirs = fields_of(made), fields_of(found)
    mine.pop("signals", None)
    theirs.pop("signals", None)
    assert mine == theirs
    assert made.id in [entity.id for entity in book.get_all(type(made))]
    assert book.verify().proven


@pytest.mark.parametrize("index", range(len(new_entities())))
def test_creating_the_same_again_adds_nothing_where_it_has_an_identity(
    book: Book, index: int
) -> None:
    given = new_entities()[index]
    first = book.create(given)
    if isinstance(given, Portfolio | PerformanceMetric):
        return
    again = {**fields_of(given), "id": None, "account": "main"}
    if isinstance(given, Trade):
        for field in ("status", "sequence", "booked_at", "realized_pnl"):
            again.pop(field)
        again["status"] = given.status
    before = events(book)
    assert book.create(type(given)(**again)).id == first.id
    assert book.count(type(given)) == 1
    assert len(events(book)) == len(before)


def test_every_creation_but_that_of_a_flat_position_leaves_an_event(book: Book) -> None:
    made = book.bulk_create(new_entities())
    explained = {(event.entity, event.entity_id) for event in events(book)}
    for entity in made:
        known = (type(entity).__name__, entity.id) in explained
        assert known is not isinstance(entity, Position), entity


def test_creating_an_executed_trade_moves_its_position(book: Book) -> None:
    trade = book.create(new_trade(status="EXECUTED", fee="1.5"))
    assert (trade.status, trade.sequence) == (TradeStatus.EXECUTED, 1)
    position = book.get_position_by_symbol("AAPL")
    assert position is not None
    assert (position.quantity, position.fees) == (10, Decimal("1.5"))
    again = new_trade(order_id=trade.order_id, status="EXECUTED", quantity=11)
    with pytest.raises(DuplicateOrder, match="quantity"):
        book.create(again)
    with pytest.raises(InstrumentMismatch, match="currency"):
        book.create(new_trade(status="EXECUTED", currency="EUR"))
    assert book.verify().proven


def test_updating_a_pending_trade_to_executed_books_it(book: Book) -> None:
    trade = book.create(new_trade(order_id="o-1"))
    assert book.get_open_positions() == []
    trade.price, trade.fee = Decimal(99), Decimal(2)
    trade.status = TradeStatus.EXECUTED
    assert book.update(trade) is trade
    assert (trade.sequence, trade.price) == (1, 99)
    [position] = book.get_open_positions()
    assert (position.quantity, position.cost_basis, position.fees) == (10, 990, 2)
    assert book.count(Trade) == 1
    assert book.verify().proven


def test_a_pending_trade_can_be_amended_cancelled_and_deleted(book: Book) -> None:
    trade = book.create(new_trade(order_id="o-1"))
    trade.quantity = Decimal(7)
    book.update(trade)
    assert book.get(Trade, trade.id).quantity == 7  # type: ignore[union-attr]
    [changed] = [event for event in events(book) if event.event_type == "RecordUpdated"]
    assert changed.payload["changes"] == {"quantity": ["10", "7"]}
    trade.status = TradeStatus.CANCELLED
    book.update(trade)
    assert "TradeCancelled" in [event.event_type for event in events(book)]
    book.delete(trade)
    assert book.get(Trade, trade.id) is None
    [deleted] = [event for event in events(book) if event.event_type == "RecordDeleted"]
    assert (deleted.entity_id, deleted.payload["values"]["order_id"]) == (trade.id, "o-1")


def test_a_booked_trade_is_neither_changed_nor_deleted(book: Book) -> None:
    trade = book.create(new_trade(status="EXECUTED"))
    before = fields_of(book.get(Trade, trade.id))
    with pytest.raises(InvalidTransition, match="bust_trade or correct_trade"):
        book.delete(trade)
    vars(trade)["price"] = Decimal(1)  # past the entity's own refusal
    with pytest.raises(InvalidTransition, match="price"):
        book.update(trade)
    assert fields_of(book.get(Trade, trade.id)) == before
    assert book.verify().proven


def test_one_refused_entity_of_many_leaves_none(book: Book) -> None:
    with pytest.raises(InvalidInput, match="quantity"):
        book.bulk_create([*new_entities(), Position(symbol="X", quantity=1)])
    assert events(book) == []
    assert book.count(Trade) == book.count(Signal) == book.count(CashFlow) == 0


def test_trades_created_in_bulk_are_booked_in_their_order(book: Book) -> None:
    orders = [
        new_trade(order_id="b", quantity=10, status="EXECUTED"),
        new_trade(order_id="a", quantity=4, action="SELL", price=110, status="EXECUTED"),
        new_trade(order_id="c", status="PENDING"),
    ]
    assert book.bulk_create(orders) == orders
    assert [trade.sequence for trade in orders] == [1, 2, None]
    assert orders[1].realized_pnl == 40
    assert book.verify().proven


def test_a_stale_update_is_refused_and_changes_nothing(book: Book) -> None:
    alert = book.create(Alert(alert_type="x", severity="INFO", message="one"))
    stale = book.get(Alert, alert.id)
    assert stale is not None
    alert.message = "two"
    book.update(alert)
    stale.message = "three"
    with pytest.raises(ConcurrentUpdate, match=f"Alert {alert.id} was changed"):
        book.update(stale)
    assert book.get(Alert, alert.id).message == "two"  # type: ignore[union-attr]
    alert.message = "four"
    book.update(alert)


def test_a_stale_order_cannot_be_amended_once_it_was_filled(book: Book) -> None:
    order = book.create(new_trade(order_id="o-1"))
    book.execute_trade(order_id="o-1")
    order.quantity = Decimal(1)
    with pytest.raises(ConcurrentUpdate, match="read it again"):
        book.update(order)
    assert book.verify().proven


def test_updates_in_bulk_are_all_or_none(book: Book) -> None:
    one, two = book.bulk_create([Alert(alert_type=t, severity="INFO") for t in ("one", "two")])
    one.message = two.message = "changed"
    vars(two)["updated_at"] = two.updated_at - timedelta(seconds=1)
    with pytest.raises(ConcurrentUpdate):
        book.bulk_update([one, two])
    assert [alert.message for alert in book.get_all(Alert)] == ["", ""]
    fresh = book.get_all(Alert)
    for alert in fresh:
        alert.message = "now"
    assert book.bulk_update(fresh) == fresh
    assert [alert.message for alert in book.get_all(Alert)] == ["now", "now"]


def test_resolving_an_alert_by_update_says_who_and_when(book: Book) -> None:
    alert = book.create(Alert(alert_type="x", severity="INFO"))
    alert.resolution, alert.resolved_at, alert.resolved = "hedged", NOON, True
    book.update(alert)
    assert (alert.resolved_by, alert.resolved_at) == ("tester", NOON)
    assert [event.event_type for event in events(book)] == ["AlertRaised", "AlertResolved"]
    assert book.get_unresolved_alerts() == []
    without = book.create(Alert(alert_type="y", severity="INFO"))
    without.resolved_at, without.resolved = NOON, True
    with pytest.raises(InvalidInput, match="resolution"):
        book.update(without)


def test_an_entity_that_was_never_recorded_cannot_be_updated_or_deleted(book: Book) -> None:
    for call in (book.update, book.delete):
        with pytest.raises(InvalidInput, match="id"):
            call(Alert(alert_type="x", severity="INFO"))


def test_a_decision_that_there_is_not_is_refused_by_name(book: Book) -> None:
    pending = book.create(new_trade(order_id="o-1"))
    pending.decision_id = 2**50

    with pytest.raises(NotFound, match=rf"AgentDecision {2**50}"):
        book.create(AgentAction(agent="momentum", action_type="a", decision_id=2**50))
    with pytest.raises(NotFound, match=rf"AgentDecision {2**50}"):
        book.update(pending)
