"""The `book` of the contract suite: every test here runs on every backend, asyncio or not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.assorted_records import fill
from tests.support.backends import BACKENDS, each_backend, new_book
from tradebook.service_layer.book import Book


@pytest.fixture
def memory_url() -> str:
    """A new database in memory."""
    return "sqlite://"


def opened(backend: str, url_of: Callable[[str], Any]) -> Iterator[Book]:
    """Open an empty book of a new account, and close it."""
    kind, url = BACKENDS[backend]
    where = [] if url is None else [url_of(url)]
    made = new_book(kind, *where, account=f"test-{uuid4().hex}", actor="tester")
    yield made
    made.close()


@pytest.fixture(params=each_backend())
def book(request: pytest.FixtureRequest) -> Iterator[Book]:
    """An empty book of a new account; with `--prove` nothing in it is unproven in the end."""
    for made in opened(request.param, request.getfixturevalue):
        yield made
        if request.config.getoption("prove") and not request.node.get_closest_marker("spoils"):
            assert made.verify().differences == ()
            assert made.check_seals().findings == ()


@pytest.fixture(scope="session", params=each_backend())
def filled_book(
    request: pytest.FixtureRequest, migrated_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Book]:
    """A book with some of everything, filled once for each backend: for tests that only read it."""

    def url_of(fixture: str) -> Any:
        if fixture == "sqlite_book":
            return f"sqlite:///{shutil.copy(migrated_file, tmp_path_factory.mktemp('filled'))}"
        return "sqlite://" if fixture == "memory_url" else request.getfixturevalue(fixture)

    for book in opened(request.param, url_of):
        fill(book)
        yield book
