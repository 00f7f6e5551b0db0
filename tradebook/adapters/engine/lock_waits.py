"""Waits for locks: their default limits on PostgreSQL, and the name of the session that holds the lock.

The server ends a wait for a lock, and a session that idles in a transaction; its errors name nobody. Notes on
the driver's errors say who holds the lock, or for how long the connection was held; `translated` passes them on.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import SQLAlchemyError

from tradebook.adapters.columns import metadata
from tradebook.adapters.engine.connect_errors import sqlstate
from tradebook.adapters.engine.pool import WatchedPool
from tradebook.adapters.engine.poolers import limits_of
from tradebook.config import DatabaseConfig

LOCK_NOT_AVAILABLE: Final = "55P03"
"""The SQLSTATE of a wait for a lock that reached its limit."""

_ROW: Final = re.compile(r'tuple (\(\d+,\d+\)) in relation "(\w+)"')
_WAL_WRITE_LOCK: Final = 120
"""The byte of a `-shm` file that SQLite's writer locks."""


def explain_waits(engine: Engine, config: DatabaseConfig) -> None:
    """Note on errors of waiting who is waited for, and on a connection that idled too long for how long."""
    if config.backend == "sqlite":
        event.listen(engine, "handle_error", _note_writer)
        return
    event.listen(engine, "handle_error", _note_holder)
    idle_limit = limits_of(config)["idle_in_transaction_session_timeout"]
    if idle_limit:
        event.listen(engine, "handle_error", partial(_note_idling, idle_limit / 1000))


def _note_holder(context: ExceptionContext) -> None:
    error: Any = context.original_exception
    if sqlstate(error) != LOCK_NOT_AVAILABLE:
        return
    detail = getattr(error, "diag", None) or error.__cause__
    row = _ROW.search(getattr(detail, "context", None) or "")
    engine = context.engine
    if row is None or row[2] not in metadata.tables or engine is None or not _has_free(engine):
        return
    with suppress(SQLAlchemyError), engine.connect() as connection:
        found = connection.exec_driver_sql(
            f"SELECT pid, application_name, state, xact_start FROM {row[2]} AS held"  # noqa: S608
            " JOIN pg_locks ON locktype = 'transactionid' AND granted AND transactionid = held.xmax"
            f" JOIN pg_stat_activity USING (pid) WHERE held.ctid = '{row[1]}'"
        ).first()
        if found is not None:
            error.add_note(_described(*found))


def _described(pid: int, application: str | None, state: str | None, since: datetime | None) -> str:
    named = f"{application!r}" if application else "no application_name"
    start = f", since {since.astimezone(UTC):%H:%M:%S} UTC" if since else ""
    return f"held by pid {pid} ({named}), {state or 'of another role'}{start}"


def _has_free(engine: Engine) -> bool:
    pool = engine.pool
    return isinstance(pool, WatchedPool) and pool.has_free


def _note_idling(limit: float, context: ExceptionContext) -> None:
    """Note on a lost connection that the server may have ended it, where it was held for longer than the limit."""
    pool = None if context.engine is None else context.engine.pool
    if not context.is_disconnect or not isinstance(pool, WatchedPool):
        return
    since = pool.held_since(getattr(context.connection, "_dbapi_connection", None))
    if since is not None and time.monotonic() - since >= limit:
        context.original_exception.add_note(
            f"it was in use for {time.monotonic() - since:.1f} s, and the server ends a session that idles in a "
            f"transaction for {limit:g} s (TRADEBOOK_DB_IDLE_IN_TRANSACTION_SESSION_TIMEOUT)"
        )


def _note_writer(context: ExceptionContext) -> None:
    error: Any = context.original_exception
    if not str(getattr(error, "sqlite_errorname", "")).startswith("SQLITE_BUSY"):
        return
    engine = context.engine
    pid = None if engine is None else _writer(str(engine.url.database))
    if pid == os.getpid() and engine is not None and isinstance(engine.pool, WatchedPool):
        error.add_note(f"held by this process{engine.pool.oldest_use()}")
    elif pid is not None:
        with suppress(OSError):
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            error.add_note(f"held by pid {pid} ({name!r})")


def _writer(path: str) -> int | None:
    """Return the process that holds SQLite's write lock on a file, where the system shows that."""
    with suppress(OSError, ValueError):
        inode = Path(f"{path}-shm").stat().st_ino
        for line in Path("/proc/locks").read_text().splitlines():
            _, kind, _, mode, pid, place, first, last = line.split()[:8]
            is_on_file = place.rpartition(":")[2] == str(inode) and kind == "POSIX"
            if is_on_file and mode == "WRITE" and int(first) <= _WAL_WRITE_LOCK <= int(last):
                return int(pid)
    return None
