"""The queue of group commit: calls of `record_trade` that wait, and how many of them are written together."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from attrs import define, field

from tradebook.adapters.ledger.autocommit import autocommit
from tradebook.adapters.ledger.position_cache import LOCK_TIMEOUT, CachedPosition, SymbolLock
from tradebook.adapters.ledger.trade_group import GroupedTrade, write_group
from tradebook.adapters.runner.fast_record_trade import FastPath
from tradebook.domain.fills import Booking, Fill, FillName, RunningPosition, texts_of
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.handlers.new_fills import book_new_fill

MAX_TRADES: Final = 256
"""The number of trades that share a transaction at most."""


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
        writers: how many transactions may be on their way.
        waiting: calls in the order in which they came.
        in_flight: the numbers of calls in each transaction on its way.
    """

    path: FastPath
    writers: int
    waiting: deque[WaitingCall] = field(factory=deque, init=False)
    in_flight: dict[int, int] = field(factory=dict, init=False)

    def write_some(self) -> bool:
        """Write the trades of waiting calls, and let these go on; False where all wait for locks of their symbols."""
        calls, locks = self._take(self._share())
        self.in_flight[id(calls)] = len(calls)
        try:
            if calls:
                self._write(calls)
        finally:
            del self.in_flight[id(calls)]
            for lock in locks:
                lock.release()
            for call in calls:
                call.wake()
        return bool(calls)

    def _next(self) -> WaitingCall | None:
        try:
            return self.waiting.popleft()
        except IndexError:
            return None

    def give_up(self) -> None:
        """Let all calls go on, to do their trades themselves."""
        while (call := self._next()) is not None:
            call.wake()

    def _share(self) -> int:
        """Return the number of calls for a transaction: where two may be written, half of all that are on their way."""
        if self.writers == 1:
            return MAX_TRADES
        return min(
            MAX_TRADES, max(8, (len(self.waiting) + sum([*self.in_flight.values()]) + 1) // 2)
        )

    def _take(self, share: int) -> tuple[list[WaitingCall], list[SymbolLock]]:
        """Take calls off the queue whose symbols' locks are free; return them with the locks, acquired.

        A call whose symbol's lock is not got in time is let go, to do its trade itself.
        """
        taken: list[WaitingCall] = []
        left: list[WaitingCall] = []
        locks: dict[str, SymbolLock | None] = {}
        late = time.monotonic() - LOCK_TIMEOUT
        while len(taken) < share and (call := self._next()) is not None:
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
        except Exception:  # of this call alone: it is raised where the call does its trade itself
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
