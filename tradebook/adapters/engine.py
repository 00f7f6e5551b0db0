"""Engines for each database and driver, from one URL."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tradebook.adapters.errors import translated_errors
from tradebook.adapters.types import DECIMAL_COLLATION, DECIMAL_SUM
from tradebook.domain.errors import InvalidInput
from tradebook.domain.numbers import EXACT, ZERO, plain

DEFAULT_URL: Final = "sqlite:///tradebook.db"
READ_ONLY: Final = "tradebook_read_only"
_SYNC_DRIVERS: Final = {"sqlite": "pysqlite", "postgresql": "psycopg2", "postgres": "psycopg2"}
_ASYNC_DRIVERS: Final = {"sqlite": "aiosqlite", "postgresql": "asyncpg", "postgres": "asyncpg"}
_BUSY_SECONDS: Final = 10


def database_url(url: str | URL | None) -> URL:
    """The URL of a database, with the psycopg2 or SQLite driver filled in.

    Args:
        url: `sqlite:///book.db`, `sqlite://` (in memory), `postgresql://user:password@host/book`;
            None for the file `tradebook.db` in the working directory.

    Raises:
        InvalidInput: it is no such URL; the message does not show a password.
    """
    try:
        parsed = make_url(DEFAULT_URL if url is None else url)
    except ArgumentError:
        raise InvalidInput(
            "database", "(the value given)", "a URL such as sqlite:///book.db"
        ) from None
    backend = parsed.get_backend_name()
    if backend not in _SYNC_DRIVERS:
        raise InvalidInput("database", backend, "a sqlite or postgresql URL")
    name = "sqlite" if backend == "sqlite" else "postgresql"
    parsed = parsed.set(drivername=f"{name}+{_SYNC_DRIVERS[backend]}")
    if name == "sqlite" and parsed.database in (None, "", ":memory:"):
        # A name of its own, so that every connection of one manager sees the same database.
        parsed = parsed.set(database=f"file:/tradebook-{uuid4().hex}").update_query_dict(
            {"vfs": "memdb", "uri": "true"}
        )
    return parsed


def without_secrets(url: URL) -> str:
    """The URL to show to people: passwords masked, in the query too."""
    query = {name: "***" if "password" in name else value for name, value in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True)


def make_engine(url: URL, **options: Any) -> Engine:
    """An engine whose connections keep the book's promises. Connects when first used."""
    return _prepared(create_engine(url, **_options(url), **options))


def make_async_engine(url: URL, **options: Any) -> AsyncEngine:
    """The same for asyncio: asyncpg or aiosqlite, for the URL of the sync driver."""
    backend = url.get_backend_name()
    engine = create_async_engine(
        url.set(drivername=f"{backend}+{_ASYNC_DRIVERS[backend]}"), **_options(url), **options
    )
    _prepared(engine.sync_engine)
    return engine


def is_empty(engine: Engine) -> bool:
    """Whether the database has no table at all."""
    with translated_errors(), engine.connect() as connection:
        return not inspect(connection).get_table_names()


def _options(url: URL) -> dict[str, Any]:
    if url.get_backend_name() != "sqlite":
        return {}
    # No transaction control by the driver: the "begin" event says how to begin.
    arguments = {"isolation_level": None, "timeout": _BUSY_SECONDS}
    return {"connect_args": arguments, "pool_size": 10, "max_overflow": 20}


def _prepared(engine: Engine) -> Engine:
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        if engine.url.query.get("vfs") == "memdb":
            _anchor(engine)
    return engine


def _begin_sqlite(connection: Connection) -> None:
    """Writers queue at BEGIN, where waiting is safe; a deferred one could fail in the middle."""
    read_only = connection.get_execution_options().get(READ_ONLY)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
    if isinstance(connection, sqlite3.Connection):
        _register_decimals(connection)
    else:  # aiosqlite: its sqlite3 connection belongs to its own thread
        connection.run_async(lambda c: c._execute(_register_decimals, c._conn))


def _register_decimals(connection: sqlite3.Connection) -> None:
    connection.create_aggregate(DECIMAL_SUM, 1, _DecimalSum)
    connection.create_collation(DECIMAL_COLLATION, _compare_decimals)


class _DecimalSum:
    """SQLite's exact sum of decimals kept as text; NULL of none, as SQL's own."""

    def __init__(self) -> None:
        self._sum: Decimal | None = None

    def step(self, value: Any) -> None:
        if value is not None:
            self._sum = EXACT.add(self._sum or ZERO, Decimal(value))

    def finalize(self) -> Any:
        return None if self._sum is None else plain(self._sum)


def _compare_decimals(left: str, right: str) -> int:
    a, b = Decimal(left), Decimal(right)
    return (a > b) - (a < b)


def _anchor(engine: Engine) -> None:
    """Keep one connection open, or a database in memory ends with the last of the pool's."""
    anchors: list[sqlite3.Connection] = []

    def hold(_connection: object, _record: object) -> None:
        if not anchors:
            name = f"{engine.url.database}?vfs=memdb"
            anchors.append(sqlite3.connect(name, uri=True, check_same_thread=False))

    def release(_engine: Engine) -> None:
        while anchors:
            anchors.pop().close()

    event.listen(engine, "connect", hold)
    event.listen(engine, "engine_disposed", release)
