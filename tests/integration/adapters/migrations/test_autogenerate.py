"""Generated revisions: each brings a drifted database to the tables of the code, and back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.util.exc import CommandError
from sqlalchemy import URL, Engine, text

from tests.support.revision_rules import broken_rules, statements_of
from tests.support.servers import configured, drift_of
from tradebook import TradebookError
from tradebook.adapters.engine.factory import make_engine
from tradebook.adapters.migrations import revisions
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.adapters.migrations.sqlite_rebuild import rebuild, with_constraint, without_check
from tradebook.adapters.orm import metadata
from tradebook.operations.migration_plan import new_revision

FEWER_ACTIONS = "action IN ('BUY')"
DRIFT = {
    "a missing check": [("check", None)],
    "several": [
        ("check", FEWER_ACTIONS),
        ("sql", "DROP INDEX ix_trades_pending"),
        ("sql", "DROP INDEX uq_trades_account_symbol_sequence"),
        ("sql", "ALTER TABLE trades ADD mood TEXT"),
        ("sql", "CREATE INDEX mine ON trades (account, venue)"),
    ],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the migrations folder, as a checkout to write into."""
    ignored = shutil.ignore_patterns("__pycache__")
    copy = shutil.copytree(revisions.migrations_folder(), tmp_path / "alembic", ignore=ignored)
    monkeypatch.setattr(revisions, "migrations_folder", lambda: copy)
    return copy


@pytest.fixture
def engine(empty_database: str | URL) -> Iterator[Engine]:
    made = make_engine(configured(empty_database))
    migrations.upgrade(made)
    yield made
    made.dispose()


def drift(engine: Engine, changes: list[tuple[str, str | None]]) -> None:
    with engine.begin() as connection:
        for kind, what in changes:
            if kind == "sql":
                connection.execute(text(str(what)))
            elif engine.dialect.name == "sqlite":
                constraint = f"CONSTRAINT ck_trades_action CHECK ({what})"
                rebuild(connection, "trades", lambda ddl: without_check(ddl, "ck_trades_action"))
                if what:
                    edit = with_constraint
                    rebuild(connection, "trades", lambda ddl: edit(ddl, constraint))  # noqa: B023  # called at once
            else:
                connection.execute(text("ALTER TABLE trades DROP CONSTRAINT ck_trades_action"))
                if what:
                    added = f"ALTER TABLE trades ADD CONSTRAINT ck_trades_action CHECK ({what})"
                    connection.execute(text(added))


@pytest.mark.parametrize("kind", DRIFT)
def test_the_revision_that_is_written_mends_what_differs_and_goes_back(
    engine: Engine, folder: Path, kind: str
) -> None:
    before = revisions.head_revision()
    drift(engine, DRIFT[kind])
    found = drift_of(engine)
    assert found
    file = new_revision("mend it", engine)
    assert file is not None
    assert file.parent == folder / "versions"
    assert file.name == f"{int(before) + 1:04}_mend_it.py"
    migrations.upgrade(engine)
    assert drift_of(engine) == ()
    migrations.downgrade(engine, before)
    assert drift_of(engine) == found


def test_what_is_written_for_a_new_column_index_and_check_is_what_others_can_trade_through(
    new_database: Callable[[], URL], folder: Path
) -> None:
    engine = make_engine(configured(new_database()))
    migrations.upgrade(engine)
    drift(engine, DRIFT["several"][:3])
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE trades DROP bust_reason, DROP busted_by"))
    file = new_revision("mend it", engine)
    assert file is not None
    written = file.read_text().partition("def upgrade")[2].partition("def downgrade")[0]
    assert written.count("online_ddl.add_column(") == 2
    assert written.count("online_ddl.create_index(") == 2
    assert (
        "online_ddl.add_check('trades', 'ck_trades_action', \"action IN ('BUY', 'SELL')\")"
        in written
    )
    assert "op." not in written
    with statements_of(engine) as sent:
        migrations.upgrade(engine)
    assert broken_rules(sent, metadata.tables) == []
    assert drift_of(engine) == ()
    engine.dispose()


def test_alembics_own_check_finds_a_check_that_differs(engine: Engine) -> None:
    drift(engine, DRIFT["a missing check"])
    with engine.connect() as connection, pytest.raises(CommandError, match="ck_trades_action"):
        command.check(revisions.alembic_config(connection))


def test_nothing_is_written_where_nothing_differs(folder: Path) -> None:
    before = set((folder / "versions").glob("*.py"))
    assert new_revision("nothing new") is None
    assert set((folder / "versions").glob("*.py")) == before


def test_an_empty_revision_is_written_where_it_is_asked_for(folder: Path) -> None:
    file = new_revision("by hand", empty=True)
    assert file is not None
    assert "online_ddl." not in file.read_text()
    assert file.read_text().count("    pass\n") == 2
    engine = make_engine(configured("sqlite://"))
    migrations.upgrade(engine)
    assert migrations.current_revision(engine) == file.name[:4]
    engine.dispose()


def test_an_installed_package_has_no_place_for_revisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revisions, "migrations_folder", lambda: tmp_path / "migrations")
    with pytest.raises(TradebookError, match="in a checkout"):
        new_revision("a memo")
