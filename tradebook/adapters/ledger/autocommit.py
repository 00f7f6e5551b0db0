"""Connections that commit each statement, or on SQLite a few at once: without a session and its transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Dialect, Engine
from sqlalchemy.pool import PoolProxiedConnection

from tradebook.adapters.engine.poolers import POOLED
from tradebook.adapters.engine.sqlite import begin_sqlite
from tradebook.adapters.engine.transactions import READ_ONLY


@frozen
class Sender:
    """A connection to send statements on; `info` lives as long as the driver's connection."""

    dialect: Dialect
    info: dict[Any, Any]
    send: Callable[[str, Any], Any]
    """Sends a statement with its parameters, and returns its first row, or None."""
    pooled: Any = None
    """The driver's connection, where it is asyncpg's through a pooler and outside transactions."""

    @classmethod
    def from_connection(cls, connection: Connection) -> Sender:
        """Make a sender on a connection of SQLAlchemy, in its transaction."""

        def send(statement: str, parameters: Any) -> Any:
            result = connection.exec_driver_sql(statement, parameters)
            return result.first() if result.returns_rows else None

        return cls(connection.dialect, connection.info, send)


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

            pooled = engine.dialect.is_async and connection.info.get(POOLED) == ""
            driver = connection.dbapi_connection if pooled else None
            yield Sender(engine.dialect, connection.info, send, driver)
            cursor.close()
    finally:
        connection.close()


@contextmanager
def _driver_autocommit(
    engine: Engine, connection: PoolProxiedConnection, owner: Connection | PoolProxiedConnection
) -> Iterator[None]:
    """Switch the driver to autocommit inside the block; after any failure the connection is discarded."""
    driver: Any = connection.dbapi_connection
    # Through a pooler asyncpg sends BEGIN all the same where the connection has limits, which travel with it.
    commits = engine.dialect.is_async and bool(connection.info.get(POOLED))
    try:
        if engine.dialect.driver == "psycopg2":
            # Reset the READ ONLY state that a reader left: otherwise psycopg2 sends SET before the statement
            # and RESET after it, two extra round trips.
            driver.set_session(isolation_level="DEFAULT", readonly="DEFAULT")
            # The pool resets autocommit where an exception that is thrown into the thread skips this block's end.
            connection.info[READ_ONLY] = True
        if engine.dialect.name == "postgresql" and not commits:
            driver.autocommit = True  # a flag of the driver: no round trip, and no BEGIN and COMMIT
        yield
        if commits:
            driver.commit()
        elif engine.dialect.name == "postgresql":
            driver.autocommit = False
            connection.info.pop(READ_ONLY, None)
    except BaseException:
        if connection.is_valid:  # not closed already, where an exception was thrown into `__exit__`
            owner.invalidate()
        raise
