"""The `book` of the contract suite: every test here runs on every backend, asyncio or not."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.support.backends import BACKENDS, each_backend, new_book
from tradebook.service_layer.book import Book


@pytest.fixture
def memory_url() -> str:
    """A new database in memory."""
    return "sqlite://"


@pytest.fixture(params=each_backend())
def book(request: pytest.FixtureRequest) -> Iterator[Book]:
    """An empty book of a new account."""
    kind, url = BACKENDS[request.param]
    where = [] if url is None else [request.getfixturevalue(url)]
    made = new_book(kind, *where, account=f"test-{uuid4().hex}", actor="tester")
    yield made
    made.close()
