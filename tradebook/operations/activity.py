"""What a database is doing now, as it says itself: sessions, who blocks whom, tables, indexes, standbys.

A role that is not the sessions' own sees what others do when it is granted `pg_monitor`; without, they are
counted, and what they send is not shown. No statement shows a value.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
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

_LIMIT_MILLISECONDS: Final = 10_000
_STATES: Final = ("active", "idle", "idle in transaction")
UNKNOWN: Final = "unknown"
"""The state of a session whose role this one is not told of."""
LONG: Final = 60.0
"""Seconds after which a transaction is a long one."""


@frozen(kw_only=True)
class Session:
    """One connection of the server.

    Attributes:
        pid: of the server's process.
        state: what it does, such as `active` or `idle in transaction`.
        waits_for: what it waits for, such as `Lock transactionid`; empty where it works.
        statement: the last one, its values masked.
        transaction_seconds: since its transaction began; 0 where it has none.
        statement_seconds: since its last statement began.
        waiting_seconds: since it waits for a lock.
        blocked_by: the processes that it waits for.
    """

    pid: int
    user: str
    application: str
    state: str
    waits_for: str
    statement: str
    transaction_seconds: float
    statement_seconds: float
    waiting_seconds: float
    blocked_by: tuple[int, ...]


@frozen(kw_only=True)
class Table:
    """One of the book's tables: its rows as the server estimates them, and how it was read."""

    name: str
    live_rows: int
    dead_rows: int
    sequential_scans: int


@frozen(kw_only=True)
class Index:
    """One of the book's indexes, and how often it was used."""

    table: str
    name: str
    scans: int


@frozen(kw_only=True)
class Server:
    """The server's own figures; counts are since its statistics were reset.

    Attributes:
        role: who asks, quoted for SQL.
        sees_others: whether it is told what sessions of other roles do.
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
        """Of the blocks asked for, the part that was in memory; 1 where none was asked for."""
        asked = self.blocks_hit + self.blocks_read
        return self.blocks_hit / asked if asked else 1.0


@frozen(kw_only=True)
class Activity:
    """What a PostgreSQL server does at one moment."""

    server: Server
    sessions: tuple[Session, ...]
    tables: tuple[Table, ...] = ()
    indexes: tuple[Index, ...] = ()
    replicas: tuple[Replica, ...] = ()
    archive: Archive | None = None
    slots: tuple[Slot, ...] = ()

    @property
    def blocked(self) -> list[Session]:
        """Who waits for a lock, the longest first."""
        waiting = [session for session in self.sessions if session.blocked_by]
        return sorted(waiting, key=lambda session: -session.waiting_seconds)

    @property
    def long_transactions(self) -> list[Session]:
        """Who has been in a transaction for more than a minute, the longest first."""
        long = [s for s in self.sessions if s.transaction_seconds > LONG]
        return sorted(long, key=lambda session: -session.transaction_seconds)

    @property
    def hidden(self) -> int:
        """How many sessions are of roles whose doings this one is not told."""
        return self.states().get(UNKNOWN, 0)

    @property
    def chain_length(self) -> int:
        """How many stand in the longest row of sessions of which each waits for the next; 0 without any."""
        return chain_length({session.pid: session.blocked_by for session in self.sessions})

    def states(self) -> dict[str, int]:
        """How many connections there are in each state."""
        found = dict.fromkeys(_STATES, 0)
        for session in self.sessions:
            found[session.state] = found.get(session.state, 0) + 1
        return found


@frozen(kw_only=True)
class Totals:
    """What the book holds, of all accounts.

    Attributes:
        booked: trades booked so far.
        busted: of them, those busted or corrected since.
        pending: orders that wait for a fill.
        open_positions: positions that are open.
        unresolved: of each severity, how many alerts nobody resolved, and the age of the oldest in seconds.
    """

    booked: int
    busted: int
    pending: int
    open_positions: int
    unresolved: Mapping[str, tuple[int, float]] = field(factory=dict)


def chain_length(blocked_by: Mapping[int, Sequence[int]]) -> int:
    """The longest row in who waits for whom; a circle, which the server breaks soon, is gone round once."""
    waits = {pid: by for pid, by in blocked_by.items() if by}
    lengths: dict[int, int] = {}
    while waits:
        free = [pid for pid, by in waits.items() if not any(b in waits for b in by)]
        for pid in free or [min(waits)]:
            lengths[pid] = 1 + max(lengths.get(b, 1) for b in waits.pop(pid))
    return max(lengths.values(), default=0)


@contextmanager
def engine_beside(config: DatabaseConfig, name: str) -> Iterator[Engine]:
    """An engine of a few connections for watching a database that others use, called `name` there.

    Raises:
        DatabaseUnavailable: it is a SQLite file that does not exist, and would be made by opening it.
    """
    require_file(config)
    watching = attrs.evolve(
        config,
        application_name=name,
        pool_size=1,
        max_overflow=1,
        statement_timeout=_LIMIT_MILLISECONDS,
        slow_query_seconds=None,
        echo=False,
    )
    with engine_for(watching) as engine:
        yield engine


@contextmanager
def looking_at(engine: Engine) -> Iterator[Connection]:
    """A connection on which each question sees its own moment, and changes nothing."""
    looking = engine.execution_options(**{READ_ONLY: True, ONE_STATEMENT: True})
    with translated_errors(), looking.connect() as connection:
        yield connection


def read_totals(connection: Connection) -> Totals:
    """What the book holds, of the accounts that the role sees.

    Raises:
        NotPermitted: row security hides all accounts from it.
    """
    require_visible(connection)
    found = connection.execute(text(_TOTALS)).one()
    alerts = {
        str(severity): (int(count), max(0.0, time.time() - oldest.timestamp()))
        for severity, count, oldest in connection.execute(_unresolved())
    }
    return Totals(
        booked=int(found.entries) - found.busted,
        busted=found.busted,
        pending=found.pending,
        open_positions=found.open_positions,
        unresolved={s.value: alerts.get(s.value, (0, 0.0)) for s in Severity},
    )


def read_database_bytes(connection: Connection) -> int:
    """The size of the database on disk."""
    size = _SQLITE_SIZE if connection.dialect.name == "sqlite" else _SIZE
    return int(connection.execute(text(size)).scalar_one())


def read_activity(connection: Connection, *, storage: bool = True) -> Activity | None:
    """What a PostgreSQL server does; None of a SQLite file, which has nobody to ask.

    Args:
        connection: of `looking_at`.
        storage: whether to read tables, indexes and what becomes of the server's log too.
    """
    if connection.dialect.name != "postgresql":
        return None
    server = Server(**_rows(connection, _SERVER)[0])
    sessions = tuple(_session(row) for row in _rows(connection, _SESSIONS))
    if not storage:
        return Activity(server=server, sessions=sessions)
    names = {"tables": list(metadata.tables)}
    return Activity(
        server=server,
        sessions=sessions,
        tables=tuple(Table(**row) for row in _rows(connection, _TABLES, names)),
        indexes=tuple(Index(**row) for row in _rows(connection, _INDEXES, names)),
        replicas=tuple(read_replicas(connection, is_standby=server.is_standby)),
        archive=read_archive(connection),
        slots=tuple(read_slots(connection)),
    )


def _session(row: Mapping[str, Any]) -> Session:
    values = dict(row, statement=masked(row["statement"]), blocked_by=tuple(row["blocked_by"]))
    for name, value in values.items():
        if name.endswith("_seconds"):
            values[name] = max(0.0, float(value))
    return Session(**values)


def _rows(
    connection: Connection, statement: str, values: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(text(statement), values or {}).mappings()]


def _unresolved() -> Any:
    columns = alerts.c
    return (
        select(columns.severity, func.count(), func.min(columns.timestamp))
        .where(~columns.resolved)
        .group_by(columns.severity)
    )


# Each booking takes a number in its position, and each bust one more: no trade is counted.
_TOTALS: Final = """
SELECT (SELECT coalesce(sum(sequence), 0) FROM positions) AS entries,
       (SELECT count(*) FROM trades WHERE bust_sequence IS NOT NULL) AS busted,
       (SELECT count(*) FROM trades WHERE status = 'PENDING') AS pending,
       (SELECT count(*) FROM positions WHERE status = 'OPEN') AS open_positions
"""
_SIZE: Final = "SELECT pg_database_size(current_database())"
_SQLITE_SIZE: Final = """
SELECT pages.page_count * size.page_size FROM pragma_page_count AS pages, pragma_page_size AS size
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
# Locks are shown to everybody; what a session of another role waits for, to pg_monitor alone.
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
       coalesce(extract(epoch FROM clock_timestamp() - xact_start), 0) AS transaction_seconds,
       CASE WHEN state = 'active'
            THEN coalesce(extract(epoch FROM clock_timestamp() - query_start), 0) ELSE 0
       END AS statement_seconds,
       coalesce(extract(epoch FROM clock_timestamp() - since), 0) AS waiting_seconds,
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
