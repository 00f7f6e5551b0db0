"""Databases for the tests. A server starts once a session; each test has an account of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import URL

from tests.servers import create_database, postgresql_server
from tradebook import DatabaseManager

pytest_plugins = ["tradebook.testing.plugin"]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[URL]:
    """A PostgreSQL server."""
    with postgresql_server() as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_book(postgresql: URL) -> URL:
    """A database on the server with the book's schema."""
    url = create_database(postgresql, "book")
    with DatabaseManager(url) as manager:
        manager.upgrade()
    return url


@pytest.fixture
def new_database(postgresql: URL) -> Callable[[], URL]:
    """Makes new empty databases on the server."""
    return lambda: create_database(postgresql, f"db{uuid4().hex}")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An embedded database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'book.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest) -> str | URL:
    """A database without a schema, on each kind of server."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("sqlite_url"))
    make: Callable[[], URL] = request.getfixturevalue("new_database")
    return make()
