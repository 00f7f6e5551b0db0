"""Every metric that tradebook exports: its name, what it means, and its labels, whose values are few."""

from __future__ import annotations

from typing import Final, Literal

from attrs import frozen

Kind = Literal["counter", "gauge", "histogram"]

PROCESS: Final = "the application's process"
DATABASE: Final = "`tradebook metrics`"


@frozen
class Metric:
    """One metric.

    Attributes:
        name: as Prometheus knows it; of a histogram without `_bucket`, `_sum` and `_count`.
        kind: counter, gauge or histogram.
        means: what it says, for the help text and the documentation.
        labels: names of its labels.
    """

    name: str
    kind: Kind
    means: str
    labels: tuple[str, ...] = ()

    @property
    def samples(self) -> tuple[str, ...]:
        """The names that a query can ask for."""
        if self.kind == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))
        return (self.name,)


POOL_SIZE: Final = Metric("tradebook_pool_size", "gauge", "Connections that are kept.", ("pool",))
POOL_LIMIT: Final = Metric(
    "tradebook_pool_limit", "gauge", "Connections that may be open at a time.", ("pool",)
)
POOL_CHECKED_OUT: Final = Metric(
    "tradebook_pool_checked_out", "gauge", "Connections in use.", ("pool",)
)
POOL_OVERFLOW: Final = Metric(
    "tradebook_pool_overflow", "gauge", "Connections opened beyond the pool's size.", ("pool",)
)
POOL_WAITING: Final = Metric(
    "tradebook_pool_waiting", "gauge", "Threads or tasks that wait for a connection.", ("pool",)
)
POOL_WAITS: Final = Metric(
    "tradebook_pool_waits_total",
    "counter",
    "How often one had to wait for a connection.",
    ("pool",),
)
POOL_WAITED: Final = Metric(
    "tradebook_pool_wait_seconds_total", "counter", "Seconds waited for connections.", ("pool",)
)
POOL_OLDEST: Final = Metric(
    "tradebook_pool_oldest_checkout_seconds",
    "gauge",
    "For how long a connection has been in use the longest.",
    ("pool",),
)
QUERY: Final = Metric(
    "tradebook_query_seconds",
    "histogram",
    "Time of statements, by their verb and table, such as `select trades`.",
    ("statement",),
)
QUERY_FAILURES: Final = Metric(
    "tradebook_query_failures_total", "counter", "Statements that failed.", ("statement",)
)
UNIT_OF_WORK: Final = Metric(
    "tradebook_unit_of_work_seconds",
    "histogram",
    "Time of calls with all their attempts, by handler or query; `unit_of_work` and `session` are those "
    "that the application opened itself, `custom` its own functions.",
    ("handler", "outcome"),
)
RETRIES: Final = Metric(
    "tradebook_retries_total",
    "counter",
    "Units of work done again: after a conflict, a lost connection, or something other.",
    ("reason",),
)
CONFLICTS: Final = Metric(
    "tradebook_conflicts_total", "counter", "How often another writer was first."
)
TRADES: Final = Metric(
    "tradebook_trades_total", "counter", "Trades and pending orders recorded, and committed."
)
DUPLICATES: Final = Metric(
    "tradebook_duplicates_total", "counter", "Trades delivered again, and recognised."
)
BUSTS: Final = Metric("tradebook_busts_total", "counter", "Trades busted or corrected.")
ALERTS: Final = Metric("tradebook_alerts_total", "counter", "Alerts raised.", ("severity",))

OF_PROCESS: Final = (
    POOL_SIZE,
    POOL_LIMIT,
    POOL_CHECKED_OUT,
    POOL_OVERFLOW,
    POOL_WAITING,
    POOL_WAITS,
    POOL_WAITED,
    POOL_OLDEST,
    QUERY,
    QUERY_FAILURES,
    UNIT_OF_WORK,
    RETRIES,
    CONFLICTS,
    TRADES,
    DUPLICATES,
    BUSTS,
    ALERTS,
)
"""What `metrics.instrument(book)` exports from an application."""

UP: Final = Metric("tradebook_up", "gauge", "Whether the database answered.")
SCRAPE: Final = Metric("tradebook_scrape_seconds", "gauge", "How long it took to ask the database.")
BOOKED: Final = Metric(
    "tradebook_booked_trades_total", "counter", "Trades booked so far, of all accounts."
)
BUSTED: Final = Metric(
    "tradebook_busted_trades_total", "counter", "Of them, those busted or corrected since."
)
PENDING: Final = Metric("tradebook_pending_orders", "gauge", "Orders that wait for a fill.")
POSITIONS: Final = Metric("tradebook_open_positions", "gauge", "Positions that are open.")
UNRESOLVED: Final = Metric(
    "tradebook_unresolved_alerts", "gauge", "Alerts that nobody resolved yet.", ("severity",)
)
OLDEST_ALERT: Final = Metric(
    "tradebook_oldest_unresolved_alert_seconds",
    "gauge",
    "How old the oldest of them is.",
    ("severity",),
)
DATABASE_SIZE: Final = Metric("tradebook_database_bytes", "gauge", "The database's size on disk.")

CONNECTIONS: Final = Metric(
    "tradebook_postgresql_connections", "gauge", "Connections to the database.", ("state",)
)
MOST_CONNECTIONS: Final = Metric(
    "tradebook_postgresql_max_connections", "gauge", "Connections that the server allows."
)
ALL_CONNECTIONS: Final = Metric(
    "tradebook_postgresql_server_connections", "gauge", "Connections to any database of the server."
)
LOCK_WAITS: Final = Metric(
    "tradebook_postgresql_lock_waits", "gauge", "Sessions that wait for a lock."
)
LONGEST_LOCK_WAIT: Final = Metric(
    "tradebook_postgresql_longest_lock_wait_seconds", "gauge", "How long one has been waiting."
)
CHAIN: Final = Metric(
    "tradebook_postgresql_blocking_chain_length",
    "gauge",
    "The longest row of sessions of which each waits for the next; 2 where one waits for one.",
)
LONG_TRANSACTIONS: Final = Metric(
    "tradebook_postgresql_long_transactions", "gauge", "Transactions open for more than a minute."
)
OLDEST_TRANSACTION: Final = Metric(
    "tradebook_postgresql_oldest_transaction_seconds", "gauge", "How long one has been open."
)
LIVE_ROWS: Final = Metric(
    "tradebook_postgresql_live_rows", "gauge", "Rows, as the server estimates them.", ("table",)
)
DEAD_ROWS: Final = Metric(
    "tradebook_postgresql_dead_rows", "gauge", "Dead rows that vacuum has yet to free.", ("table",)
)
SEQUENTIAL_SCANS: Final = Metric(
    "tradebook_postgresql_sequential_scans_total", "counter", "Scans of whole tables.", ("table",)
)
INDEX_SCANS: Final = Metric(
    "tradebook_postgresql_index_scans_total", "counter", "Uses of each index.", ("table", "index")
)
CACHE_HIT_RATIO: Final = Metric(
    "tradebook_postgresql_cache_hit_ratio", "gauge", "Of the blocks asked for, the part in memory."
)
BLOCKS_HIT: Final = Metric(
    "tradebook_postgresql_blocks_hit_total", "counter", "Blocks that were found in memory."
)
BLOCKS_READ: Final = Metric(
    "tradebook_postgresql_blocks_read_total", "counter", "Blocks that were read from disk."
)
COMMITS: Final = Metric("tradebook_postgresql_commits_total", "counter", "Transactions committed.")
ROLLBACKS: Final = Metric(
    "tradebook_postgresql_rollbacks_total", "counter", "Transactions rolled back."
)
DEADLOCKS: Final = Metric("tradebook_postgresql_deadlocks_total", "counter", "Deadlocks found.")
REPLICAS: Final = Metric(
    "tradebook_postgresql_replicas", "gauge", "Standbys and receivers of the log."
)
REPLICATION_LAG: Final = Metric(
    "tradebook_postgresql_replication_lag_seconds",
    "gauge",
    "How late a standby replays what is committed here; on a standby, how late it is itself.",
    ("replica",),
)
REPLICATION_LAG_BYTES: Final = Metric(
    "tradebook_postgresql_replication_lag_bytes",
    "gauge",
    "How much of the log a standby has yet to replay.",
    ("replica",),
)
ARCHIVE_FAILURES: Final = Metric(
    "tradebook_postgresql_archive_failures_total",
    "counter",
    "How often a file of the server's log could not be archived.",
)
ARCHIVE_AGE: Final = Metric(
    "tradebook_postgresql_archive_age_seconds",
    "gauge",
    "For how long the oldest finished file of the log has waited to be archived; 0 where none waits.",
)
SLOT_RETAINED: Final = Metric(
    "tradebook_postgresql_slot_retained_bytes",
    "gauge",
    "How much of the log is kept for a replication slot.",
    ("slot",),
)

OF_DATABASE: Final = (
    UP,
    SCRAPE,
    BOOKED,
    BUSTED,
    PENDING,
    POSITIONS,
    UNRESOLVED,
    OLDEST_ALERT,
    DATABASE_SIZE,
    CONNECTIONS,
    MOST_CONNECTIONS,
    ALL_CONNECTIONS,
    LOCK_WAITS,
    LONGEST_LOCK_WAIT,
    CHAIN,
    LONG_TRANSACTIONS,
    OLDEST_TRANSACTION,
    LIVE_ROWS,
    DEAD_ROWS,
    SEQUENTIAL_SCANS,
    INDEX_SCANS,
    CACHE_HIT_RATIO,
    BLOCKS_HIT,
    BLOCKS_READ,
    COMMITS,
    ROLLBACKS,
    DEADLOCKS,
    REPLICAS,
    REPLICATION_LAG,
    REPLICATION_LAG_BYTES,
    ARCHIVE_FAILURES,
    ARCHIVE_AGE,
    SLOT_RETAINED,
)
"""What `tradebook metrics` exports, of any process."""


def documented() -> str:
    """The table of all metrics for the documentation, in Markdown."""
    lines = ["| metric | kind | labels | what it says |", "|---|---|---|---|"]
    for where, metrics in ((PROCESS, OF_PROCESS), (DATABASE, OF_DATABASE)):
        lines.append(f"| **from {where}** | | | |")
        lines += [f"| `{m.name}` | {m.kind} | {', '.join(m.labels)} | {m.means} |" for m in metrics]
    return "\n".join(lines) + "\n"
