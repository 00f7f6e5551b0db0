"""A server that queries may go to: how far it has replayed the log, and whether it is fit."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from threading import Lock
from typing import Final

from sqlalchemy import Connection, Engine, TextClause, event, text

from tradebook.adapters.errors import translated
from tradebook.adapters.loggers import REPLICAS
from tradebook.adapters.replicas.states import FAILURES, PrimaryState, replica_state
from tradebook.domain.consistency import token_of
from tradebook.domain.errors import PoolExhausted

CHECKED_EVERY: Final = 1.0
"""Seconds after which the state of a server is asked for again."""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_FIRST_POLL: Final = 0.0005
_LONGEST_POLL: Final = 0.005
_WAITS_ITSELF: Final = (19,)
"""The version of PostgreSQL that waits for a position itself."""
_ENDLESS: Final = 2**64
"""Behind every position: the database itself has all that was written."""
_MOST_POSITIONS: Final = 1000

_REPLAYED: Final = text("SELECT pg_last_wal_replay_lsn() - '0/0'::pg_lsn")


def wait_statement(position: int, seconds: float) -> TextClause:
    """Return the statement with which a server waits itself until it has replayed up to a position."""
    milliseconds = max(1, int(seconds * 1000))
    return text(f"WAIT FOR LSN '{token_of(position)}' WITH (TIMEOUT '{milliseconds}ms', NO_THROW)")


class Unfit(StrEnum):
    """Why reads do not go to a server."""

    UNCHECKED = "unchecked"
    UNREACHABLE = "unreachable"
    PROMOTED = "promoted"
    LAGS = "lags"


class Replica:
    """A server for queries.

    Args:
        name: of the server, for metrics and the log; without secrets.
        engine: sends each statement as a transaction of its own.
        is_one_server: False where one URL names several: which of them answers is not known.

    Attributes:
        replayed: the position in the log up to which it was seen to have replayed, in bytes.
    """

    def __init__(self, name: str, engine: Engine, *, is_one_server: bool = True) -> None:
        """Begin unchecked: the first read asks the server for its state."""
        self.name = name
        self.replayed = 0
        self._engine = engine
        self._is_one_server = self._says_position = is_one_server
        self._unfit: Unfit | None = Unfit.UNCHECKED
        self._checking = Lock()
        self._check_at = self._pause = 0.0
        self._is_behind = False
        self._unseen: deque[tuple[float, int]] = deque()
        # Another server may have taken its place.
        event.listen(engine, "connect", self._forget)

    def _forget(self, _connection: object, _record: object) -> None:
        self.replayed = 0

    def unfit(
        self, primary: Callable[[], PrimaryState | None], max_lag: float, *, now: bool = False
    ) -> Unfit | None:
        """Return why no read may go there, as it was when last checked; None where it may.

        Args:
            primary: returns the state of the database itself.
            max_lag: the longest lag in seconds.
            now: whether it is checked in any case, unless it is left alone after a failure.
        """
        is_due = time.monotonic() >= self._check_at or (now and self._unfit is None)
        # One reader checks; the others go by what is known, and none of them waits for a server that is away.
        if is_due and self._checking.acquire(blocking=False):
            try:
                self._check(primary, max_lag)
            finally:
                self._checking.release()
        return self._unfit

    def failed(self, error: BaseException) -> None:
        """Leave the server alone for a while, twice as long after each failure; a pool that is in use is none."""
        if isinstance(translated(error), PoolExhausted):
            return
        self._pause = min(self._pause * 2 or _FIRST_PAUSE, _LONGEST_PAUSE)
        self._check_at = time.monotonic() + self._pause
        if self._unfit is not Unfit.UNREACHABLE:
            reason = type(translated(error) or error).__name__
            REPLICAS.warning("queries leave %s alone: %s", self.name, reason)
        self._unfit, self.replayed = Unfit.UNREACHABLE, 0

    def wait_for(self, position: int, seconds: float, sleep: Callable[[float], object]) -> bool:
        """Wait until the server has replayed the log up to a position, and return whether it has.

        Args:
            position: in bytes.
            seconds: how long, at most; not at all for a server that was late, until it was there again.
            sleep: waits for some seconds.
        """
        if self.replayed >= position or not self._says_position:
            return self.replayed >= position
        try:
            with self._engine.connect() as connection:
                seconds = 0 if self._is_behind else seconds
                self._is_behind = not self._wait(connection, position, seconds, sleep)
        except FAILURES as error:
            self.failed(error)
            return False
        return not self._is_behind

    def _wait(
        self,
        connection: Connection,
        position: int,
        seconds: float,
        sleep: Callable[[float], object],
    ) -> bool:
        until, pause = time.monotonic() + seconds, _FIRST_POLL
        while True:
            self.replayed = max(self.replayed, int(connection.scalar(_REPLAYED) or 0))
            left = until - time.monotonic()
            if self.replayed >= position or left <= 0:
                return self.replayed >= position
            if (connection.dialect.server_version_info or ()) >= _WAITS_ITSELF:
                connection.execute(wait_statement(position, left))
            else:
                sleep(min(pause, left))
                pause = min(pause * 2, _LONGEST_POLL)

    def _check(self, primary: Callable[[], PrimaryState | None], max_lag: float) -> None:
        try:
            state = replica_state(self._engine)
        except FAILURES as error:
            self.failed(error)
            return
        if self._unfit is Unfit.UNREACHABLE:
            REPLICAS.info("queries use %s again", self.name)
        self._pause, self._check_at = 0.0, time.monotonic() + CHECKED_EVERY
        self._is_behind = False
        here = primary()
        is_itself = here is not None and here.server == state.server
        self.replayed = _ENDLESS if is_itself else state.replayed or 0
        # A copy by other means knows no position of this log.
        knows = state.is_standby and state.replayed is not None
        self._says_position = knows and self._is_one_server
        if here is not None and here.has_promoted(state):
            self._unfit = Unfit.PROMOTED
        else:
            self._unfit = Unfit.LAGS if self._lag(here) > max_lag else None

    def _lag(self, here: PrimaryState | None) -> float:
        """Return for how many seconds at least the server has lacked something that was written."""
        if not self._says_position:
            return 0.0
        if here is not None and len(self._unseen) < _MOST_POSITIONS:
            self._unseen.append((time.monotonic(), here.position))
        while self._unseen and self._unseen[0][1] <= self.replayed:
            self._unseen.popleft()
        return time.monotonic() - self._unseen[0][0] if self._unseen else 0.0
