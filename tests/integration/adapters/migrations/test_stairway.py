"""Every revision up, down and up again: the rows of every table survive digit for digit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import URL, Connection, Engine, inspect, table, text
from sqlalchemy import column as named

from tests.support.filled_books import one_of_each
from tests.support.servers import configured
from tradebook import DatabaseManager
from tradebook.adapters.engine.factory import make_engine
from tradebook.adapters.migrations import revisions
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.adapters.orm import metadata
from tradebook.adapters.repositories.entity_rows import table_of, values_of
from tradebook.domain.numbers import number
from tradebook.operations.schema_check import check_schema

REVISIONS = [script.revision for script in revisions.all_revisions()]
PRECISE = number("12345678901234567890.123456789012345678")
LATE = datetime(2026, 3, 2, 23, 59, 59, 999999, tzinfo=UTC)
DOCUMENT = {"n": [123456789012345678901234567890, 0.1, "1e5", None], "é\u2028": {}}
Rows = dict[str, list[dict[str, str]]]


@pytest.fixture
def engine(empty_database: str | URL) -> Iterator[Engine]:
    made = make_engine(configured(empty_database))
    yield made
    made.dispose()


def columns_of(engine: Engine) -> dict[str, list[str]]:
    found = inspect(engine)
    names = sorted(set(found.get_table_names()) - {"alembic_version"})
    return {name: [column["name"] for column in found.get_columns(name)] for name in names}


def rows_of(engine: Engine, columns: dict[str, list[str]]) -> Rows:
    """Read columns as the driver returns them, without SQLAlchemy's types."""
    found: Rows = {}
    with engine.connect() as connection:
        for name, names in columns.items():
            listed = ", ".join(f'"{column}"' for column in names)
            rows = connection.exec_driver_sql(f'SELECT {listed} FROM "{name}" ORDER BY 1, 2, 3')
            found[name] = [
                {key: repr(value) for key, value in row.items()} for row in rows.mappings()
            ]
    return found


def both(some: dict[str, list[str]], others: dict[str, list[str]]) -> dict[str, list[str]]:
    return {
        name: [column for column in some[name] if column in others[name]]
        for name in some.keys() & others.keys()
    }


def add_one_of_each(engine: Engine, revision: str) -> None:
    """Insert a record into each table of a revision, in the columns that it has there."""
    there = columns_of(engine)
    with engine.begin() as connection:
        for entity in one_of_each(revision):
            of_kind = table_of(type(entity))
            if of_kind.name not in there:
                continue
            values = {**values_of(entity), **extremes(of_kind.columns, values_of(entity))}
            if of_kind.name == "portfolio_positions":
                values["portfolio_id"] = connection.scalar(text("SELECT max(id) FROM portfolios"))
            if of_kind.name == "decision_inputs":
                values["decision_id"] = connection.scalar(
                    text("SELECT max(id) FROM agent_decisions")
                )
            known = {name: values[name] for name in values if name in there[of_kind.name]}
            columns: list[Any] = [named(name, of_kind.c[name].type) for name in known]
            connection.execute(table(of_kind.name, *columns).insert(), known)
        if "bust_sequence" in there["trades"]:
            bust_one(connection, revision)


def extremes(columns: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Return values that a careless copy of a table would change: many digits, nested JSON, late times."""
    precise = {"price", "cost_basis", "amount", "value", "total_value", "strength", "duration"}
    replaced: dict[str, Any] = dict.fromkeys(precise & values.keys(), PRECISE)
    replaced |= dict.fromkeys({"details", "payload", "inputs"} & values.keys(), DOCUMENT)
    replaced |= dict.fromkeys({"created_at", "executed_at"} & values.keys(), LATE)
    if "digest" in values and "available_at" in values:
        replaced["value"] = DOCUMENT
    if "output" in values:
        replaced |= {"input": DOCUMENT, "output": [DOCUMENT]}
    return {name: value for name, value in replaced.items() if name in columns}


def bust_one(connection: Connection, revision: str) -> None:
    connection.execute(
        text(
            "UPDATE trades SET status = 'BUSTED', bust_sequence = 2, busted_at = booked_at, "
            "bust_reason = 'wrong' WHERE account = :account"
        ),
        {"account": revision},
    )


def test_every_revision_goes_up_down_and_up_and_rows_survive(engine: Engine) -> None:
    lowest = revisions.BASE
    before: dict[str, list[str]] = {}
    kept: Rows = {}
    for revision in REVISIONS:
        migrations.upgrade(engine, revision)
        assert rows_of(engine, before) == kept
        add_one_of_each(engine, revision)
        here = columns_of(engine)
        there = rows_of(engine, here)
        migrations.downgrade(engine, lowest)
        common = both(here, columns_of(engine))
        assert rows_of(engine, common) == narrowed(there, common)
        migrations.upgrade(engine, revision)
        assert columns_of(engine).keys() == here.keys()
        if revision == REVISIONS[0]:
            add_one_of_each(engine, revision)
        assert rows_of(engine, common) == narrowed(there, common)
        lowest, before = revision, columns_of(engine)
        kept = rows_of(engine, before)
    assert kept["trades"]
    assert check_schema(engine) == ()


def narrowed(rows: Rows, columns: dict[str, list[str]]) -> Rows:
    return {
        name: [{column: row[column] for column in names} for row in rows[name]]
        for name, names in columns.items()
    }


def test_down_to_the_first_revision_and_up_again_keeps_what_the_first_one_has(
    engine: Engine,
) -> None:
    migrations.upgrade(engine, REVISIONS[0])
    first = columns_of(engine)
    migrations.upgrade(engine)
    add_one_of_each(engine, "main")
    rows = rows_of(engine, first)
    assert all(rows[name] for name in first if name not in ("accounts", "decision_signals"))
    for revision in REVISIONS[-2::-1]:
        migrations.downgrade(engine, revision)
        assert rows_of(engine, first) == rows
    for revision in REVISIONS[1:]:
        migrations.upgrade(engine, revision)
        assert rows_of(engine, first) == rows
    assert check_schema(engine) == ()


def test_busts_get_their_numbers_back_from_the_ledgers(empty_database: str | URL) -> None:
    with DatabaseManager(empty_database, actor="me") as manager:
        manager.upgrade()
        for number_ in range(4):
            manager.record_trade(
                symbol="AAPL", action="BUY", quantity=1, price=10, order_id=f"o{number_}"
            )
        manager.bust_trade(order_id="o2", reason="wrong")
        manager.correct_trade(order_id="o0", price=11, reason="wrong")
        manager.record_trade(symbol="AAPL", action="SELL", quantity=1, price=12, order_id="o4")
        manager.bust_trade(order_id="o4", reason="wrong")
        before = [(trade.order_id, trade.bust_sequence) for trade in manager.get_trades()]
    engine = make_engine(configured(empty_database))
    migrations.downgrade(engine, "0001")
    migrations.upgrade(engine)
    engine.dispose()
    with DatabaseManager(empty_database) as manager:
        assert [(trade.order_id, trade.bust_sequence) for trade in manager.get_trades()] == before
        assert len([number_ for _, number_ in before if number_]) == 3
        assert manager.verify().proven


def test_the_tables_of_the_code_are_those_of_the_newest_revision(engine: Engine) -> None:
    migrations.upgrade(engine)
    assert columns_of(engine).keys() == metadata.tables.keys()


def test_unknown_costs_and_confidences_have_their_old_defaults_after_a_downgrade(
    engine: Engine,
) -> None:
    migrations.upgrade(engine)
    with DatabaseManager(engine.url) as manager:
        decision = manager.record_decision("bot", "AAPL", "BUY")
        manager.record_decision("bot", "AAPL", "BUY", parent_id=decision.id, cost=2, confidence=0)
        manager.record_action("bot", "call", decision_id=decision.id)
        manager.record_inputs(decision.id, [{"name": "close", "value": 1}])
    migrations.downgrade(engine, "0008")
    with engine.connect() as connection:
        sql = "SELECT cost, confidence FROM agent_decisions ORDER BY id"
        found = connection.exec_driver_sql(sql).all()
        assert [[str(value) for value in row] for row in found] == [["0", "1"], ["2", "0"]]
        assert str(connection.exec_driver_sql("SELECT cost FROM agent_actions").scalar()) == "0"
    migrations.upgrade(engine)
    assert check_schema(engine) == ()
