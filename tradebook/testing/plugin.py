"""Fixtures for the tests of applications.

Enable them in the conftest.py at the top of your tests:

    pytest_plugins = ["tradebook.testing.plugin"]
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from tradebook.adapters.engine.factory import make_engine
from tradebook.adapters.orm import metadata
from tradebook.adapters.sessions.write_guard import GuardedSession
from tradebook.config import DatabaseConfig
from tradebook.domain.errors import ExtraNotInstalled
from tradebook.entrypoints.manager import DatabaseManager
from tradebook.testing.async_fakes import AsyncFakeBook
from tradebook.testing.fakes import FakeBook

try:
    import pytest
except ImportError:
    raise ExtraNotInstalled("testing", "pytest") from None


@pytest.fixture
def in_memory_config() -> DatabaseConfig:
    """Configure a database in memory, the same for every manager made from it, sync or async."""
    return DatabaseConfig(path=":memory:")


@pytest.fixture
def in_memory_db(in_memory_config: DatabaseConfig) -> Iterator[Session]:
    """Open a SQLAlchemy session on an empty book in memory, discarded after the test."""
    engine = make_engine(in_memory_config)
    metadata.create_all(engine)
    with GuardedSession(engine, expire_on_commit=False) as session:
        yield session
    engine.dispose()


@pytest.fixture
def in_memory_book(in_memory_config: DatabaseConfig) -> Iterator[DatabaseManager]:
    """Open a `DatabaseManager` on an empty book in memory."""
    with DatabaseManager(in_memory_config) as manager:
        yield manager


@pytest.fixture
def fake_book() -> FakeBook:
    """Open an empty `FakeBook`, which needs no database."""
    return FakeBook()


@pytest.fixture
def async_fake_book() -> AsyncFakeBook:
    """Open an empty `AsyncFakeBook`, for bots on asyncio."""
    return AsyncFakeBook()


@pytest.fixture
def sample_trade() -> dict[str, Any]:
    """Return a trade's terms as a venue's client may give them: a float price and a naive UTC time."""
    return {
        "symbol": "AAPL",
        "action": "BUY",
        "quantity": 100,
        "price": 150.50,
        "executed_at": datetime.now(UTC).replace(tzinfo=None),
    }
