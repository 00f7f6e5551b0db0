"""How transactions begin and end on each database: to write, to read, and for one statement alone."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, Engine, event

READ_ONLY: Final = "tradebook_read_only"
"""An execution option: one consistent view, no write lock."""
ONE_STATEMENT: Final = "tradebook_one_statement"
"""An execution option: each statement is a transaction by itself."""

_READING: Final = "REPEATABLE READ"


def listen_to_transactions(engine: Engine) -> None:
    """Let the transactions of an engine on psycopg2 begin as its execution options say."""
    event.listen(engine, "connect", _set_utc)
    event.listen(engine, "begin", _begin)
    event.listen(engine, "reset", _reset)


def _set_utc(connection: Any, _record: object) -> None:
    # Times arrive as text in the session's zone: west of UTC, the first hours of year 1 would be in
    # year 0, which Python does not have.
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SET TIME ZONE 'UTC'")
    connection.autocommit = False


# SQLAlchemy's own `isolation_level` option would take two round trips more for each read: outside a
# transaction psycopg2 sends a SET for an isolation level, and another one to take it back.


def _begin(connection: Connection) -> None:
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


def _reset(connection: Any, record: Any, _state: object) -> None:
    if record.info.pop(READ_ONLY, False):
        connection.set_session(isolation_level="DEFAULT", readonly="DEFAULT", autocommit=False)
