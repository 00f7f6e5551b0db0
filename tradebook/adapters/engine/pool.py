"""Connection pools that record who holds their connections, and report it when none is left."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any
from weakref import ref

from sqlalchemy import AsyncAdaptedQueuePool, Engine, QueuePool
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import PoolProxiedConnection
from typing_extensions import override

from tradebook.domain.errors import PoolExhausted
from tradebook.service_layer.ports.health import PoolStatus


class WatchedPool(QueuePool):
    """A pool for threads that counts waits and records since when, and by whom, a connection is held."""

    def __init__(
        self, creator: Any, pool_size: int = 5, max_overflow: int = 10, **options: Any
    ) -> None:
        """Take what `QueuePool` takes."""
        super().__init__(creator, pool_size, max_overflow, **options)
        is_bounded = pool_size > 0 and max_overflow >= 0
        self._max_overflow_given = max_overflow
        self._limit = pool_size + max_overflow if is_bounded else float("inf")
        # By weak reference: an entry leaves when the connection is closed, detached, invalidated or
        # garbage-collected, and a checkin costs no Python call.
        self._held: dict[ref[PoolProxiedConnection], tuple[float, str]] = {}
        self._waiting: set[object] = set()
        self._waits, self._waited = 0, 0.0
        self._counting = threading.Lock()

    @override
    def connect(self) -> PoolProxiedConnection:
        started = time.monotonic()
        is_free = self.checkedout() < self._limit
        try:
            connection = super().connect() if is_free else self._wait()
        except PoolTimeout as error:
            raise PoolExhausted(self._exhausted(time.monotonic() - started)) from error
        self._held[ref(connection, self._held.pop)] = time.monotonic(), _caller()
        return connection

    def _wait(self) -> PoolProxiedConnection:
        started, waiter = time.monotonic(), object()
        self._waiting.add(waiter)
        try:
            return super().connect()
        finally:
            self._waiting.discard(waiter)
            with self._counting:
                self._waits += 1
                self._waited += time.monotonic() - started

    def status_now(self) -> PoolStatus:
        """Return the pool's sizes, its users and its waiters at this instant."""
        held = self._in_use()
        return PoolStatus(
            size=self.size(),
            max_overflow=self._max_overflow_given,
            checked_out=len(held),
            checked_in=self.checkedin(),
            overflow=max(self.overflow(), 0),
            waiting=len(self._waiting),
            waits=self._waits,
            waited=self._waited,
            oldest_checkout=time.monotonic() - min(held)[0] if held else None,
        )

    def _in_use(self) -> list[tuple[float, str]]:
        held = list(self._held.items())  # one step: other threads change the dictionary
        return [use for proxied, use in held if (it := proxied()) and not it.is_detached]

    @property
    def has_free(self) -> bool:
        """True where a connection is to be had without a wait."""
        return self.checkedout() < self._limit

    def held_since(self, connection: object) -> float | None:
        """Return the monotonic time since which a connection is held; None for one of another pool."""
        uses = list(self._held.items())
        return next((use[0] for proxied, use in uses if proxied() is connection), None)

    def oldest_use(self) -> str:
        """Describe the use of the connection that is held longest; `""` where none is."""
        held = self._in_use()
        since, caller = min(held, default=(0.0, ""))
        return f"; the oldest for {time.monotonic() - since:.1f} s, by {caller}" if held else ""

    def _exhausted(self, waited: float) -> str:
        return (
            f"no database connection became free in {waited:.1f} s: all of the pool are in use "
            f"(pool_size={self.size()}, max_overflow={self._max_overflow_given}){self.oldest_use()}; "
            f"{len(self._waiting)} more wait. Leave sessions and units of work through `with`, "
            "or raise pool_size (TRADEBOOK_DB_POOL_SIZE)"
        )


class AsyncWatchedPool(WatchedPool, AsyncAdaptedQueuePool):
    """The same pool for asyncio tasks."""


def _caller() -> str:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop runs in this thread
        task = None
    return (
        f"thread {threading.current_thread().name}" if task is None else f"task {task.get_name()}"
    )


def pool_status(engine: Engine) -> PoolStatus:
    """Return the state of an engine's pool at this instant."""
    pool = engine.pool
    assert isinstance(pool, WatchedPool)  # make_engine sets it
    return pool.status_now()
