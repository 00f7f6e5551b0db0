"""The schema's revisions, and the Alembic configuration with which they run.

The configuration is built here, since programs that use the package have no alembic.ini.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection

from tradebook.domain.errors import InvalidInput

ReportLine: TypeAlias = Callable[[str], None]
"""Callback that receives one line of text about the migration's progress."""

HEAD: Final = "head"
"""Alias of the newest revision."""
BASE: Final = "base"
"""Alias of the empty database, before the first revision."""


def migrations_folder() -> Path:
    """Return the folder of the migrations: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[2]
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "alembic"


def alembic_config(
    connection: Connection | None = None, report: ReportLine | None = None
) -> Config:
    """Build Alembic's configuration for the migrations folder.

    Args:
        connection: the one on which migrations run, outside a transaction; by default env.py opens its own.
        report: receives a line for each revision that is applied.
    """
    config = Config()
    # ConfigParser would interpolate a % of the path, or of the template.
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes.update(connection=connection, report=report)
    return config


def all_revisions() -> list[Script]:
    """Return every revision of this version, from the oldest to the newest."""
    return list(ScriptDirectory.from_config(alembic_config()).walk_revisions())[::-1]


def head_revision() -> str:
    """Return the newest revision of this version, such as `0002`."""
    return all_revisions()[-1].revision


def require_revision(revision: str, alias: str) -> None:
    """Check that a revision exists, or is the alias `head` or `base` that is allowed here.

    Raises:
        InvalidInput: there is no such revision.
    """
    accepted = [alias, *(script.revision for script in all_revisions())]
    if revision not in accepted:
        raise InvalidInput("revision", revision, "one of " + ", ".join(accepted))
