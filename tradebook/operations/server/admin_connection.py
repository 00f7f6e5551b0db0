"""Connections for administration: statements that no unit of work is for, such as settings and exported snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from attrs import frozen

from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.engine.poolers import require_session
from tradebook.adapters.errors import translated_errors
from tradebook.config import DatabaseConfig
from tradebook.config.urls import MEMORY
from tradebook.domain.errors import DatabaseUnavailable, InvalidInput, OperationFailed


def has_file(config: DatabaseConfig) -> bool:
    """Tell whether connecting creates no SQLite file: it exists, or there is none to create."""
    return _missing_file(config) is None


def require_file(config: DatabaseConfig) -> None:
    """Refuse a SQLite file that does not exist, which SQLite would create on connecting."""
    path = _missing_file(config)
    if path is not None:
        raise DatabaseUnavailable(
            f"there is no file {path}; check --database, or begin a book: `tradebook init` makes an empty one, "
            "`tradebook demo` one to explore"
        )


def _missing_file(config: DatabaseConfig) -> str | None:
    """Return the path of the SQLite file that connecting would create."""
    if config.path is None or config.is_in_memory:
        return None
    path, is_made = str(config.path), True
    if (
        path.startswith("file:") and "uri" in config.parameters
    ):  # parameters decide what SQLite does
        is_made = "vfs" not in config.parameters and config.parameters.get("mode", "rwc") == "rwc"
        path = unquote(urlsplit(path).path)
    return path if is_made and path != MEMORY and not Path(path).exists() else None


@frozen
class AdminConnection:
    """A connection in autocommit mode: each statement is a transaction, unless BEGIN is sent.

    Attributes:
        driver: the connection of psycopg2.
    """

    driver: Any

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Execute a statement and return its rows; raise `OperationFailed` with the server's message."""
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
    """Open a connection to a PostgreSQL database, outside any pool of the application.

    Raises:
        InvalidInput: the database is a SQLite file.
        OperationFailed: a connection pooler stands between.
    """
    if config.path is not None:
        raise InvalidInput("database", config.safe_url, "a PostgreSQL database: a file has no log")
    with (
        engine_for(config.for_sessions()) as engine,
        translated_errors(),
        closing(engine.raw_connection()) as connection,
    ):
        require_session(connection.info, ())
        driver: Any = connection.driver_connection
        driver.rollback()  # psycopg2 refuses to change autocommit inside a transaction
        driver.autocommit = True
        with driver.cursor() as cursor:
            # While pg_dump reads the snapshot that this connection exports, it is idle in a transaction.
            cursor.execute("SET idle_in_transaction_session_timeout = 0")
            cursor.execute("SET statement_timeout = 0")
        yield AdminConnection(driver)
        connection.invalidate()  # closed, not pooled: its settings are its own
