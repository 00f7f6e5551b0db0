"""Databases that are no book, or no whole one: each is named with what to do, and nothing is created in it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, inspect, text

from tests.support.command_line import Command
from tests.support.servers import configured
from tradebook import AsyncDatabaseManager, DatabaseCorrupt, DatabaseManager, SchemaNotReady
from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.operations.copying import copy_book

THEIRS = {
    "freqtrade's": [
        "trades (id INTEGER, pair TEXT)",
        "orders (id INTEGER)",
        "pairlocks (id INTEGER)",
    ],
    "hummingbot's": [
        '"TradeFill" (id INTEGER)',
        '"Order" (id INTEGER)',
        '"OrderStatus" (id INTEGER)',
    ],
    "Django's": ["django_migrations (id INTEGER)", "auth_user (id INTEGER)"],
    "another program's": ["alembic_version (version_num TEXT)", "users (id INTEGER)"],
}
"""For each program the beginning of its schema; the last one migrates with Alembic, too."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str | URL:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'book.db'}"
    made: URL = request.getfixturevalue("new_database")()
    return made


@pytest.fixture
def engine(url: str | URL) -> Iterator[Engine]:
    """An engine of that database."""
    with engine_for(configured(url)) as made:
        yield made


def execute(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


async def call(url: str | URL, method: str) -> Any:
    manager = AsyncDatabaseManager(url)
    try:
        return await getattr(manager, method)()
    finally:
        await manager.aclose()


def refusals(url: str | URL) -> list[str]:
    """Return the message of each command and manager that opens the database."""
    said = [
        Command(str(configured(url).url)).refused(*command)
        for command in (["positions"], ["init"], ["db", "upgrade"], ["verify"])
    ]
    with DatabaseManager(url) as manager:
        for method in (manager.get_positions, manager.upgrade):
            with pytest.raises(SchemaNotReady) as refused:
                method()
            said.append(str(refused.value))
    for name in ("get_positions", "upgrade"):
        with pytest.raises(SchemaNotReady) as refused:
            asyncio.run(call(url, name))
        said.append(str(refused.value))
    return said


@pytest.mark.parametrize("program", THEIRS)
def test_the_database_of_another_program_is_recognised_and_left_as_it_is(
    engine: Engine, url: str | URL, program: str, tmp_path: Path
) -> None:
    engine.dispose()
    if (
        engine.dialect.name == "sqlite"
    ):  # made as that program would, in SQLite's default journal mode
        with sqlite3.connect(tmp_path / "book.db") as plain:
            for table in THEIRS[program]:
                plain.execute(f"CREATE TABLE {table}")
        plain.close()
    else:
        execute(engine, *(f"CREATE TABLE {table}" for table in THEIRS[program]))
    if program == "another program's":
        execute(engine, "INSERT INTO alembic_version VALUES ('0005')")
    tables, files = inspect(engine).get_table_names(), contents(tmp_path)
    engine.dispose()
    for said in refusals(url):
        assert f"holds {program} tables" in said
        assert "not a book of tradebook; give another file or database" in said
    assert inspect(engine).get_table_names() == tables
    engine.dispose()
    assert contents(tmp_path) == files


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_book_is_put_beside_other_tables_on_a_server_only_when_asked_for(
    new_database: Callable[[], URL],
) -> None:
    url = new_database()
    with engine_for(configured(url)) as engine:
        execute(engine, "CREATE TABLE spatial_ref_sys (id INTEGER)")
    with DatabaseManager(url) as manager:
        with pytest.raises(
            SchemaNotReady, match="for a book beside them, run `tradebook db upgrade`"
        ):
            manager.get_positions()
        manager.upgrade()
        assert manager.get_positions() == []


def test_a_table_that_was_dropped_is_named_at_the_first_call(
    engine: Engine, url: str | URL
) -> None:
    migrations.upgrade(engine)
    execute(engine, "DROP TABLE alerts")
    for said in refusals(url):
        assert "tables of the book are missing, though its schema was complete: alerts" in said
        assert "tradebook restore" in said
    checked = Command(str(configured(url).url))("db", "check")
    assert "table alerts is missing" in checked.stdout
    assert checked.exit_code == 1


def test_a_table_that_is_dropped_while_a_manager_is_in_use_is_named(
    engine: Engine, url: str | URL
) -> None:
    migrations.upgrade(engine)

    async def drop_and_read() -> None:
        other = AsyncDatabaseManager(url)
        await other.get_alerts()
        await asyncio.to_thread(execute, engine, "DROP TABLE alerts")
        try:
            await other.get_alerts()
        finally:
            await other.aclose()

    with DatabaseManager(url) as manager:
        manager.get_alerts()
        with pytest.raises(SchemaNotReady, match=r"alerts.*tradebook restore"):
            asyncio.run(drop_and_read())
        with pytest.raises(SchemaNotReady, match=r"alerts.*tradebook restore"):
            manager.get_alerts()
        with pytest.raises(SchemaNotReady, match=r"alerts.*tradebook restore"):
            manager.raise_alert("a", "INFO")
        assert manager.get_positions() == []


def test_the_version_table_that_was_dropped_with_others_is_no_reason_to_begin_anew(
    engine: Engine, url: str | URL
) -> None:
    migrations.upgrade(engine)
    execute(engine, "DROP TABLE alembic_version", "DROP TABLE seals")
    for said in refusals(url):
        assert "missing, though its schema was complete: seals" in said


@pytest.mark.parametrize("content", [b"symbol,action\nX,BUY\n" * 20, b"\0" * 5000, b"%PDF-1.7 x"])
def test_a_file_that_is_no_database_is_named_and_left_as_it_is(
    content: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "trades.csv"
    file.write_bytes(content)
    for command in (["positions"], ["init"], ["verify"]):
        said = Command(f"sqlite:///{file}").refused(*command)
        assert "if it never was one, give another file" in said
    with DatabaseManager(file) as manager, pytest.raises(DatabaseCorrupt, match="another file"):
        manager.get_positions()
    assert contents(tmp_path) == {"trades.csv": content}


def test_a_copy_into_another_programs_database_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "theirs.db") as theirs:
        theirs.execute("CREATE TABLE users (id INTEGER)")
    theirs.close()
    with DatabaseManager(tmp_path / "book.db") as manager:
        manager.upgrade()
    with pytest.raises(SchemaNotReady, match="another program's tables"):
        copy_book(
            configured(f"sqlite:///{tmp_path}/book.db"),
            configured(f"sqlite:///{tmp_path}/theirs.db"),
        )
