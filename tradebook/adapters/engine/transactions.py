"""How transactions begin and end on each database: to write, to read, and for one statement alone."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, Final

from sqlalchemy import Connection, Engine, event

READ_ONLY: Final = "tradebook_read_only"
"""An execution option: one consistent view, no write lock."""
ONE_STATEMENT: Final = "tradebook_one_statement"
"""An execution option: each statement is a transaction by itself."""

_READING: Final = "REPEATABLE READ"


def listen_to_transactions(engine: Engine) -> None:
    """Let an engine's transactions begin as the execution options of their connections say."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "begin", _begin_sqlite)
        event.listen(engine, "reset", _end_sqlite)
    elif engine.dialect.driver == "psycopg2":
        event.listen(engine, "connect", _speak_utc)
        event.listen(engine, "begin", _begin_psycopg2)
        event.listen(engine, "reset", _end_psycopg2)


def _begin_sqlite(connection: Connection) -> None:
    read_only = bool(connection.get_execution_options().get(READ_ONLY))
    begin_sqlite(connection.info, connection.exec_driver_sql, read_only=read_only)


def begin_sqlite(
    info: MutableMapping[Any, Any], send: Callable[[str], object], *, read_only: bool
) -> None:
    """Writers queue at BEGIN, where waiting is safe; a deferred one could fail in the middle."""
    if info.pop(READ_ONLY, None) is not read_only:
        send(f"PRAGMA query_only={'ON' if read_only else 'OFF'}")
    info[READ_ONLY] = read_only
    send("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _end_sqlite(connection: Any, _record: object, _state: object) -> None:
    """A COMMIT that finds the database busy leaves its transaction open; SQLAlchemy thinks it ended."""
    if getattr(connection, "driver_connection", connection).in_transaction:
        connection.rollback()


def _speak_utc(connection: Any, _record: object) -> None:
    """Times come as text: west of UTC the first hours of the year 1 would be of no year of Python's."""
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SET TIME ZONE 'UTC'")
    connection.autocommit = False


# SQLAlchemy's own options would do, but for two round trips more each time: psycopg2 tells the server of
# an isolation level at once where there is no BEGIN to say it in, and takes it back the same way.


def _begin_psycopg2(connection: Connection) -> None:
    options = connection.get_execution_options()
    driver = connection.connection.driver_connection
    assert driver is not None
    if options.get(ONE_STATEMENT):
        driver.autocommit = True
    elif options.get(READ_ONLY):
        driver.set_session(isolation_level=_READING, readonly=True)
    else:
        return
    connection.info[READ_ONLY] = True


def _end_psycopg2(connection: Any, record: Any, _state: object) -> None:
    if record.info.pop(READ_ONLY, False):
        connection.set_session(isolation_level="DEFAULT", readonly="DEFAULT", autocommit=False)
