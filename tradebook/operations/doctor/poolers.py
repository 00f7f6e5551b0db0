"""Checks of a connection pooler between this program and the server, as far as they can be made from here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from attrs import evolve
from sqlalchemy import text

from tradebook.adapters.engine.factory import make_async_engine
from tradebook.adapters.engine.poolers import POOLED
from tradebook.config import DatabaseConfig
from tradebook.config.texts import SESSION, TRANSACTION
from tradebook.operations.doctor.checks import CheckTarget, Finding, green, yellow

_CHECK = "pooler"


def pooler(target: CheckTarget) -> Iterator[Finding]:
    """Check that a pooler is configured as one, and that what needs a session has a way around it."""
    config, limits = target.config, target.connection.info.get(POOLED)
    if limits is None:
        is_stated = config.pooler == SESSION
        yield green(
            _CHECK, "each client has a session, as configured" if is_stated else "none seen"
        )
        return
    if config.pooler is None:
        what = "one stands between that is not configured, so that asyncpg does not connect"
        yield yellow(_CHECK, what, "set TRADEBOOK_DB_POOLER: transaction, or session")
    if config.direct_url is None:
        what = "no upgrade, backup or change of roles can be made through it"
        yield yellow(_CHECK, what, "set TRADEBOOK_DATABASE_DIRECT_URL for the commands that do")
    if "timeout" in limits:
        what = (
            "timeouts travel with each transaction, which costs asyncpg 3 round trips for a trade"
        )
        yield yellow(_CHECK, what, "give them to the roles: `tradebook db roles --limits`")
    with ThreadPoolExecutor(1) as thread:  # an event loop may run in this one
        yield thread.submit(asyncio.run, _names(config)).result()


async def _names(config: DatabaseConfig) -> Finding:
    """Tell from the name of a prepared statement on the server whether the pooler keeps statements apart."""
    engine = make_async_engine(evolve(config, pooler=TRANSACTION, pool_size=1))
    name = f"tradebook_probe_{uuid4().hex}"
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT 1"))
            driver: Any = (await connection.get_raw_connection()).driver_connection
            kept = await driver.prepare(f"SELECT 1 AS {name}", name=name)
            query = text("SELECT count(*) FROM pg_prepared_statements WHERE name = :name")
            is_passed_on = await connection.scalar(query, {"name": name})
            if is_passed_on:
                await driver.execute(f"DEALLOCATE {name}")
            del kept  # asyncpg would have closed it before
    finally:
        await engine.dispose()
    if is_passed_on:
        what = "names of prepared statements are passed on: PgBouncer before 1.21, or max_prepared_statements = 0"
    else:
        what = (
            "names of prepared statements are its own: PgBouncer 1.21 or newer, or another pooler"
        )
    return green(_CHECK, f"transactions share connections; {what}")
