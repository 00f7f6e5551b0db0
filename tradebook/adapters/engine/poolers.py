"""What a connection sets for itself: once, or through a pooler in each transaction.

A pooler such as PgBouncer gives each transaction another connection of the server. What is set in a session would
reach the next client of that connection, and be missing on the next connection of this client. There everything
travels as SET LOCAL, in the message that begins the transaction or holds the only statement: no round trip more.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Dialect, Engine, event

from tradebook.adapters.engine.connect_errors import sqlstate
from tradebook.config import DatabaseConfig
from tradebook.config.texts import SESSION, TRANSACTION
from tradebook.domain.errors import DatabaseUnavailable, OperationFailed

DEFAULT_LIMITS: Final = {
    "lock_timeout": 10_000,
    "idle_in_transaction_session_timeout": 600_000,
}
"""Milliseconds, where neither the configuration nor the server has a limit."""

BEGIN_SESSION: Final = "SELECT name, value, is_pooled, CASE WHEN name IS NOT NULL THEN set_config"
"""How the statement begins that a new connection sends."""

POOLED: Final = "tradebook_pooled"
"""A key in the `info` of connections whose transactions see different connections of the server: the limits that go
with each transaction, `""` where the role has them."""

_UNITS: Final = {"d": 86_400_000, "h": 3_600_000, "min": 60_000, "s": 1_000, "ms": 1}
_ZONE: Final = "TimeZone"
# A pooler makes up the process id that it tells a client.
_IS_POOLED: Final = {TRANSACTION: "true", SESSION: "false", None: "pg_backend_pid() <> {pid}"}
_ADVICE: Final = (
    "a connection pooler stands between this program and the server, and asyncpg must know which kind: set "
    "TRADEBOOK_DB_POOLER=transaction, or =session where it gives each client a connection of the server for "
    "itself; or connect to the server directly"
)
_NO_SESSION: Final = (
    "this needs a session of the server for itself, and a connection pooler gives each transaction another one: name "
    "the server itself by TRADEBOOK_DATABASE_DIRECT_URL; or, where the pooler gives each client a connection of the "
    "server for itself, set TRADEBOOK_DB_POOLER=session. Nothing was done"
)


def require_session(info: Collection[Any], backends: Collection[int]) -> None:
    """Refuse a connection that has no session of the server for itself.

    Args:
        info: of the connection.
        backends: the process ids that two of its transactions saw.
    """
    if POOLED in info or len(set(backends)) > 1:
        raise OperationFailed(_NO_SESSION)


def limits_of(config: DatabaseConfig) -> dict[str, int]:
    """Return the limits that a configuration states or leaves to their defaults, in milliseconds."""
    return {**DEFAULT_LIMITS, **config.timeouts}


def shown(milliseconds: int) -> str:
    """Write a limit as the server shows it: `10s`, `10min`, `1500ms`, `0`."""
    for unit, size in _UNITS.items():
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return "0"


def set_up_connections(engine: Engine, config: DatabaseConfig) -> None:
    """Set the limits, and on psycopg2 UTC, in each session of an engine; or in each transaction through a pooler."""
    rows = [
        f"('{name}', '{shown(limit)}', {name in config.timeouts})"
        for name, limit in limits_of(config).items()
    ]
    if not engine.dialect.is_async:
        # Times arrive as text in the session's zone: west of UTC, the first hours of year 1 would be in year 0,
        # which Python does not have.
        rows.append(f"('{_ZONE}', 'UTC', current_setting('{_ZONE}') <> 'Etc/UTC')")
    statement = (
        f"{BEGIN_SESSION}(name, value, is_pooled) END FROM (SELECT {_IS_POOLED[config.pooler]} AS is_pooled) AS pooler "
        f"LEFT JOIN (VALUES {', '.join(rows)}) AS limits (name, value, is_stated) ON current_setting(name) = '0' OR is_stated AND current_setting(name) <> value"
    )

    def set_up(connection: Any, record: Any) -> None:
        find = _find_async if engine.dialect.is_async else _find
        found = find(connection, statement)
        if not found[0][2]:
            return
        own = [f"SET LOCAL {name} = '{value}'; " for name, value, *_ in found if name is not None]
        record.info[POOLED] = limits = "".join(own)
        if not engine.dialect.is_async:
            # The driver: books on SQLite start without it.
            from tradebook.adapters.engine.limited_psycopg2 import limited_cursor

            connection.cursor_factory = limited_cursor(limits)
        elif config.pooler is None:
            connection.driver_connection.terminate()
            refused = DatabaseUnavailable(_ADVICE)
            refused.is_lasting = True
            raise refused
        else:
            connection.driver_connection.limits = limits

    event.listen(engine, "connect", set_up, insert=True)  # before SQLAlchemy's own first statements
    if engine.dialect.is_async and config.pooler == TRANSACTION:
        event.listen(engine, "do_connect", _leave_statements_unnamed)


def _find(connection: Any, statement: str) -> list[Any]:
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement.format(pid=connection.info.backend_pid))
        found: list[Any] = cursor.fetchall()
    connection.autocommit = False
    return found


def _find_async(connection: Any, statement: str) -> list[Any]:
    async def find(driver: Any) -> list[Any]:
        # In a transaction, and without a name: a pooler could run another client's statement of the same name.
        async with driver.transaction():
            prepared = await driver.prepare(statement.format(pid=driver.get_server_pid()), name="")
            found: list[Any] = await prepared.fetch()
        return found

    try:
        found: list[Any] = connection.run_async(find)
    except Exception as error:
        # One that the server ended as it began is no lost connection for SQLAlchemy, which has none yet.
        if sqlstate(error) is None:
            lost = f"the connection was lost as it began: {error}; the next call connects again"
            raise DatabaseUnavailable(lost) from error
        connection._handle_exception(error)  # raises it as SQLAlchemy's
    return found


def _leave_statements_unnamed(
    _dialect: Dialect, _record: object, _args: object, options: dict[str, Any]
) -> None:
    """Let asyncpg prepare statements without a name, anew for each call, which every pooler lives with."""
    # 70 ms of the start of programs that use no asyncio.
    from tradebook.adapters.engine.limited_asyncpg import LimitedConnection

    options |= {
        "connection_class": LimitedConnection,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": str,
        "statement_cache_size": 0,
    }
