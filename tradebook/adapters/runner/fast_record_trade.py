"""One trade at once: `record_trade` in a single statement that commits itself, where that can be done.

The handler is the ordinary one, in a unit of work that has nothing but the ledger's guess. Whatever needs more
(a symbol not traded lately, a replay, a pending order, a decision, a refusal) is then done in the ordinary
way, from the beginning: nothing was written, or what was written is recognised as the same fill.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

from attrs import frozen
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import make_transient_to_detached
from sqlalchemy.util import greenlet_spawn

from tradebook.adapters.ledger.position_cache import CachedPosition, PositionCache
from tradebook.adapters.ledger.raw_sql import committing
from tradebook.adapters.ledger.single_trade import book_one
from tradebook.adapters.runner.observers import RetryAttempt
from tradebook.adapters.runner.retries import Retries
from tradebook.adapters.runner.runner import AsyncRunner, Query, Runner
from tradebook.domain.errors import PoolExhausted, TradebookError
from tradebook.domain.events import Event
from tradebook.domain.portfolio import Holdings
from tradebook.domain.positions import Position
from tradebook.domain.trades import OrderKey, Trade
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.handlers import record_trade
from tradebook.service_layer.ports.ledger import Ledger, OpenPosition
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

R = TypeVar("R")


class _NeedsMore(Exception):
    """It takes a transaction."""


class _Guess(Ledger):
    """Knows what its manager wrote last, and writes one trade at a time."""

    def __init__(self, engine: Engine, remembered: PositionCache) -> None:
        self._engine = engine
        self._positions = remembered
        self._turn: CachedPosition | None = None

    def guess(self, symbol: str) -> OpenPosition | None:
        remembered = self._positions.of(symbol)
        if not remembered.turn.acquire():
            return None
        self._turn = remembered
        position = remembered.copy()
        return None if position is None else OpenPosition(position, ())

    def book(self, page: OpenPosition, bookings: Sequence[tuple[Trade, Event]]) -> bool:
        [(trade, event)] = bookings
        assert self._turn is not None
        with committing(self._engine) as sender:
            booked = book_one(sender, page, trade, event, prepared=True)
        if not booked:
            self._turn.invalidate()
            return False
        self._turn.confirm_guess()
        self._positions.keep(page.position)
        make_transient_to_detached(trade)
        return True

    def end_turn(self) -> None:
        """Let another caller guess about the symbol."""
        if self._turn is not None:
            self._turn.turn.release()
            self._turn = None

    def open(self, symbol: str, orders: Collection[OrderKey]) -> NoReturn:  # noqa: ARG002, as the others have it
        raise _NeedsMore

    def restate(self, realized_pnl: Mapping[int, Any]) -> NoReturn:  # noqa: ARG002, as the others have it
        raise _NeedsMore

    def marked(self, symbols: Collection[str]) -> NoReturn:  # noqa: ARG002, as the others have it
        raise _NeedsMore

    def mark(self, positions: Collection[Position]) -> NoReturn:  # noqa: ARG002, as the others have it
        raise _NeedsMore

    def holdings(self) -> Holdings:
        raise _NeedsMore


class _AtOnce(AbstractUnitOfWork):
    """Has a ledger that guesses, and no repositories."""

    def __init__(
        self,
        engine: Engine,
        remembered: PositionCache,
        account: str,
        base_currency: str,
        retries: Retries,
        context: CallContext,
    ) -> None:
        super().__init__(account, base_currency, context)
        self.ledger: _Guess = _Guess(engine, remembered)
        self._failures = (DBAPIError, engine.dialect.loaded_dbapi.Error)
        self._retries = retries

    def __getattr__(self, name: str) -> NoReturn:
        raise _NeedsMore(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.ledger.end_turn()

    def commit(self) -> None:
        """Each statement did."""

    def rollback(self) -> NoReturn:
        raise _NeedsMore

    def require_visible(self) -> NoReturn:
        raise _NeedsMore

    def require_intact(self) -> NoReturn:
        raise _NeedsMore

    def attempt(self, call: Callable[[AbstractUnitOfWork], R]) -> tuple[R] | None:
        """Its result, or None when it needs more than one statement, or that statement failed."""
        try:
            return (call(self),)
        except PoolExhausted:
            raise
        except (_NeedsMore, TradebookError):
            return None
        except self._failures as error:
            self._retries.add(RetryAttempt(record_trade, self.context, error))
            return None


@frozen
class FastRunner(Runner):
    """Runs handlers at once where that can be done, and in the ordinary way where not."""

    engine: Callable[[], Engine]
    position_cache: PositionCache
    base_currency: str

    def _record_trade(self, query: Query[Any], context: CallContext) -> Any:
        with _AtOnce(
            self.engine(),
            self.position_cache,
            self.account,
            self.base_currency,
            self.retries,
            context,
        ) as uow:
            done = uow.attempt(lambda uow: query.function(uow, *query.args, **query.kwargs))
            if done is not None:
                return done[0]
            # Still in its turn: callers of this process do not make each other's guesses wrong.
            return self._attempt(query, context)


@frozen
class AsyncFastRunner(AsyncRunner):
    """The same for asyncio."""

    engine: Callable[[], AsyncEngine]
    position_cache: PositionCache
    base_currency: str

    async def _record_trade(self, query: Query[Any], context: CallContext) -> Any:
        with _AtOnce(
            self.engine().sync_engine,
            self.position_cache,
            self.account,
            self.base_currency,
            self.retries,
            context,
        ) as uow:
            done = await greenlet_spawn(
                uow.attempt, lambda uow: query.function(uow, *query.args, **query.kwargs)
            )
            if done is not None:
                return done[0]
            return await self._attempt(query, context)
