"""The engine for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiosqlite
from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tradebook.adapters.engine import sqlite
from tradebook.adapters.engine.connect_errors import explain_failures
from tradebook.adapters.engine.pool import AsyncWatchedPool, WatchedPool
from tradebook.adapters.engine.psycopg2_values import let_driver_make_values
from tradebook.adapters.engine.slow_queries import log_slow_queries
from tradebook.adapters.engine.transactions import listen_to_transactions
from tradebook.adapters.types import read_json
from tradebook.config import DatabaseConfig, Secret
from tradebook.domain.errors import InvalidInput


def make_engine(config: DatabaseConfig, account: str = "") -> Engine:
    """An engine whose connections keep the book's promises; `account` is for its log. Connects when first used."""
    url, arguments = address(config, stable(config).url)
    engine = create_engine(url, poolclass=WatchedPool, connect_args=arguments, **options(config))
    return prepared(engine, config, account)


@contextmanager
def engine_for(config: DatabaseConfig) -> Iterator[Engine]:
    """An engine for one piece of work; its connections are closed at the end."""
    engine = make_engine(config)
    try:
        yield engine
    finally:
        engine.dispose()


def stable(config: DatabaseConfig) -> DatabaseConfig:
    """What stays as it is from one connection to the next."""
    return config.without_password() if config.renews_password else config


def address(config: DatabaseConfig, url: str) -> tuple[URL, dict[str, Any]]:
    """The URL, and what goes to the driver past it: values that show in no traceback's frames."""
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


def options(config: DatabaseConfig) -> dict[str, Any]:
    """What `create_engine` takes besides."""
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


def prepared(engine: Engine, config: DatabaseConfig, account: str) -> Engine:
    """The engine, its connections and transactions attended to."""
    explain_failures(engine, config)
    listen_to_transactions(engine)
    if config.slow_query_seconds is not None:
        log_slow_queries(engine, config, account, make_engine)
    if engine.dialect.driver == "psycopg2":
        let_driver_make_values(engine)
    if config.backend == "sqlite":
        sqlite.prepare(engine, config)
    return engine


def make_async_engine(config: DatabaseConfig, account: str = "") -> AsyncEngine:
    """As `make_engine`, on asyncpg or aiosqlite."""
    url, arguments = address(config, stable(config).async_url)
    if isinstance(config.password, str):
        arguments["password"] = config.password.__str__  # asyncpg takes no kind of str, but calls
    if "connect_timeout" in config.parameters:
        arguments["timeout"] = _seconds(config.parameters["connect_timeout"])
    if config.backend == "sqlite":
        arguments["async_creator_fn"] = _open_sqlite
    engine = create_async_engine(
        url, poolclass=AsyncWatchedPool, connect_args=arguments, **options(config)
    )
    prepared(engine.sync_engine, config, account)
    return engine


def _seconds(text: str) -> float | None:
    """What libpq means by its `connect_timeout`: none at all by zero or less."""
    try:
        return max(int(text), 0) or None
    except ValueError:
        raise InvalidInput("connect_timeout", text, "a whole number of seconds") from None


async def _open_sqlite(*args: Any, **options: Any) -> aiosqlite.Connection:
    """Open a file; when it cannot be opened, no thread is left that would answer a closed event loop."""
    connection = aiosqlite.connect(*args, **options)
    connection._thread.daemon = True  # as SQLAlchemy does
    try:
        return await connection
    except Exception:
        await asyncio.to_thread(connection._thread.join)
        raise
