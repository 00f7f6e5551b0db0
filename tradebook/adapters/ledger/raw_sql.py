"""Connections for single statements: a session's own, or the driver's past SQLAlchemy, in autocommit mode.

For a statement of one row SQLAlchemy's connection takes longer than SQLite itself. It is used all the same where
the engine echoes its statements or has listeners for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.pool import PoolProxiedConnection

from tradebook.adapters.engine.transactions import begin_sqlite
from tradebook.adapters.ledger.single_trade import Sender


@contextmanager
def autocommit(engine: Engine) -> Iterator[Sender]:
    """Check out a connection that commits each statement; on SQLite it commits once, when the block ends."""
    if engine.dialect.name == "sqlite":
        if _is_observed(engine):
            with engine.begin() as connection:
                yield Sender.from_connection(connection)
        else:
            with _driver_connection(engine) as sender:
                begin_sqlite(sender.info, lambda text: sender.send(text, ()), read_only=False)
                yield sender
                sender.send("COMMIT", ())
    elif _is_observed(engine):
        with (
            engine.connect() as connection,
            _driver_autocommit(engine, connection.connection, connection),
        ):
            yield Sender.from_connection(connection)
    else:
        with _driver_connection(engine) as sender:
            yield sender


def _is_observed(engine: Engine) -> bool:
    listening = engine.dispatch
    return bool(engine.echo or listening.before_cursor_execute or listening.after_cursor_execute)


@contextmanager
def _driver_connection(engine: Engine) -> Iterator[Sender]:
    connection = engine.raw_connection()
    try:
        with _driver_autocommit(engine, connection, connection):
            cursor = connection.cursor()

            def send(statement: str, parameters: Any) -> Any:
                cursor.execute(statement, parameters)
                return cursor.fetchone() if cursor.description else None

            yield Sender(engine.dialect, connection.info, send)
            cursor.close()
    finally:
        connection.close()


@contextmanager
def _driver_autocommit(
    engine: Engine, connection: PoolProxiedConnection, owner: Connection | PoolProxiedConnection
) -> Iterator[None]:
    """Switch the driver to autocommit inside the block; after any failure the connection is discarded."""
    driver: Any = connection.dbapi_connection
    try:
        if engine.dialect.driver == "psycopg2":
            # Reset the READ ONLY state that a reader left: otherwise psycopg2 sends SET before the statement
            # and RESET after it, two extra round trips.
            driver.set_session(isolation_level="DEFAULT", readonly="DEFAULT")
        if engine.dialect.name == "postgresql":
            driver.autocommit = True  # a flag of the driver: no round trip, and no BEGIN and COMMIT
        yield
        if engine.dialect.name == "postgresql":
            driver.autocommit = False
    except BaseException:
        owner.invalidate()
        raise
