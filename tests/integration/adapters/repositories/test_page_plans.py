"""A page costs what it holds: the databases read one range of an index, at any depth."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, event, insert, text

from tests.support.filled_books import copy
from tradebook import DatabaseManager, Trade
from tradebook.adapters import orm
from tradebook.adapters.repositories.entity_rows import values_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROWS = 6000
LIMIT = 50


def fill(uow: Any) -> None:
    """Insert pending trades of three symbols, two at each time; another account has the same."""
    values = values_of(Trade(account=uow.account, symbol="S", action="BUY", quantity=1, price=1))
    rows = [
        {
            **values,
            "symbol": f"S{number % 3}",
            "order_id": str(number),
            "executed_at": NOON + timedelta(seconds=number // 2),
        }
        for number in range(ROWS)
    ]
    connection = uow.session.connection()
    connection.execute(insert(orm.trades), rows)
    copy(connection, orm.trades, uow.account, f"other-{uow.account}")
    connection.execute(text("ANALYZE trades"))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def full_book(
    request: pytest.FixtureRequest, migrated_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DatabaseManager]:
    if request.param == "sqlite":
        url = f"sqlite:///{shutil.copy(migrated_file, tmp_path_factory.mktemp('pages'))}"
    else:
        url = request.getfixturevalue("postgresql_book")
    with DatabaseManager(url, account=f"test-{uuid4().hex}") as manager:
        manager.run(fill)
        yield manager


def deep_plan(book: DatabaseManager, **equal: object) -> tuple[str, Any]:
    """The database's name, and its plan of the statement that reads the last page but one."""
    with book.unit_of_work(read_only=True) as uow:
        after = None
        deep = LIMIT * (uow.trades.count(**equal) // LIMIT - 2)
        while deep > 0:
            after = uow.trades.page(limit=min(deep, 10_000), after=after, **equal).after
            deep -= 10_000
        said: list[tuple[str, Any]] = []

        def listen(_: Connection, __: Any, statement: str, parameters: Any, *rest: Any) -> None:
            said.append((statement, parameters))

        connection = uow.session.connection()
        event.listen(connection, "before_cursor_execute", listen)
        assert len(uow.trades.page(limit=LIMIT, after=after, **equal)) == LIMIT
        event.remove(connection, "before_cursor_execute", listen)
        [(statement, parameters)] = said
        database = connection.dialect.name
        explain = (
            "EXPLAIN QUERY PLAN " if database == "sqlite" else "EXPLAIN (ANALYZE, FORMAT JSON) "
        )
        return database, connection.exec_driver_sql(explain + statement, parameters).all()


@pytest.mark.parametrize(
    ("equal", "index", "conditions"),
    [
        ({}, "ix_trades_account_executed_at_id", "account=?"),
        ({"symbol": "S1"}, "ix_trades_account_symbol_executed_at_id", "account=? AND symbol=?"),
    ],
)
def test_a_deep_page_reads_only_itself(
    full_book: DatabaseManager, equal: dict[str, Any], index: str, conditions: str
) -> None:
    database, plan = deep_plan(full_book, **equal)
    if database == "sqlite":
        [(*_, detail)] = plan
        # From the place's time on: where `id` is the rowid SQLite checks it row by row.
        assert detail == f"SEARCH trades USING INDEX {index} ({conditions} AND executed_at<?)"
        return
    document = plan[0][0]
    [root] = json.loads(document) if isinstance(document, str) else document
    limit = root["Plan"]
    [scan] = limit["Plans"]
    assert (limit["Node Type"], scan["Node Type"]) == ("Limit", "Index Scan")
    assert (scan["Index Name"], scan["Scan Direction"]) == (index, "Backward")
    assert "ROW(executed_at, id) < ROW(" in scan["Index Cond"]
    assert "Filter" not in scan
    assert scan["Actual Rows"] == LIMIT + 1
