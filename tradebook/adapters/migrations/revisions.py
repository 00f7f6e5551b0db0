"""FIXME."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection

Report = Callable[[str], None]
"""Takes a line that says what goes on."""


HEAD: Final = "head"
BASE: Final = "base"


def migrations_folder() -> Path:
    """Where the migrations are: inside the installed package, beside it in a checkout."""
    package = Path(__file__).parents[2]
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "alembic"


def alembic_config(connection: Connection | None = None, report: Report | None = None) -> Config:
    """Alembic's settings, without a file; `connection`, in no transaction, is used by the migrations."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes.update(connection=connection, report=report)
    return config


def head_revision() -> str:
    """The revision of this code."""
    return all_revisions()[-1].revision


def known_revisions() -> set[str]:
    """Every revision of this code."""
    return {script.revision for script in all_revisions()}


def all_revisions() -> list[Script]:
    """Every revision of this code, the first first."""
    scripts = ScriptDirectory.from_config(alembic_config()).walk_revisions()
    return list(scripts)[::-1]
