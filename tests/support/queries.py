"""One question to a database, on a connection of its own, through either driver."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import text

from tradebook import DatabaseConfig
from tradebook.adapters.engine.factory import engine_for, make_async_engine


def ask(config: DatabaseConfig, question: str = "SELECT 1") -> Any:
    """Through psycopg2 or pysqlite."""
    with engine_for(config) as engine, engine.connect() as connection:
        return connection.scalar(text(question))


def ask_async(config: DatabaseConfig, question: str = "SELECT 1") -> Any:
    """Through asyncpg or aiosqlite."""

    async def asked() -> Any:
        engine = make_async_engine(config)
        try:
            async with engine.connect() as connection:
                return await connection.scalar(text(question))
        finally:
            await engine.dispose()

    return asyncio.run(asyncio.wait_for(asked(), timeout=30))  # what never ends fails
