"""The health of a database, and the state of its connection pool."""

from __future__ import annotations

from attrs import frozen


@frozen
class PoolStatus:
    """The state of a connection pool at one moment.

    Attributes:
        size: connections that the pool keeps open.
        max_overflow: further ones that it may open under load.
        checked_out: connections in use.
        checked_in: connections that are open and free.
        overflow: connections opened beyond `size`.
        waiting: threads or tasks that wait for a connection.
        oldest_checkout: seconds for which the longest use has lasted; None when none is in use.
        waits: the number of waits so far; 0 again after the pool was closed.
        waited: seconds of all waits together.
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
    """The usability of a book's database.

    Attributes:
        database: its URL, passwords masked.
        expected_revision: the schema revision that this code needs.
        reachable: whether the database answered.
        server: its name and version, such as `PostgreSQL 18.0`.
        latency: seconds that one query took.
        schema: `current`, `unversioned`, `empty`, `missing`, `foreign`, `incomplete`, `behind` or `ahead` of this
            code.
        revision: of the schema.
        error: the reason why it did not answer.
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
        """True where the database answered and has the schema of this code."""
        return self.reachable and self.schema in ("current", "unversioned")
