"""URLs of a configuration, given as they are to SQLAlchemy and a real server."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import attrs
import psycopg2
import pytest
from psycopg2 import sql
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from tradebook import DatabaseConfig

AWFUL = "a@b:c/d%e#f?g&h i+j=k'l\"é漢🙂\\%41"
SETTINGS = (
    "SELECT current_user, current_setting('application_name'),"
    " current_setting('statement_timeout'), current_setting('lock_timeout'),"
    " current_setting('search_path')"
)


@pytest.fixture
def awful(postgresql: URL) -> Iterator[DatabaseConfig]:
    """A role whose name and password nobody would want to type."""
    owner = DatabaseConfig.from_url(postgresql.render_as_string(hide_password=False))
    connection = psycopg2.connect(postgresql.set(drivername="postgresql").render_as_string(False))
    connection.autocommit = True
    role = sql.Identifier(AWFUL)
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(AWFUL)))
        yield attrs.evolve(owner, username=AWFUL, password=AWFUL)
        cursor.execute(sql.SQL("DROP ROLE {}").format(role))
    connection.close()


def answers(config: DatabaseConfig, statement: str) -> list[tuple[object, ...]]:
    """What the server answers to each driver."""
    engine = create_engine(config.url)
    with engine.connect() as connection:
        first = tuple(connection.execute(text(statement)).one())
    engine.dispose()

    async def ask() -> tuple[object, ...]:
        asynchronous = create_async_engine(config.async_url)
        async with asynchronous.connect() as connection:
            answer = tuple((await connection.execute(text(statement))).one())
        await asynchronous.dispose()
        return answer

    return [first, asyncio.run(ask())]


def test_an_awful_name_and_everything_else_arrive_through_both_drivers(
    awful: DatabaseConfig,
) -> None:
    config = attrs.evolve(
        awful,
        sslmode="prefer",
        application_name="a bot & co",
        statement_timeout=5000,
        lock_timeout=100,
        parameters={"options": "-c search_path=book", "connect_timeout": "5"},
    )
    expected = (AWFUL, "a bot & co", "5s", "100ms", "book")
    assert answers(config, SETTINGS) == [expected, expected]


def test_a_file_with_an_awful_name_is_the_same_one_through_both_drivers(tmp_path: Path) -> None:
    path = tmp_path / "a?b#c%d é&+.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t AS SELECT 'here' AS x")
    connection.close()
    config = DatabaseConfig(path=path, lock_timeout=1500)
    assert answers(config, "SELECT x FROM t") == [("here",), ("here",)]
    waits = answers(config, "PRAGMA busy_timeout")
    assert waits == [(1500,), (1500,)]


def test_a_database_in_memory_is_shared_by_both_drivers() -> None:
    config = DatabaseConfig(path=":memory:")
    name = f"{make_url(config.url).database}?vfs=memdb"
    keeper = sqlite3.connect(name, uri=True)
    keeper.execute("CREATE TABLE t AS SELECT 'here' AS x")
    keeper.commit()
    assert answers(config, "SELECT x FROM t") == [("here",), ("here",)]
    keeper.close()
