"""Databases for the tests. A server starts once a session; each test has an account of its own."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from sqlalchemy import URL

from tests.support.poolers import in_transactions, pooler
from tests.support.servers import (
    create_database,
    give_runtime_folder,
    keep_temporary_files_in_memory,
    postgresql_server,
)
from tests.support.shared_statements import share_statements
from tradebook import DatabaseManager

pytest_plugins = ["tradebook.testing.plugin"]

# For `make mutants`: a few examples, the same for every mutant, and any failure will do.
settings.register_profile(
    "mutants",
    max_examples=10,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def pytest_configure() -> None:
    """One folder for all workers, which end without tidying up; one cache of statements in each."""
    keep_temporary_files_in_memory()
    give_runtime_folder()
    share_statements()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--full`, which xdist hands on to its workers."""
    parser.addoption(
        "--full", action="store_true", help="run what is marked `full` too: all eight backends"
    )
    parser.addoption(
        "--pooler",
        action="store_true",
        help="run what is marked `pooler` too, and the contract suite through PgBouncer",
    )
    parser.addoption(
        "--prove",
        action="store_true",
        help="end each contract test with verify and the check of seals",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests marked `full` or `pooler`, and under `make mutants` those that its workers cannot find.

    They collect a second time in one process, and pytest then escapes the ids that a function made
    once more; a test that is not found would count as a mutant killed.
    """
    out: set[pytest.Item] = set()
    if not config.getoption("full"):
        out |= {item for item in items if item.get_closest_marker("full")}
    if not config.getoption("pooler"):
        out |= {item for item in items if item.get_closest_marker("pooler")}
    if config.getoption("hypothesis_profile") == "mutants":
        out |= {item for item in items if "\\" in item.nodeid}
    config.hook.pytest_deselected(items=[item for item in items if item in out])
    # The longest first: one that starts last would leave the other workers idle until its end.
    items[:] = sorted(
        (item for item in items if item not in out),
        key=lambda item: item.get_closest_marker("slow") is None,
    )


def pytest_collection_finish() -> None:
    """Exempt the collected tests from garbage collection, which walks them again and again: 10 % of the time."""
    gc.collect()
    gc.freeze()


_FINISHED = count(1)


def pytest_runtest_logfinish() -> None:
    """Exempt what stays of the tests so far too: compiled statements, reports, caches."""
    if next(_FINISHED) % 200 == 0:
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[URL]:
    """A PostgreSQL server, whose data is thrown away at the end."""
    with postgresql_server(fsync=False) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_database(postgresql: URL) -> str:
    """The name of a database with the book's schema, to be copied: nothing connects to it."""
    with DatabaseManager(create_database(postgresql, "migrated")) as manager:
        manager.upgrade()
    return "migrated"


@pytest.fixture(scope="session")
def postgresql_book(
    postgresql: URL, migrated_database: str, pytestconfig: pytest.Config
) -> Iterator[URL]:
    """A database on the server with the book's schema; with `--pooler` through PgBouncer."""
    url = create_database(postgresql, "book", migrated_database)
    if not pytestconfig.getoption("pooler"):
        yield url
        return
    with pooler(url, size=10) as made:
        yield in_transactions(made.url)


@pytest.fixture
def new_database(postgresql: URL) -> Callable[[], URL]:
    """Makes new empty databases on the server."""
    return lambda: create_database(postgresql, f"db{uuid4().hex}")


@pytest.fixture
def own_postgresql_book(postgresql: URL, migrated_database: str) -> URL:
    """A database with the book's schema that no other test uses."""
    return create_database(postgresql, f"db{uuid4().hex}", migrated_database)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An embedded database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'book.db'}"


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the book's schema."""
    path = tmp_path_factory.mktemp("migrated") / "book.db"
    with DatabaseManager(f"sqlite:///{path}") as manager:
        manager.upgrade()
    return path


@pytest.fixture
def sqlite_book(migrated_file: Path, tmp_path: Path) -> str:
    """An embedded database with the book's schema: a copy, since the migrations take 80 ms."""
    path = shutil.copy(migrated_file, tmp_path / "book.db")
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest) -> str | URL:
    """A database without a schema, on each kind of server."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("sqlite_url"))
    make: Callable[[], URL] = request.getfixturevalue("new_database")
    return make()
