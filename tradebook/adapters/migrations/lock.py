"""The lock under which one process at a time migrates a database.

On PostgreSQL it is two locks. Any role may take an advisory lock, so it alone would let a reader block every
upgrade: it keeps processes of earlier versions apart, which take no other, and is not waited for where its holder
could not migrate. The lock of the table `alembic_version` takes a right to change that table, which no reader or
writer has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tradebook.adapters.engine.connect_errors import sqlstate
from tradebook.adapters.engine.lock_waits import LOCK_NOT_AVAILABLE
from tradebook.adapters.engine.poolers import require_session
from tradebook.adapters.migrations.online_ddl import LOCK_TIMEOUT
from tradebook.adapters.migrations.revisions import ReportLine

ADVISORY_KEY: Final = 7_236_110_914_227
_POLL_SECONDS: Final = 0.1

_TRY_ADVISORY: Final = text("SELECT pg_try_advisory_lock(:key)")
# The table to lock, where this role may change it: no other role can migrate. NULL before the first revision.
_VERSIONS: Final = text(
    "SELECT CASE WHEN has_table_privilege(c.oid, 'UPDATE') THEN format('%I.%I', nspname, relname) END "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
    "WHERE c.oid = to_regclass('alembic_version')"
)
# A revision's own UPDATE of the table does not conflict with this mode, and a second process's lock does.
_LOCK_TABLE: Final = "LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE NOWAIT"
# Before the first revision there is no owner yet: then every holder may be one that migrates.
_HOLDERS: Final = text(
    "SELECT a.pid, usename, application_name, coalesce(xact_start, backend_start) AS since, "
    "coalesce(pg_has_role(usesysid, relowner, 'MEMBER'), true) AS may_migrate "
    "FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
    "JOIN pg_database d ON d.oid = l.database AND d.datname = current_database() "
    "LEFT JOIN pg_class c ON c.oid = to_regclass('alembic_version') "
    "WHERE granted AND pid <> pg_backend_pid() AND CASE WHEN :advisory THEN locktype = 'advisory' "
    "AND classid::bigint << 32 | objid::bigint = :key AND objsubid = 1 "
    "ELSE relation = c.oid AND mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock') END "
    "ORDER BY may_migrate DESC, since"
)
ENDLESS: Final = text(
    "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN "
    "('idle_in_transaction_session_timeout', 'statement_timeout', 'transaction_timeout')"
)


@contextmanager
def migration_lock(connection: Connection, report: ReportLine) -> Iterator[None]:
    """Hold the lock under which one process at a time migrates a database; `report` names who has it."""
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        # SQLite ignores this PRAGMA inside a transaction, and a rebuilt table must be dropped with it off.
        driver.execute("PRAGMA foreign_keys=OFF")
        try:
            with connection.begin():
                yield
        finally:
            driver.execute("PRAGMA foreign_keys=ON")
        return
    _require_session(connection)
    connection.execute(text("SET statement_timeout = 0"))
    connection.execute(text(f"SET lock_timeout = {LOCK_TIMEOUT}"))
    connection.commit()
    with ExitStack() as held:
        table = connection.scalar(_VERSIONS)
        connection.commit()
        if table is not None:
            guard = held.enter_context(_second_connection(connection.engine))
            _acquire(connection, report, lambda: _lock_table(guard, table), is_advisory=False)
        _acquire(connection, report, lambda: _lock_key(connection), is_advisory=True)
        try:
            yield
        finally:
            with suppress(SQLAlchemyError):  # the server releases the locks of a lost connection
                connection.rollback()
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_KEY})
            connection.invalidate()  # the timeouts set above must not reach the pool's next user


def _require_session(connection: Connection) -> None:
    """Refuse a pooler that would leave the advisory lock and the timeouts on connections of other clients."""
    backends = []
    for _ in range(2):
        backends.append(connection.scalar(text("SELECT pg_backend_pid()")))
        connection.commit()
    require_session(connection.info, backends)


def _acquire(
    connection: Connection, report: ReportLine, attempt: Callable[[], bool], *, is_advisory: bool
) -> None:
    """Poll for a lock until it is held, or until the holder of the advisory lock is one that cannot migrate.

    A waiting `pg_advisory_lock` would keep a transaction open, and the CREATE INDEX CONCURRENTLY of the process
    that holds the lock waits for all older transactions to end: a deadlock.
    """
    is_reported = False
    while not attempt():
        values = {"advisory": is_advisory, "key": ADVISORY_KEY}
        holder = connection.execute(_HOLDERS, values).first()
        connection.commit()
        if holder is not None and not holder.may_migrate:
            report(
                f"{_named(holder)} holds the advisory lock of migrations, and may not migrate: it is "
                "not waited for"
            )
            return
        if holder is not None and not is_reported:
            report(
                f"another process is migrating this database: {_named(holder)}; waiting for it to finish"
            )
            is_reported = True
        time.sleep(_POLL_SECONDS)


def _named(holder: Row[Any]) -> str:
    # Of other roles' sessions, only administrators and pg_monitor see the time.
    since = f", since {holder.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if holder.since else ""
    return f"pid {holder.pid} (application {holder.application_name!r} of {holder.usename}{since})"


def _lock_key(connection: Connection) -> bool:
    """Try to take the advisory lock, which the session holds across the transactions of all revisions."""
    is_held = bool(connection.scalar(_TRY_ADVISORY, {"key": ADVISORY_KEY}))
    connection.commit()
    return is_held


def _lock_table(guard: Connection, table: str) -> bool:
    """Try to lock a table until the transaction ends, which has no snapshot that an index build waits for."""
    try:
        guard.exec_driver_sql(_LOCK_TABLE.format(table))
    except DBAPIError as error:
        guard.rollback()
        if sqlstate(error.orig) != LOCK_NOT_AVAILABLE:
            raise
        return False
    return True


@contextmanager
def _second_connection(engine: Engine) -> Iterator[Connection]:
    """Yield a connection without timeouts, outside the engine's pool, which may have no second one."""
    own = Engine(engine.pool.recreate(), engine.dialect, engine.url)
    try:
        with own.connect() as connection:
            connection.execute(ENDLESS)
            connection.commit()
            yield connection
    finally:
        own.dispose()
