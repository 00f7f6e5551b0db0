"""The comparison of a database's revision with the one that this version needs.

Every manager makes it on its first call, so it avoids Alembic, which would load every revision's file.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tradebook.adapters.columns import metadata
from tradebook.adapters.errors import translated_errors
from tradebook.adapters.migrations.revisions import all_revisions
from tradebook.domain.errors import SchemaNotReady

SCHEMA_REVISION: Final = "0007"
"""Newest revision of the migrations, written here because reading their folder is too slow for each start."""

CURRENT: Final = "current"
UNVERSIONED: Final = "unversioned"
EMPTY: Final = "empty"
MISSING: Final = "missing"
BEHIND: Final = "behind"
AHEAD: Final = "ahead"

_REVISION: Final = text("SELECT version_num FROM alembic_version")


@frozen
class SchemaState:
    """Result of comparing a database's schema with the one that this version needs.

    Attributes:
        name: current; unversioned (made by `metadata.create_all`, and accepted); empty (no table at all);
            missing (only tables of other programs); behind; ahead (at a revision that this version lacks).
        revision: the database's revision; None where it has none.
    """

    name: str
    revision: str | None = None

    def require(self) -> None:
        """Refuse a schema that this version cannot work with, naming the command to run."""
        if self.name in (EMPTY, MISSING):
            raise SchemaNotReady("the database has no tables yet; run `tradebook db upgrade`")
        if self.name == BEHIND:
            raise SchemaNotReady(
                f"the database's schema is at revision {self.revision}, this version of tradebook "
                f"needs {SCHEMA_REVISION}; run `tradebook db upgrade`"
            )
        if self.name == AHEAD:
            raise SchemaNotReady(
                f"the database's schema, at revision {self.revision}, is newer than this version of "
                f"tradebook supports ({SCHEMA_REVISION}); run `pip install --upgrade tradebook`"
            )


def schema_state(connection: Connection) -> SchemaState:
    """Compare a database's schema with the one that this version needs."""
    tables = inspect(connection).get_table_names()
    if not tables:
        return SchemaState(EMPTY)
    if "alembic_version" not in tables:
        return SchemaState(UNVERSIONED if metadata.tables.keys() <= set(tables) else MISSING)
    revision = connection.scalar(_REVISION)
    if revision == SCHEMA_REVISION:
        return SchemaState(CURRENT, revision)
    if revision is None:
        return SchemaState(MISSING)
    is_known = any(script.revision == revision for script in all_revisions())
    return SchemaState(BEHIND if is_known else AHEAD, revision)


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
    try:
        # Listing the tables first, as `schema_state` does, takes ten times as long.
        if connection.scalar(_REVISION) == SCHEMA_REVISION:
            return SchemaState(CURRENT, SCHEMA_REVISION)
    except DBAPIError:  # the table alembic_version is missing
        connection.rollback()
    return schema_state(connection)
