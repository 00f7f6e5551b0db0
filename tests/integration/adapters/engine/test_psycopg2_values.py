"""What psycopg2 makes of the server's text: the book's own forms, in whatever words a server says them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg2
import pytest
from sqlalchemy import URL, Connection

from tests.support.servers import configured
from tradebook.adapters.engine.factory import make_engine
from tradebook.domain import numbers
from tradebook.domain.numbers import Numbers


@pytest.fixture
def connection(postgresql_book: URL) -> Iterator[Connection]:
    engine = make_engine(configured(postgresql_book))
    with engine.connect() as made:
        yield made
    engine.dispose()


def told(connection: Connection, sql: str) -> Any:
    return connection.exec_driver_sql(f"SELECT {sql}").scalar_one()


@pytest.mark.parametrize(
    ("sql", "made"),
    [
        ("150.250::numeric", "150.25"),
        ("'1e5'::numeric", "100000"),
        ("'-0.00'::numeric", "0"),
        ("sum(n) FROM (VALUES (0.10), (0.20)) AS given (n)", "0.3"),
    ],
)
def test_numbers_come_in_their_one_form(connection: Connection, sql: str, made: str) -> None:
    assert str(told(connection, sql)) == made
    assert told(connection, "NULL::numeric") is None


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/Los_Angeles"])
def test_times_are_utc_whatever_the_zone_of_the_session(connection: Connection, zone: str) -> None:
    at = datetime(2026, 3, 2, 23, 59, 59, 500_000, tzinfo=UTC)
    connection.exec_driver_sql(f"SET TIME ZONE '{zone}'")
    for sql in (
        "'2026-03-02 23:59:59.5+00'::timestamptz",
        "'2026-03-03 05:29:59.5+0530'::timestamptz",
    ):
        made = told(connection, sql)
        assert (made, made.tzinfo) == (at, UTC)


def test_times_that_python_does_not_have_are_for_the_driver_to_say(connection: Connection) -> None:
    assert told(connection, "'infinity'::timestamptz").year == 9999
    with pytest.raises(ValueError, match="year"):
        told(connection, "'0044-03-15 BC'::timestamptz")


@pytest.mark.parametrize("document", ["{}", '{"a": [1, null]}', "[]", '"text"', "7"])
def test_json_is_new_each_time(connection: Connection, document: str) -> None:
    first, second = (told(connection, f"'{document}'::jsonb") for _ in range(2))
    assert first == second == psycopg2.extras.json.loads(document)
    assert isinstance(first, int | str) or first is not second


def test_numbers_that_are_kept_are_bounded_and_shared_by_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(numbers, "_KEPT", 50)
    kept, long = Numbers(), "1" * 60

    def read(_: object) -> bool:
        return all(kept[str(each)] == Decimal(each) for each in range(500))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(read, range(8)))
    assert kept[long] == Decimal(long)
    assert len(kept) <= 54
    assert long not in kept
