"""Column types: the same values, sums and orders on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    URL,
    Column,
    Engine,
    Identity,
    MetaData,
    Table,
    Text,
    create_engine,
    func,
    insert,
    select,
)
from sqlalchemy.exc import CompileError, StatementError

from tests.support.servers import configured
from tradebook import InvalidInput, TradeAction
from tradebook.adapters.engine.factory import make_engine
from tradebook.adapters.types import AccountKey, EnumText, ExactDecimal, Id, Json, UtcDateTime
from tradebook.domain.numbers import exact, plain

table = Table(
    "things",
    MetaData(),
    Column("account", Text, default="main"),
    Column("id", Id, Identity()),
    Column("amount", ExactDecimal),
    Column("at", UtcDateTime),
    Column("action", EnumText(TradeAction)),
    Column("details", Json),
    AccountKey("account", "id", name="pk_things"),
)
AMOUNTS = [
    "9",
    "10",
    "-2",
    "0.000000000000000001",
    "100000000000000000000",
    "-98765432109876543210.5",
]
LONGEST = [
    "1E-40",
    "-1.2345678901234566E-40",
    "1E-168",
    "1.7976931348623157E+308",
    "-" + "9" * 1500 + "." + "9" * 1500,
]
"""From the smallest product of three floats to the largest total that a caller may build."""


@pytest.fixture
def engine(empty_database: str | URL) -> Iterator[Engine]:
    made = make_engine(configured(empty_database))
    table.metadata.create_all(made)
    yield made
    made.dispose()


def store(engine: Engine, **values: Any) -> Any:
    with engine.begin() as connection:
        connection.execute(insert(table).values(**values))
        [name] = values
        return connection.scalar(select(table.c[name]))


@pytest.mark.parametrize(
    "text",
    [
        *AMOUNTS,
        *LONGEST,
        "12345678901234567890.123456789012345678",
        "0.1",
        "150.250",
        "-0",
        "1E+5",
    ],
)
def test_decimals_come_back_digit_for_digit_in_one_form(engine: Engine, text: str) -> None:
    read = store(engine, amount=Decimal(text))
    assert read == Decimal(text)
    assert read.as_tuple() == Decimal(plain(Decimal(text))).as_tuple()


def test_json_is_asked_by_what_it_holds(engine: Engine) -> None:
    details = table.c.details
    with engine.begin() as connection:
        for value in ({"venue": "X", "lots": [1, 2]}, {"venue": "Y"}, None):
            connection.execute(insert(table).values(details=value))
        ids = select(table.c.id).order_by(table.c.id)
        for condition, found in (
            (details["venue"].as_string() == "X", [1]),
            (details[("lots", 1)].as_integer() == 2, [1]),
            (details == {"venue": "Y"}, [2]),
            (details.in_([{"venue": "Y"}]), [2]),
            (details.is_(None), [3]),
        ):
            assert connection.scalars(ids.where(condition)).all() == found, condition


def test_amounts_that_are_no_finite_number_never_reach_the_driver(engine: Engine) -> None:
    for value in (Decimal("NaN"), Decimal("Infinity"), 1.5):
        with pytest.raises(StatementError) as refused:
            store(engine, amount=value)
        assert isinstance(refused.value.orig, InvalidInput)


def test_sums_extremes_and_orders_are_exact(engine: Engine) -> None:
    amount = table.c.amount
    with engine.begin() as connection:
        connection.execute(insert(table), [{"amount": Decimal(text)} for text in AMOUNTS])
        values = sorted(map(Decimal, AMOUNTS))
        assert connection.scalar(select(func.sum(amount))) == Decimal(
            "1234567890123456806.500000000000000001"
        )
        assert connection.scalar(select(func.max(amount))) == values[-1]
        assert connection.scalar(select(func.min(amount))) == values[0]
        assert list(connection.scalars(select(amount).order_by(amount.asc()))) == values
        assert list(connection.scalars(select(amount).order_by(amount.desc()))) == values[::-1]
        above = select(amount).where(amount > Decimal(9)).order_by(amount.asc())
        assert list(connection.scalars(above)) == values[-2:]
        assert connection.scalar(select(func.count()).where(amount == Decimal("10.00"))) == 1
        assert connection.scalar(select(func.sum(amount)).where(amount > Decimal("1e30"))) is None


def test_sums_and_orders_of_the_longest_numbers_are_exact(engine: Engine) -> None:
    amount = table.c.amount
    values = sorted(map(Decimal, [*AMOUNTS, *LONGEST]))
    with engine.begin() as connection:
        connection.execute(insert(table), [{"amount": value} for value in values])
        with exact():
            assert connection.scalar(select(func.sum(amount))) == sum(values)
        assert list(connection.scalars(select(amount).order_by(amount.asc()))) == values
        assert connection.scalars(select(amount).where(amount < Decimal("1e-167"))).all()


def test_arithmetic_in_sql_is_refused(engine: Engine) -> None:
    for expression in (
        lambda: table.c.amount * 2,
        lambda: 2 - table.c.amount,
        lambda: table.c.amount + table.c.amount,
    ):
        with pytest.raises(InvalidInput, match="in Python"):
            expression()


def test_averages_are_refused_where_they_would_be_floats(sqlite_url: str) -> None:
    made = make_engine(configured(sqlite_url))
    with made.connect() as connection, pytest.raises(CompileError, match="avg"):
        connection.execute(select(func.avg(table.c.amount)))
    made.dispose()


@pytest.mark.parametrize("name", ["sum", "min", "max"])
def test_an_engine_that_an_application_made_refuses_what_sqlite_would_compute_wrongly(
    name: str,
) -> None:
    made = create_engine("sqlite://")
    table.metadata.create_all(made)
    function = getattr(func, name)
    with made.connect() as connection:
        for selected in (function(table.c.amount), function(table.c.amount).label("it")):
            with pytest.raises(CompileError, match="get_session"):
                connection.execute(select(selected))
        assert connection.scalar(select(func.count(table.c.amount))) == 0
    made.dispose()


def test_aggregates_within_a_statement_are_exact_too(engine: Engine) -> None:
    amount = table.c.amount
    with engine.begin() as connection:
        connection.execute(
            insert(table), [{"amount": Decimal(text)} for text in ("9", "10", "0.1")]
        )
        inner = select(func.max(amount).label("most"), func.sum(amount).label("all")).subquery()
        assert connection.execute(select(inner)).one() == (Decimal(10), Decimal("19.1"))
        largest = select(func.max(amount)).scalar_subquery()
        assert connection.scalars(select(amount).where(amount == largest)).all() == [Decimal(10)]
        grouped = select(table.c.account).group_by(table.c.account)
        assert connection.scalar(grouped.having(func.sum(amount) == Decimal("19.1"))) == "main"


def test_times_come_back_in_utc_to_the_microsecond(engine: Engine) -> None:
    tokyo = datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=timezone(timedelta(hours=9)))
    read = store(engine, at=tokyo)
    assert read == tokyo
    assert read.tzinfo is UTC
    early = datetime(1, 1, 2, tzinfo=UTC)
    with engine.begin() as connection:
        connection.execute(insert(table), [{"at": early}])
        assert list(connection.scalars(select(table.c.at).order_by(table.c.at))) == [early, tokyo]


def test_a_naive_time_is_taken_as_utc(engine: Engine) -> None:
    assert store(engine, at=datetime(2026, 3, 2)) == datetime(2026, 3, 2, tzinfo=UTC)  # noqa: DTZ001


def test_enumerations_come_back_as_members_and_others_are_refused(engine: Engine) -> None:
    assert store(engine, action="BUY") is TradeAction.BUY
    with pytest.raises(StatementError, match="one of BUY, SELL"):
        store(engine, action="HOLD")


def test_ids_are_never_handed_out_again(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(table), [{}, {}])
        connection.execute(table.delete())
        connection.execute(insert(table), [{}])
        assert connection.scalar(select(table.c.id)) == 3
