"""Engines, for threads and for asyncio, whose connections keep the promises of the book."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import uuid4

import aiosqlite
from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tradebook.adapters.engine import psycopg2_values, sqlite, transactions
from tradebook.adapters.engine.connect_errors import explain_failures
from tradebook.adapters.engine.lock_waits import explain_waits
from tradebook.adapters.engine.pool import AsyncWatchedPool, WatchedPool
from tradebook.adapters.engine.poolers import set_up_connections
from tradebook.adapters.engine.slow_queries import ACCOUNT, log_slow_queries
from tradebook.adapters.types import read_json
from tradebook.config import DatabaseConfig, Secret
from tradebook.domain.errors import InvalidInput

AnyEngine = TypeVar("AnyEngine", Engine, AsyncEngine)


def make_engine(config: DatabaseConfig, account: str = "") -> Engine:
    """Make an engine; it connects when it is first used.

    Args:
        config: the database, the pool's sizes and the limits.
        account: named in the log of slow queries.
    """
    url, arguments = _address(config, _stable(config).url)
    engine = create_engine(url, poolclass=WatchedPool, connect_args=arguments, **_options(config))
    _prepare(engine, config, account)
    return engine


@contextmanager
def engine_for(config: DatabaseConfig) -> Iterator[Engine]:
    """Make an engine for one piece of work; its connections are closed at the end."""
    engine = make_engine(config)
    try:
        yield engine
    finally:
        engine.dispose()


def make_async_engine(config: DatabaseConfig, account: str = "") -> AsyncEngine:
    """Make an engine on asyncpg or aiosqlite, as `make_engine` does."""
    url, arguments = _address(config, _stable(config).async_url)
    if isinstance(config.password, str):
        # asyncpg takes a callable but no subclass of str, which `Secret` is.
        arguments["password"] = config.password.__str__
    if "connect_timeout" in config.parameters:
        arguments["timeout"] = _seconds(config.parameters["connect_timeout"])
    if config.backend == "sqlite":
        arguments |= {"async_creator_fn": _open_sqlite, "factory": sqlite.CancellableConnection}
    else:
        # A pooler that is not recognised must not run another client's statement of the same name.
        arguments["prepared_statement_name_func"] = lambda: f"tradebook_{uuid4().hex}"
    engine = create_async_engine(
        url, poolclass=AsyncWatchedPool, connect_args=arguments, **_options(config)
    )
    _prepare(engine.sync_engine, config, account)
    return engine


def engine_of_account(engine: AnyEngine, account: str) -> AnyEngine:
    """Return an engine on the same pool; the log of slow queries names this account for its statements."""
    return engine.execution_options(**{ACCOUNT: account})


def _stable(config: DatabaseConfig) -> DatabaseConfig:
    # A password that is renewed is fetched for each connection (see `explain_failures`).
    return config.without_password() if config.renews_password else config


def _address(config: DatabaseConfig, url: str) -> tuple[URL, dict[str, Any]]:
    """Split a URL into what SQLAlchemy may show and the secrets, which go to the driver directly.

    As `Secret` values they are masked in the frames of a traceback.
    """
    parsed = make_url(url)
    if config.backend == "sqlite":
        return parsed, sqlite.arguments(config)
    hidden: dict[str, Any] = {
        name: Secret(str(value))
        for name, value in parsed.query.items()
        if "password" in name or "password" in str(value)
    }
    if isinstance(config.password, str):
        hidden["password"] = config.password  # SQLAlchemy would make plain text of the URL's
        parsed = parsed.set(password=config.password)
    return parsed.difference_update_query(hidden), hidden


def _options(config: DatabaseConfig) -> dict[str, Any]:
    reading = {"json_deserializer": read_json} if config.backend == "sqlite" else {}
    pooling = ("pool_size", "max_overflow", "pool_timeout", "pool_recycle", "pool_pre_ping")
    return {**reading, "echo": config.echo, **{name: getattr(config, name) for name in pooling}}


def _prepare(engine: Engine, config: DatabaseConfig, account: str) -> None:
    if config.backend == "postgresql":
        set_up_connections(engine, config)
    explain_failures(engine, config)
    if config.slow_query_seconds is not None:
        log_slow_queries(engine, config, account, make_engine)
    if engine.dialect.driver == "psycopg2":
        transactions.listen_to_transactions(engine)
        psycopg2_values.let_driver_make_values(engine)
    if config.backend == "sqlite":
        sqlite.prepare(engine, config)
    explain_waits(engine, config)


def _seconds(text: str) -> float | None:
    """Convert libpq's `connect_timeout`, where zero or less means no limit."""
    try:
        return max(int(text), 0) or None
    except ValueError:
        raise InvalidInput("connect_timeout", text, "a whole number of seconds") from None


async def _open_sqlite(*args: Any, **options: Any) -> aiosqlite.Connection:
    connection = aiosqlite.connect(*args, **options)
    connection._thread.daemon = True  # as SQLAlchemy's own creator has it
    try:
        return await connection
    except Exception:
        # The driver's thread would answer an event loop that may be closed by then.
        await asyncio.to_thread(connection._thread.join)
        raise
