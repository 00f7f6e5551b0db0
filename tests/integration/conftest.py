"""Managers of both kinds, called alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.backends import new_book
from tests.support.command_line import Command
from tests.support.forked_commands import forked_commands
from tests.support.secured_servers import SecuredServer, sandbox_programs, secured_server
from tests.support.servers import configured
from tradebook import AsyncDatabaseManager, DatabaseConfig, DatabaseManager
from tradebook.adapters.runner import retries
from tradebook.operations.backup import Store


@pytest.fixture(params=[DatabaseManager, AsyncDatabaseManager])
def new_manager(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Makes managers of a kind, closed at the end."""
    made: list[Any] = []

    def new(*args: Any, **options: Any) -> Any:
        made.append(new_book(request.param, *args, **options))
        return made[-1]

    yield new
    for manager in made:
        manager.close()


@pytest.fixture
def brief_outages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let calls seek a server that is away for 0.1 seconds only."""
    monkeypatch.setattr(retries, "MAX_OUTAGE", 0.1)


@pytest.fixture(params=["sqlite_book", "postgresql_book"])
def manager(request: pytest.FixtureRequest, new_manager: Callable[..., Any]) -> Any:
    """A manager of a new account."""
    return new_manager(request.getfixturevalue(request.param), uuid4().hex, actor="tester")


@pytest.fixture
def tradebook(sqlite_book: str) -> Command:
    """The command line, on a book of its own."""
    return Command(sqlite_book)


@pytest.fixture
def config(sqlite_book: str) -> DatabaseConfig:
    """A SQLite file with a trade in its book."""
    config = configured(sqlite_book)
    with DatabaseManager(config) as book:
        book.record_trade(symbol="AAPL", action="BUY", quantity=1, price=2, order_id="first")
    return config


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A folder for backups that does not exist yet."""
    return Store(tmp_path / "backups")


@pytest.fixture(scope="session")
def programs() -> Iterator[Path]:
    """A folder with the commands `tradebook` and `alembic`, which start at once."""
    with forked_commands() as folder:
        yield folder


@pytest.fixture(scope="session")
def secured() -> Iterator[SecuredServer]:
    """A server that asks for passwords, and writes its log as JSON."""
    settings = {"logging_collector": "on", "log_destination": "stderr", "log_rotation_age": "0"}
    rules = "host all,replication all localhost scram-sha-256\n"
    with secured_server(sandbox_programs(), settings, rules, {}) as server:
        yield server
