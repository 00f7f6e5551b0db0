"""Catalog of every metric that tradebook exports: its name, kind, description and labels.

Each combination of label values is a time series of its own, so labels have few values: no account, no symbol. The
prefix `tradebook_`, which all names have, is left out below.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from attrs import frozen

_Kind: TypeAlias = Literal["counter", "gauge", "histogram"]


@frozen
class Metric:
    """One metric that tradebook exports.

    Attributes:
        name: its name in Prometheus; for a histogram without `_bucket`, `_sum` and `_count`.
        description: what it measures, for Prometheus' HELP line and the documentation.
        labels: names of its labels.
    """

    name: str
    kind: _Kind
    description: str
    labels: tuple[str, ...] = ()


Sample: TypeAlias = tuple[Metric, tuple[str, ...], float]
"""A metric, the values of its labels, and its value."""


def families(samples: Iterable[Sample]) -> Iterable[Any]:
    """Group samples of counters and gauges by metric, as collectors of prometheus_client return them."""
    from prometheus_client import core

    found: dict[Metric, Any] = {}
    for metric, labels, value in samples:
        if metric not in found:
            is_counter = metric.kind == "counter"
            family = core.CounterMetricFamily if is_counter else core.GaugeMetricFamily
            found[metric] = family(metric.name, metric.description, labels=metric.labels)
        found[metric].add_metric(labels, value)
    return found.values()


def _metric(kind: _Kind, name: str, description: str, *labels: str) -> Metric:
    return Metric(f"tradebook_{name}", kind, description, labels)


_counter = partial(_metric, "counter")
_gauge = partial(_metric, "gauge")
_histogram = partial(_metric, "histogram")

POOL_SIZE: Final = _gauge("pool_size", "Connections that the pool keeps open.", "pool")
POOL_LIMIT: Final = _gauge("pool_limit", "Most connections that may be open.", "pool")
POOL_CHECKED_OUT: Final = _gauge("pool_checked_out", "Connections in use.", "pool")
POOL_OVERFLOW: Final = _gauge("pool_overflow", "Connections above the pool's size.", "pool")
POOL_WAITING: Final = _gauge("pool_waiting", "Threads or tasks that wait for a connection.", "pool")
POOL_WAITS: Final = _counter("pool_waits_total", "Waits for a connection.", "pool")
POOL_WAITED: Final = _counter("pool_wait_seconds_total", "Seconds waited for connections.", "pool")
POOL_OLDEST: Final = _gauge(
    "pool_oldest_checkout_seconds", "Age of the oldest checkout of a connection.", "pool"
)
QUERY: Final = _histogram(
    "query_seconds",
    "Duration of statements, by verb and table, such as `select trades`.",
    "statement",
)
QUERY_FAILURES: Final = _counter("query_failures_total", "Statements that failed.", "statement")
UNIT_OF_WORK: Final = _histogram(
    "unit_of_work_seconds",
    "Duration of calls including retries, by handler or query; `unit_of_work` and `session` are those "
    "that the application opened itself, `custom` its own functions.",
    "handler",
    "outcome",
)
RETRIES: Final = _counter(
    "retries_total", "Retried units of work: after a conflict, lost connection or other.", "reason"
)
READS: Final = _counter(
    "reads_total",
    "Reads where queries may go to standbys, by the server that they went to and the reason: the consistency that "
    "was asked for, or what kept them from a standby (behind, lags, unreachable, promoted, failed, no position).",
    "server",
    "reason",
)
READ_WAIT: Final = _histogram(
    "read_wait_seconds", "Time that reads waited for a standby to have what they need.", "server"
)
CONFLICTS: Final = _counter("conflicts_total", "Attempts that lost to another writer.")
TRADES: Final = _counter("trades_total", "Trades and pending orders committed.")
DUPLICATES: Final = _counter("duplicates_total", "Trades that were delivered again and recognised.")
BUSTS: Final = _counter("busts_total", "Trades busted or corrected.")
ALERTS: Final = _counter("alerts_total", "Alerts raised.", "severity")

# Collected from the definitions above, so that a new metric is exported and documented by being defined.
PROCESS_METRICS: Final = tuple(m for m in list(globals().values()) if isinstance(m, Metric))
"""Metrics that `metrics.instrument(book)` exports from an application."""

UP: Final = _gauge("up", "1 when the database answered, 0 when it did not.")
SCRAPE: Final = _gauge("scrape_seconds", "Duration of reading these metrics.")
BOOKED: Final = _counter("booked_trades_total", "Trades booked, in all accounts.")
BUSTED: Final = _counter("busted_trades_total", "Booked trades that were busted or corrected.")
PENDING: Final = _gauge("pending_orders", "Orders that wait for a fill.")
POSITIONS: Final = _gauge("open_positions", "Open positions.")
UNRESOLVED: Final = _gauge("unresolved_alerts", "Unresolved alerts.", "severity")
OLDEST_ALERT: Final = _gauge(
    "oldest_unresolved_alert_seconds", "Age of the oldest unresolved alert.", "severity"
)
DATABASE_SIZE: Final = _gauge("database_bytes", "Size of the database on disk.")
CONNECTIONS: Final = _gauge("postgresql_connections", "Connections to the database.", "state")
MOST_CONNECTIONS: Final = _gauge("postgresql_max_connections", "Limit of connections.")
ALL_CONNECTIONS: Final = _gauge("postgresql_server_connections", "Connections to all databases.")
LOCK_WAITS: Final = _gauge("postgresql_lock_waits", "Sessions that wait for a lock.")
LONGEST_LOCK_WAIT: Final = _gauge("postgresql_longest_lock_wait_seconds", "Longest lock wait.")
CHAIN: Final = _gauge(
    "postgresql_blocking_chain_length",
    "Sessions in the longest chain in which each waits for the next; 2 where one waits for one.",
)
LONG_TRANSACTIONS: Final = _gauge(
    "postgresql_long_transactions", "Transactions open for more than a minute."
)
OLDEST_TRANSACTION: Final = _gauge(
    "postgresql_oldest_transaction_seconds", "Age of the oldest open transaction."
)
LIVE_ROWS: Final = _gauge("postgresql_live_rows", "Rows, as estimated by the server.", "table")
DEAD_ROWS: Final = _gauge("postgresql_dead_rows", "Dead rows awaiting vacuum.", "table")
SEQUENTIAL_SCANS: Final = _counter(
    "postgresql_sequential_scans_total", "Scans of whole tables.", "table"
)
INDEX_SCANS: Final = _counter("postgresql_index_scans_total", "Index scans.", "table", "index")
CACHE_HIT_RATIO: Final = _gauge("postgresql_cache_hit_ratio", "Share of blocks found in memory.")
BLOCKS_HIT: Final = _counter("postgresql_blocks_hit_total", "Blocks that were found in memory.")
BLOCKS_READ: Final = _counter("postgresql_blocks_read_total", "Blocks that were read from disk.")
COMMITS: Final = _counter("postgresql_commits_total", "Committed transactions.")
ROLLBACKS: Final = _counter("postgresql_rollbacks_total", "Rolled back transactions.")
DEADLOCKS: Final = _counter("postgresql_deadlocks_total", "Deadlocks.")
REPLICAS: Final = _gauge("postgresql_replicas", "Standbys and other WAL receivers.")
REPLICATION_LAG: Final = _gauge(
    "postgresql_replication_lag_seconds",
    "Delay with which a standby replays commits; a standby reports its own.",
    "replica",
)
REPLICATION_LAG_BYTES: Final = _gauge(
    "postgresql_replication_lag_bytes", "WAL that a standby has yet to replay.", "replica"
)
ARCHIVE_FAILURES: Final = _counter(
    "postgresql_archive_failures_total", "Failed attempts to archive a WAL file."
)
ARCHIVE_AGE: Final = _gauge(
    "postgresql_archive_age_seconds",
    "Time that the oldest finished WAL file has waited to be archived; 0 for none.",
)
SLOT_RETAINED: Final = _gauge(
    "postgresql_slot_retained_bytes", "WAL that is kept for a replication slot.", "slot"
)

DATABASE_METRICS: Final = tuple(
    m for m in list(globals().values()) if isinstance(m, Metric) and m not in PROCESS_METRICS
)
"""Metrics that `tradebook metrics` exports, of all processes that use the database."""
