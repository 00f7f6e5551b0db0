"""A server with PgBouncer before it, in transaction mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from attrs import evolve, frozen
from sqlalchemy import URL

from tests.support.poolers import pooler
from tests.support.servers import configured, execute
from tradebook import DatabaseConfig


@frozen
class PooledBook:
    """A database of its own with the book's schema, and the way to it through PgBouncer.

    Attributes:
        direct: of the server.
        url: of the pooler.
    """

    direct: URL
    url: URL

    @property
    def config(self) -> DatabaseConfig:
        """Return the configuration that names the pooler."""
        return evolve(configured(self.url), pooler="transaction")

    def limit_database(self) -> None:
        """Give its sessions the default limits by themselves, as `db roles --limits` does for roles."""
        for setting in ("lock_timeout = '10s'", "idle_in_transaction_session_timeout = '10min'"):
            execute(self.direct, f'ALTER DATABASE "{self.direct.database}" SET {setting}')
        others = "datname = current_database() AND pid <> pg_backend_pid()"  # they began without
        execute(
            self.direct, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"
        )


@pytest.fixture(scope="session")
def through_pooler(postgresql: URL) -> Iterator[Callable[[URL], URL]]:
    """Gives the way to a database of the server through PgBouncer, over two connections of the server."""
    with pooler(postgresql) as made:
        yield lambda database: made.url.set(database=database.database)


@pytest.fixture
def pooled(own_postgresql_book: URL, through_pooler: Callable[[URL], URL]) -> PooledBook:
    """A book of its own through PgBouncer."""
    return PooledBook(own_postgresql_book, through_pooler(own_postgresql_book))
