"""A snapshot reads all that is held in one round trip, however much that is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, event, insert

from tradebook import DatabaseManager
from tradebook.adapters import orm
from tradebook.adapters.repositories.entity_rows import values_of
from tradebook.service_layer import handlers

POSITIONS = 3_000


@pytest.fixture(params=["sqlite", "postgresql"])
def book(request: pytest.FixtureRequest) -> Iterator[DatabaseManager]:
    name = "sqlite_book" if request.param == "sqlite" else "postgresql_book"
    with DatabaseManager(request.getfixturevalue(name), account=uuid4().hex) as manager:
        manager.record_cash_flow("DEPOSIT", 1000)
        manager.record_trade(symbol="S", action="BUY", quantity=1, price=1)
        yield manager


def hold_as_much_of(uow: Any, symbol: str) -> None:
    """Many positions like the one in this symbol."""
    values = values_of(uow.positions.by_symbol(symbol))
    del values["id"]
    rows = [{**values, "symbol": f"{symbol}{number}"} for number in range(1, POSITIONS)]
    uow.session.execute(insert(orm.positions), rows)


def reads(uow: Any) -> list[str]:
    """The tables of the book that taking a snapshot selects from, statement by statement."""
    said: list[str] = []

    def listen(_: Connection, __: Any, statement: str, *rest: Any) -> None:
        tables = [
            name for name in re.findall(r"FROM (\w+)", statement) if name in orm.metadata.tables
        ]
        if statement.startswith("SELECT") and tables:
            said.append(" and ".join(tables))

    connection = uow.session.connection()
    event.listen(connection, "before_cursor_execute", listen)
    snapshot = handlers.take_snapshot(uow)
    event.remove(connection, "before_cursor_execute", listen)
    assert snapshot.positions_value == len(uow.portfolios.positions_of([snapshot.id]))
    return said


def test_all_that_a_snapshot_of_three_thousand_positions_needs_is_read_in_one_statement(
    book: DatabaseManager,
) -> None:
    everything = ["positions and cash_flows and portfolios and accounts"]
    assert book.run(reads) == everything
    book.run(hold_as_much_of, "S")
    assert len(book.get_open_positions()) == POSITIONS
    assert book.run(reads) == everything
