"""Engines for each database and driver, from one configuration."""

from __future__ import annotations

import asyncio
import sqlite3
from decimal import Decimal
from typing import Any, Final
from weakref import WeakSet

import aiosqlite
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tradebook.adapters.connecting import explain_failures
from tradebook.adapters.pool import AsyncWatchedPool, WatchedPool
from tradebook.adapters.transactions import attend_transactions
from tradebook.adapters.types import DECIMAL_COLLATION, DECIMAL_SUM, read_json
from tradebook.config import DatabaseConfig, Secret
from tradebook.domain.errors import DatabaseCorrupt, InvalidInput
from tradebook.domain.numbers import EXACT, ZERO, plain

_BUSY_SECONDS: Final = 10


def make_engine(config: DatabaseConfig) -> Engine:
    """An engine whose connections keep the book's promises. Connects when first used."""
    url, arguments = _address(config, _stable(config).url)
    engine = create_engine(url, poolclass=WatchedPool, connect_args=arguments, **_options(config))
    return _prepared(engine, config)


def make_async_engine(config: DatabaseConfig) -> AsyncEngine:
    """The same for asyncio: asyncpg or aiosqlite."""
    url, arguments = _address(config, _stable(config).async_url)
    if isinstance(config.password, str):
        arguments["password"] = config.password.__str__  # asyncpg takes no kind of str, but calls
    if "connect_timeout" in config.parameters:
        arguments["timeout"] = _seconds(config.parameters["connect_timeout"])
    if config.backend == "sqlite":
        arguments["async_creator_fn"] = _open_sqlite
    engine = create_async_engine(
        url, poolclass=AsyncWatchedPool, connect_args=arguments, **_options(config)
    )
    _prepared(engine.sync_engine, config)
    return engine


def _stable(config: DatabaseConfig) -> DatabaseConfig:
    """What stays as it is from one connection to the next."""
    return config.without_password() if config.renews_password else config


def _address(config: DatabaseConfig, url: str) -> tuple[URL, dict[str, Any]]:
    """The URL, and what goes to the driver past it: values that show in no traceback's frames."""
    parsed = make_url(url)
    if config.backend == "sqlite":
        wait = _BUSY_SECONDS if config.lock_timeout is None else config.lock_timeout / 1000
        # No transaction control by the driver: the "begin" event says how to begin.
        return parsed, {"factory": _Connection, "isolation_level": None, "timeout": wait}
    hidden: dict[str, Any] = {
        name: Secret(str(value))
        for name, value in parsed.query.items()
        if "password" in name or "password" in str(value)
    }
    if isinstance(config.password, str):
        hidden["password"] = config.password  # SQLAlchemy would make plain text of the URL's
        parsed = parsed.set(password=config.password)
    return parsed.difference_update_query(hidden), hidden


def _seconds(text: str) -> float | None:
    """What libpq means by its `connect_timeout`: none at all by zero or less."""
    try:
        return max(int(text), 0) or None
    except ValueError:
        raise InvalidInput("connect_timeout", text, "a whole number of seconds") from None


def _options(config: DatabaseConfig) -> dict[str, Any]:
    reading = {"json_deserializer": read_json} if config.backend == "sqlite" else {}
    return {
        **reading,
        "pool_size": config.pool_size,
        "max_overflow": config.max_overflow,
        "pool_timeout": config.pool_timeout,
        "pool_recycle": config.pool_recycle,
        "pool_pre_ping": config.pool_pre_ping,
        "echo": config.echo,
    }


def _prepared(engine: Engine, config: DatabaseConfig) -> Engine:
    explain_failures(engine, config)
    attend_transactions(engine)
    if config.backend == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        if config.is_in_memory:
            _anchor(engine)
    return engine


async def _open_sqlite(*args: Any, **options: Any) -> aiosqlite.Connection:
    """Open a file; when it cannot be opened, no thread is left that would answer a closed event loop."""
    connection = aiosqlite.connect(*args, **options)
    connection._thread.daemon = True  # as SQLAlchemy does
    try:
        return await connection
    except Exception:
        await asyncio.to_thread(connection._thread.join)
        raise


def _prepare_sqlite(connection: Any, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        _set_up(connection)
    else:  # aiosqlite: its sqlite3 connection belongs to its own thread
        connection.run_async(lambda c: c._execute(_set_up, c._conn))


def _set_up(connection: sqlite3.Connection) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        try:
            connection.execute(f"PRAGMA {pragma}").close()
        except UnicodeDecodeError as error:  # SQLite quotes what it cannot read
            raise DatabaseCorrupt("its schema is no text") from error
    connection.create_aggregate(DECIMAL_SUM, 1, _DecimalSum)
    connection.create_collation(DECIMAL_COLLATION, _compare_decimals)


class _Connection(sqlite3.Connection):
    """Closing it ends its statements.

    One that was cancelled would keep its locks for as long as something refers to the cancellation.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()

    def cursor(self, *args: Any, **options: Any) -> Any:
        cursor = super().cursor(*args, **options)
        self._cursors.add(cursor)
        return cursor

    def close(self) -> None:
        for cursor in list(self._cursors):
            cursor.close()
        super().close()


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
