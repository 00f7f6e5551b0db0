"""Tables as lines of text, alike on both databases, so that a table can be copied and compared by its bytes.

The lines are those of COPY's text format. Between databases of one kind they hold each value as it is stored. Between
SQLite and PostgreSQL, which store some values in different ways, each value has one form: a decimal is plain text, a
time has microseconds, and JSON is as PostgreSQL's JSONB writes it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from json import JSONDecoder, JSONEncoder
from typing import Any, Final, TypeAlias

from sqlalchemy import Boolean, Column, Connection, String, Table, text
from sqlalchemy.schema import Identity
from typing_extensions import override

from tradebook.adapters.engine.postgresql_copy import copy_rows, escaped, read_rows, unescaped
from tradebook.adapters.errors import translated_errors
from tradebook.adapters.ledger.bulk_rows import insert_sql
from tradebook.adapters.migrations.lock import ENDLESS
from tradebook.adapters.types import ExactDecimal, Json, UtcDateTime, sqlite_time, unreadable
from tradebook.domain.errors import ConcurrentUpdate, NotPermitted, WouldOverwrite
from tradebook.domain.numbers import plain

Field: TypeAlias = Callable[[Any], str]
"""Renders a stored value as a field of a line."""

_NULL: Final = "\\N"
_PAGE_BYTES: Final = 4 << 20
_FIRST_ROWS, _MOST_ROWS = 100, 20_000
_KEPT: Final = 10_000
_LOCK_MILLISECONDS: Final = 5_000
_CACHE_KIB: Final = 256 << 10

# Without statistics, a sort of the whole table for each page may be thought cheaper than the primary key's index.
_SESSION: Final = "SET LOCAL datestyle = ISO; SET LOCAL enable_sort = off"
_NOT_OWNED: Final = text(
    "SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class "
    "WHERE oid = ANY (CAST(:tables AS regclass[])) AND NOT pg_has_role(relowner, 'USAGE')"
)
_SECURED: Final = text(
    "SELECT string_agg(CAST(name AS text), ', ') FROM unnest(CAST(:tables AS regclass[])) AS name "
    "WHERE row_security_active(name)"
)
_INDEXES: Final = text(
    "SELECT CASE WHEN contype IS NULL THEN format('DROP INDEX %s', indexrelid::regclass) "
    "ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', indrelid::regclass, conname) END AS drop, "
    "CASE WHEN contype IS NULL THEN pg_get_indexdef(indexrelid) ELSE format('ALTER TABLE %s ADD CONSTRAINT "
    "%I %s', indrelid::regclass, conname, pg_get_constraintdef(c.oid)) END AS make FROM pg_index "
    "LEFT JOIN pg_constraint c ON conindid = indexrelid AND conrelid = indrelid AND contype <> 'f' "
    "WHERE indrelid = ANY (CAST(:tables AS regclass[])) AND NOT indisprimary AND NOT indisreplident "
    "AND NOT EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f' AND f.conindid = indexrelid)"
)


class TableLines(ABC):
    """The tables of a database, read and written as lines in the transaction of a connection.

    Args:
        connection: one in a transaction.
        is_stored_form: True for values as they are stored, for a database of the same kind.
    """

    def __init__(self, connection: Connection, *, is_stored_form: bool) -> None:
        """Take the connection and the form of values."""
        self._connection = connection
        self._is_stored_form = is_stored_form

    def counts(self, table: Table) -> Mapping[str, int]:
        """Count the rows of each account, in the order in which `pages` reads them."""
        query = text(f"SELECT account, count(*) FROM {table.name} GROUP BY account")  # noqa: S608, names of ours
        return dict(sorted((str(name), count) for name, count in self._connection.execute(query)))

    def pages(self, table: Table, account: str) -> Iterator[bytes]:
        """Yield an account's rows as lines of some megabytes at a time, in the order of the primary key."""
        rows = _FIRST_ROWS
        read = self._reader(table, account)
        while page := read(rows):
            yield page
            rows = max(1, min(_MOST_ROWS, 2 * rows, rows * _PAGE_BYTES // len(page)))

    @abstractmethod
    def _reader(self, table: Table, account: str) -> Callable[[int], bytes]:
        """Return a function that reads the next rows of an account, at most as many as it is called with."""

    @abstractmethod
    def write(self, table: Table, page: bytes) -> None:
        """Insert the rows of a page."""

    def has_rows(self, table: Table) -> bool:
        """Report whether a table has any row."""
        query = text(f"SELECT EXISTS (SELECT 1 FROM {table.name})")  # noqa: S608, names of ours
        return bool(self._connection.execute(query).scalar_one())

    @abstractmethod
    def lock(self, tables: Sequence[Table]) -> None:
        """Keep others from the tables until the transaction ends."""

    @abstractmethod
    def loading(self, tables: Sequence[Table]) -> AbstractContextManager[None]:
        """Prepare the tables for many rows, which are written in the block."""

    @abstractmethod
    def last_id(self, table: Table) -> int:
        """Return the highest id that a table's sequence has given."""

    @abstractmethod
    def set_last_id(self, table: Table, last: int) -> None:
        """Let a table's sequence go on after an id."""


class SqliteLines(TableLines):
    """The tables of a SQLite file."""

    @override
    def _reader(self, table: Table, account: str) -> Callable[[int], bytes]:
        columns, keys = _columns(table), ", ".join(table.primary_key.columns.keys())
        names = ", ".join(column.name for column in columns)
        query = f"SELECT {names} FROM {table.name} WHERE account = ? ORDER BY {keys}"  # noqa: S608, names of ours
        found = self._connection.exec_driver_sql(query, (account,))
        fields = [self._field(column) for column in columns]

        def read(count: int) -> bytes:
            by_column = zip(fields, zip(*found.fetchmany(count), strict=True), strict=False)
            return _joined(
                map("\t".join, zip(*(map(f, values) for f, values in by_column), strict=True))
            )

        return read

    def _field(self, column: Column[Any]) -> Field:
        kind = column.type
        if self._is_stored_form or not isinstance(kind, ExactDecimal | UtcDateTime | Json):
            return _Fields(_stored_field).__getitem__
        if isinstance(kind, Json):
            return lambda value: _NULL if value is None else _json_field(str(value))
        read = kind.result_processor(self._connection.dialect, None)
        assert read is not None  # stored as text
        if isinstance(kind, ExactDecimal):
            return _Fields(lambda value: plain(read(value))).__getitem__
        is_usual = re.compile(r"[0-9-]{10} [0-9:]{8}\.[0-9]{6}").fullmatch
        return _Fields(lambda v: v if is_usual(v) else str(sqlite_time(read(v)))).__getitem__

    @override
    def write(self, table: Table, page: bytes) -> None:
        rows = [
            tuple([None if f == _NULL else unescaped(f) for f in line.split("\t")])
            for line in _lines(page)
        ]
        statement = insert_sql(table, [column.name for column in _columns(table)])
        self._connection.exec_driver_sql(statement, rows)

    @override
    def lock(self, tables: Sequence[Table]) -> None:
        """Do nothing: the transaction has the file's write lock since it began."""

    @override
    @contextmanager
    def loading(self, tables: Sequence[Table]) -> Iterator[None]:
        # Its own 2 MB would write pages of the indexes again and again.
        self._connection.exec_driver_sql(f"PRAGMA cache_size = -{_CACHE_KIB}")
        yield

    @override
    def last_id(self, table: Table) -> int:
        query = text("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = :table")
        return int(self._connection.execute(query, {"table": table.name}).scalar_one())

    @override
    def set_last_id(self, table: Table, last: int) -> None:
        values = {"table": table.name, "last": last}
        self._connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :table"), values)
        self._connection.execute(text("INSERT INTO sqlite_sequence VALUES (:table, :last)"), values)


class PostgresqlLines(TableLines):
    """The tables of a PostgreSQL database; row-level security must hide none of their rows."""

    def __init__(self, connection: Connection, *, is_stored_form: bool) -> None:
        """Take the connection and the form of values, and set the transaction up for long statements."""
        super().__init__(connection, is_stored_form=is_stored_form)
        connection.execute(ENDLESS)
        connection.exec_driver_sql(_SESSION)
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_LOCK_MILLISECONDS}")

    @override
    def counts(self, table: Table) -> Mapping[str, int]:
        secured = self._connection.execute(_SECURED, {"tables": [table.name]}).scalar_one()
        if secured:
            raise NotPermitted(
                f"row-level security applies to this role on {secured}, so it may see a part of the book "
                "only; connect as the role that owns the tables"
            )
        return super().counts(table)

    @override
    def _reader(self, table: Table, account: str) -> Callable[[int], bytes]:
        columns = _columns(table)
        # Text in the order of its bytes, as SQLite has it, whatever the database's collation.
        keys = [
            f'{c.name} COLLATE "C"' if isinstance(c.type, String) else c.name
            for c in table.primary_key.columns
            if c.name != "account"
        ]
        start = (
            f"SELECT {', '.join(map(self._expression, columns))} FROM {table.name} "  # noqa: S608, names of ours
            "WHERE account = %s"
        )
        order = f" ORDER BY {', '.join(keys)} LIMIT %s"
        later = f"{start} AND ({', '.join(keys)}) > ({', '.join(['%s'] * len(keys))}){order}"
        after: list[str] = []

        def read(count: int) -> bytes:
            query = later if after else start + order
            page = read_rows(self._connection, query, (account, *after, count))
            last = page[page.rfind(b"\n", 0, -1) + 1 :].decode().split("\t")
            after[:] = map(unescaped, last[1 : 1 + len(keys)])
            return page

        return read

    def _expression(self, column: Column[Any]) -> str:
        name, kind = column.name, column.type
        if self._is_stored_form:
            return name
        if isinstance(kind, ExactDecimal):
            return f"trim_scale({name})"
        if isinstance(kind, UtcDateTime):
            return f"to_char({name}, 'YYYY-MM-DD HH24:MI:SS.US')"
        return f"CAST({name} AS integer)" if isinstance(kind, Boolean) else name

    @override
    def write(self, table: Table, page: bytes) -> None:
        names = [column.name for column in _columns(table)]
        copy_rows(self._connection, table.name, names, page)

    @override
    def lock(self, tables: Sequence[Table]) -> None:
        names = [table.name for table in tables]
        not_owned = self._connection.execute(_NOT_OWNED, {"tables": names}).scalar_one()
        if not_owned:
            raise NotPermitted(f"this role does not own {not_owned}; connect as the role that does")
        try:
            with translated_errors():
                locked = f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE"
                self._connection.exec_driver_sql(locked)
        except ConcurrentUpdate as error:
            raise WouldOverwrite(f"the target is in use ({error}): stop what uses it") from error

    @override
    @contextmanager
    def loading(self, tables: Sequence[Table]) -> Iterator[None]:
        """Drop the indexes other than primary keys, and make them again after the block.

        All in all that takes 0.8 of the time of adding row by row, and less the more rows there are.
        """
        send, names = self._connection.exec_driver_sql, [table.name for table in tables]
        indexes = self._connection.execute(_INDEXES, {"tables": names}).all()
        for index in indexes:
            send(index.drop)
        yield
        send("SET LOCAL maintenance_work_mem = '256MB'")
        for index in indexes:
            send(index.make)
        send(f"ANALYZE {', '.join(names)}")

    @override
    def last_id(self, table: Table) -> int:
        query = text(
            "SELECT greatest(pg_sequence_last_value(CAST(pg_get_serial_sequence(:table, 'id') "  # noqa: S608, names of ours
            f"AS regclass)), max(id), 0) FROM {table.name}"
        )
        return int(self._connection.execute(query, {"table": table.name}).scalar_one())

    @override
    def set_last_id(self, table: Table, last: int) -> None:
        query = text("SELECT setval(CAST(pg_get_serial_sequence(:table, 'id') AS regclass), :last)")
        self._connection.execute(query, {"table": table.name, "last": last})


def open_lines(connection: Connection, other: Connection) -> TableLines:
    """Return the tables of a connection's database in the form that fits another database's."""
    name = connection.dialect.name
    kind = SqliteLines if name == "sqlite" else PostgresqlLines
    return kind(connection, is_stored_form=name == other.dialect.name)


def has_sequence(table: Table) -> bool:
    """Report whether the ids of a table come from a sequence."""
    return any(isinstance(column.identity, Identity) for column in table.columns)


def _columns(table: Table) -> list[Column[Any]]:
    """Return a table's columns, the primary key first: the next page begins after it."""
    keys = list(table.primary_key.columns)
    rest = [column for column in table.columns if column not in keys]
    return [*keys, *rest]


class _Fields(dict[Any, str]):
    """A cache of fields by value: most values of a column repeat, and a known one costs no Python call."""

    def __init__(self, render: Field) -> None:
        super().__init__({None: _NULL})
        self._render = render

    def __missing__(self, value: Any) -> str:
        if len(self) >= _KEPT:
            self.clear()
            self[None] = _NULL
        field = self[value] = self._render(value)
        return field


def _stored_field(value: Any) -> str:
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, int):
        return str(value)
    raise unreadable(value, "text or a whole number")


def _json_field(stored: str) -> str:
    if stored == "{}":
        return stored
    try:
        written = _encode(_decode(stored))
    except ValueError as error:
        raise unreadable(stored, "JSON") from error
    return escaped(_FLOAT.sub(r"\1", written) if "\\u0000" in written else written)


class _KeyOrders(dict[tuple[str, ...], list[str]]):
    """A cache of the order of an object's keys in JSONB: by the number of bytes, then by the bytes."""

    def __missing__(self, keys: tuple[str, ...]) -> list[str]:
        if len(self) >= _KEPT:
            self.clear()
        order = self[keys] = sorted(keys, key=lambda key: (len(key.encode()), key))
        return order


def _ordered(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return {key: found[key] for key in _ORDERS[tuple(found)]}


def _marked(text: str) -> str:
    """Return a float as JSONB writes it, without exponent, in text with a mark that no text of a book has."""
    number = Decimal(text)
    return "\0" + format(number if number else abs(number), "f")


_ORDERS: Final = _KeyOrders()
_FLOAT: Final = re.compile(r'"\\u0000([-0-9.]+)"')
_encode: Final = JSONEncoder(ensure_ascii=False, check_circular=False).encode
_decode: Final = JSONDecoder(object_pairs_hook=_ordered, parse_float=_marked).decode


def _lines(page: bytes) -> list[str]:
    return page.decode().split("\n")[:-1]


def _joined(lines: Iterator[str]) -> bytes:
    return "\n".join([*lines, ""]).encode()
