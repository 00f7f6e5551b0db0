"""Group commit: trades that threads, or tasks, of one manager record at the same time share a transaction.

A call that meets no other writes its trade itself. Where others are on their way it waits in a queue; one thread,
or one task, writes all that waits in one transaction, and then what has come meanwhile. Each call gets its own trade.
What cannot be written so (a fill that is recorded already, a refusal, a position that another process moved) is done
again by its own call, on its own connection: it delays no other.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from contextvars import Context
from typing import Any, Final

from attrs import define, field
from sqlalchemy.util import greenlet_spawn

from tradebook.adapters.ledger.autocommit import autocommit
from tradebook.adapters.ledger.position_cache import LOCK_TIMEOUT, CachedPosition, SymbolLock
from tradebook.adapters.ledger.trade_group import GroupedTrade, write_group
from tradebook.adapters.runner.fast_record_trade import AutocommitScope, FastPath
from tradebook.domain.errors import TradebookError
from tradebook.domain.fills import Booking, Fill, FillName, RunningPosition, texts_of
from tradebook.domain.trades import Trade
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.handlers.new_fills import book_new_fill

MAX_TRADES: Final = 256
"""The number of trades that share a transaction at most."""
CALLS_ALONE: Final = {"sqlite": 1, "postgresql": 2}
"""The number of calls that may write their trades themselves at the same time, by kind of database: SQLite has one
writer; a PostgreSQL server writes the log of two once."""
_IDLE: Final = 1.0
"""Seconds after which the thread that writes ends, where nothing waits."""
_WAIT_FOR_LOCK: Final = LOCK_TIMEOUT / 10
"""Seconds after which locks that were not free are tried again, if nothing said that they are."""


@define(eq=False)
class WaitingCall:
    """A call of `record_trade` in the queue.

    Attributes:
        fill: its terms, read.
        context: of the call.
        wake: lets the call go on, once it has its answer.
        since: the time of a monotonic clock at which it came.
        booking, trade_id: the answer: what was booked, and its id; None where the call shall do it itself.
        error: the failure of the transaction, where it may have been committed.
    """

    fill: Fill
    context: CallContext
    wake: Callable[[], object]
    since: float = field(factory=time.monotonic)
    booking: Booking | None = None
    trade_id: int | None = None
    error: BaseException | None = None


@define
class _Symbol:
    """The trades of one symbol in a transaction, while they are folded."""

    entry: CachedPosition
    current: Any
    calls: list[WaitingCall] = field(factory=list)
    trades: list[GroupedTrade] = field(factory=list)


@define(eq=False)
class TradeQueue:
    """The calls that wait, and the means to write them; shared by all calls of one manager.

    Attributes:
        path: the fast path, whose positions are locked and cached.
        waiting: calls in the order in which they came.
    """

    path: FastPath
    waiting: deque[WaitingCall] = field(factory=deque, init=False)

    def write_some(self) -> bool:
        """Write the trades of waiting calls, and let these go on; False where all wait for locks of their symbols."""
        calls, locks = self._take()
        try:
            if calls:
                self._write(calls)
        finally:
            for lock in locks:
                lock.release()
            for call in calls:
                call.wake()
        return bool(calls)

    def _take(self) -> tuple[list[WaitingCall], list[SymbolLock]]:
        """Take calls off the queue whose symbols' locks are free; return them with the locks, acquired.

        A call whose symbol's lock is not got in time is let go, to do its trade itself.
        """
        taken: list[WaitingCall] = []
        left: list[WaitingCall] = []
        locks: dict[str, SymbolLock | None] = {}
        late = time.monotonic() - LOCK_TIMEOUT
        while self.waiting and len(taken) < MAX_TRADES:
            call = self.waiting.popleft()
            symbol = call.fill.name.symbol
            if symbol not in locks:
                lock = self.path.cache.entry(symbol).lock
                locks[symbol] = lock if lock.acquire(timeout=0) else None
            if locks[symbol] is not None:
                taken.append(call)
            elif call.since < late:
                call.wake()
            else:
                left.append(call)
        self.waiting.extendleft(reversed(left))
        return taken, [lock for lock in locks.values() if lock is not None]

    def _write(self, calls: Sequence[WaitingCall]) -> None:
        """Write the trades of calls, whose symbols are locked, in one transaction; note what each call is answered."""
        path = self.path
        symbols = self._fold(calls)
        if not symbols:
            return
        try:
            with autocommit(path.engine) as sender:
                written = write_group(sender, [symbol.trades for symbol in symbols])
        except Exception as error:
            for symbol in symbols:
                for call in symbol.calls:
                    call.error = error
            return
        finally:
            if path.written is not None:
                path.written.add()
        for symbol, ids in zip(symbols, written, strict=True):
            _answer(symbol, ids)
            if None in ids:
                symbol.entry.invalidate()
            else:
                symbol.entry.confirm()
                path.cache.keep(symbol.current)

    def _fold(self, calls: Iterable[WaitingCall]) -> list[_Symbol]:
        """Fold the trades of calls into their positions; pass over those that take a transaction of their own."""
        symbols: dict[str, _Symbol] = {}
        names: set[FillName] = set()
        decisions: set[int] = set()
        for call in calls:
            name = call.fill.name
            symbol = symbols.get(name.symbol)
            if symbol is None:
                entry = self.path.cache.entry(name.symbol)
                symbol = symbols[name.symbol] = _Symbol(entry, entry.take())
            decision = call.fill.values.get("decision_id")
            # The same fill again is recognised, and the same decision again is executed, after this one is written.
            if symbol.current is None or name in names or decision in decisions:
                continue
            if self._fold_call(symbol, call):
                names.add(name)
                if decision is not None:
                    decisions.add(decision)
        return [symbol for symbol in symbols.values() if symbol.trades]

    def _fold_call(self, symbol: _Symbol, call: WaitingCall) -> bool:
        path, context = self.path, call.context
        position = RunningPosition(symbol.current, context.at, max_ahead=path.max_ahead)
        try:
            booking = book_new_fill(position, call.fill)
        except TradebookError:
            return False
        if booking is None:
            return False
        settled, texts = position.settled(), texts_of(booking.trade)
        event = path.event(booking, context, texts)
        symbol.trades.append(GroupedTrade(symbol.current, settled, booking, texts, context, event))
        symbol.calls.append(call)
        symbol.current = settled
        return True


def _answer(symbol: _Symbol, ids: Sequence[int | None]) -> None:
    for call, trade, id_ in zip(symbol.calls, symbol.trades, ids, strict=True):
        if id_ is not None:
            call.booking, call.trade_id = trade.booking, id_


class GroupCommit:
    """The common base of both kinds of group commit.

    Attributes:
        path: the fast path.
        queue: the calls that wait.
        is_writing: whether what waited is being written.
    """

    def __init__(self, path: FastPath) -> None:
        """Make an empty queue."""
        self.path = path
        self.queue = TradeQueue(path)
        self.is_writing = False

    def call(
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

    The thread is none of the callers': an exception that is thrown into one of these, as Ctrl-C is, ends its
    wait, and no other's.
    """

    def __init__(self, path: FastPath, alone: int) -> None:
        """Take the number of calls that may write their trades themselves at the same time."""
        super().__init__(path)
        # Locks with an owner, not a count: one that an exception kept from its release is seen to be free.
        self._slots = [threading.RLock() for _ in range(alone)]
        self._changed = threading.Condition(threading.Lock())
        self._has_changed = False
        self._thread: threading.Thread | None = None

    def enter_alone(self, scope: AutocommitScope) -> bool:
        """Report whether a call may write its trade itself; its `slot` is then to be released."""
        if not self.is_writing and not self.queue.waiting:
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
        call = self.call(args, kwargs, context, answered.release)
        if call is None:
            return None
        try:
            self._submit(call)
            answered.acquire()
        except BaseException:
            with suppress(ValueError):  # the thread has taken it
                self.queue.waiting.remove(call)
            raise
        return call

    def _submit(self, call: WaitingCall) -> None:
        self.queue.waiting.append(call)
        self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._has_changed = True
            # After a fork no other thread goes on.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._write_all, daemon=True)
                self._thread.start()
            else:
                self._changed.notify()

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self.is_writing = False
                if not self.queue.waiting:
                    self._changed.wait(_IDLE)
                if not self.queue.waiting:
                    self._thread = None
                    return
                self.is_writing, self._has_changed = True, False
            if not self.queue.write_some():
                with self._changed:
                    if not self._has_changed:
                        self._changed.wait(_WAIT_FOR_LOCK)


class TaskGroupCommit(GroupCommit):
    """Group commit for the tasks of an event loop: one task of its own writes, while something waits.

    The task is none of the callers': cancelling one of these ends its wait, and no other's.
    """

    def __init__(self, path: FastPath, alone: int) -> None:
        """Take the number of calls that may write their trades themselves at the same time."""
        super().__init__(path)
        self._alone = self._free = alone
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def enter_alone(self) -> bool:
        """Report whether a call may write its trade itself; then `leave` follows."""
        if self.is_writing or self.queue.waiting or not self._free:
            return False
        self._free -= 1
        return True

    def leave(self) -> None:
        """End what `enter_alone` began."""
        self._free += 1
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

        call = self.call(args, kwargs, context, wake)
        if call is None:
            return None
        if self._loop is not loop:
            self._begin_loop(loop)
        self.queue.waiting.append(call)
        self._changed.set()
        if not self.is_writing:
            self.is_writing = True
            self._task = loop.create_task(self._write_all(), context=Context())
        try:
            await answered
        except BaseException:
            with suppress(ValueError):  # the task has taken it
                self.queue.waiting.remove(call)
            raise
        return call

    def _begin_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin anew in another event loop: what the last one left undone is done by no one."""
        self._loop, self._free, self.is_writing = loop, self._alone, False
        self._changed = asyncio.Event()
        self.queue.waiting.clear()

    async def _write_all(self) -> None:
        try:
            while self.queue.waiting:
                self._changed.clear()
                if not await greenlet_spawn(self.queue.write_some):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_WAIT_FOR_LOCK):
                            await self._changed.wait()
        finally:
            self.is_writing = False
            while self.queue.waiting:  # where the loop ends
                self.queue.waiting.popleft().wake()
