"""PostgreSQL's COPY through both drivers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from io import BytesIO
from typing import Any, Final

from sqlalchemy import Connection, Select

from tradebook.adapters.engine.connect_errors import sqlstate
from tradebook.domain.errors import DatabaseUnavailable

_PIECE: Final = 1 << 20
"""Bytes that psycopg2 reads at a time; for each read it waits for the interpreter's lock."""
_ESCAPES: Final = {c: f"\\{letter}" for c, letter in zip("\\\b\f\n\r\t\v", "\\bfnrtv", strict=True)}
_TRANSLATION: Final = str.maketrans(_ESCAPES)
_UNESCAPES: Final = {escape: c for c, escape in _ESCAPES.items()}
_ESCAPED: Final = re.compile(r"\\.")
_TAKEN: Final = "23505"


def is_secured(connection: Connection) -> bool:
    """Report whether row-level security applies to this role; COPY refuses such tables."""
    secured = "SELECT row_security_active('trades') OR row_security_active('events')"
    return bool(connection.exec_driver_sql(secured).scalar_one())


def copy_rows(
    connection: Connection, table: str, columns: Sequence[str], rows: bytes, *, staged: bool = False
) -> None:
    """Insert rows, given in COPY's text format, in the transaction of a connection.

    `staged` copies them into a temporary table, and inserts from there: COPY refuses a table to which
    row-level security applies.
    """
    if not staged:
        _copy(connection, table, columns, rows)
        return
    names, beside = ", ".join(columns), f"tradebook_new_{table}"
    like = f"SELECT {names} FROM {table} WITH NO DATA"  # noqa: S608, names of ours
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {beside} ON COMMIT DROP AS {like}"
    )
    _copy(connection, beside, columns, rows)
    connection.exec_driver_sql(f"INSERT INTO {table} ({names}) SELECT {names} FROM {beside}")  # noqa: S608, names of ours
    connection.exec_driver_sql(f"TRUNCATE {beside}")


def _copy(connection: Connection, table: str, columns: Sequence[str], rows: bytes) -> None:
    raw: Any = connection.connection
    if connection.dialect.is_async:
        raw.run_async(
            lambda driver: driver.copy_to_table(
                table, source=BytesIO(rows), columns=list(columns), format="text", encoding="utf8"
            )
        )
        return
    names = ", ".join(columns)
    statement = f"COPY {table} ({names}) FROM STDIN (FORMAT text, ENCODING 'UTF8')"
    _run_copy(connection, statement, (), BytesIO(rows))


def read_rows(connection: Connection, query: str, values: Sequence[object]) -> bytes:
    """Return the rows of a query in COPY's text format; its `%s` stand for the values."""
    rows = BytesIO()
    statement = f"COPY ({query}) TO STDOUT (FORMAT text, ENCODING 'UTF8')"
    _run_copy(connection, statement, values, rows)
    return rows.getvalue()


def read_csv(connection: Connection, query: Select[Any], values: Mapping[str, Any]) -> bytes:
    """Return the rows of a query in COPY's CSV format, without a header."""
    compiled = query.compile(dialect=connection.dialect)
    bound, rows = compiled.construct_params(values), BytesIO()
    if not connection.dialect.is_async:
        statement = f"COPY ({compiled}) TO STDOUT (FORMAT csv, ENCODING 'UTF8')"
        _run_copy(connection, statement, bound, rows)
        return rows.getvalue()

    async def keep(data: bytes) -> None:
        rows.write(data)

    # The driver begins a transaction, and notices a connection that was lost, with a statement of SQLAlchemy's.
    connection.exec_driver_sql("SELECT 1")
    arguments = [bound[name] for name in compiled.positiontup or ()]
    raw: Any = connection.connection
    raw.run_async(
        lambda driver: driver.copy_from_query(
            str(compiled), *arguments, output=keep, format="csv", encoding="utf8"
        )
    )
    return rows.getvalue()


def _run_copy(
    connection: Connection,
    statement: str,
    values: Sequence[object] | Mapping[str, object],
    stream: BytesIO,
) -> None:
    raw: Any = connection.connection
    with closing(raw.cursor()) as cursor:
        try:
            cursor.copy_expert(cursor.mogrify(statement, values or None), stream, _PIECE)
        except connection.dialect.loaded_dbapi.Error as error:
            if getattr(error, "pgcode", None) is None:
                raise DatabaseUnavailable(
                    f"the connection was lost while copying: {error}"
                ) from error
            raise


def is_taken(error: Exception) -> bool:
    """Report whether a database refused a row because a unique key is taken."""
    cause = getattr(error, "orig", None) or error
    return sqlstate(cause) == _TAKEN or getattr(cause, "sqlite_errorname", "") in (
        "SQLITE_CONSTRAINT_UNIQUE",
        "SQLITE_CONSTRAINT_PRIMARYKEY",
        "SQLITE_CONSTRAINT_ROWID",
    )


def escaped(value: str) -> str:
    """Escape text for a field of COPY's text format, as the server does."""
    # Printable text has none of the other characters: the two checks take 0.1 us, `translate` 0.4 us.
    if value.isprintable() and "\\" not in value:
        return value
    return value.translate(_TRANSLATION)


def unescaped(field: str) -> str:
    """Return the text of a field that the server or `escaped` wrote."""
    return _ESCAPED.sub(lambda found: _UNESCAPES[found[0]], field) if "\\" in field else field
