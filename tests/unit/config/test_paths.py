"""The path of a SQLite file wherever a URL is accepted; a URL with a mistake is not taken for a path."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.command_line import Command
from tradebook import AsyncDatabaseManager, DatabaseConfig, DatabaseManager, InvalidInput

NO_PATHS = (
    "sqlite:/book.db",
    "sqlite:book.db",
    "sqlite//user:secret@host/book.db",
    "mysql://host/book.db",
    "postgresql:/host/book",
    "postgresql//user:secret@host/book",
    "postgres",
    "db.example.com",
    "localhost:5432/book",
    "user:secret@host/book",
    "book.db?timeout=5",
    "book.db\0",
    "folder/",
    "",
)


@pytest.mark.parametrize("name", ["book.db", "a book.sqlite3", "BOOK.DB", "./book", "b%20k/50%.db"])
def test_a_path_is_the_file_of_that_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("b%20k").mkdir()
    for given in (name, Path(name)):
        with DatabaseManager(given) as book:
            book.raise_alert("a", "INFO")
    assert Path(name).is_file()
    assert len(Command(name).json("alerts")["alerts"]) == 2
    assert len(Command("").json("alerts", "--database", name)["alerts"]) == 2


def test_the_manager_for_asyncio_takes_a_path(tmp_path: Path) -> None:
    async def alerts() -> int:
        book = AsyncDatabaseManager(tmp_path / "book")
        await book.raise_alert("a", "INFO")
        await book.aclose()
        return len(DatabaseManager(tmp_path / "book").get_alerts())

    assert asyncio.run(alerts()) == 1


def test_from_url_takes_a_path() -> None:
    assert DatabaseConfig.from_url("book.db") == DatabaseConfig(path="book.db")
    assert DatabaseConfig.from_url(Path("book")) == DatabaseConfig(path=Path("book"))
    assert DatabaseConfig.from_url(":memory:").is_in_memory


@pytest.mark.parametrize("text", NO_PATHS)
def test_a_mistyped_url_is_no_path(text: str) -> None:
    for given in (text, f" {text}"):
        with pytest.raises(InvalidInput, match=r"expected a URL such as|no password") as refused:
            DatabaseConfig.from_url(given)
        assert "secret" not in str(refused.value)


def test_a_path_is_no_read_url() -> None:
    config = DatabaseConfig(host="localhost", read_url="book.db")
    with pytest.raises(InvalidInput, match="read_url"):
        config.for_reading()
