"""PostgreSQL's COPY, through the drivers: psycopg2 reads from a file, asyncpg from an iterator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection

from tradebook.domain.errors import DatabaseUnavailable

_LINES: Final = 300
_TAKEN: Final = "23505"


def copy_rows(
    connection: Connection, table: str, columns: Sequence[str], lines: Iterator[str]
) -> None:
    """Insert rows, given as lines of COPY's text format; they are read while the server takes them."""
    raw: Any = connection.connection
    if connection.dialect.is_async:
        raw.run_async(
            lambda driver: driver.copy_to_table(
                table, source=_sent(lines), columns=list(columns), format="text", encoding="utf8"
            )
        )
        return
    names = ", ".join(columns)
    with closing(raw.cursor()) as cursor:
        try:
            cursor.copy_expert(
                f"COPY {table} ({names}) FROM STDIN (FORMAT text, ENCODING 'UTF8')", _File(lines)
            )
        except connection.dialect.loaded_dbapi.Error as error:
            if getattr(error, "pgcode", None) is None:
                raise DatabaseUnavailable(
                    f"the connection was lost while copying: {error}"
                ) from error
            raise


def is_taken(error: Exception) -> bool:
    """Whether a database says that a unique key is taken."""
    cause = getattr(error, "orig", None) or error
    state = getattr(cause, "pgcode", None) or getattr(cause, "sqlstate", None)
    return state == _TAKEN or getattr(cause, "sqlite_errorname", "") in (
        "SQLITE_CONSTRAINT_UNIQUE",
        "SQLITE_CONSTRAINT_PRIMARYKEY",
        "SQLITE_CONSTRAINT_ROWID",
    )


class _File:
    """What psycopg2 reads from."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines

    def read(self, _size: int = -1) -> bytes:
        return _chunk(self._lines)


async def _sent(lines: Iterator[str]) -> AsyncIterator[bytes]:
    while chunk := _chunk(lines):
        yield chunk


def _chunk(lines: Iterator[str]) -> bytes:
    return "".join(islice(lines, _LINES)).encode()
