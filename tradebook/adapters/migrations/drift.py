"""Schema drift: differences between a database's tables and those that this version expects.

`tradebook.operations.schema_check` adds what `tradebook db roles` makes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from attrs import field, frozen
from sqlalchemy import Connection, MetaData, create_engine, text

from tradebook.adapters.errors import translated_errors
from tradebook.adapters.migrations.catalog import (
    DATABASE,
    Description,
    Facts,
    Item,
    describe_postgresql,
    describe_sqlite,
    describe_surroundings,
    names_of_server,
)
from tradebook.adapters.migrations.last_ids import counters_set_back
from tradebook.adapters.migrations.schema_state import VERSIONS
from tradebook.adapters.orm import metadata
from tradebook.domain.errors import NotPermitted

TEMPORARY: Final = "pg_temp"
_ADDED: Final = ("trigger", "rule", "policy")
_OF_ROLES: Final = ("trigger", "policy", "function")
"""Kinds that migrations make none of."""


@frozen
class Difference:
    """One difference between a database's tables and those that this version expects.

    Attributes:
        table: its name; `database` for what is of no table.
        kind: column, check, index, foreign key, unique key, primary key, exclusion, not null (one that is not
            validated), trigger, rule, policy or table; of the database, setting, event trigger, function or overload.
        name: name of the item of that kind.
        about: the property that differs: type, null, default, definition, state and others; `""` where the item as
            a whole is missing or unexpected.
        found: the database's value; None where it has none.
        expected: this version's value; None where it has none.
        fix: what to do about it.
    """

    table: str
    kind: str
    name: str
    about: str
    found: str | None
    expected: str | None
    fix: str = field(init=False)

    @fix.default
    def _fix(self) -> str:
        if self.kind == "setting":
            return "ALTER DATABASE or ALTER ROLE ... RESET it, where the server's configuration does not have it"
        if self.kind == "overload":
            return "drop it, or move it to a schema off the search_path: it may answer in the server's place"
        if self.expected is None:
            return "find out who made it, and take it back"
        if self.kind in _OF_ROLES or self.about.startswith("row security"):
            first = "" if self.found is None else "drop it, and "
            return f"{first}`tradebook db roles` makes it again"
        if self.kind == "table":
            return "compare with a backup, restored beside it: `tradebook restore`"
        if self.about == "triggers":
            return f"ALTER TABLE {self.table} ENABLE TRIGGER ALL"
        return f"{'put it back to' if self.about else 'make it again:'} {self.expected}"

    def __str__(self) -> str:
        """Return the difference as a line of text."""
        item = f"{self.table}: {self.kind} {self.name}"
        if not self.about:
            return f"{item} is " + ("missing" if self.found is None else "unexpected")
        return f"{item}: {self.about} is {self.found or 'none'}, expected {self.expected or 'none'}"


def found_and_expected(
    connection: Connection,
    additions: Sequence[str] = (),
    further: Sequence[str] = (),
    schema_of_further: str = "",
) -> tuple[Description, Description]:
    """Describe the database's tables, and those that this version expects as the same database writes them.

    PostgreSQL stores expressions in its own words (`IN (...)` becomes `= ANY (ARRAY[...])`), so the expected
    tables are created as temporary ones, described, and rolled back; SQLite makes them in memory.

    Args:
        connection: to the database.
        additions: statements that add to the temporary tables what belongs there besides.
        further: names of temporary tables that these create.
        schema_of_further: the schema that has those of these names.
    """
    names, of_sqlite = (*metadata.tables, VERSIONS), connection.dialect.name == "sqlite"
    if of_sqlite:
        found = describe_sqlite(connection, names)
        scratch = create_engine("sqlite://")
        with scratch.connect() as in_memory:
            metadata.create_all(in_memory)
            expected = describe_sqlite(in_memory, names)
        scratch.dispose()
    else:
        with names_of_server(connection) as before:
            found = describe_postgresql(connection, before["schema"], names)
            found |= describe_postgresql(connection, schema_of_further, further)
            found[DATABASE] = describe_surroundings(connection, before["path"], before["settings"])
            _create_temporary_tables(connection)
            for statement in additions:
                connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
            temporary = connection.scalar(text("SELECT pg_my_temp_schema()::regnamespace::text"))
            expected = describe_postgresql(connection, temporary, [*names, *further])
            expected[DATABASE] = {}
    if VERSIONS in found:  # Alembic makes it
        expected[VERSIONS] = as_found(VERSIONS, found)
    for table, (given, highest) in counters_set_back(connection, found).items():
        found[table]["column", "id"]["last id"] = str(given)
        expected[table]["column", "id"]["last id"] = f"{highest} or more"
    return found, expected


def _create_temporary_tables(connection: Connection) -> None:
    copy = MetaData(schema=TEMPORARY, naming_convention=metadata.naming_convention)
    for table in metadata.sorted_tables:
        table.to_metadata(copy, schema=TEMPORARY)
    try:
        with translated_errors():
            copy.create_all(connection, checkfirst=False)
    except NotPermitted as error:
        raise NotPermitted(
            "the comparison creates temporary tables, which this role may not: GRANT TEMPORARY ON "
            "DATABASE to it, or connect as the role that owns the tables"
        ) from error


def as_found(table: str, found: Description) -> dict[Item, Facts]:
    """Return the items of a table that no migration makes as they are, without what may have been added to it."""
    kept = {item: facts for item, facts in found.get(table, {}).items() if item[0] not in _ADDED}
    return {**kept, ("table", table): {"form": "table"}}


def compare(found: Description, expected: Description) -> Iterator[Difference]:
    """Yield the differences of two descriptions, ordered by table, kind and name."""
    for table in sorted(expected):
        whole = "table", table
        if table not in found:
            yield Difference(table, *whole, "", None, "a table")
            continue
        # Every part of what is no table differs.
        forms = [each[table].get(whole, {}).get("form") for each in (found, expected)]
        if forms[0] != forms[1]:
            yield Difference(table, *whole, "form", *forms)
            continue
        for item in sorted(found[table].keys() | expected[table].keys()):
            actual, wanted = found[table].get(item), expected[table].get(item)
            if actual is None or wanted is None:
                values = (f if f is None else " ".join(f.values()) for f in (actual, wanted))
                yield Difference(table, *item, "", *values)
                continue
            for fact in sorted(actual.keys() | wanted.keys()):
                if actual.get(fact) != wanted.get(fact):
                    yield Difference(table, *item, fact, actual.get(fact), wanted.get(fact))
