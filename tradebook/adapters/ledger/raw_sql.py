"""How single statements reach the database: in a session's transaction, or past SQLAlchemy, committed at once.

SQLAlchemy's own connection takes longer for a statement than SQLite does. It is used all the same where
somebody watches: an engine that echoes, or has listeners for statements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Dialect, Engine
from sqlalchemy.pool import PoolProxiedConnection

from tradebook.adapters.engine.sqlite import begin_sqlite


@frozen
class Sender:
    """Where statements go.

    Attributes:
        dialect: of the database and its driver.
        info: what is known of the driver's connection, for as long as it is open.
        send: sends a statement with its parameters, gives its first row, or None.
    """

    dialect: Dialect
    info: dict[Any, Any]
    send: Callable[[str, Any], Any]

    @classmethod
    def of(cls, connection: Connection) -> Sender:
        """To a connection of SQLAlchemy, in its transaction."""

        def send(statement: str, parameters: Any) -> Any:
            result = connection.exec_driver_sql(statement, parameters)
            return result.first() if result.returns_rows else None

        return cls(connection.dialect, connection.info, send)


@contextmanager
def committing(engine: Engine) -> Iterator[Sender]:
    """To a connection of the pool that commits each statement; on SQLite all of them, at the end."""
    if engine.dialect.name == "sqlite":
        if _is_watched(engine):
            with engine.begin() as connection:
                yield Sender.of(connection)
        else:
            with _driver(engine) as sender:
                begin_sqlite(sender.info, lambda text: sender.send(text, ()), read_only=False)
                yield sender
                sender.send("COMMIT", ())
    elif _is_watched(engine):
        with (
            engine.connect() as connection,
            _own_commits(engine, connection.connection, connection),
        ):
            yield Sender.of(connection)
    else:
        with _driver(engine) as sender:
            yield sender


def _is_watched(engine: Engine) -> bool:
    listening = engine.dispatch
    return bool(engine.echo or listening.before_cursor_execute or listening.after_cursor_execute)


@contextmanager
def _driver(engine: Engine) -> Iterator[Sender]:
    """To the driver itself."""
    connection = engine.raw_connection()
    try:
        with _own_commits(engine, connection, connection):
            cursor = connection.cursor()

            def send(statement: str, parameters: Any) -> Any:
                cursor.execute(statement, parameters)
                return cursor.fetchone() if cursor.description else None

            yield Sender(engine.dialect, connection.info, send)
            cursor.close()
    finally:
        connection.close()


@contextmanager
def _own_commits(
    engine: Engine, connection: PoolProxiedConnection, owner: Connection | PoolProxiedConnection
) -> Iterator[None]:
    """Inside, the driver begins no transactions; on SQLite it never does.

    After any failure the connection is not used again.
    """
    driver: Any = connection.dbapi_connection
    try:
        if engine.dialect.driver == "psycopg2":
            # What a reader left, psycopg2 would send to the server, and take back later.
            driver.set_session(isolation_level="DEFAULT", readonly="DEFAULT")
        if engine.dialect.name == "postgresql":
            driver.autocommit = True  # tells the driver alone: BEGIN and COMMIT are saved
        yield
        if engine.dialect.name == "postgresql":
            driver.autocommit = False
    except BaseException:
        owner.invalidate()
        raise
