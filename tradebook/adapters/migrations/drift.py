"""Where a database's tables are not those of this code: drift, found in everything that they are made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import frozen
from sqlalchemy import Connection, Engine, MetaData, create_engine
from sqlalchemy.exc import DBAPIError

from tradebook.adapters.errors import translated_errors
from tradebook.adapters.migrations.catalog import (
    PUBLIC,
    TEMPORARY,
    Description,
    Facts,
    describe_postgresql,
    describe_sqlite,
)
from tradebook.adapters.orm import metadata
from tradebook.domain.errors import DatabaseFailure

_TABLES: Final = metadata
_TEMPORARY_SCHEMA: Final = "pg_temp"
_NOT_ALLOWED: Final = "42501"


@frozen
class Difference:
    """One thing that a database has otherwise than this code's tables.

    Attributes:
        table: where.
        kind: column, check, index, foreign key, unique key, primary key or table.
        name: of that thing.
        about: type, null, default, identity, collation, definition, state; `""` for all of it.
        found: what the database has; None where it has no such thing.
        expected: what this code's tables have; None where they have no such thing.
    """

    table: str
    kind: str
    name: str
    about: str
    found: str | None
    expected: str | None

    def __str__(self) -> str:
        where = f"{self.table}: {self.kind} {self.name}"
        if not self.about:
            return f"{where} is " + ("missing" if self.found is None else "not this version's")
        return (
            f"{where}: {self.about} is {self.found or 'none'}, expected {self.expected or 'none'}"
        )


def find_drift(engine: Engine) -> tuple[Difference, ...]:
    """Every difference between a database's tables and this code's; tables of others are left alone.

    PostgreSQL makes this code's tables as temporary ones, describes both, and rolls back: no text is
    compared that it did not write itself.

    Raises:
        DatabaseFailure: the role may not make temporary tables.
    """
    with translated_errors(), engine.connect() as connection:
        found, expected = descriptions(connection)
    return tuple(compare(found, expected))


def descriptions(connection: Connection) -> tuple[Description, Description]:
    """What the database has, and what this code's tables would be there."""
    if connection.dialect.name == "sqlite":
        tables = _TABLES.tables.keys()
        return describe_sqlite(connection, tables), _expected_of_sqlite()
    found = describe_postgresql(connection, PUBLIC)
    with connection.begin_nested() as temporary:
        _make_temporary_tables(connection)
        expected = describe_postgresql(connection, TEMPORARY)
        temporary.rollback()
    return found, expected


def _expected_of_sqlite() -> Description:
    scratch = create_engine("sqlite://")
    with scratch.connect() as connection:
        _TABLES.create_all(connection)
        expected = describe_sqlite(connection, _TABLES.tables.keys())
    scratch.dispose()
    return expected


def _make_temporary_tables(connection: Connection) -> None:
    copy = MetaData(schema=_TEMPORARY_SCHEMA, naming_convention=_TABLES.naming_convention)
    for table in _TABLES.sorted_tables:
        table.to_metadata(copy, schema=_TEMPORARY_SCHEMA)
    try:
        copy.create_all(connection, checkfirst=False)
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) != _NOT_ALLOWED:
            raise
        raise DatabaseFailure(
            "comparing needs temporary tables, and this role may not make any: GRANT TEMPORARY ON "
            "DATABASE to it, or compare as the role that owns the tables"
        ) from error


def compare(found: Description, expected: Description) -> Iterator[Difference]:
    """Table by table, in the order of names."""
    for table in sorted(expected):
        if table not in found:
            yield Difference(table, "table", table, "", None, "a table")
            continue
        for kind, name in sorted(found[table].keys() | expected[table].keys()):
            there, wanted = (side[table].get((kind, name)) for side in (found, expected))
            yield from _of_item(table, kind, name, there, wanted)


def _of_item(
    table: str, kind: str, name: str, found: Facts | None, expected: Facts | None
) -> Iterator[Difference]:
    if found is None or expected is None:
        yield Difference(table, kind, name, "", _said(found), _said(expected))
        return
    for about in sorted(found.keys() | expected.keys()):
        there, wanted = found.get(about), expected.get(about)
        if there != wanted:
            yield Difference(table, kind, name, about, there, wanted)


def _said(facts: Facts | None) -> str | None:
    return None if facts is None else " ".join(facts.values())
