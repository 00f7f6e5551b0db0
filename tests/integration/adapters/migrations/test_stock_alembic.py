"""The stock `alembic` command works in a checkout, on the database that the environment names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import URL, text

from tests.support.checkout import ROOT
from tests.support.servers import configured
from tradebook import DatabaseManager
from tradebook.adapters.engine.factory import make_engine
from tradebook.adapters.migrations import revisions


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Copy the files that the `alembic` command reads, to write revisions into."""
    shutil.copy(ROOT / "alembic.ini", tmp_path)
    shutil.copytree(
        ROOT / "alembic", tmp_path / "alembic", ignore=shutil.ignore_patterns("__pycache__")
    )
    return tmp_path


@pytest.fixture
def alembic(checkout: Path, programs: Path) -> Callable[..., str]:
    """Runs the command in the checkout, in a process that has imported it already."""
    return partial(run, checkout, [str(programs / "alembic")])


def run(checkout: Path, program: list[str], url: str | URL, *arguments: str) -> str:
    done = subprocess.run(
        [*program, *arguments],
        cwd=checkout,
        env={**os.environ, "TRADEBOOK_DATABASE_URL": str(configured(url).url)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_stock_alembic_command_upgrades_what_the_environment_names(
    alembic: Callable[..., str], empty_database: str | URL
) -> None:
    alembic(empty_database, "upgrade", "head")
    assert revisions.head_revision() in alembic(empty_database, "current")
    with DatabaseManager(empty_database) as manager:
        manager.record_trade(symbol="AAPL", action="BUY", quantity=1, price=1)
        assert manager.health().ok
    alembic(empty_database, "check")
    alembic(empty_database, "downgrade", "base")
    assert "0001" not in alembic(empty_database, "current")


def test_a_generated_revision_has_what_was_added_and_nothing_else(
    checkout: Path, alembic: Callable[..., str], empty_database: str | URL
) -> None:
    alembic(empty_database, "upgrade", "head")
    asked = ("revision", "--autogenerate", "-m", "nothing new")
    assert "nothing differs" in alembic(empty_database, *asked)
    assert list((checkout / "alembic" / "versions").glob("*_nothing_new.py")) == []
    engine = make_engine(configured(empty_database))
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE alerts ADD COLUMN mood TEXT"))
    engine.dispose()
    alembic(empty_database, "revision", "--autogenerate", "-m", "a new field")
    [field] = (checkout / "alembic" / "versions").glob("*_a_new_field.py")
    changes = [line.strip() for line in field.read_text().splitlines() if "op." in line]
    assert [line for line in changes if "mood" not in line and "batch" not in line] == []
    assert "mood" in field.read_text()


def test_a_generated_partial_index_is_partial_on_every_database(
    checkout: Path, alembic: Callable[..., str], sqlite_url: str
) -> None:
    alembic(sqlite_url, "upgrade", "head")
    engine = make_engine(configured(sqlite_url))
    with engine.begin() as connection:
        connection.execute(text("DROP INDEX ix_alerts_unresolved"))
    engine.dispose()
    alembic(sqlite_url, "revision", "--autogenerate", "-m", "the index")
    [written] = (checkout / "alembic" / "versions").glob("*_the_index.py")
    assert "where='NOT resolved'" in written.read_text()


def test_a_url_on_the_command_line_is_stronger(checkout: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    program = [sys.executable, "-m", "alembic"]  # the command itself, once
    unused = f"sqlite:///{tmp_path / 'unused.db'}"
    run(checkout, program, unused, "-x", f"url={url}", "upgrade", "head")
    assert (tmp_path / "other.db").exists()
    assert not (tmp_path / "unused.db").exists()
