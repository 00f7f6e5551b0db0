"""The position in the server's write-ahead log up to which a manager wrote."""

from __future__ import annotations

from itertools import count
from threading import Lock

from sqlalchemy import Engine

from tradebook.adapters.replicas.states import primary_state
from tradebook.domain.consistency import token_of


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
