"""Activity of a database at one instant: sessions and their locks, tables, indexes, standbys, totals of the book.

On PostgreSQL the activity of other roles' sessions is visible to members of `pg_monitor`; for others those sessions have
the state `unknown`. Values in statements are masked.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import attrs
from attrs import field, frozen
from sqlalchemy import Connection, Engine, func, select, text

from tradebook.adapters.columns import metadata
from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.engine.slow_queries import masked
from tradebook.adapters.engine.transactions import ONE_STATEMENT, READ_ONLY
from tradebook.adapters.errors import translated_errors
from tradebook.adapters.orm import alerts
from tradebook.adapters.repositories.row_security import require_visible
from tradebook.config import DatabaseConfig
from tradebook.domain.alerts import Severity
from tradebook.operations.server.admin_connection import require_file
from tradebook.operations.server.wal import (
    Archive,
    Replica,
    Slot,
    read_archive,
    read_replicas,
    read_slots,
)

_STATEMENT_TIMEOUT: Final = 10_000  # milliseconds
_STATES: Final = ("active", "idle", "idle in transaction")
LONG_SECONDS: Final = 60.0
"""Age in seconds above which a transaction counts as long."""


@frozen(kw_only=True)
class Session:
    """One connection to the server.

    Attributes:
        pid: process id of the server's backend.
        user: role that logged in.
        application: the client's `application_name`.
        state: such as `active` or `idle in transaction`.
        waits_for: what it waits for, such as `Lock transactionid`; empty while it works.
        statement: its last statement, with masked values.
        transaction_seconds: age of its transaction; 0 without one.
        statement_seconds: time since its current statement began; 0 without one.
        waiting_seconds: time that it has waited for a lock.
        blocked_by: process ids of the sessions that block it.
    """

    pid: int
    user: str
    application: str
    state: str
    waits_for: str
    statement: str = field(converter=masked)
    transaction_seconds: float
    statement_seconds: float
    waiting_seconds: float
    blocked_by: tuple[int, ...] = field(converter=tuple)


@frozen(kw_only=True)
class Table:
    """One of the book's tables: its rows as the server estimates them, and its sequential scans."""

    name: str
    live_rows: int
    dead_rows: int
    sequential_scans: int


@frozen(kw_only=True)
class Index:
    """One of the book's indexes, and the number of its scans."""

    table: str
    name: str
    scans: int


@frozen(kw_only=True)
class Server:
    """Figures of the server; its counters start at the last reset of its statistics.

    Attributes:
        role: the role of this connection, quoted for SQL.
        sees_others: whether the activity of other roles' sessions is visible to it.
        connections: connections to all databases of the server.
        blocks_hit: blocks that were found in memory.
        blocks_read: blocks that were read from disk.
    """

    version: str
    role: str
    sees_others: bool
    is_standby: bool
    max_connections: int
    connections: int
    database_bytes: int
    commits: int
    rollbacks: int
    deadlocks: int
    blocks_hit: int
    blocks_read: int

    @property
    def cache_hit_ratio(self) -> float:
        """Share of the requested blocks that were in memory; 1 where none was requested."""
        requested = self.blocks_hit + self.blocks_read
        return self.blocks_hit / requested if requested else 1.0


@frozen(kw_only=True)
class Activity:
    """Activity of a PostgreSQL server at one instant."""

    server: Server
    sessions: tuple[Session, ...]
    tables: tuple[Table, ...] = ()
    indexes: tuple[Index, ...] = ()
    replicas: tuple[Replica, ...] = ()
    archive: Archive | None = None
    slots: tuple[Slot, ...] = ()

    @property
    def blocked(self) -> list[Session]:
        """Sessions that wait for a lock, the longest wait first."""
        waiting = (s for s in self.sessions if s.blocked_by)
        return sorted(waiting, key=lambda session: -session.waiting_seconds)

    @property
    def blockers(self) -> list[Session]:
        """Sessions that block others and wait for none: the roots of all waiting chains."""
        blocking = {pid for session in self.sessions for pid in session.blocked_by}
        return [s for s in self.sessions if s.pid in blocking and not s.blocked_by]

    @property
    def long_transactions(self) -> list[Session]:
        """Sessions in a transaction of more than a minute, the oldest first."""
        long = [s for s in self.sessions if s.transaction_seconds > LONG_SECONDS]
        return sorted(long, key=lambda session: -session.transaction_seconds)

    @property
    def hidden(self) -> int:
        """Number of sessions whose activity is hidden from this role."""
        return self.states().get("unknown", 0)

    @property
    def chain_length(self) -> int:
        """Number of sessions in the longest chain in which each waits for the next; 0 without waits."""
        return chain_length({session.pid: session.blocked_by for session in self.sessions})

    def states(self) -> dict[str, int]:
        """Count the connections in each state."""
        return {**dict.fromkeys(_STATES, 0), **Counter(s.state for s in self.sessions)}


@frozen(kw_only=True)
class Totals:
    """Totals of the book, over every account that is visible to the role.

    Attributes:
        booked: trades that were ever booked.
        busted: those of them that were busted or corrected.
        pending: orders that wait for a fill.
        open_positions: positions with a quantity other than 0.
        unresolved: by severity, the number of unresolved alerts and the age of the oldest in seconds.
    """

    booked: int
    busted: int
    pending: int
    open_positions: int
    unresolved: Mapping[str, tuple[int, float]] = field(factory=dict)


def chain_length(blocked_by: Mapping[int, Sequence[int]]) -> int:
    """Return the number of sessions in the longest waiting chain, from the ids that each one waits for."""
    # Not recursive: a chain may have a thousand sessions. Each round removes those that wait only for sessions
    # which no longer wait; without any there is a deadlock, which the server is about to break, and one is cut.
    waits = {pid: blocking for pid, blocking in blocked_by.items() if blocking}
    lengths: dict[int, int] = {}
    while waits:
        free = [pid for pid, blocking in waits.items() if not any(b in waits for b in blocking)]
        for pid in free or [min(waits)]:
            lengths[pid] = 1 + max(lengths.get(b, 1) for b in waits.pop(pid))
    return max(lengths.values(), default=0)


@contextmanager
def monitoring_engine(config: DatabaseConfig, application_name: str) -> Iterator[Engine]:
    """Open an engine of at most two connections for monitoring a database that is in use."""
    require_file(config)
    monitoring = attrs.evolve(
        config,
        application_name=application_name,
        pool_size=1,
        max_overflow=1,
        statement_timeout=_STATEMENT_TIMEOUT,
        slow_query_seconds=None,
        echo=False,
    )
    with engine_for(monitoring) as engine:
        yield engine


@contextmanager
def monitoring_connection(engine: Engine) -> Iterator[Connection]:
    """Open a read-only connection; on PostgreSQL in autocommit, since a held snapshot hinders vacuum."""
    reading = engine.execution_options(**{READ_ONLY: True, ONE_STATEMENT: True})
    with translated_errors(), reading.connect() as connection:
        yield connection


def read_totals(connection: Connection) -> Totals:
    """Read the totals over every visible account; raise `NotPermitted` where none is visible."""
    require_visible(connection)
    found = connection.execute(text(_TOTALS)).one()
    unresolved = (
        select(alerts.c.severity, func.count(), func.min(alerts.c.timestamp))
        .where(~alerts.c.resolved)
        .group_by(alerts.c.severity)
    )
    by_severity = {
        str(severity): (int(count), max(0.0, time.time() - oldest.timestamp()))
        for severity, count, oldest in connection.execute(unresolved)
    }
    return Totals(
        booked=int(found.entries) - found.busted,
        busted=found.busted,
        pending=found.pending,
        open_positions=found.open_positions,
        unresolved={s.value: by_severity.get(s.value, (0, 0.0)) for s in Severity},
    )


def read_database_bytes(connection: Connection) -> int:
    """Read the size of the database on disk, in bytes."""
    size = "SELECT pg_database_size(current_database())"
    if connection.dialect.name == "sqlite":
        size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    return int(connection.execute(text(size)).scalar_one())


def read_activity(connection: Connection) -> Activity | None:
    """Read the activity of a PostgreSQL server; None for SQLite, which has no server."""
    if connection.dialect.name != "postgresql":
        return None

    def rows(statement: str) -> Iterable[Any]:
        names = {"tables": list(metadata.tables)} if ":tables" in statement else {}
        return connection.execute(text(statement), names).mappings()

    [server] = (Server(**row) for row in rows(_SERVER))
    return Activity(
        server=server,
        sessions=tuple(Session(**row) for row in rows(_SESSIONS)),
        tables=tuple(Table(**row) for row in rows(_TABLES)),
        indexes=tuple(Index(**row) for row in rows(_INDEXES)),
        replicas=tuple(read_replicas(connection, is_standby=server.is_standby)),
        archive=read_archive(connection),
        slots=tuple(read_slots(connection)),
    )


# `sequence` counts the entries of a position: one for each trade, and one more for each bust. Summing positions
# counts the trades without reading them.
_TOTALS: Final = """
SELECT (SELECT coalesce(sum(sequence), 0) FROM positions) AS entries,
       (SELECT count(*) FROM trades WHERE bust_sequence IS NOT NULL) AS busted,
       (SELECT count(*) FROM trades WHERE status = 'PENDING') AS pending,
       (SELECT count(*) FROM positions WHERE status = 'OPEN') AS open_positions
"""
_SERVER: Final = """
SELECT current_setting('server_version') AS version, pg_is_in_recovery() AS is_standby,
       quote_ident(current_user) AS role,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_others,
       current_setting('max_connections')::int AS max_connections,
       (SELECT sum(numbackends)::int FROM pg_stat_database) AS connections,
       pg_database_size(current_database()) AS database_bytes,
       xact_commit AS commits, xact_rollback AS rollbacks, deadlocks,
       blks_hit AS blocks_hit, blks_read AS blocks_read
  FROM pg_stat_database WHERE datname = current_database()
"""
# pg_locks is readable by every role; what other roles' sessions wait for is visible to pg_monitor only.
# `greatest` ignores NULL, and excludes the negative times after the server's clock was set back.
# Materialized, so that the shared lock table is read once, and pg_blocking_pids only called for waiting sessions.
_SESSIONS: Final = """
WITH waiting AS MATERIALIZED (
    SELECT pid, min(waitstart) AS since, min(locktype) AS lock
      FROM pg_locks WHERE NOT granted GROUP BY pid
)
SELECT pid, coalesce(usename, '') AS user, coalesce(application_name, '') AS application,
       coalesce(state, 'unknown') AS state,
       CASE WHEN state = 'active' THEN coalesce(wait_event_type || ' ' || wait_event, '')
            ELSE coalesce('Lock ' || lock, '') END AS waits_for,
       coalesce(query, '') AS statement,
       greatest(0, extract(epoch FROM clock_timestamp() - xact_start))::float8 AS transaction_seconds,
       CASE WHEN state = 'active'
            THEN greatest(0, extract(epoch FROM clock_timestamp() - query_start)) ELSE 0
       END::float8 AS statement_seconds,
       greatest(0, extract(epoch FROM clock_timestamp() - since))::float8 AS waiting_seconds,
       CASE WHEN lock IS NULL THEN '{}' ELSE pg_blocking_pids(pid) END AS blocked_by
  FROM pg_stat_activity LEFT JOIN waiting USING (pid)
 WHERE datname = current_database() AND coalesce(backend_type, 'client backend') = 'client backend'
   AND pid <> pg_backend_pid()
 ORDER BY pid
"""
_TABLES: Final = """
SELECT relname AS name, n_live_tup AS live_rows, n_dead_tup AS dead_rows,
       seq_scan AS sequential_scans
  FROM pg_stat_user_tables WHERE schemaname = current_schema() AND relname = ANY(:tables)
 ORDER BY relname
"""
_INDEXES: Final = """
SELECT relname AS table, indexrelname AS name, idx_scan AS scans
  FROM pg_stat_user_indexes WHERE schemaname = current_schema() AND relname = ANY(:tables)
 ORDER BY relname, indexrelname
"""
