"""The contract suite's `book`: every test here runs on every backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.contract.backends import AsyncBook
from tradebook import DatabaseManager
from tradebook.service_layer.book import Book
from tradebook.testing import FakeBook

BACKENDS = [
    "fake",
    "sqlite-memory",
    "sqlite-file",
    "sqlite-async",
    "postgresql",
    "postgresql-async",
]


def new_book(backend: str, request: pytest.FixtureRequest, account: str) -> Any:
    """A book of a new account."""
    if backend == "fake":
        return FakeBook(account=account, actor="tester")
    if backend == "sqlite-memory":
        return DatabaseManager("sqlite://", account=account, actor="tester")
    if backend == "sqlite-file":
        url = request.getfixturevalue("sqlite_url")
        return DatabaseManager(url, account=account, actor="tester")
    if backend == "sqlite-async":
        url = request.getfixturevalue("sqlite_url")
        with DatabaseManager(url) as manager:
            manager.upgrade()
        return AsyncBook(url, account)
    url = request.getfixturevalue("postgresql_book")
    if backend == "postgresql":
        return DatabaseManager(url, account=account, actor="tester")
    return AsyncBook(url, account)


@pytest.fixture(params=BACKENDS)
def book(request: pytest.FixtureRequest) -> Iterator[Book]:
    """An empty book."""
    made = new_book(request.param, request, f"test-{uuid4().hex}")
    yield made
    made.close()
