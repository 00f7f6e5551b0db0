"""Statements to a server that no unit of work is for: settings, other databases, exported snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.errors import translated_errors
from tradebook.config import DatabaseConfig
from tradebook.domain.errors import DatabaseUnavailable, OperationFailed


def require_file(config: DatabaseConfig) -> None:
    """Whether there is something to look at: opening a SQLite file that is missing would make it.

    Raises:
        DatabaseUnavailable: it is a SQLite file that does not exist.
    """
    path = str(config.path)
    made_anew = config.path is None or config.is_in_memory or path.startswith("file:")
    if not made_anew and not Path(path).exists():
        raise DatabaseUnavailable(f"there is no file {path}; check --database")


@frozen
class Statements:
    """A connection on which each statement is a transaction by itself, unless BEGIN is sent."""

    connection: Any

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What a statement returns; nothing where it returns nothing.

        Raises:
            OperationFailed: the server refused it; says why.
        """
        with self.connection.cursor() as cursor:
            try:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []
            except self.connection.Error as error:
                raise OperationFailed(" ".join(str(error).split())) from error

    def value(self, statement: str, *values: object) -> Any:
        """The first value that a statement returns; None where it returns nothing."""
        rows: Sequence[tuple[Any, ...]] = self.rows(statement, *values)
        return rows[0][0] if rows else None

    @property
    def version(self) -> int:
        """The server's major version."""
        return int(self.connection.server_version) // 10_000


@contextmanager
def connected(config: DatabaseConfig) -> Iterator[Statements]:
    """A connection of its own to a PostgreSQL database.

    Raises:
        DatabaseUnavailable: the server is not reachable; says what to look at.
    """
    with (
        engine_for(config) as engine,
        translated_errors(),
        closing(engine.raw_connection()) as connection,
    ):
        driver: Any = connection.driver_connection
        driver.rollback()
        driver.autocommit = True
        with driver.cursor() as cursor:  # while a program works beside it, it only waits
            cursor.execute("SET idle_in_transaction_session_timeout = 0")
            cursor.execute("SET statement_timeout = 0")
        yield Statements(driver)
        connection.invalidate()  # whatever state it is in, nobody else gets it
