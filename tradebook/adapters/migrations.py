"""Bringing a database's schema to this version of the code, with Alembic."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from tradebook.adapters.errors import translated_errors
from tradebook.adapters.migration_log import logged_migration
from tradebook.adapters.schema import AHEAD, schema_state

# Alembic's own context is one for the process; between processes the migrations lock the database.
_ONE_AT_A_TIME: Final = threading.Lock()
HEAD: Final = "head"
BASE: Final = "base"


def migrations_folder() -> Path:
    """Where the migrations are: inside the installed package, beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "alembic"


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's settings, without a file; `connection` is used by the migrations."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(engine: Engine, revision: str = HEAD) -> None:
    """Bring the schema up to `revision`; does nothing when it is there already.

    Raises:
        SchemaNotReady: it is newer than this code knows.
    """
    with (
        logged_migration(engine),
        _ONE_AT_A_TIME,
        translated_errors(),
        engine.begin() as connection,
    ):
        state = schema_state(connection)
        if state.name == AHEAD:
            state.require()
        command.upgrade(alembic_config(connection), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the schema down to `revision`; `base` removes everything."""
    with (
        logged_migration(engine),
        _ONE_AT_A_TIME,
        translated_errors(),
        engine.begin() as connection,
    ):
        command.downgrade(alembic_config(connection), revision)


def check(engine: Engine) -> None:
    """Compare the database with the tables of the code.

    Raises:
        alembic.util.exc.CommandError: they differ; the message says in what.
    """
    with _ONE_AT_A_TIME, translated_errors(), engine.begin() as connection:
        command.check(alembic_config(connection))


def current_revision(engine: Engine) -> str | None:
    """The revision that the database is at; None when it has no schema."""
    with translated_errors(), engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head_revision() -> str:
    """The revision of this code."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert head is not None
    return head


def known_revisions() -> set[str]:
    """Every revision of this code."""
    return {
        script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()
    }
