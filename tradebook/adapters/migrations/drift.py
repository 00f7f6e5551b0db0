"""Schema drift: differences between a database's tables and those that this version expects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import frozen
from sqlalchemy import Connection, Engine, MetaData, create_engine

from tradebook.adapters.errors import translated_errors
from tradebook.adapters.migrations.catalog import (
    CURRENT_SCHEMA,
    TEMPORARY_SCHEMA,
    Description,
    describe_postgresql,
    describe_sqlite,
)
from tradebook.adapters.orm import metadata
from tradebook.domain.errors import NotPermitted

_TEMPORARY: Final = "pg_temp"


@frozen
class Difference:
    """One difference between a database's tables and those that this version expects.

    Attributes:
        kind: column, check, index, foreign key, unique key, primary key or table.
        name: name of the item of that kind.
        about: the property that differs: type, null, default, identity, collation, definition, state,
            options; `""` where the item as a whole is missing or unexpected.
        found: the database's value; None where it has none.
        expected: this version's value; None where it has none.
    """

    table: str
    kind: str
    name: str
    about: str
    found: str | None
    expected: str | None

    def __str__(self) -> str:
        """Return the difference as a line of text."""
        item = f"{self.table}: {self.kind} {self.name}"
        if not self.about:
            return f"{item} is " + ("missing" if self.found is None else "unexpected")
        return f"{item}: {self.about} is {self.found or 'none'}, expected {self.expected or 'none'}"


def find_drift(engine: Engine) -> tuple[Difference, ...]:
    """Compare a database's tables with those that this version expects, ignoring other programs' tables.

    Raises:
        NotPermitted: the role lacks the privilege to create temporary tables.
    """
    with translated_errors(), engine.connect() as connection:
        return tuple(compare(*found_and_expected(connection)))


def found_and_expected(connection: Connection) -> tuple[Description, Description]:
    """Describe the database's tables, and those that this version expects as the same database writes them.

    PostgreSQL stores expressions in its own words (`IN (...)` becomes `= ANY (ARRAY[...])`), so the expected
    tables are created as temporary ones, described, and rolled back; SQLite makes them in memory.
    """
    if connection.dialect.name == "sqlite":
        scratch = create_engine("sqlite://")
        with scratch.connect() as in_memory:
            metadata.create_all(in_memory)
            expected = describe_sqlite(in_memory, metadata.tables.keys())
        scratch.dispose()
        return describe_sqlite(connection, metadata.tables.keys()), expected
    found = describe_postgresql(connection, CURRENT_SCHEMA)
    with connection.begin_nested() as savepoint:
        _create_temporary_tables(connection)
        expected = describe_postgresql(connection, TEMPORARY_SCHEMA)
        savepoint.rollback()
    return found, expected


def _create_temporary_tables(connection: Connection) -> None:
    copy = MetaData(schema=_TEMPORARY, naming_convention=metadata.naming_convention)
    for table in metadata.sorted_tables:
        table.to_metadata(copy, schema=_TEMPORARY)
    try:
        with translated_errors():
            copy.create_all(connection, checkfirst=False)
    except NotPermitted as error:
        raise NotPermitted(
            "the comparison creates temporary tables, which this role may not: GRANT TEMPORARY ON "
            "DATABASE to it, or connect as the role that owns the tables"
        ) from error


def compare(found: Description, expected: Description) -> Iterator[Difference]:
    """Yield the differences of two descriptions, ordered by table, kind and name."""
    for table in sorted(expected):
        if table not in found:
            yield Difference(table, "table", table, "", None, "a table")
            continue
        for item in sorted(found[table].keys() | expected[table].keys()):
            actual, wanted = found[table].get(item), expected[table].get(item)
            if actual is None or wanted is None:
                whole = (
                    None if facts is None else " ".join(facts.values())
                    for facts in (actual, wanted)
                )
                yield Difference(table, *item, "", *whole)
                continue
            for fact in sorted(actual.keys() | wanted.keys()):
                if actual.get(fact) != wanted.get(fact):
                    yield Difference(table, *item, fact, actual.get(fact), wanted.get(fact))
