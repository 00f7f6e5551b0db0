"""What a database knows, of all processes that use it, as metrics; asked whenever somebody scrapes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine

from tradebook.domain.errors import ExtraNotInstalled, NotPermitted, TradebookError
from tradebook.operations.activity import (
    Activity,
    Totals,
    looking_at,
    read_activity,
    read_database_bytes,
    read_totals,
)
from tradebook.operations.metrics import catalog
from tradebook.operations.metrics.catalog import Metric
from tradebook.operations.metrics.process import family_of

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric as Family


Sample = tuple[Metric, tuple[str, ...], float]
"""A metric, the values of its labels, and its value."""


def database_registry(engine: Engine) -> CollectorRegistry:
    """A registry of what the database of `engine` knows.

    Raises:
        ExtraNotInstalled: prometheus_client is missing.
    """
    try:
        from prometheus_client import CollectorRegistry
    except ImportError:
        raise ExtraNotInstalled("prometheus", "prometheus_client") from None
    registry = CollectorRegistry()
    registry.register(_Database(engine))
    return registry


def read_samples(engine: Engine) -> list[Sample]:
    """Ask the database, and give everything that it knows.

    Raises:
        TradebookError: it does not answer, or has no book.
    """
    begun = time.perf_counter()
    with looking_at(engine) as connection:
        of_book = list(_of_book(connection))
        activity = read_activity(connection)
        size = read_database_bytes(connection)
    samples: list[Sample] = [(catalog.UP, (), 1), (catalog.DATABASE_SIZE, (), size)]
    samples += of_book
    if activity is not None:
        samples += _of_activity(activity)
    return [*samples, (catalog.SCRAPE, (), time.perf_counter() - begun)]


class _Database:
    """Asks once a scrape; a database that does not answer is an answer too."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asking = threading.Lock()

    def describe(self) -> list[Family]:
        """Nothing is asked when it is registered."""
        return []

    def collect(self) -> Iterator[Family]:
        """What prometheus_client asks for."""
        with self._asking:
            try:
                samples = read_samples(self._engine)
            except TradebookError:
                samples = [(catalog.UP, (), 0)]
        families: dict[Metric, Any] = {}
        for metric, labels, value in samples:
            family = families.setdefault(metric, family_of(metric))
            family.add_metric(labels, value)
        yield from families.values()


def _of_book(connection: Connection) -> Iterable[Sample]:
    """Nothing where row security hides every account: 0 trades would be false."""
    try:
        return _of_totals(read_totals(connection))
    except NotPermitted:
        return ()


def _of_totals(totals: Totals) -> Iterable[Sample]:
    yield catalog.BOOKED, (), totals.booked
    yield catalog.BUSTED, (), totals.busted
    yield catalog.PENDING, (), totals.pending
    yield catalog.POSITIONS, (), totals.open_positions
    for severity, (count, oldest) in totals.unresolved.items():
        yield catalog.UNRESOLVED, (severity,), count
        yield catalog.OLDEST_ALERT, (severity,), oldest


def _of_activity(activity: Activity) -> Iterable[Sample]:
    yield from _of_sessions(activity)
    server = activity.server
    yield catalog.MOST_CONNECTIONS, (), server.max_connections
    yield catalog.ALL_CONNECTIONS, (), server.connections
    yield catalog.CACHE_HIT_RATIO, (), server.cache_hit_ratio
    yield catalog.BLOCKS_HIT, (), server.blocks_hit
    yield catalog.BLOCKS_READ, (), server.blocks_read
    yield catalog.COMMITS, (), server.commits
    yield catalog.ROLLBACKS, (), server.rollbacks
    yield catalog.DEADLOCKS, (), server.deadlocks
    for table in activity.tables:
        yield catalog.LIVE_ROWS, (table.name,), table.live_rows
        yield catalog.DEAD_ROWS, (table.name,), table.dead_rows
        yield catalog.SEQUENTIAL_SCANS, (table.name,), table.sequential_scans
    for index in activity.indexes:
        yield catalog.INDEX_SCANS, (index.table, index.name), index.scans
    yield from _of_replicas(activity)
    yield from _of_log(activity)


def _of_sessions(activity: Activity) -> Iterable[Sample]:
    for state, count in activity.states().items():
        yield catalog.CONNECTIONS, (state,), count
    blocked = activity.blocked
    yield catalog.LOCK_WAITS, (), len(blocked)
    yield catalog.LONGEST_LOCK_WAIT, (), max((s.waiting_seconds for s in blocked), default=0)
    yield catalog.CHAIN, (), activity.chain_length
    if not activity.server.sees_others:
        return  # no transaction of theirs is shown: 0 would be a guess
    yield catalog.LONG_TRANSACTIONS, (), len(activity.long_transactions)
    oldest = max((s.transaction_seconds for s in activity.sessions), default=0)
    yield catalog.OLDEST_TRANSACTION, (), oldest


def _of_replicas(activity: Activity) -> Iterable[Sample]:
    standbys = () if activity.server.is_standby else activity.replicas
    if activity.server.sees_others:
        yield catalog.REPLICAS, (), len(standbys)
    # Several may have one name: the one that is furthest behind stands for them.
    furthest = {r.name: r for r in sorted(activity.replicas, key=lambda r: r.lag_bytes)}
    for replica in furthest.values():
        yield catalog.REPLICATION_LAG, (replica.name,), replica.lag_seconds
        yield catalog.REPLICATION_LAG_BYTES, (replica.name,), replica.lag_bytes


def _of_log(activity: Activity) -> Iterable[Sample]:
    archive = activity.archive
    if archive is not None and archive.is_on:
        yield catalog.ARCHIVE_FAILURES, (), archive.failures
        if archive.waiting_seconds is not None:
            yield catalog.ARCHIVE_AGE, (), archive.waiting_seconds
    for slot in activity.slots:
        yield catalog.SLOT_RETAINED, (slot.name,), slot.retained_bytes
