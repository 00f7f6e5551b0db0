"""The position in the server's write-ahead log up to which a manager wrote."""

from __future__ import annotations

from itertools import count
from threading import Lock
from typing import Final, NamedTuple

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from tradebook.domain.consistency import token_of
from tradebook.domain.errors import TradebookError

FAILURES: Final = (DBAPIError, OSError, TradebookError)
"""The errors of a server that does not answer, or not what it was asked; asyncpg raises its own at a connect."""

# What was committed is on disk by then, unless commits do not wait for that.
_STATE: Final = text(
    "SELECT CASE current_setting('synchronous_commit') WHEN 'off' THEN pg_current_wal_insert_lsn() "
    "ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn, "
    "(SELECT system_identifier FROM pg_control_system()), pg_postmaster_start_time(), current_database()"
)


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

    def has_copied(self, other: Server) -> bool:
        """Return whether another server has the same data by replication."""
        return (self.server.system, self.server.database) == (other.system, other.database)


def primary_state(engine: Engine) -> PrimaryState | None:
    """Ask the database where its log ends; None where it does not say, as Aurora, or is a standby itself.

    Args:
        engine: sends each statement as a transaction of its own.
    """
    try:
        with engine.connect() as connection:
            position, *server = connection.execute(_STATE).one()
    except FAILURES:
        return None
    return PrimaryState(int(position), Server(*server))


def written_token(engine: Engine) -> str:
    """Return the token of all that is committed; `""` where the database does not say it."""
    state = primary_state(engine)
    return "" if state is None else token_of(state.position)


class Written:
    """The position up to which a manager wrote, asked for when a read needs it.

    Each write is counted when its transaction has ended. A read that finds a larger count than the known one asks the
    database, once for all writes since: the answer is at or behind the end of each of them.

    Args:
        engine: of the database itself; sends each statement as a transaction of its own.
    """

    def __init__(self, engine: Engine) -> None:
        """Begin with nothing written."""
        self._engine = engine
        self._numbers = count(1)
        self._lock = Lock()
        self._last = self._known = self._position = 0

    def add(self) -> None:
        """Count a transaction that may have written, after its end."""
        # A number that is assigned late, over a larger one, does no harm: its transaction had ended when
        # the number was drawn, before the larger one was, and whoever asked for that has both.
        self._last = next(self._numbers)

    def position(self) -> int | None:
        """Return the position up to which was written; None where the database does not say it."""
        last = self._last
        if last > self._known:
            state = primary_state(self._engine)
            if state is None:
                return None
            with self._lock:
                self._position = max(self._position, state.position)
                self._known = max(self._known, last)
        return self._position
