"""Columns that a database sends hold what the rows of the same records hold, whatever that is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any
from uuid import uuid4

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import Table, Text, insert, text, update

from tests.support.backends import in_full_runs
from tests.support.filled_books import one_of_each
from tradebook import (
    AgentDecision,
    AsyncDatabaseManager,
    DatabaseManager,
    DecisionInput,
    Trade,
)
from tradebook.adapters.orm import TABLES
from tradebook.adapters.repositories.entity_rows import values_of
from tradebook.adapters.types import ExactDecimal, Json, UtcDateTime
from tradebook.domain.entity import Entity
from tradebook.domain.numbers import plain
from tradebook.domain.portfolio import Portfolio, PortfolioPosition
from tradebook.domain.seals import Seal
from tradebook.entrypoints.cli.book.csv_export import CsvFile
from tradebook.service_layer.ports.columns import field_types, is_choice
from tradebook.service_layer.ports.paging import row_names
from tradebook.service_layer.ports.records import Records
from tradebook.service_layer.queries.arrow import ArrowKind, arrow_table
from tradebook.testing import strategies

Run = Callable[[Callable[..., Any]], Any]

TEXTS = strategies.texts() | st.sampled_from(
    ["", '"', '""', ",", "\n", "\r\n", "\r", "\t", "\\", "\\N", "\\.", '\\"', "NULL", "t", " x ", "\ufeff", "'", "=1"]
)  # fmt: skip
NUMBERS = st.sampled_from(
    [Decimal(number) for number in ("0", "1e-40", "9" * 36, "-" + "9" * 36 + "." + "9" * 40, "-0.5")]
) | strategies.decimals(digits=36)  # fmt: skip
JSON_VALUES = st.dictionaries(
    TEXTS, st.none() | st.booleans() | TEXTS | st.integers(-(10**20), 10**20) | st.lists(TEXTS)
)
_VALUES = {
    Text: TEXTS,
    ExactDecimal: NUMBERS,
    UtcDateTime: strategies.instants(),
    Json: JSON_VALUES,
}
_APART = ("symbol", "reference", "dedup_key", "name")
"""Columns of unique keys: two records need different values in them."""
ZONES = ("UTC", "Asia/Kolkata", "America/St_Johns")
KINDS = [
    pytest.param(kind, id=kind.__name__, marks=() if kind is Trade else pytest.mark.full)
    for kind in map(type, one_of_each("main"))
]


@pytest.fixture(params=["sqlite", "postgresql", in_full_runs("postgresql-async")])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Call a function of a unit of work on a new account, without committing."""
    url = request.getfixturevalue(f"{request.param.partition('-')[0]}_book")
    account = uuid4().hex

    if request.param.endswith("async"):
        manager = AsyncDatabaseManager(url, account=account)

        async def once(function: Callable[..., Any]) -> Any:
            async with manager.unit_of_work() as uow:
                found = await uow.run(function)
                await uow.rollback()
                return found

        with asyncio.Runner() as loop:
            yield lambda function: loop.run(once(function))
            loop.run(manager.aclose())
        return

    def at_once(function: Callable[..., Any]) -> Any:
        with book.unit_of_work() as uow:
            found = function(uow)
            uow.rollback()
            return found

    with DatabaseManager(url, account=account) as book:
        yield at_once


def hostile(data: st.DataObject, table: Table, number: int) -> dict[str, Any]:
    """Values for the columns of a table that take any of their type."""
    drawn = {}
    for column in table.c:
        values = _VALUES.get(type(column.type))
        if values is None or column.name == "account":
            continue
        if not column.nullable:
            drawn[column.name] = data.draw(values)
        elif type(column.type) in (Text, Json):
            drawn[column.name] = data.draw(st.none() | values)
    return drawn | {name: f"{drawn.get(name)}{number}" for name in _APART if name in table.c}


def insert_two(uow: Any, kind: type[Entity], data: st.DataObject) -> None:
    """Insert two records of a kind, past everything that would check them."""
    connection = uow.session.connection()
    rows = {type(entity): values_of(entity) for entity in one_of_each(uow.account)}
    for of_kind, column, referred in (
        (PortfolioPosition, "portfolio_id", Portfolio),
        (DecisionInput, "decision_id", AgentDecision),
    ):
        if kind is of_kind:
            table = TABLES[referred]
            statement = insert(table).values(rows[referred]).returning(table.c.id)
            rows[kind][column] = connection.scalar(statement)
    for number in range(2):
        apart = {"number": number} if kind is Seal else {}
        row = {**rows[kind], **hostile(data, TABLES[kind], number), **apart}
        connection.execute(insert(TABLES[kind]), row)


def exported(uow: Any, kind: type[Entity], decimals: Any, *, limit: int) -> list[list[Any]]:
    """The columns of the two newest records as an export has them, read in pages."""
    as_arrow, after, batches = ArrowKind.from_kind(kind, decimals), None, []
    while True:
        page = uow.records(kind).columns(limit=limit, after=after)
        batches.append(as_arrow.batch(page.table))
        after = page.after
        if after is None:
            return [column.to_pylist() for column in arrow_table(batches).columns]


@pytest.mark.parametrize("kind", KINDS)
def test_columns_hold_what_rows_hold(
    run: Run, kind: type[Entity], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Records, "_newest_columns")  # which would make columns of rows

    @settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(st.data(), st.sampled_from(ZONES))
    def same(data: st.DataObject, zone: str) -> None:
        def compare(uow: Any) -> None:
            connection = uow.session.connection()
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SET LOCAL timezone = '{zone}'"))
            insert_two(uow, kind, data)
            stored_rows = uow.records(kind).rows()
            by_rows, by_columns = BytesIO(), BytesIO()
            list(CsvFile(by_rows).write(row_names(kind), [stored_rows]))
            list(CsvFile(by_columns).write_columns(kind, [uow.records(kind).columns().table]))
            assert by_columns.getvalue() == by_rows.getvalue()
            rows = zip(*stored_rows, strict=True)
            exact, plain_text = (
                exported(uow, kind, "exact", limit=9),
                exported(uow, kind, "text", limit=1),
            )
            for of, stored, found, texts in zip(
                field_types(kind).values(), rows, exact, plain_text, strict=True
            ):
                if of is Decimal:
                    assert texts == [None if value is None else plain(value) for value in stored]
                elif of not in (bool, int, str, datetime) and not is_choice(of):
                    found = [None if value is None else json.loads(value) for value in found]
                assert found == [*stored]

        run(compare)

    same()


def test_times_that_arrow_cannot_read_are_read_as_rows(postgresql_book: str) -> None:
    old, trades = datetime(1900, 1, 1, tzinfo=UTC), TABLES[Trade]
    with DatabaseManager(postgresql_book, account=uuid4().hex) as book:
        trade = book.record_trade(symbol="X", action="BUY", quantity=1, price=1)
        with book.unit_of_work() as uow:
            # Amsterdam was 19 minutes and 32 seconds ahead of UTC.
            uow.session.execute(text("SET LOCAL timezone = 'Europe/Amsterdam'"))
            in_book = update(trades).where(trades.c.account == book.account)
            uow.session.execute(in_book.values(executed_at=old))
            found = uow.trades.columns().table
            uow.rollback()
    assert found["executed_at"].to_pylist() == [old]
    assert found["booked_at"].to_pylist() == [trade.booked_at]
