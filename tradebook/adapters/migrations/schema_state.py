"""The comparison of a database's revision with the one that this version needs.

Every manager makes it on its first call, so it avoids Alembic, which would load every revision's file.
"""

from __future__ import annotations

from collections.abc import Collection, Set
from typing import Final

from attrs import frozen
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tradebook.adapters.errors import translated_errors
from tradebook.adapters.migrations.revisions import all_revisions
from tradebook.adapters.orm import metadata
from tradebook.domain.errors import SchemaNotReady

SCHEMA_REVISION: Final = "0009"
"""Newest revision of the migrations, written here because reading their folder is too slow for each start."""

CURRENT: Final = "current"
UNVERSIONED: Final = "unversioned"
EMPTY: Final = "empty"
MISSING: Final = "missing"
FOREIGN: Final = "foreign"
INCOMPLETE: Final = "incomplete"
BEHIND: Final = "behind"
AHEAD: Final = "ahead"

VERSIONS: Final = "alembic_version"
"""Table of Alembic, with the revision."""
_REVISION: Final = text(f"SELECT version_num FROM {VERSIONS}")  # noqa: S608, a name of ours
_TABLES: Final = {
    "sqlite": "sqlite_master WHERE type = 'table' AND name",
    "postgresql": "pg_class WHERE relkind IN ('r', 'p', 'f') AND pg_table_is_visible(oid) AND relname",
}
_PROGRAMS: Final = {
    "freqtrade's": {"trades", "orders", "pairlocks"},
    "hummingbot's": {"TradeFill", "Order", "OrderStatus"},
    "Django's": {"django_migrations"},
}
"""Programs whose database may be given by mistake, with tables that all their databases have."""
_SHOWN: Final = 5


@frozen
class SchemaState:
    """Result of comparing a database's schema with the one that this version needs.

    Attributes:
        name: current; unversioned (made by `metadata.create_all`, and accepted); empty (no table at all);
            missing (no table since the last was dropped by a downgrade); foreign (only tables of other programs);
            incomplete (tables were dropped); behind; ahead (at a revision that this version lacks).
        revision: the database's revision; None where it has none.
        tables: those of other programs in a foreign database, those that an incomplete one lacks.
        may_share: whether a book may be put beside the tables of a foreign database.
    """

    name: str
    revision: str | None = None
    tables: tuple[str, ...] = ()
    may_share: bool = False

    @property
    def problem(self) -> str | None:
        """Why this version cannot work with the schema, and the command to run; None where it can."""
        if self.name in (EMPTY, MISSING):
            return "the database has no tables yet; run `tradebook db upgrade`"
        if self.name == FOREIGN:
            known = ((name, own) for name, own in _PROGRAMS.items() if own <= {*self.tables})
            owner, shown = next(known, ("another program's", self.tables))
            advice = " or, for a book beside them, run `tradebook db upgrade`" * self.may_share
            return (
                f"the database holds {owner} tables ({_listed(shown)}): it is not a book of tradebook; "
                f"give another file or database{advice}"
            )
        if self.name == INCOMPLETE:
            return (
                f"tables of the book are missing, though its schema was complete: {_listed(self.tables)}; "
                "`tradebook db check` lists all differences, and a backup has the rows (`tradebook restore`)"
            )
        if self.name == BEHIND:
            return (
                f"the database's schema is at revision {self.revision}, this version of tradebook "
                f"needs {SCHEMA_REVISION}; run `tradebook db upgrade`"
            )
        if self.name == AHEAD:
            return (
                f"the database's schema, at revision {self.revision}, is newer than this version of "
                f"tradebook supports ({SCHEMA_REVISION}); run `pip install --upgrade tradebook`"
            )
        return None

    def require(self) -> None:
        """Refuse a schema that this version cannot work with, naming the command to run."""
        if self.problem is not None:
            raise SchemaNotReady(self.problem)

    def require_migratable(self) -> None:
        """Refuse a schema that no migration may change."""
        if self.name in (AHEAD, INCOMPLETE) or (self.name == FOREIGN and not self.may_share):
            self.require()


def _listed(tables: Collection[str]) -> str:
    more = len(tables) - _SHOWN
    return ", ".join(sorted(tables)[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def schema_state(connection: Connection) -> SchemaState:
    """Compare a database's schema with the one that this version needs."""
    # The revision first: an upgrade that goes on meanwhile only adds tables.
    is_versioned = inspect(connection).has_table(VERSIONS)
    revision: str | None = connection.scalar(_REVISION) if is_versioned else None
    tables = set(inspect(connection).get_table_names())
    if not tables:
        return SchemaState(EMPTY)
    if VERSIONS in tables and not is_versioned:  # made meanwhile
        return schema_state(connection)
    own = {name for name in tables & metadata.tables.keys() if _is_own(connection, name)}
    is_known = any(script.revision == revision for script in all_revisions())
    others = tables - {VERSIONS}
    if is_versioned and revision is None and (own or not others):
        return SchemaState(MISSING)
    if not own and (others or not is_known):  # another program may have a revision of the same name
        return SchemaState(FOREIGN, revision, tuple(sorted(tables)), _may_share(connection, tables))
    if revision is not None and revision != SCHEMA_REVISION:
        return SchemaState(BEHIND if is_known else AHEAD, revision)
    lacking = tuple(sorted(metadata.tables.keys() - own))
    if lacking:
        return SchemaState(INCOMPLETE, revision, lacking)
    return SchemaState(UNVERSIONED if revision is None else CURRENT, revision)


def _is_own(connection: Connection, table: str) -> bool:
    """Return whether a table that has the name of one of ours has most of its columns, too."""
    expected = set(metadata.tables[table].columns.keys())
    found = {column["name"] for column in inspect(connection).get_columns(table)}
    return 2 * len(found & expected) > len(expected)


def _may_share(connection: Connection, tables: Set[str]) -> bool:
    # A database on a server may hold extensions' tables, or an application's; a file has one program.
    taken = tables & {*metadata.tables, VERSIONS}
    is_known = any(own <= tables for own in _PROGRAMS.values())
    return connection.dialect.name != "sqlite" and not taken and not is_known


def read_schema_state(engine: Engine) -> SchemaState:
    """Connect, and compare the database's schema with the one that this version needs."""
    with translated_errors(), engine.connect() as connection:
        return _state_at_start(connection)


async def read_async_schema_state(engine: AsyncEngine) -> SchemaState:
    """Connect with asyncio, and compare the schema with the one that this version needs."""
    with translated_errors():
        async with engine.connect() as connection:
            return await connection.run_sync(_state_at_start)


def _state_at_start(connection: Connection) -> SchemaState:
    """Compare the schemas by one SELECT where the database is current, as it is on nearly every start."""
    names = ", ".join(f"'{name}'" for name in metadata.tables)
    tables = f"(SELECT count(*) FROM {_TABLES[connection.dialect.name]} IN ({names}))"  # noqa: S608, names of ours
    try:
        # Listing the tables first, as `schema_state` does, takes ten times as long.
        found = connection.execute(text(f"SELECT version_num, {tables} FROM {VERSIONS}")).all()  # noqa: S608
        if found == [(SCHEMA_REVISION, len(metadata.tables))]:
            return SchemaState(CURRENT, SCHEMA_REVISION)
    except DBAPIError:  # the table alembic_version is missing
        connection.rollback()
    return schema_state(connection)
