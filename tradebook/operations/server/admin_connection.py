"""Connections for administration: statements that no unit of work is for, such as settings and exported snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.errors import translated_errors
from tradebook.config import DatabaseConfig
from tradebook.domain.errors import DatabaseUnavailable, OperationFailed


def require_file(config: DatabaseConfig) -> None:
    """Refuse a SQLite file that does not exist, which SQLite would create on connecting.

    Raises:
        DatabaseUnavailable: there is no such file.
    """
    path = str(config.path)
    is_file = config.path is not None and not config.is_in_memory and not path.startswith("file:")
    if is_file and not Path(path).exists():
        raise DatabaseUnavailable(f"there is no file {path}; check --database")


@frozen
class AdminConnection:
    """A connection in autocommit mode: each statement is a transaction, unless BEGIN is sent.

    Attributes:
        driver: the connection of psycopg2.
    """

    driver: Any

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Execute a statement and return its rows; none where it returns nothing.

        Raises:
            OperationFailed: the server refused it; the message is the server's.
        """
        with self.driver.cursor() as cursor:
            try:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []
            except self.driver.Error as error:
                raise OperationFailed(" ".join(str(error).split())) from error

    def value(self, statement: str, *values: object) -> Any:
        """Execute a statement and return its first value; None where it returns no row."""
        rows = self.rows(statement, *values)
        return rows[0][0] if rows else None

    @property
    def version(self) -> int:
        """The server's major version, such as 18."""
        return int(self.driver.server_version) // 10_000


@contextmanager
def open_admin_connection(config: DatabaseConfig) -> Iterator[AdminConnection]:
    """Open a connection to a PostgreSQL database, outside any pool of the application."""
    with (
        engine_for(config) as engine,
        translated_errors(),
        closing(engine.raw_connection()) as connection,
    ):
        driver: Any = connection.driver_connection
        driver.rollback()  # psycopg2 refuses to change autocommit inside a transaction
        driver.autocommit = True
        with driver.cursor() as cursor:
            # While pg_dump reads the snapshot that this connection exports, it is idle in a transaction.
            cursor.execute("SET idle_in_transaction_session_timeout = 0")
            cursor.execute("SET statement_timeout = 0")
        yield AdminConnection(driver)
        connection.invalidate()  # closed, not pooled: its settings are its own
