"""The fast path of `record_trade`: a new fill on a cached position, in a single statement that commits itself.

Anything else (a symbol not traded lately, a repeated fill, a pending order, a refusal) is done by the
ordinary runner, from the beginning: nothing was written, or what was written is recognised as the same fill.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, cast

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import class_mapper
from sqlalchemy.orm.attributes import instance_state

from tradebook.adapters.ledger.autocommit import autocommit
from tradebook.adapters.ledger.position_cache import (
    LOCK_TIMEOUT,
    CachedPosition,
    PositionCache,
    SymbolLock,
)
from tradebook.adapters.ledger.single_trade import write_trade
from tradebook.adapters.replicas.router import ReadRouter
from tradebook.adapters.runner.observers import RetryAttempt
from tradebook.adapters.runner.retries import Retries
from tradebook.adapters.types import JsonText
from tradebook.domain.errors import PoolExhausted, TradebookError
from tradebook.domain.events import TradeRecorded
from tradebook.domain.fills import (
    Booking,
    Fill,
    RunningPosition,
    SharedValues,
    payload_template,
    payload_values,
    texts_of,
)
from tradebook.domain.trades import Trade
from tradebook.domain.validation import MAX_AHEAD
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.handlers.new_fills import FillReader, book_new_fill
from tradebook.service_layer.handlers.trade_terms import TradeTerms
from tradebook.service_layer.instrumentation import TRADES, current_call

_MAX_TEMPLATES: Final = 10_000


class FastPath:
    """All that the fast path needs besides a call: shared by the threads, or the tasks, of one manager."""

    def __init__(
        self,
        engine: Engine | AsyncEngine,
        cache: PositionCache,
        account: str,
        retries: Retries,
        max_ahead: timedelta = MAX_AHEAD,
        router: ReadRouter | None = None,
    ) -> None:
        """Make a reader and a store of templates for these; writes are counted for the router of reads."""
        self.max_ahead = max_ahead
        self.written = None if router is None else router.written
        self.engine: Engine = engine.sync_engine if isinstance(engine, AsyncEngine) else engine
        self.cache, self.account, self.retries = cache, account, retries
        self.reader = FillReader()
        self.failures = (DBAPIError, self.engine.dialect.loaded_dbapi.Error)
        self._shared = SharedValues()
        self._templates: dict[tuple[Any, ...], str] = {}
        # `class_mapper` configures the mapper: the first trade of a process may be one of the fast path.
        mapper = class_mapper(Trade)
        self._new_trade = mapper.class_manager.new_instance
        self._key_of = mapper.identity_key_from_primary_key

    def payload(self, booking: Booking, context: CallContext, texts: tuple[str, ...]) -> JsonText:
        """Return a booking's event payload; `texts` are the booking's `texts_of`."""
        key = self._shared.key(booking, context.at)
        template = self._templates.get(key)
        if template is None:
            if len(self._templates) >= _MAX_TEMPLATES:
                self._templates.clear()
            template = self._templates[key] = payload_template(booking, context.at)
        return JsonText(template % payload_values(booking, context.at, texts))

    def fill(self, terms: Mapping[str, Any], context: CallContext) -> Fill | None:
        """Read the terms of a new fill; None for terms that need more, or are refused."""
        if terms.get("order_id") is None:
            # The first id that a unit of work of the same call makes.
            terms = {**terms, "order_id": f"{context.token}-1"}
        return self.reader.read(cast("TradeTerms", terms))

    def event(
        self, booking: Booking, context: CallContext, texts: tuple[str, ...]
    ) -> dict[str, Any]:
        """Return the event of a booking, without ids; `texts` are the booking's `texts_of`."""
        at = context.at
        return {
            "account": self.account,
            "created_at": at,
            "updated_at": at,
            "event_type": TradeRecorded.__name__,
            "entity": Trade.__name__,
            "payload": self.payload(booking, context, texts),
            "actor": context.actor,
            "correlation_id": context.correlation_id,
            "occurred_at": at,
        }

    def recorded(self, booking: Booking, trade_id: int) -> Trade:
        """Return the trade of a booking that is written, detached as after a unit of work."""
        if (call := current_call.get()) is not None:
            call.pending[TRADES] += 1
        trade: Trade = self._new_trade()
        vars(trade).update(booking.trade, id=trade_id)
        # All that `make_transient_to_detached` does for an entity with every field, but 8 us faster.
        instance_state(trade).key = self._key_of((self.account, trade_id))
        return trade

    def failed(
        self, handler: Callable[..., object], context: CallContext, error: BaseException
    ) -> None:
        """Count an attempt whose statement failed: the ordinary runner tries again."""
        self.retries.add(RetryAttempt(handler, context, error))


class AutocommitScope:
    """One call of `record_trade`, which writes its booking in a statement of its own.

    The caller holds the symbol's lock until the call ends, an ordinary attempt included that follows: callers of
    this process do not make each other's cached positions out of date.

    Attributes:
        lock: of the symbol, once `attempt` asked for it; to be released in any case, since an exception thrown
            into the thread may arrive after the lock was got and before that is recorded.
        slot: of those that may write alone, the same way.
    """

    def __init__(self, path: FastPath, context: CallContext) -> None:
        """Take the manager's part and the call's."""
        self.lock: SymbolLock | None = None
        self.slot: SymbolLock | None = None
        self._path, self._context = path, context

    def attempt(
        self, handler: Callable[..., object], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Trade | None:
        """Record a new fill; None where that takes a transaction, or the statement failed."""
        symbol = kwargs.get("symbol")
        if args or type(symbol) is not str:
            return None
        path, context = self._path, self._context
        entry = path.cache.entry(symbol)
        # Before the terms are read: an ordinary trade reads them itself.
        opened = entry.take() if self._lock(entry) else None
        if opened is None:
            return None
        try:
            fill = path.fill(kwargs, context)
            if fill is None or fill.name.symbol != symbol:
                return None
            position = RunningPosition(opened, context.at, max_ahead=path.max_ahead)
            booking = book_new_fill(position, fill)
            return None if booking is None else self._book(entry, position, booking)
        except PoolExhausted:
            raise
        except TradebookError:
            return None
        except path.failures as error:
            path.failed(handler, context, error)
            return None

    def _lock(self, entry: CachedPosition) -> bool:
        """Lock the symbol; False where the lock is not got in time."""
        self.lock = entry.lock
        return self.lock.acquire(timeout=LOCK_TIMEOUT)

    def _book(
        self, entry: CachedPosition, position: RunningPosition, booking: Booking
    ) -> Trade | None:
        """Write the booking; None when the cached position was out of date or the fill is recorded."""
        path, settled = self._path, position.settled()
        event = path.event(booking, self._context, texts_of(booking.trade))
        try:
            with autocommit(path.engine) as sender:
                ids = write_trade(
                    sender,
                    position.opened,
                    settled,
                    booking.trade,
                    event,
                    with_decision=booking.trade["decision_id"] is not None,
                    prepared=True,
                )
        finally:
            if path.written is not None:
                path.written.add()
        if ids is None:
            entry.invalidate()
            return None
        entry.confirm()
        path.cache.keep(settled)
        return path.recorded(booking, ids[0])
