"""Whether a database has the schema that this code needs."""

from __future__ import annotations

from typing import Final

from attrs import frozen
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tradebook.adapters.columns import metadata
from tradebook.adapters.errors import translated_errors
from tradebook.adapters.migrations.revisions import known_revisions
from tradebook.domain.errors import SchemaNotReady

SCHEMA_REVISION: Final = "0003"
"""The newest revision in the migrations; Alembic itself is too slow to ask on each start."""

CURRENT: Final = "current"
UNVERSIONED: Final = "unversioned"
EMPTY: Final = "empty"
MISSING: Final = "missing"
BEHIND: Final = "behind"
AHEAD: Final = "ahead"

_REVISION: Final = text("SELECT version_num FROM alembic_version")


@frozen
class SchemaState:
    """How a database's schema compares with this code's.

    Attributes:
        name: current; unversioned (made by `metadata.create_all`, taken as it is); empty (no
            table at all); missing (only tables of others); behind; ahead (of a revision that this code does not know).
        revision: of the database.
    """

    name: str
    revision: str | None = None

    def require(self) -> None:
        """Raises:
        SchemaNotReady: it is not the one that this code needs; says what to run.
        """
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
                f"tradebook knows ({SCHEMA_REVISION}); run `pip install --upgrade tradebook`"
            )


def schema_state(connection: Connection) -> SchemaState:
    """The state of a database's schema."""
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

    return SchemaState(BEHIND if revision in known_revisions() else AHEAD, revision)


def read_schema_state(engine: Engine) -> SchemaState:
    """The state of the schema of an engine's database."""
    with translated_errors(), engine.connect() as connection:
        return _state_at_start(connection)


async def read_async_schema_state(engine: AsyncEngine) -> SchemaState:
    """The same for asyncio."""
    with translated_errors():
        async with engine.connect() as connection:
            return await connection.run_sync(_state_at_start)


def _state_at_start(connection: Connection) -> SchemaState:
    """Most often it is current, and one question says so; a list of tables takes ten times as long."""
    try:
        if connection.scalar(_REVISION) == SCHEMA_REVISION:
            return SchemaState(CURRENT, SCHEMA_REVISION)
    except DBAPIError:  # no such table
        connection.rollback()
    return schema_state(connection)
