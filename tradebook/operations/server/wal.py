"""The archive, the slots and the standbys of a PostgreSQL server, which decide how much log (WAL) it keeps."""

from __future__ import annotations

from typing import Final

from attrs import frozen
from sqlalchemy import Connection, text

# `greatest` ignores NULL: where a difference is not known yet, it counts as 0.
_ARCHIVE: Final = """
SELECT current_setting('archive_mode') AS mode,
       current_setting('archive_command') <> ''
           OR coalesce(current_setting('archive_library', true), '') <> '' AS has_command,
       pg_is_in_recovery() AS is_standby, failed_count AS failures,
       CASE WHEN last_failed_time > coalesce(last_archived_time, '-infinity')
            THEN last_failed_wal ELSE '' END AS failing,
       has_function_privilege('pg_ls_archive_statusdir()', 'EXECUTE') AS may_list
  FROM pg_stat_archiver
"""
_WAITING: Final = """
SELECT greatest(0, extract(epoch FROM clock_timestamp() - min(modification)))::float8
  FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'
"""
_SLOTS: Final = """
SELECT slot_name AS name, active,
       greatest(0, pg_wal_lsn_diff(
           CASE WHEN pg_is_in_recovery()
                THEN coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                ELSE pg_current_wal_lsn() END, restart_lsn))::bigint AS retained_bytes
  FROM pg_replication_slots ORDER BY slot_name
"""
# pg_basebackup streams the log while it copies: it is no standby. pg_receivewal replays nothing, so replay_lsn
# is NULL; and without a slot it reports only what it has written, so flush_lsn is NULL too.
_REPLICAS: Final = """
SELECT coalesce(nullif(application_name, ''), client_addr::text, 'standby') AS name,
       CASE WHEN reached = pg_current_wal_lsn() THEN 0
            ELSE greatest(0, extract(epoch FROM coalesce(replay_lag, flush_lag, write_lag)))
       END::float8 AS lag_seconds,
       greatest(0, pg_wal_lsn_diff(pg_current_wal_lsn(), reached))::bigint AS lag_bytes
  FROM pg_stat_replication, coalesce(replay_lsn, flush_lsn, write_lsn) AS reached
 WHERE state = 'streaming' AND application_name <> 'pg_basebackup' ORDER BY name
"""
# The last replayed transaction of an idle primary grows old: where all that was received is replayed, the lag is 0.
_THIS_STANDBY: Final = """
SELECT 'this standby' AS name,
       CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
            ELSE greatest(0, extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()))
       END::float8 AS lag_seconds,
       greatest(0, pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()))::bigint AS lag_bytes
"""


@frozen(kw_only=True)
class Archive:
    """The state of a server's WAL archiving.

    Attributes:
        mode: the server's `archive_mode`.
        has_command: whether an archive_command or archive_library is set.
        is_standby: whether it is a standby, which with mode `on` leaves archiving to its primary.
        failures: how often a file could not be archived, since the server's statistics were reset.
        failing: the file of the last attempt where that failed; `""` where it succeeded.
        waiting_seconds: how long the oldest finished file has waited; 0 where none waits, None where this
            role may not list them (pg_monitor may).
    """

    mode: str
    has_command: bool
    is_standby: bool
    failures: int
    failing: str
    waiting_seconds: float | None

    @property
    def is_on(self) -> bool:
        """True if this server archives its log itself."""
        return self.mode == "always" or (self.mode == "on" and not self.is_standby)


@frozen(kw_only=True)
class Slot:
    """A replication slot: the server keeps its log until the slot's receiver has it.

    Attributes:
        name: unique in the server.
        active: whether a receiver is connected.
        retained_bytes: the size of the log that is kept for the slot.
    """

    name: str
    active: bool
    retained_bytes: int


@frozen(kw_only=True)
class Replica:
    """A standby or a receiver of the log, and how far it is behind the server."""

    name: str
    lag_seconds: float
    lag_bytes: int


def read_archive(connection: Connection) -> Archive:
    """Read the state of the server's archiving."""
    found = dict(connection.execute(text(_ARCHIVE)).mappings().one())
    waiting = None
    if found.pop("may_list"):
        waiting = connection.execute(text(_WAITING)).scalar_one()
    return Archive(**found, waiting_seconds=waiting)


def read_slots(connection: Connection) -> list[Slot]:
    """Read every replication slot of the server, by name."""
    return [Slot(**row) for row in connection.execute(text(_SLOTS)).mappings()]


def read_replicas(connection: Connection, *, is_standby: bool) -> list[Replica]:
    """Read the replicas of a primary; of a standby, its own lag as the only row."""
    statement = text(_THIS_STANDBY if is_standby else _REPLICAS)
    return [Replica(**row) for row in connection.execute(statement).mappings()]
