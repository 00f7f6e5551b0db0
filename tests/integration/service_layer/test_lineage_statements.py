"""The statements that explanations take: as many in a symbol of many trades as in one of few."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Engine, event

from tests.support.lineage_story import tell
from tests.support.statements import statements
from tradebook.service_layer.explanations.lineage.orders import why

MOST = 12
"""Statements of `explain(trade=...)`, whatever led to the trade."""


def reads(call: Any) -> list[str]:
    """What a call sends, but for what begins and ends its transaction."""
    with statements() as sent:
        call()
    return [text for text in sent if "SELECT" in text]


def test_a_trade_is_explained_in_at_most_twelve_statements(manager: Any) -> None:
    ids = tell(manager)
    for name in ("part", "rest", "sale"):
        sent = reads(lambda name=name: manager.explain(trade=ids[name]))
        assert len(sent) <= MOST, sent


def test_no_more_statements_for_a_longer_chain_a_longer_order_and_more_trades(manager: Any) -> None:
    ids = tell(manager)
    usual = len(reads(lambda: manager.explain(trade=ids["sale"])))
    above = ids["out"]
    for _ in range(25):
        above = manager.record_decision("trader", "AAPL", "BUY", parent_id=above).id
    terms = {"symbol": "AAPL", "action": "BUY", "quantity": 1, "price": 1, "order_id": "long"}
    fills = [
        manager.record_trade(**terms, execution_id=str(n), decision_id=above) for n in range(30)
    ]
    wrong = manager.bust_trade(trade_id=fills[0].id, reason="misread")
    manager.correct_trade(trade_id=fills[1].id, price=2, reason="misread")
    for trade in (fills[0], fills[-1], wrong):
        sent = reads(lambda trade=trade: manager.explain(trade=trade.id))
        assert len(sent) <= min(usual, MOST), sent
    tree = manager.explain(trade=fills[-1].id)
    assert len(tree.nodes("parent")) == 19
    assert any("and upon those above that" in each.title for each in tree.nodes("note"))


@pytest.mark.parametrize("subject", ["position", "alert"])
def test_positions_and_alerts_take_few_statements_whatever_they_have(
    manager: Any, subject: str
) -> None:
    tell(manager)
    alert = manager.raise_alert("drawdown", "INFO", symbol="AAPL")
    for number in range(30):
        manager.record_trade(symbol="AAPL", action="BUY", quantity=1, price=1, order_id=str(number))
    record = {"position": "AAPL", "alert": alert.id}[subject]
    assert len(reads(lambda: manager.explain(**{subject: record}))) <= 5


def test_nothing_is_read_by_account_and_symbol_alone_where_sqlite_has_no_statistics(
    new_manager: Callable[..., Any], sqlite_book: str
) -> None:
    manager = new_manager(sqlite_book)
    ids = tell(manager)
    alert = manager.raise_alert("drawdown", "INFO", symbol="AAPL")
    sent: list[tuple[str, Any]] = []

    def listen(_: object, __: object, statement: str, parameters: Any, *_rest: object) -> None:
        sent.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        manager.explain(trade=ids["sale"])
        manager.explain(decision=ids["idea"])
        manager.explain(position="AAPL")
        manager.explain(alert=alert.id)
        manager.read(why, "o-1")
    finally:
        event.remove(Engine, "before_cursor_execute", listen)
    with closing(sqlite3.connect(sqlite_book.removeprefix("sqlite:///"))) as plain:
        steps = [
            step
            for statement, parameters in sent
            if "SELECT" in statement
            for *_, step in plain.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    assert len(steps) > 30
    assert [
        step for step in steps if step.endswith(("(account=?)", "_id (account=? AND symbol=?)"))
    ] == []
    assert {step for step in steps if step.startswith("SCAN")} == {"SCAN ancestry"}
