"""Group commit: trades that threads, or tasks, of one manager record at the same time share a transaction.

A call that meets no other writes its trade itself. Where others are on their way it waits in a queue; one thread,
or one task, writes all that waits in one transaction, and then what has come meanwhile. Each call gets its own trade.
What cannot be written so (a fill that is recorded already, a refusal, a position that another process moved) is done
again by its own call, on its own connection: it delays no other.
"""

from __future__ import annotations

import asyncio
import threading
from _thread import start_new_thread
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context
from os import getpid
from queue import Empty, SimpleQueue
from typing import Any, Final

from sqlalchemy.util import greenlet_spawn

from tradebook.adapters.ledger.position_cache import LOCK_TIMEOUT
from tradebook.adapters.runner.fast_record_trade import AutocommitScope, FastPath
from tradebook.adapters.runner.trade_queue import TradeQueue, WaitingCall
from tradebook.domain.trades import Trade
from tradebook.service_layer.call_context import CallContext

CALLS_ALONE: Final = {"sqlite": 1, "postgresql": 2}
"""The number of calls that may write their trades themselves at the same time, by kind of database: SQLite has one
writer; a PostgreSQL server writes the log of two once."""
_ENOUGH: Final = (8, 16, 32, 64, 128, 256)
"""The numbers of waiting calls at which a second transaction is begun beside the one that is being written."""
_IDLE: Final = 1.0
"""Seconds after which the thread that writes ends, where nothing waits."""
_WAIT_FOR_LOCK: Final = LOCK_TIMEOUT / 10
"""Seconds after which locks that were not free are tried again, if nothing said that they are."""


class GroupCommit:
    """The common base of both kinds of group commit.

    Attributes:
        path: the fast path.
        queue: the calls that wait.
    """

    def __init__(self, path: FastPath, writers: int) -> None:
        """Make an empty queue for so many transactions at the same time."""
        self.path = path
        self.queue = TradeQueue(path, writers)

    def new_call(
        self, args: Sequence[Any], kwargs: Any, context: CallContext, wake: Callable[[], object]
    ) -> WaitingCall | None:
        """Return a call for the queue; None for one that a queue can do nothing for."""
        if args:
            return None
        fill = self.path.fill(kwargs, context)
        return None if fill is None else WaitingCall(fill, context, wake)

    def result(self, handler: Callable[..., object], call: WaitingCall) -> Trade | None:
        """Return the trade of an answered call; None where the call has to do it itself."""
        if call.error is not None:
            self.path.failed(handler, call.context, call.error)
        if call.booking is None or call.trade_id is None:
            return None
        return self.path.recorded(call.booking, call.trade_id)


class ThreadGroupCommit(GroupCommit):
    """Group commit for threads: one thread of its own writes, which ends when nothing came for a while.

    The thread is none of the callers': an exception that is thrown into one of these, as Ctrl-C is, ends its wait,
    and no other's. A second one that writes gains nothing: it waits for the interpreter's lock.
    """

    def __init__(self, path: FastPath, alone: int) -> None:
        """Take the number of calls that may write their trades themselves at the same time."""
        super().__init__(path, writers=1)
        # Locks with an owner, not a count: one that an exception kept from its release is seen to be free.
        self._slots = [threading.RLock() for _ in range(alone)]
        self._changes: SimpleQueue[None] = SimpleQueue()
        self._starting = threading.Lock()
        self._writing_in: int | None = None  # the process of the thread

    def enter_alone(self, scope: AutocommitScope) -> bool:
        """Report whether a call may write its trade itself; its `slot` is then to be released."""
        if not self.queue.in_flight and not self.queue.waiting:
            for slot in self._slots:
                scope.slot = slot  # before it is acquired: an exception may be thrown in between
                if slot.acquire(blocking=False):
                    return True
        return False

    def leave(self) -> None:
        """Tell the thread that a symbol's lock may be free."""
        if self.queue.waiting:
            self._tell()

    def wait(self, args: Sequence[Any], kwargs: Any, context: CallContext) -> WaitingCall | None:
        """Have a trade written, and return the answered call; None where it cannot be in a queue."""
        answered = threading.Lock()
        answered.acquire()
        call = self.new_call(args, kwargs, context, answered.release)
        if call is None:
            return None
        try:
            self._submit(call)
            while not answered.acquire(timeout=LOCK_TIMEOUT):
                if self._is_left(call):
                    break
        except BaseException:
            with suppress(ValueError):  # the thread has taken it
                self.queue.waiting.remove(call)
            raise
        return call

    def _is_left(self, call: WaitingCall) -> bool:
        """Take a call off the queue that nothing took in time, so that it does its trade itself.

        The thread is busy, or gone: an exception that is thrown into its starter while it starts arrives in it.
        """
        try:
            self.queue.waiting.remove(call)
        except ValueError:  # it is being written
            return False
        self._writing_in = None
        return True

    def _submit(self, call: WaitingCall) -> None:
        self.queue.waiting.append(call)
        self._tell()

    def _tell(self) -> None:
        """Wake the thread, or start it; an exception that is thrown in here leaves no lock behind."""
        # All of this is written in C. A Condition, which `Thread.start` waits for too, stays locked after an
        # exception inside its `__enter__`.
        self._changes.put(None)
        with self._starting:
            if self._writing_in != getpid():  # after a fork no other thread goes on
                # In this order: one thread too many only takes from the same queue, none at all would be waited for.
                start_new_thread(self._write_all, ())
                self._writing_in = getpid()

    def _write_all(self) -> None:
        try:
            while self._has_work():
                if not self.queue.write_some():
                    self._wait_for_change(_WAIT_FOR_LOCK)
        except BaseException:
            with self._starting:
                self._writing_in = None
            self.queue.give_up()
            raise

    def _has_work(self) -> bool:
        """Wait for a call; False where the thread shall end."""
        if not self.queue.waiting:
            self._wait_for_change(_IDLE)
        with suppress(Empty):
            while True:  # all that they tell of is seen from here on
                self._changes.get_nowait()
        with self._starting:
            has_work = bool(self.queue.waiting)
            if not has_work:
                self._writing_in = None
            return has_work

    def _wait_for_change(self, seconds: float) -> None:
        with suppress(Empty):
            self._changes.get(timeout=seconds)


class TaskGroupCommit(GroupCommit):
    """Group commit for the tasks of an event loop: tasks of its own write, while something waits.

    They are none of the callers': cancelling one of these ends its wait, and no other's. On PostgreSQL there may be
    two: one folds while the other waits for the server, which gives 64 tasks 1.3 times the throughput.
    """

    def __init__(self, path: FastPath, alone: int) -> None:
        """Take the number of calls that may write their trades themselves at the same time."""
        super().__init__(path, writers=1 if path.engine.dialect.name == "sqlite" else 2)
        self._alone = self._free = alone
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def enter_alone(self) -> bool:
        """Report whether a call may write its trade itself; `leave` follows in any case."""
        if self._tasks or self.queue.waiting or not self._free:
            return False
        self._free -= 1
        return True

    def leave(self, *, was_alone: bool) -> None:
        """End what `enter_alone` began, and tell the tasks that a symbol's lock may be free."""
        self._free += was_alone
        self._changed.set()

    async def wait(
        self, args: Sequence[Any], kwargs: Any, context: CallContext
    ) -> WaitingCall | None:
        """Have a trade written, and return the answered call; None where it cannot be in a queue."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not answered.done():
                answered.set_result(None)

        call = self.new_call(args, kwargs, context, wake)
        if call is None:
            return None
        if self._loop is not loop:
            self._begin_loop(loop)
        self.queue.waiting.append(call)
        self._changed.set()
        if self._needs_writer():
            self._tasks.add(loop.create_task(self._write_all(), context=Context()))
        try:
            await answered
        except BaseException:
            with suppress(ValueError):  # the task has taken it
                self.queue.waiting.remove(call)
            raise
        return call

    def _needs_writer(self) -> bool:
        """Report whether one more is needed: a second one where the first has left enough waiting."""
        queue, writers = self.queue, len(self._tasks)
        return not writers or (writers < queue.writers and len(queue.waiting) in _ENOUGH)

    def _begin_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin anew in another event loop: what the last one left undone is done by no one."""
        self._loop, self._free = loop, self._alone
        self._tasks = set()
        self._changed = asyncio.Event()
        self.queue.waiting.clear()
        self.queue.in_flight.clear()

    async def _write_all(self) -> None:
        tasks = self._tasks
        try:
            while self.queue.waiting:
                self._changed.clear()
                if not await greenlet_spawn(self.queue.write_some):
                    if len(tasks) > 1:
                        return  # the locks are those of the other
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_WAIT_FOR_LOCK):
                            await self._changed.wait()
        finally:
            tasks.discard(asyncio.current_task())
            if not tasks:
                self.queue.give_up()  # where the loop ends
