"""Accounts of one database: none sees or changes another's, whatever ids it knows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from tests.support.backends import within
from tradebook import (
    Account,
    AgentAction,
    AgentDecision,
    Alert,
    CashFlow,
    ConstraintViolated,
    Event,
    Import,
    InvalidInput,
    NotFound,
    PerformanceMetric,
    Portfolio,
    PortfolioPosition,
    Position,
    Seal,
    Signal,
    Trade,
    handlers,
)
from tradebook.domain.entity import DEFAULT_ACCOUNT, Entity
from tradebook.service_layer import queries

KINDS: list[type[Entity]] = [
    Account,
    AgentAction,
    AgentDecision,
    Alert,
    CashFlow,
    Event,
    Import,
    PerformanceMetric,
    Portfolio,
    PortfolioPosition,
    Position,
    Seal,
    Signal,
    Trade,
]
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
BUY: dict[str, Any] = {"symbol": "X", "action": "BUY", "quantity": 1, "price": 1}


def fill(book: Any) -> None:
    """Give a book a record of every kind."""
    signal = book.record_signal("X", "BUY", reference="signal")
    decision = book.record_decision("agent", "X", "BUY", reference="d", signals=[signal.id])
    book.record_action("agent", "act", reference="action", decision_id=decision.id)
    book.record_trade(**BUY, order_id="order")
    book.record_trade(**BUY, order_id="pending", status="PENDING")
    book.record_cash_flow("DEPOSIT", 100, reference="flow")
    book.raise_alert("alert", "INFO", dedup_key="alert")
    book.import_trades([], source="f.csv")
    book.record_metric("sharpe", 1, period_start=NOON, period_end=NOON)
    book.take_snapshot()
    book.seal()


def everything(book: Any) -> dict[str, list[dict[str, Any]]]:
    """Every field of every record."""
    return {
        kind.__name__: [
            {name: value for name, value in vars(record).items() if not name.startswith("_")}
            for record in book.get_all(kind)
        ]
        for kind in KINDS
    }


@pytest.fixture(params=["sqlite_book", "postgresql_book"])
def books(request: pytest.FixtureRequest, new_manager: Callable[..., Any]) -> tuple[Any, Any]:
    """Two accounts of one database; both have had a record of every kind."""
    url = request.getfixturevalue(request.param)
    mine, theirs = (
        new_manager(url, f"mine-{uuid4().hex}"),
        new_manager(url, f"theirs-{uuid4().hex}"),
    )
    fill(mine)
    fill(theirs)
    return mine, theirs


def theirs_of(books: tuple[Any, Any], kind: type[Entity]) -> Any:
    """A record of theirs, of which mine has none with that id."""
    record = books[1].get_all(kind)[-1]
    assert books[1].get(kind, record.id).account == books[1].account
    return record


def test_reading_shows_one_account(books: tuple[Any, Any]) -> None:
    mine, theirs = books
    for kind in KINDS:
        other = theirs_of(books, kind)
        assert mine.get(kind, other.id) is None
        assert {record.account for record in mine.get_all(kind)} == {mine.account}
        assert {record.account for record in mine.iterate(kind, batch=1)} == {mine.account}
        assert mine.count(kind) == len(mine.get_all(kind)) == theirs.count(kind) > 0
        assert mine.get_all(kind, account=theirs.account) == []
        assert mine.count(kind, id=other.id) == 0
        assert not mine.exists(kind, id=other.id)
        assert theirs.exists(kind, id=other.id)


def test_a_session_by_hand_shows_one_account(books: tuple[Any, Any]) -> None:
    mine, theirs = books
    for kind in KINDS:
        other = theirs_of(books, kind)
        with mine.get_session() as session:
            assert session.get(kind, other.id) is None
            assert session.get(kind, (theirs.account, other.id)) is None
            asked = session.execute(select(kind)).scalars().all()
            assert {record.account for record in asked} == {mine.account}


def test_queries_with_ids_of_another_account_find_nothing(books: tuple[Any, Any]) -> None:
    mine, theirs = books
    assert mine.get_portfolio_positions(theirs_of(books, Portfolio).id) == []
    assert mine.get_decision(theirs_of(books, AgentDecision).id) is None
    assert mine.get_events(entity="Alert", entity_id=theirs_of(books, Alert).id) == []
    assert theirs.get_portfolio_positions(theirs_of(books, Portfolio).id) != []


ATTEMPTS: dict[str, Callable[[Any, Callable[[type[Entity]], Any]], object]] = {
    "resolve_alert": lambda mine, their: mine.resolve_alert(their(Alert).id, "done"),
    "decide": lambda mine, their: mine.decide(their(AgentDecision).id, "APPROVED"),
    "cancel_trade": lambda mine, their: mine.cancel_trade(trade_id=pending(their(Trade)).id),
    "reject_trade": lambda mine, their: mine.reject_trade(trade_id=pending(their(Trade)).id),
    "record_trade": lambda mine, their: mine.record_trade(
        **BUY, decision_id=their(AgentDecision).id
    ),
    "record_action": lambda mine, their: mine.record_action(
        "agent", "act", decision_id=their(AgentDecision).id
    ),
    "record_decision": lambda mine, their: mine.record_decision(
        "agent", "X", "BUY", signals=[their(Signal).id]
    ),
    "create a trade": lambda mine, their: mine.create(
        Trade(**BUY, decision_id=their(AgentDecision).id)
    ),
    "create a decision": lambda mine, their: mine.create(
        AgentDecision(agent="agent", symbol="X", action="BUY", signals=[their(Signal)])
    ),
    "create in theirs": lambda mine, their: mine.create(
        Alert(alert_type="a", severity="INFO", account=their(Alert).account)
    ),
    "update": lambda mine, their: mine.update(changed(their(Alert))),
    "update as if mine": lambda mine, their: mine.update(claimed(mine, changed(their(Alert)))),
    "update as if nobody's": lambda mine, their: mine.update(claimed(None, changed(their(Alert)))),
    "bulk_update": lambda mine, their: mine.bulk_update(
        [changed(mine.get_alerts()[0]), claimed(mine, changed(their(Alert)))]
    ),
    "update an order": lambda mine, their: mine.update(
        claimed(mine, filled(pending(their(Trade))))
    ),
    "delete": lambda mine, their: mine.delete(their(Alert)),
    "delete as if mine": lambda mine, their: mine.delete(claimed(mine, their(Alert))),
    "delete an order": lambda mine, their: mine.delete(claimed(mine, pending(their(Trade)))),
}
"""What one account may try with records of another, by ids that it should not know."""


def pending(trade: Trade) -> Trade:
    assert trade.status == "PENDING"
    return trade


def changed(alert: Alert) -> Alert:
    alert.message = "mine now"
    return alert


def filled(trade: Trade) -> Trade:
    trade.status = "EXECUTED"  # type: ignore[assignment]
    return trade


def claimed(book: Any, record: Any) -> Any:
    """The record under the name of another account; of None, of the one by default."""
    record.account = DEFAULT_ACCOUNT if book is None else book.account
    return record


def test_what_is_attempted_on_another_account_is_refused_and_changes_neither(
    books: tuple[Any, Any],
) -> None:
    mine, theirs = books
    before = everything(mine), everything(theirs)

    def their(kind: type[Entity]) -> Any:
        records = theirs.get_all(kind)
        orders = [record for record in records if getattr(record, "status", "") == "PENDING"]
        return (orders or records)[0]

    for name, attempt in ATTEMPTS.items():
        with pytest.raises((NotFound, InvalidInput)):
            attempt(mine, their)
        assert (everything(mine), everything(theirs)) == before, name
    assert mine.verify().proven
    assert theirs.verify().proven


@pytest.mark.parametrize("way", ["add", "refer"])
def test_a_session_by_hand_cannot_write_into_another_account(
    books: tuple[Any, Any], way: str
) -> None:
    mine, theirs = books
    before = everything(mine), everything(theirs)
    decision = theirs_of(books, AgentDecision)
    action = AgentAction(
        agent="agent",
        action_type="act",
        account=theirs.account if way == "add" else mine.account,
        decision_id=None if way == "add" else decision.id,
    )

    def writes() -> None:
        with mine.get_session() as session:
            session.add(action)

    with pytest.raises((InvalidInput, ConstraintViolated)):
        writes()
    assert (everything(mine), everything(theirs)) == before


def test_a_unit_of_work_composes_in_one_account(books: tuple[Any, Any]) -> None:
    mine, theirs = books
    other = theirs_of(books, Signal)
    with mine.unit_of_work() as uow:
        assert within(uow, queries.get, Signal, other.id) is None
        with pytest.raises(NotFound):
            within(uow, handlers.record_decision, "agent", "X", "BUY", signals=[other.id])
        own = within(uow, handlers.record_signal, "Y", "BUY")
        uow.commit()
    assert mine.get(Signal, own.id).symbol == "Y"
    assert theirs.get(Signal, own.id) is None


def test_orders_positions_and_references_of_the_same_name_are_apart(books: tuple[Any, Any]) -> None:
    mine, theirs = books
    mine.record_trade(**{**BUY, "quantity": 5}, order_id="new")
    theirs.record_trade(**{**BUY, "quantity": 7}, order_id="new")
    mine.mark_prices({"X": 50})
    mine.record_cash_flow("DEPOSIT", 1, reference="new")
    theirs.record_cash_flow("DEPOSIT", 2, reference="new")
    mine.resolve_alert(mine.get_alerts()[0].id, "done")
    assert mine.get_position_by_symbol("X").quantity == 6
    assert theirs.get_position_by_symbol("X").quantity == 8
    assert theirs.get_position_by_symbol("X").current_price == 1
    assert (len(mine.get_unresolved_alerts()), len(theirs.get_unresolved_alerts())) == (0, 1)
    assert mine.verify().proven
    assert theirs.verify().proven
