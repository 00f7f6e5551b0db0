"""Health checks: whether a database answers, and which schema it has."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tradebook.adapters.errors import translated_errors
from tradebook.adapters.migrations.schema_state import SCHEMA_REVISION, schema_state
from tradebook.config import DatabaseConfig
from tradebook.domain.errors import TradebookError
from tradebook.service_layer.ports.health import Health


def health(engine: Engine, config: DatabaseConfig) -> Health:
    """Return the health of a database; one that does not answer is reported, not raised."""
    try:
        with translated_errors(), engine.connect() as connection:
            return _health(config, **_measure(connection))
    except TradebookError as error:
        return _health(config, error=str(error))


async def async_health(engine: AsyncEngine, config: DatabaseConfig) -> Health:
    """Return the health of a database, as `health` does, on asyncio."""
    try:
        with translated_errors():
            async with engine.connect() as connection:
                return _health(config, **await connection.run_sync(_measure))
    except TradebookError as error:
        return _health(config, error=str(error))


def _health(config: DatabaseConfig, **fields: Any) -> Health:
    return Health(database=config.safe_url, expected_revision=SCHEMA_REVISION, **fields)


def _measure(connection: Connection) -> dict[str, Any]:
    started = time.perf_counter()
    connection.execute(text("SELECT 1"))
    latency = time.perf_counter() - started
    state = schema_state(connection)
    name = "SQLite" if connection.dialect.name == "sqlite" else "PostgreSQL"
    version = ".".join(map(str, connection.dialect.server_version_info or ()))
    return {
        "reachable": True,
        "server": f"{name} {version}",
        "latency": latency,
        "schema": state.name,
        "revision": state.revision,
    }
