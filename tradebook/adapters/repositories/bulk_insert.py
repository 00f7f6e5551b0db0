"""Inserts of many new records of one kind: by COPY on psycopg2, in one statement elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection, Table, text

from tradebook.adapters.engine.postgresql_copy import copy_rows, escaped, is_secured, is_taken
from tradebook.adapters.types import Json
from tradebook.domain.numbers import plain
from tradebook.service_layer.ports.columns import json_text

_NULL: Final = "\\N"
_WRITE: Final[Mapping[type, Any]] = {
    bool: lambda value: "t" if value else "f",
    datetime: datetime.isoformat,
    Decimal: plain,
    str: escaped,
    type(None): lambda _: _NULL,
}
"""Writers of COPY's text format by type; other values are written by `str`."""


def add_together(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]]
) -> Sequence[int] | None:
    """Insert rows with new ids, all or none.

    Returns:
        The ids, or None when a unique key of one is taken: then nothing was inserted.
    """
    ids = new_ids(connection, table.name, len(rows))
    complete = [{**row, "id": id_} for row, id_ in zip(rows, ids, strict=True)]
    is_done = all_new(connection, lambda: insert_rows(connection, table, complete))
    return ids if is_done else None


def insert_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows that have all columns."""
    # COPY takes 0.6 times as long as INSERT on psycopg2, with 100 records as with 10,000. On asyncpg,
    # whose executemany is pipelined, it gains nothing.
    if connection.dialect.driver == "psycopg2":
        lines, staged = _lines(table, rows), is_secured(connection)
        copy_rows(connection, table.name, table.columns.keys(), lines, staged=staged)
    else:
        connection.execute(table.insert(), rows)


def all_new(connection: Connection, write: Callable[[], object]) -> bool:
    """Write rows that should be new; return False, with nothing written, when a unique key is taken.

    The same where `write` returns False.
    """
    connection.exec_driver_sql("SAVEPOINT tradebook_new")
    try:
        is_new = write() is not False
    except Exception as error:
        if not is_taken(error):
            raise
        is_new = False
    if not is_new:
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT tradebook_new")
    connection.exec_driver_sql("RELEASE SAVEPOINT tradebook_new")
    return is_new


def new_ids(connection: Connection, table: str, count: int) -> Sequence[int]:
    """Take ids from the identity sequence; on SQLite, which has one writer, the next ones."""
    if connection.dialect.name == "postgresql":
        ids = text(
            "SELECT array_agg(nextval(ids)) "
            "FROM (SELECT CAST(pg_get_serial_sequence(:table, 'id') AS regclass) AS ids) AS ids "
            "CROSS JOIN generate_series(1, CAST(:count AS integer))"
        )
        return list(connection.execute(ids, {"table": table, "count": count}).scalar_one())
    last = text("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = :table")
    first: int = connection.execute(last, {"table": table}).scalar_one() + 1
    return range(first, first + count)


def _lines(table: Table, rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Render rows in COPY's text format."""
    fields = [
        (name, _json if isinstance(column.type, Json) else copy_text)
        for name, column in table.columns.items()
    ]
    lines = ["\t".join([write(row[name]) for name, write in fields]) for row in rows]
    return "\n".join([*lines, ""]).encode()


def copy_text(value: Any) -> str:
    """Return a value as a field of COPY's text format."""
    write: Callable[[Any], str] = _WRITE.get(type(value), str)
    return write(value)


def _json(value: Any) -> str:
    return _NULL if value is None else escaped(json_text(value))
