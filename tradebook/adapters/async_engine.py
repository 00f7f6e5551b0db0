"""The engine for asyncio."""

from __future__ import annotations

import asyncio
from typing import Any

import aiosqlite
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tradebook.adapters.engine import address, options, prepared, stable
from tradebook.adapters.pool import AsyncWatchedPool
from tradebook.config import DatabaseConfig
from tradebook.domain.errors import InvalidInput


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
