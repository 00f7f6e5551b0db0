"""The positions that one manager wrote last: what a trade is folded on before anybody asked the database.

What is remembered is a guess: the statement that writes says whether it was right. One caller at a time guesses
about a symbol, and the others wait for their turn here, where waiting is cheap; not for long, and not
where another process keeps being first.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Protocol

from attrs import define, field
from sqlalchemy.util import await_only

from tradebook.adapters.repositories.entity_rows import STATE, as_stored
from tradebook.domain.positions import Position

MOST: Final = 2_000
"""Symbols; those used longest ago are forgotten."""
_PATIENCE: Final = 1.0
"""Seconds."""
_LONGEST_REST: Final = 64


class Turn(Protocol):
    """A lock that is not waited for too long."""

    def acquire(self) -> bool:
        """Whether it was got."""

    def release(self) -> None:
        """Let the next one have it."""


class ThreadTurn:
    """For threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self) -> bool:
        return self._lock.acquire(timeout=_PATIENCE)

    def release(self) -> None:
        self._lock.release()


class TaskTurn:
    """For tasks of asyncio, inside SQLAlchemy's greenlets."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    def acquire(self) -> bool:
        return await_only(self._acquire())

    async def _acquire(self) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._lock.acquire()
        except TimeoutError:
            return False

    def release(self) -> None:
        self._lock.release()


@define(eq=False)
class CachedPosition:
    """What is remembered of one symbol.

    Attributes:
        turn: to be held from the guess until the trade is booked.
        values: the position's; none when it turned out to be out of date.
        rest: how many trades go the ordinary way before the next guess.
        misses: how many guesses in a row were wrong.
    """

    turn: Turn
    values: dict[str, Any] | None = None
    rest: int = 0
    misses: int = 0

    def copy(self) -> Position | None:
        """A working copy of the position, unless it is better to ask the database."""
        if self.rest:
            self.rest -= 1
            return None
        return None if self.values is None else as_stored(Position, self.values)

    def confirm_guess(self) -> None:
        """The guess stood."""
        self.misses = 0

    def invalidate(self) -> None:
        """The guess did not stand: somebody else trades the symbol too. The more, the longer the rest."""
        self.values, self.misses = None, self.misses + 1
        self.rest = min(2**self.misses - 2, _LONGEST_REST)


@define(eq=False)
class PositionCache:
    """The positions of one account, by symbol; shared by the threads, or the tasks, of one manager."""

    new_turn: Callable[[], Turn] = ThreadTurn
    _symbols: OrderedDict[str, CachedPosition] = field(factory=OrderedDict, init=False)
    _changing: threading.Lock = field(factory=threading.Lock, init=False)

    def of(self, symbol: str) -> CachedPosition:
        """What is remembered of a symbol, if only that it was asked for."""
        with self._changing:
            found = self._symbols.get(symbol)
            if found is None:
                found = self._symbols[symbol] = CachedPosition(self.new_turn())
                if len(self._symbols) > MOST:
                    self._symbols.popitem(last=False)
            self._symbols.move_to_end(symbol)
            return found

    def keep(self, position: Position) -> None:
        """Remember a position that was just committed, unless a later one is remembered."""
        kept = self.of(position.symbol)
        values = dict(vars(position))
        values.pop(STATE, None)
        with self._changing:
            if kept.values is None or kept.values["version"] < values["version"]:
                kept.values = values

    def clear(self) -> None:
        """Forget everything."""
        with self._changing:
            self._symbols.clear()
