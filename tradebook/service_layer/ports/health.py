"""How a database and its pool of connections are."""

from __future__ import annotations

from attrs import frozen


@frozen
class PoolStatus:
    """A pool of connections at one moment.

    Attributes:
        size: connections that are kept.
        max_overflow: further ones that may be opened for a while.
        checked_out: in use now.
        checked_in: open, and free.
        overflow: opened beyond `size` now.
        waiting: threads or tasks that wait for a connection.
        waits: how many had to wait so far; 0 again after the pool was closed.
        waited: for how many seconds together.
        oldest_checkout: for how many seconds one has been in use the longest; None when none is.
    """

    size: int
    max_overflow: int
    checked_out: int
    checked_in: int
    overflow: int
    waiting: int
    oldest_checkout: float | None
    waits: int = 0
    waited: float = 0.0


@frozen(kw_only=True)
class Health:
    """Whether a book can be used.

    Attributes:
        database: its URL, passwords masked.
        reachable: whether it answered.
        server: what answered, such as `PostgreSQL 18.0`.
        latency: seconds that one question took.
        schema: `current`, `unversioned`, `empty`, `missing`, `behind` or `ahead` of this code.
        revision: of the schema.
        expected_revision: of this code.
        error: why it did not answer.
    """

    database: str
    expected_revision: str
    reachable: bool = False
    server: str = ""
    latency: float | None = None
    schema: str = ""
    revision: str | None = None
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it answered, and has the schema of this code."""
        return self.reachable and self.schema in ("current", "unversioned")
