"""The positions that one manager wrote last: a trade is folded on them without a query.

A cached position may be out of date; the statement that writes the trade checks it. One caller at a time books on
a cached position and the others wait for its lock: a wait costs less here than a failed statement. The wait is
bounded, and after failures the cache is left alone for a while, because another process then trades the symbol.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from attrs import define, field
from sqlalchemy.util import await_only

from tradebook.adapters.repositories.entity_rows import STATE

MAX_SYMBOLS: Final = 2_000
"""The number of positions kept; those used longest ago are dropped."""
LOCK_TIMEOUT: Final = 1.0
"""The seconds for which a caller waits for a symbol's lock."""
_MAX_BACK_OFF: Final = 64


class SymbolLock(Protocol):
    """A lock with a bounded wait, which has an owner: a `threading.RLock`, or a `TaskLock`."""

    def acquire(self, *, timeout: float) -> bool:
        """Wait for the lock; False after `timeout` seconds."""

    def release(self) -> None:
        """Release the lock; raise RuntimeError where this thread, or this task, does not own it."""


class TaskLock:
    """A symbol's lock for tasks of asyncio, inside SQLAlchemy's greenlets."""

    def __init__(self) -> None:
        """Make the lock, free."""
        self._lock = asyncio.Lock()
        self._owner: asyncio.Task[Any] | None = None

    def acquire(self, *, timeout: float) -> bool:
        """Wait for the lock without blocking the loop; False after `timeout` seconds."""
        if self._acquire_free():
            return True
        return timeout > 0 and await_only(self._acquire(timeout))

    def _acquire_free(self) -> bool:
        """Acquire the lock if it is free: 20 us less than with a timeout and a switch to the loop."""
        acquiring = self._lock.acquire()
        try:
            acquiring.send(None)
        except StopIteration:
            self._owner = asyncio.current_task()
            return True
        acquiring.close()  # takes it off the queue of the lock
        return False

    async def _acquire(self, timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout):
                await self._lock.acquire()
        except TimeoutError:
            return False
        self._owner = asyncio.current_task()
        return True

    def release(self) -> None:
        """Release the lock; raise RuntimeError where this task does not own it."""
        if self._owner is not asyncio.current_task():
            raise RuntimeError("another task owns the lock")
        self._owner = None
        self._lock.release()


@define(eq=False)
class CachedPosition:
    """One symbol's entry of the cache.

    Attributes:
        lock: held from reading the values until the trade is booked.
        values: the position's fields by name; none when they turned out to be out of date.
        back_off: the number of trades that pass the cache by before the next one uses it.
        misses: how many uses in a row were out of date.
    """

    lock: SymbolLock
    values: Mapping[str, Any] | None = None
    back_off: int = 0
    misses: int = 0

    def take(self) -> Mapping[str, Any] | None:
        """Return the values to book on; None during back-off, which it counts down."""
        if self.back_off:
            self.back_off -= 1
            return None
        return self.values

    def confirm(self) -> None:
        """Record that the values were up to date."""
        self.misses = 0

    def invalidate(self) -> None:
        """Drop values that were out of date; the back-off doubles with each miss in a row."""
        self.values, self.misses = None, self.misses + 1
        self.back_off = min(2**self.misses - 2, _MAX_BACK_OFF)


@define(eq=False)
class PositionCache:
    """The positions of one account by symbol, shared by the threads, or the tasks, of one manager."""

    new_lock: Callable[[], SymbolLock] = threading.RLock
    _entries: OrderedDict[str, CachedPosition] = field(factory=OrderedDict, init=False)
    _changing: threading.Lock = field(factory=threading.Lock, init=False)

    def entry(self, symbol: str) -> CachedPosition:
        """Return a symbol's entry, a new and empty one where there was none."""
        with self._changing:
            found = self._entries.get(symbol)
            if found is None:
                found = self._entries[symbol] = CachedPosition(self.new_lock())
                if len(self._entries) > MAX_SYMBOLS:
                    self._entries.popitem(last=False)
            self._entries.move_to_end(symbol)
            return found

    def keep(self, position: Mapping[str, Any]) -> None:
        """Keep the fields of a position that was just committed, unless a later version is kept.

        Args:
            position: its fields by name; not changed afterwards.
        """
        entry = self.entry(position["symbol"])
        with self._changing:
            if entry.values is None or entry.values["version"] < position["version"]:
                if STATE in position:
                    position = {name: position[name] for name in position if name != STATE}
                entry.values = position

    def clear(self) -> None:
        """Drop all positions."""
        with self._changing:
            self._entries.clear()
