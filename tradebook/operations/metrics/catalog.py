"""Catalog of every metric that tradebook exports: its name, kind, description and labels.

Each combination of label values is a time series of its own, so labels have few values: no account, no symbol.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal, TypeAlias

from attrs import frozen

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]


@frozen
class Metric:
    """One metric that tradebook exports.

    Attributes:
        name: its name in Prometheus; for a histogram without `_bucket`, `_sum` and `_count`.
        kind: counter, gauge or histogram.
        description: what it measures, for Prometheus' HELP line and the documentation.
        labels: names of its labels.
    """

    name: str
    kind: Kind
    description: str
    labels: tuple[str, ...] = ()

    @property
    def samples(self) -> tuple[str, ...]:
        """Names of the time series that a PromQL query can select."""
        if self.kind == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))
        return (self.name,)


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


def _counter(name: str, description: str, *labels: str) -> Metric:
    return Metric(name, "counter", description, labels)


def _gauge(name: str, description: str, *labels: str) -> Metric:
    return Metric(name, "gauge", description, labels)


def _histogram(name: str, description: str, *labels: str) -> Metric:
    return Metric(name, "histogram", description, labels)


POOL_SIZE: Final = _gauge("tradebook_pool_size", "Connections that the pool keeps open.", "pool")
POOL_LIMIT: Final = _gauge(
    "tradebook_pool_limit", "Connections that may be open at the same time.", "pool"
)
POOL_CHECKED_OUT: Final = _gauge("tradebook_pool_checked_out", "Connections in use.", "pool")
POOL_OVERFLOW: Final = _gauge(
    "tradebook_pool_overflow", "Connections open beyond the pool's size.", "pool"
)
POOL_WAITING: Final = _gauge(
    "tradebook_pool_waiting", "Threads or tasks that wait for a connection.", "pool"
)
POOL_WAITS: Final = _counter("tradebook_pool_waits_total", "Waits for a connection.", "pool")
POOL_WAITED: Final = _counter(
    "tradebook_pool_wait_seconds_total", "Seconds spent waiting for connections.", "pool"
)
POOL_OLDEST: Final = _gauge(
    "tradebook_pool_oldest_checkout_seconds",
    "Seconds since the connection that has been in use longest was checked out.",
    "pool",
)
QUERY: Final = _histogram(
    "tradebook_query_seconds",
    "Duration of statements, by their verb and table, such as `select trades`.",
    "statement",
)
QUERY_FAILURES: Final = _counter(
    "tradebook_query_failures_total", "Statements that failed.", "statement"
)
UNIT_OF_WORK: Final = _histogram(
    "tradebook_unit_of_work_seconds",
    "Duration of calls including retries, by handler or query; `unit_of_work` and `session` are those "
    "that the application opened itself, `custom` its own functions.",
    "handler",
    "outcome",
)
RETRIES: Final = _counter(
    "tradebook_retries_total",
    "Units of work that were retried, by reason: conflict, lost connection or other.",
    "reason",
)
CONFLICTS: Final = _counter(
    "tradebook_conflicts_total", "Attempts that failed because another writer was first."
)
TRADES: Final = _counter("tradebook_trades_total", "Trades and pending orders committed.")
DUPLICATES: Final = _counter(
    "tradebook_duplicates_total", "Trades that were delivered again and recognised."
)
BUSTS: Final = _counter("tradebook_busts_total", "Trades busted or corrected.")
ALERTS: Final = _counter("tradebook_alerts_total", "Alerts raised.", "severity")

# Collected from the definitions above, so that a new metric is exported and documented by being defined.
PROCESS_METRICS: Final = tuple(m for m in list(globals().values()) if isinstance(m, Metric))
"""Metrics that `metrics.instrument(book)` exports from an application."""

UP: Final = _gauge("tradebook_up", "1 when the database answered, 0 when it did not.")
SCRAPE: Final = _gauge("tradebook_scrape_seconds", "Duration of reading these metrics.")
BOOKED: Final = _counter("tradebook_booked_trades_total", "Trades booked, in all accounts.")
BUSTED: Final = _counter(
    "tradebook_busted_trades_total", "Booked trades that were busted or corrected."
)
PENDING: Final = _gauge("tradebook_pending_orders", "Orders that wait for a fill.")
POSITIONS: Final = _gauge("tradebook_open_positions", "Open positions.")
UNRESOLVED: Final = _gauge("tradebook_unresolved_alerts", "Unresolved alerts.", "severity")
OLDEST_ALERT: Final = _gauge(
    "tradebook_oldest_unresolved_alert_seconds", "Age of the oldest unresolved alert.", "severity"
)
DATABASE_SIZE: Final = _gauge("tradebook_database_bytes", "Size of the database on disk.")
CONNECTIONS: Final = _gauge(
    "tradebook_postgresql_connections", "Connections to the database.", "state"
)
MOST_CONNECTIONS: Final = _gauge(
    "tradebook_postgresql_max_connections", "Connections that the server allows."
)
ALL_CONNECTIONS: Final = _gauge(
    "tradebook_postgresql_server_connections", "Connections to all databases of the server."
)
LOCK_WAITS: Final = _gauge("tradebook_postgresql_lock_waits", "Sessions that wait for a lock.")
LONGEST_LOCK_WAIT: Final = _gauge(
    "tradebook_postgresql_longest_lock_wait_seconds", "Longest current wait for a lock."
)
CHAIN: Final = _gauge(
    "tradebook_postgresql_blocking_chain_length",
    "Sessions in the longest chain in which each waits for the next; 2 where one waits for one.",
)
LONG_TRANSACTIONS: Final = _gauge(
    "tradebook_postgresql_long_transactions", "Transactions open for more than a minute."
)
OLDEST_TRANSACTION: Final = _gauge(
    "tradebook_postgresql_oldest_transaction_seconds", "Age of the oldest open transaction."
)
LIVE_ROWS: Final = _gauge(
    "tradebook_postgresql_live_rows", "Rows, as estimated by the server.", "table"
)
DEAD_ROWS: Final = _gauge(
    "tradebook_postgresql_dead_rows", "Dead rows that vacuum has yet to remove.", "table"
)
SEQUENTIAL_SCANS: Final = _counter(
    "tradebook_postgresql_sequential_scans_total", "Scans of whole tables.", "table"
)
INDEX_SCANS: Final = _counter(
    "tradebook_postgresql_index_scans_total", "Scans of each index.", "table", "index"
)
CACHE_HIT_RATIO: Final = _gauge(
    "tradebook_postgresql_cache_hit_ratio", "Share of requested blocks that were in memory."
)
BLOCKS_HIT: Final = _counter(
    "tradebook_postgresql_blocks_hit_total", "Blocks that were found in memory."
)
BLOCKS_READ: Final = _counter(
    "tradebook_postgresql_blocks_read_total", "Blocks that were read from disk."
)
COMMITS: Final = _counter("tradebook_postgresql_commits_total", "Committed transactions.")
ROLLBACKS: Final = _counter("tradebook_postgresql_rollbacks_total", "Rolled back transactions.")
DEADLOCKS: Final = _counter("tradebook_postgresql_deadlocks_total", "Deadlocks.")
REPLICAS: Final = _gauge(
    "tradebook_postgresql_replicas", "Standbys and other receivers of the write-ahead log."
)
REPLICATION_LAG: Final = _gauge(
    "tradebook_postgresql_replication_lag_seconds",
    "Delay with which a standby replays commits; a standby reports its own.",
    "replica",
)
REPLICATION_LAG_BYTES: Final = _gauge(
    "tradebook_postgresql_replication_lag_bytes",
    "Write-ahead log that a standby has yet to replay.",
    "replica",
)
ARCHIVE_FAILURES: Final = _counter(
    "tradebook_postgresql_archive_failures_total",
    "Failed attempts to archive a file of the write-ahead log.",
)
ARCHIVE_AGE: Final = _gauge(
    "tradebook_postgresql_archive_age_seconds",
    "Time that the oldest finished file of the write-ahead log has waited to be archived; 0 for none.",
)
SLOT_RETAINED: Final = _gauge(
    "tradebook_postgresql_slot_retained_bytes",
    "Write-ahead log that is kept for a replication slot.",
    "slot",
)

DATABASE_METRICS: Final = tuple(
    m for m in list(globals().values()) if isinstance(m, Metric) and m not in PROCESS_METRICS
)
"""Metrics that `tradebook metrics` exports, of all processes that use the database."""


def markdown_table() -> str:
    """Return the table of all metrics for the documentation, in Markdown."""
    lines = ["| metric | kind | labels | description |", "|---|---|---|---|"]
    sources = {
        "the application's process": PROCESS_METRICS,
        "`tradebook metrics`": DATABASE_METRICS,
    }
    for source, metrics in sources.items():
        lines.append(f"| **from {source}** | | | |")
        for m in metrics:
            lines.append(f"| `{m.name}` | {m.kind} | {', '.join(m.labels)} | {m.description} |")
    return "\n".join(lines) + "\n"
