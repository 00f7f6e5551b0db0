"""The states of the database itself and of the servers for queries, as they tell them."""

from __future__ import annotations

from typing import Final, NamedTuple

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from tradebook.adapters.engine.connect_errors import sqlstate
from tradebook.domain.errors import TradebookError

FAILURES: Final = (DBAPIError, OSError, TradebookError)
"""The errors of a server that does not answer, or not what it was asked; asyncpg raises its own at a connect."""

_SERVER: Final = "(SELECT system_identifier FROM pg_control_system()), pg_postmaster_start_time(), current_database()"
"""The columns of a `Server`."""
# What was committed is on disk by then, unless commits do not wait for that.
_PRIMARY: Final = text(
    "SELECT CASE current_setting('synchronous_commit') WHEN 'off' THEN pg_current_wal_insert_lsn() "
    f"ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn, {_SERVER}"
)


_REPLICA: Final = text(
    f"SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn() - '0/0'::pg_lsn, {_SERVER}"
)
_NOT_THERE: Final = ("0A000", "42883", "42501")
"""SQLSTATEs of functions that a server does not have, or not for everyone: those of Aurora."""


class Server(NamedTuple):
    """A database as it tells itself apart.

    Attributes:
        system: the identifier of its data, which its standbys share, also after a promotion.
        started_at: no other server started in the same microsecond.
        database: its name.
    """

    system: object
    started_at: object
    database: object


class PrimaryState(NamedTuple):
    """The database itself at one moment.

    Attributes:
        position: the end of what is committed in its log, in bytes.
        server: which server it is.
    """

    position: int
    server: Server

    def has_promoted(self, other: ReplicaState) -> bool:
        """Return whether a server was a standby of this one, and takes writes itself now."""
        alike = (self.server.system, self.server.database) == other.server[::2]
        return alike and not other.is_standby and other.server != self.server


def primary_state(engine: Engine) -> PrimaryState | None:
    """Ask the database where its log ends; None where it does not say, as Aurora, or is a standby itself.

    Args:
        engine: sends each statement as a transaction of its own.
    """
    try:
        with engine.connect() as connection:
            position, *server = connection.execute(_PRIMARY).one()
    except FAILURES:
        return None
    return PrimaryState(int(position), Server(*server))


class ReplicaState(NamedTuple):
    """A server for queries at one moment.

    Attributes:
        is_standby: whether it replays the log of another server.
        replayed: the position up to which it has, in bytes; None where it does not say it.
        server: which server it is.
    """

    is_standby: bool
    replayed: int | None
    server: Server


def replica_state(engine: Engine) -> ReplicaState:
    """Ask a server for queries how far it is.

    Args:
        engine: sends each statement as a transaction of its own.
    """
    try:
        with engine.connect() as connection:
            is_standby, replayed, *server = connection.execute(_REPLICA).one()
    except DBAPIError as error:
        if sqlstate(error.orig) not in _NOT_THERE:
            raise
        return ReplicaState(True, None, Server(None, None, None))
    return ReplicaState(is_standby, None if replayed is None else int(replayed), Server(*server))
