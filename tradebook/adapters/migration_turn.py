"""One at a time: while one process migrates a database, the next waits its turn.

On PostgreSQL by a lock of the session that is asked for again and again: who waited for it in a
statement would be a transaction that `CREATE INDEX CONCURRENTLY` waits for, and the two would wait for
each other. A session-level lock needs a session of one's own, so migrations go past transaction-pooling
proxies. On SQLite the transaction that writes is the turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from tradebook.adapters.changes import LOCK_TIMEOUT

Report = Callable[[str], None]
"""Takes a line that says what goes on."""

_KEY: Final = 7_236_110_914_227
_BETWEEN_TRIES: Final = 0.1  # seconds


@contextmanager
def turn(connection: Connection, report: Report) -> Iterator[None]:
    """Inside, nobody else migrates the database; each revision is a transaction, on SQLite all are one."""
    on_sqlite = connection.dialect.name == "sqlite"
    with _on_sqlite(connection) if on_sqlite else _on_postgresql(connection, report):
        yield


@contextmanager
def _on_sqlite(connection: Connection) -> Iterator[None]:
    """Foreign keys can be switched between transactions only; a table that is rebuilt is dropped once."""
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        with connection.begin():
            yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


@contextmanager
def _on_postgresql(connection: Connection, report: Report) -> Iterator[None]:
    # Migrations may take long, but nobody waits long behind them.
    connection.execute(text("SET statement_timeout = 0"))
    connection.execute(text(f"SET lock_timeout = {LOCK_TIMEOUT}"))
    connection.commit()
    _wait(connection, report)
    try:
        yield
    finally:
        with suppress(SQLAlchemyError):  # a lost connection has lost its lock
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _KEY})
        connection.invalidate()  # what is set here is not for the pool's next


def _wait(connection: Connection, report: Report) -> None:
    waits = False
    while not _take(connection):
        if not waits:
            report("another process migrates this database: waiting for its end")
        waits = True
        time.sleep(_BETWEEN_TRIES)


def _take(connection: Connection) -> bool:
    taken = connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _KEY})
    connection.commit()
    return bool(taken)
