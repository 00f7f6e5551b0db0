"""Connection pools that know who has their connections, and say so when none is left."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from sqlalchemy import AsyncAdaptedQueuePool, Engine, QueuePool
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util.queue import AsyncAdaptedQueue, Empty, Queue, QueueCommon

from tradebook.domain.errors import PoolExhausted
from tradebook.service_layer.ports.health import PoolStatus


class _Waiting(QueueCommon[ConnectionPoolEntry]):
    """Knows who waits and who waited for a connection, and does not just take a free one."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waiting: set[object] = set()
        self.waits, self.waited = 0, 0.0
        self._counting = threading.Lock()

    def get(self, block: bool = True, timeout: float | None = None) -> ConnectionPoolEntry:
        try:
            return super().get(False)
        except Empty:
            if not block:
                raise
        waiter, since = object(), time.monotonic()
        self.waiting.add(waiter)
        try:
            return super().get(True, timeout)
        finally:
            self.waiting.discard(waiter)
            with self._counting:
                self.waits += 1
                self.waited += time.monotonic() - since


class _ThreadQueue(_Waiting, Queue[ConnectionPoolEntry]):
    pass


class _TaskQueue(_Waiting, AsyncAdaptedQueue[ConnectionPoolEntry]):
    pass


class WatchedPool(QueuePool):
    """For threads. Remembers since when, and by whom, each connection is used."""

    _queue_class: type[_Waiting] = _ThreadQueue
    _pool: _Waiting

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._in_use: dict[ConnectionPoolEntry, tuple[float, str]] = {}

    def _do_get(self) -> ConnectionPoolEntry:
        started = time.monotonic()
        try:
            record = super()._do_get()
        except PoolTimeout as error:
            raise PoolExhausted(self._exhausted(time.monotonic() - started)) from error
        self._in_use[record] = time.monotonic(), _caller()
        return record

    # Comes for every connection that was got: given back, detached, invalid, or one that was forgotten.
    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        self._in_use.pop(record, None)
        super()._do_return_conn(record)

    def status_now(self) -> PoolStatus:
        """What the pool is doing."""

        oldest = self._oldest()
        return PoolStatus(
            size=self.size(),
            max_overflow=self._max_overflow,
            checked_out=len(self._in_use),
            checked_in=self.checkedin(),
            overflow=max(self.overflow(), 0),
            waiting=len(self._pool.waiting),
            waits=self._pool.waits,
            waited=self._pool.waited,
            oldest_checkout=oldest[0] if oldest else None,
        )

    def _oldest(self) -> tuple[float, str] | None:
        """For how many seconds, and by whom, a connection has been used the longest."""
        uses = list(self._in_use.values())
        if not uses:
            return None
        since, caller = min(uses)
        return time.monotonic() - since, caller

    def _exhausted(self, waited: float) -> str:
        oldest = self._oldest()
        since = f"; the oldest for {oldest[0]:.1f} s, by {oldest[1]}" if oldest else ""
        return (
            f"no database connection became free in {waited:.1f} s: all of the pool are in use "
            f"(pool_size={self.size()}, max_overflow={self._max_overflow}){since}; "
            f"{len(self._pool.waiting)} more wait. Leave sessions and units of work through `with`, "
            "or raise pool_size (TRADEBOOK_DB_POOL_SIZE)"
        )


class AsyncWatchedPool(WatchedPool, AsyncAdaptedQueuePool):
    """For tasks of asyncio."""

    _queue_class = _TaskQueue


def _caller() -> str:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop runs in this thread
        task = None
    return (
        f"thread {threading.current_thread().name}" if task is None else f"task {task.get_name()}"
    )


def pool_status(engine: Engine) -> PoolStatus:
    """What an engine's pool is doing now."""
    pool = engine.pool
    assert isinstance(pool, WatchedPool)  # make_engine sees to it
    return pool.status_now()
