"""How a database is, and whether its schema is the one that this code needs; by both managers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, text

from tests.support.servers import configured
from tradebook import DatabaseConfig, DatabaseManager, SchemaNotReady, metadata
from tradebook.adapters.engine.factory import make_engine
from tradebook.adapters.migrations import schema_state
from tradebook.adapters.migrations.schema_state import SCHEMA_REVISION

NewManager = Callable[..., Any]


def execute(database: str | URL, *statements: str) -> None:
    """Past tradebook, as another program would."""
    engine = make_engine(configured(database))
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def migrated(database: str | URL) -> None:
    with DatabaseManager(database) as manager:
        manager.upgrade()


def refused(manager: Any) -> str:
    """What its first use says; its health is not ok, and says why without an error."""
    assert not manager.health().ok
    with pytest.raises(SchemaNotReady) as error:
        manager.get_positions()
    return str(error.value)


def test_a_database_that_is_ready_is_ok_and_tells_what_it_is(
    new_manager: NewManager, empty_database: str | URL
) -> None:
    migrated(empty_database)
    health = new_manager(empty_database).health()
    assert (health.ok, health.reachable, health.error) == (True, True, None)
    assert (health.schema, health.revision, health.expected_revision) == (
        "current",
        SCHEMA_REVISION,
        SCHEMA_REVISION,
    )
    name = "SQLite" if "sqlite" in str(empty_database) else "PostgreSQL"
    assert health.server.split()[0] == name
    assert int(health.server.split()[1].partition(".")[0]) >= 3
    assert 0 < health.latency < 60


def test_an_empty_database_is_reachable_and_not_ok(
    new_manager: NewManager, empty_database: str | URL
) -> None:
    health = new_manager(empty_database).health()
    assert (health.ok, health.reachable, health.schema, health.revision) == (
        False,
        True,
        "empty",
        None,
    )


def test_a_server_that_is_down_is_an_answer_without_the_password(new_manager: NewManager) -> None:
    config = DatabaseConfig(host="127.0.0.1", port=1, username="me", password="s3cret")
    health = new_manager(config).health()
    assert (health.ok, health.reachable, health.latency, health.schema) == (False, False, None, "")
    assert "is the server running there?" in health.error
    assert health.database == "postgresql://me:***@127.0.0.1:1/tradebook"
    assert "s3cret" not in repr(health)


def test_a_file_that_is_no_database_is_an_answer(new_manager: NewManager, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing of a database\n" * 100)
    health = new_manager(f"sqlite:///{path}").health()
    assert not health.ok
    assert "not a database" in health.error


def test_asking_waits_for_no_writer(
    new_manager: NewManager, sqlite_url: str, tmp_path: Path
) -> None:
    migrated(sqlite_url)
    writer = sqlite3.connect(tmp_path / "book.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert new_manager(DatabaseConfig(path=tmp_path / "book.db", lock_timeout=0)).health().ok
    writer.close()


def test_tables_made_without_migrations_are_taken_as_they_are(
    new_manager: NewManager, empty_database: str | URL
) -> None:
    engine = make_engine(configured(empty_database))
    metadata.create_all(engine)
    engine.dispose()
    manager = new_manager(empty_database)
    assert (manager.health().schema, manager.health().ok) == ("unversioned", True)
    assert manager.get_positions() == []


def test_tables_of_others_only_are_not_the_books(
    new_manager: NewManager, empty_database: str | URL
) -> None:
    execute(empty_database, "CREATE TABLE trades (theirs TEXT)")
    manager = new_manager(empty_database)
    assert "holds another program's tables (trades)" in refused(manager)
    assert manager.health().schema == "foreign"


def test_a_schema_taken_down_again_is_missing(
    new_manager: NewManager, empty_database: str | URL
) -> None:
    migrated(empty_database)
    execute(empty_database, "DELETE FROM alembic_version")
    assert "run `tradebook db upgrade`" in refused(new_manager(empty_database))


def test_an_older_schema_says_what_to_run(
    new_manager: NewManager, empty_database: str | URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrated(empty_database)
    monkeypatch.setattr(schema_state, "SCHEMA_REVISION", "9999")
    manager = new_manager(empty_database)
    message = refused(manager)
    assert f"at revision {SCHEMA_REVISION}" in message
    assert "needs 9999" in message
    assert "run `tradebook db upgrade`" in message
    assert manager.health().schema == "behind"


def test_a_newer_schema_says_what_to_install(
    new_manager: NewManager, empty_database: str | URL
) -> None:
    migrated(empty_database)
    execute(empty_database, "UPDATE alembic_version SET version_num = 'f00d'")
    manager = new_manager(empty_database)
    message = refused(manager)
    assert "f00d" in message
    assert SCHEMA_REVISION in message
    assert "pip install --upgrade tradebook" in message
    assert manager.health().schema == "ahead"


def test_a_newer_schema_is_not_upgraded(new_manager: NewManager, empty_database: str | URL) -> None:
    migrated(empty_database)
    execute(empty_database, "UPDATE alembic_version SET version_num = 'f00d'")
    with pytest.raises(SchemaNotReady, match="pip install --upgrade tradebook"):
        new_manager(empty_database).upgrade()
