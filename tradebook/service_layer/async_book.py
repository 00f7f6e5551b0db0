"""The book as asyncio applications call it: every handler and query as an awaitable method.

`AsyncDatabaseManager` and the public fake are both an `AsyncBook`; what is not here runs through `run` and
`read`, which take the same handlers and queries as the synchronous book's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from tradebook.domain.entity import Entity, refreshed
from tradebook.domain.plain_values import entries, function
from tradebook.domain.validation import argument
from tradebook.service_layer import handlers, queries
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.handlers import ImportedTrades, RecordedTrades, TradeTerms
from tradebook.service_layer.handlers.importing import Progress as Count
from tradebook.service_layer.handlers.importing import Rereadable
from tradebook.service_layer.handlers.seals import Sealed, Sealing, seal_next, unsealed
from tradebook.service_layer.instrumentation import Progress
from tradebook.service_layer.ports.paging import BATCH, BATCH_OF_TRADES, page_limit
from tradebook.service_layer.queries import as_of, snapshots
from tradebook.service_layer.queries.arrow import Decimals
from tradebook.service_layer.unit_of_work import AbstractAsyncUnitOfWork, AbstractUnitOfWork
from tradebook.service_layer.verification import seal_check
from tradebook.service_layer.verification.verify import verify as verify_book

if TYPE_CHECKING:
    import pyarrow


P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E", bound=Entity)


def _async_operation(
    handler: Callable[Concatenate[AbstractUnitOfWork, P], R],
) -> Callable[Concatenate[AsyncBook, P], Coroutine[Any, Any, R]]:
    """A method that runs `handler` in one unit of work and commits it."""

    @wraps(handler)
    async def method(self: AsyncBook, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self.run(handler, *args, **kwargs)

    return method


def _async_question(
    query: Callable[Concatenate[AbstractUnitOfWork, P], R],
) -> Callable[Concatenate[AsyncBook, P], Coroutine[Any, Any, R]]:
    """A method that runs `query` on one consistent view."""

    @wraps(query)
    async def method(self: AsyncBook, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self.read(query, *args, **kwargs)

    return method


def _async_look(
    query: Callable[Concatenate[AbstractUnitOfWork, P], R],
) -> Callable[Concatenate[AsyncBook, P], Coroutine[Any, Any, R]]:
    """A method that runs `query`, which is one statement, by itself."""

    @wraps(query)
    async def method(self: AsyncBook, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self.look_up(query, *args, **kwargs)

    return method


class AsyncBook(ABC):
    """Every handler and query, without the `uow` argument; see the functions for what they do.

    A call that is cancelled is either booked whole or not at all, and returns its connection. Cancelled
    while it commits, it may be either: give the call an `order_id` or `reference`, and call it again.
    """

    @abstractmethod
    def unit_of_work(
        self, *, read_only: bool = False, context: CallContext | None = None
    ) -> AbstractAsyncContextManager[AbstractAsyncUnitOfWork]:
        """A unit of work, to do several things together or not at all; commit it yourself.

        Args:
            read_only: for queries: one consistent view, no write lock, nothing to commit.
            context: the time, actor and correlation id of the call; the time now by default.
        """

    @abstractmethod
    async def run(
        self,
        handler: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call `handler(uow, ...)` in a unit of work, commit, and return its result.

        When another writer was first, or the connection was lost, all of it is done again: `handler` must
        have no effects but on the book, and take its times and ids from the unit of work.

        Args:
            handler: an ordinary function, as for the synchronous book: it awaits nothing.
            args: its arguments after `uow`.
            kwargs: its named arguments.

        Raises:
            BookBusy: conflicts outlasted every retry.
            DatabaseUnavailable: no connection could be had again in time; nothing was written.
            CommitUnknown: neither, nor could the database be asked whether the COMMIT was done.
        """

    async def read(
        self,
        query: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call `query(uow, ...)` on one consistent view, and return its result."""
        argument("query", function, query)
        async with self.unit_of_work(read_only=True) as uow:
            return await uow.run(query, *args, **kwargs)

    async def look_up(
        self,
        query: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call `query(uow, ...)`, which reads with one statement: that sees one instant by itself."""
        return await self.read(query, *args, **kwargs)

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of every connection; the book can still be used, and connects again."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def create(self, entity: E) -> E:
        """Record an entity; see `handlers.create`. Returns it, with its id and all that is recorded."""
        recorded = await self.run(handlers.create, entity)
        return entity.refresh_from(recorded)

    async def update(self, entity: E) -> E:
        """Record the changes of an entity; see `handlers.update`. Returns it, as it is recorded now."""
        recorded = await self.run(handlers.update, entity)
        return entity.refresh_from(recorded)

    async def bulk_create(self, entities: Iterable[E]) -> list[E]:
        """Record many entities, all or none; see `handlers.bulk_create`."""
        given = argument("entities", entries, entities)
        return refreshed(given, await self.run(handlers.bulk_create, given))

    async def bulk_update(self, entities: Iterable[E]) -> list[E]:
        """Record the changes of many entities, all or none; see `handlers.bulk_update`."""
        given = argument("entities", entries, entities)
        return refreshed(given, await self.run(handlers.bulk_update, given))

    async def record_trades(self, trades: Iterable[TradeTerms]) -> RecordedTrades:
        """Record many executions, all or none; see `handlers.record_trades`."""
        given = argument("trades", entries, trades)  # a generator would be empty on a retry
        return await self.run(handlers.record_trades, given)

    async def seal(self, *, batch: int = BATCH, progress: Progress | None = None) -> Sealed:
        """Seal what happened, each batch in a unit of work of its own; see `handlers.seal`."""

        sealing = Sealing.of(batch, progress)
        if sealing.progress is not None:
            sealing.total = await self.read(unsealed)
        while sealing.goes_on(await self.run(seal_next, sealing.batch)):
            pass
        return sealing.done()

    async def import_trades(
        self,
        trades: Iterable[TradeTerms],
        *,
        progress: Count | None = None,
        batch: int = BATCH_OF_TRADES,
    ) -> ImportedTrades:
        """Record any number of executions, all or none; see `handlers.import_trades`.

        Give what can be iterated over more than once, where you can: when another writer was first, all
        of it is read again.
        """

        return await self.run(
            handlers.import_trades,
            argument("trades", Rereadable, trades),
            progress=progress,
            batch=batch,
        )

    delete = _async_operation(handlers.delete)

    record_trade = _async_operation(handlers.record_trade)
    execute_trade = _async_operation(handlers.execute_trade)
    cancel_trade = _async_operation(handlers.cancel_trade)
    reject_trade = _async_operation(handlers.reject_trade)
    bust_trade = _async_operation(handlers.bust_trade)
    correct_trade = _async_operation(handlers.correct_trade)
    rebuild = _async_operation(handlers.rebuild)
    mark_prices = _async_operation(handlers.mark_prices)
    update_position = _async_operation(handlers.update_position)
    record_cash_flow = _async_operation(handlers.record_cash_flow)
    take_snapshot = _async_operation(handlers.take_snapshot)
    raise_alert = _async_operation(handlers.raise_alert)
    resolve_alert = _async_operation(handlers.resolve_alert)
    record_signal = _async_operation(handlers.record_signal)
    record_decision = _async_operation(handlers.record_decision)
    decide = _async_operation(handlers.decide)
    record_action = _async_operation(handlers.record_action)
    record_metric = _async_operation(handlers.record_metric)

    get = _async_look(queries.get)
    get_all = _async_look(queries.get_all)
    get_rows = _async_look(queries.get_rows)
    count = _async_look(queries.count)
    exists = _async_look(queries.exists)
    get_trades = _async_look(queries.get_trades)
    get_recent_trades = _async_look(queries.get_recent_trades)
    get_trades_by_symbol = _async_look(queries.get_trades_by_symbol)
    get_open_positions = _async_look(queries.get_open_positions)
    get_positions = _async_look(queries.get_positions)
    get_position_by_symbol = _async_look(queries.get_position_by_symbol)
    get_cash_flows = _async_look(queries.get_cash_flows)
    get_cash_balances = _async_look(queries.get_cash_balances)
    get_latest_portfolio = _async_look(queries.get_latest_portfolio)
    get_portfolio_history = _async_look(queries.get_portfolio_history)
    get_portfolio_positions = _async_look(queries.get_portfolio_positions)
    get_snapshot = _async_question(snapshots.get_snapshot)
    get_alerts = _async_look(queries.get_alerts)
    get_unresolved_alerts = _async_look(queries.get_unresolved_alerts)
    get_signals = _async_look(queries.get_signals)
    get_decisions = _async_look(queries.get_decisions)
    get_decision = _async_look(queries.get_decision)
    get_actions = _async_look(queries.get_actions)
    get_metrics = _async_look(queries.get_metrics)
    get_events = _async_look(queries.get_events)
    positions_as_of = _async_question(as_of.positions_as_of)
    portfolio_as_of = _async_question(as_of.portfolio_as_of)
    verify = _async_question(verify_book)
    check_seals = _async_question(seal_check.check_seals)
    export_seals = _async_question(seal_check.export_seals)

    async def iterate(
        self,
        kind: type[E],
        /,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        batch: int = BATCH,
        **equal: object,
    ) -> AsyncIterator[E]:
        """Every record of a kind, newest first, in constant memory; see `Book.iterate`."""
        limit, after = page_limit(batch, "batch"), None
        while True:
            page = await self.get_all(kind, limit, after, since=since, until=until, **equal)
            for entity in page:
                yield entity
            after = page.after
            if after is None:
                return

    async def arrow_batches(
        self,
        kind: type[E],
        /,
        *,
        decimals: Decimals = "exact",
        since: datetime | None = None,
        until: datetime | None = None,
        **equal: object,
    ) -> AsyncIterator[pyarrow.RecordBatch]:
        """Every record of a kind, newest first, as Arrow in constant memory; at least one batch."""
        from tradebook.service_layer.queries.arrow import BATCH as ARROW_BATCH
        from tradebook.service_layer.queries.arrow import ArrowKind

        as_arrow, after = ArrowKind.of(kind, decimals), None
        while True:
            rows = await self.get_rows(kind, ARROW_BATCH, after, since=since, until=until, **equal)
            yield as_arrow.batch(rows)
            after = rows.after
            if after is None:
                return

    async def to_arrow(
        self,
        kind: type[E],
        /,
        *,
        decimals: Decimals = "exact",
        since: datetime | None = None,
        until: datetime | None = None,
        **equal: object,
    ) -> pyarrow.Table:
        """Every record of a kind, newest first, as an Arrow table; see `Book.to_arrow`."""
        from tradebook.service_layer.queries.arrow import ArrowKind

        found = self.arrow_batches(kind, decimals=decimals, since=since, until=until, **equal)
        return ArrowKind.of(kind, decimals).table([batch async for batch in found])
