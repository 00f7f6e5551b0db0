"""Metrics of a database, of all processes that use it, read from the database on each scrape."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from sqlalchemy import Connection, Engine

from tradebook.domain.errors import ExtraNotInstalled, NotPermitted, TradebookError
from tradebook.operations.activity import (
    Activity,
    monitoring_connection,
    read_activity,
    read_database_bytes,
    read_totals,
)
from tradebook.operations.metrics import catalog
from tradebook.operations.metrics.catalog import Sample, families

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


def database_registry(engine: Engine) -> CollectorRegistry:
    """Make a registry of prometheus_client that reads the database's metrics on each scrape."""
    try:
        from prometheus_client import CollectorRegistry
    except ImportError:
        raise ExtraNotInstalled("prometheus", "prometheus_client") from None
    registry = CollectorRegistry()
    registry.register(_DatabaseCollector(engine))
    return registry


def read_samples(engine: Engine) -> list[Sample]:
    """Read the current value of every metric that the database and the role's privileges provide."""
    began = time.perf_counter()
    with monitoring_connection(engine) as connection:
        samples = [
            (catalog.UP, (), 1),
            (catalog.DATABASE_SIZE, (), read_database_bytes(connection)),
            *_book_samples(connection),
        ]
        activity = read_activity(connection)
    if activity is not None:
        samples += _activity_samples(activity)
    return [*samples, (catalog.SCRAPE, (), time.perf_counter() - began)]


@frozen(eq=False)
class _DatabaseCollector:
    """Collector of prometheus_client; a database that is not reachable yields `tradebook_up 0`."""

    _engine: Engine
    _lock: AbstractContextManager[bool] = field(factory=threading.Lock, init=False)

    def describe(self) -> list[Any]:
        """Return no description: without this method, registering would read the database once."""
        return []

    def collect(self) -> Iterable[Any]:
        # One scrape at a time: slow scrapes must not pile up on a database that is busy already.
        with self._lock:
            try:
                samples = read_samples(self._engine)
            except TradebookError:
                samples = [(catalog.UP, (), 0)]
        return families(samples)


def _book_samples(connection: Connection) -> Iterator[Sample]:
    try:
        totals = read_totals(connection)
    except NotPermitted:
        return  # row-level security hides every account: 0 trades would be wrong
    yield catalog.BOOKED, (), totals.booked
    yield catalog.BUSTED, (), totals.busted
    yield catalog.PENDING, (), totals.pending
    yield catalog.POSITIONS, (), totals.open_positions
    for severity, (count, oldest) in totals.unresolved.items():
        yield catalog.UNRESOLVED, (severity,), count
        yield catalog.OLDEST_ALERT, (severity,), oldest


def _activity_samples(activity: Activity) -> Iterator[Sample]:
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
    for state, count in activity.states().items():
        yield catalog.CONNECTIONS, (state,), count
    blocked = activity.blocked
    yield catalog.LOCK_WAITS, (), len(blocked)
    yield catalog.LONGEST_LOCK_WAIT, (), max((s.waiting_seconds for s in blocked), default=0)
    yield catalog.CHAIN, (), activity.chain_length
    # Otherwise other roles' transactions are hidden: 0 may be wrong.
    if activity.server.sees_others:
        yield catalog.LONG_TRANSACTIONS, (), len(activity.long_transactions)
        oldest = max((s.transaction_seconds for s in activity.sessions), default=0)
        yield catalog.OLDEST_TRANSACTION, (), oldest
    yield from _replication_samples(activity)


def _replication_samples(activity: Activity) -> Iterator[Sample]:
    if activity.server.sees_others:
        standbys = () if activity.server.is_standby else activity.replicas
        yield catalog.REPLICAS, (), len(standbys)
    # Standbys may share a name, and a label may appear once: report the one with the largest lag.
    slowest = {r.name: r for r in sorted(activity.replicas, key=lambda r: r.lag_bytes)}
    for replica in slowest.values():
        yield catalog.REPLICATION_LAG, (replica.name,), replica.lag_seconds
        yield catalog.REPLICATION_LAG_BYTES, (replica.name,), replica.lag_bytes
    archive = activity.archive
    if archive is not None and archive.is_on:
        yield catalog.ARCHIVE_FAILURES, (), archive.failures
        if archive.waiting_seconds is not None:
            yield catalog.ARCHIVE_AGE, (), archive.waiting_seconds
    for slot in activity.slots:
        yield catalog.SLOT_RETAINED, (slot.name,), slot.retained_bytes
