"""The book as asyncio applications call it: every handler and query as an awaitable method.

`AsyncDatabaseManager` and the public fake are both an `AsyncBook`. `run` and `read` take the same ordinary
functions as those of the synchronous book.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, Self, TypeVar

from tradebook.domain.entity import Entity, refreshed
from tradebook.domain.errors import InvalidInput
from tradebook.domain.imports import ImportSource
from tradebook.domain.plain_values import entries
from tradebook.domain.validation import argument
from tradebook.service_layer import decisions, handlers, queries
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.explanations import look_ahead, replay
from tradebook.service_layer.explanations.attribution.attribution import attribution
from tradebook.service_layer.explanations.lineage.explain import explain as explain_record
from tradebook.service_layer.explanations.quality.calibration import calibration as judged_decisions
from tradebook.service_layer.explanations.quality.counterfactuals import (
    counterfactuals as not_executed,
)
from tradebook.service_layer.handlers import ImportedTrades, RecordedTrades, TradeTerms
from tradebook.service_layer.handlers.importing import Rereadable
from tradebook.service_layer.handlers.seals import Sealed, Sealing, seal_next, unsealed
from tradebook.service_layer.instrumentation import ProgressCallback
from tradebook.service_layer.performance.equity import equity_curve
from tradebook.service_layer.ports.paging import BATCH, BATCH_OF_TRADES, page_limit
from tradebook.service_layer.queries import as_of, snapshots
from tradebook.service_layer.queries.arrow import ArrowKind, Decimals, arrow_table, get_columns
from tradebook.service_layer.unit_of_work import AbstractAsyncUnitOfWork, AbstractUnitOfWork
from tradebook.service_layer.verification import seal_check
from tradebook.service_layer.verification.verify import verify as verify_book

if TYPE_CHECKING:
    import pyarrow

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E", bound=Entity)


class AsyncBookRunner(Protocol):
    """Runs handlers and queries, each in a unit of work of its own, for asyncio."""

    async def run(self, handler: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Call a handler and commit, with retries."""

    async def read(self, query: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Call a query on one consistent view, with retries."""


def _async_command(
    handler: Callable[Concatenate[AbstractUnitOfWork, P], R],
) -> Callable[Concatenate[AsyncBook, P], Coroutine[Any, Any, R]]:
    """Make a method that runs `handler` in one unit of work and commits it."""

    @wraps(handler)
    async def method(self: AsyncBook, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self.run(handler, *args, **kwargs)

    return method


def _async_query(
    query: Callable[Concatenate[AbstractUnitOfWork, P], R],
) -> Callable[Concatenate[AsyncBook, P], Coroutine[Any, Any, R]]:
    """Make a method that reads with `query`, in a transaction where the query needs one."""

    @wraps(query)
    async def method(self: AsyncBook, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self.read(query, *args, **kwargs)

    return method


class AsyncBook(ABC):
    """Every handler and query as an awaitable method without the `uow` argument.

    A cancelled call is booked whole or not at all, and returns its connection. Cancelled during its COMMIT,
    it may be either: call it again with the same `order_id` or `reference`.
    """

    account: str
    _runner: AsyncBookRunner

    @abstractmethod
    def unit_of_work(
        self, *, read_only: bool = False, context: CallContext | None = None
    ) -> AbstractAsyncContextManager[AbstractAsyncUnitOfWork]:
        """Make a unit of work, for several calls in one transaction; see `Book.unit_of_work`."""

    async def run(
        self,
        handler: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call `handler(uow, ...)`, an ordinary function, in a unit of work and commit; see `Book.run`."""
        if not callable(handler):
            raise InvalidInput("handler", handler, "a function")
        return await self._runner.run(handler, *args, **kwargs)

    async def read(
        self,
        query: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call `query(uow, ...)` without writing, and return its result; see `Book.read`."""
        if not callable(query):
            raise InvalidInput("query", query, "a function")
        return await self._runner.read(query, *args, **kwargs)

    @abstractmethod
    def for_account(self, name: str, *, base_currency: str | None = None) -> Self:
        """Open the book of another account of the same database, on the same pool; see `Book.for_account`."""

    async def consistency_token(self) -> str:
        """Return a token of all that is committed; see `Book.consistency_token`."""
        return ""

    @abstractmethod
    async def aclose(self) -> None:
        """Close every connection; the book stays usable, and connects again."""

    async def __aenter__(self) -> Self:
        """Return the book itself, still unconnected."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close every connection on leaving the block."""
        await self.aclose()

    async def create(self, entity: E) -> E:
        """Record an entity and return it, with its id and stored values; see `handlers.create`."""
        recorded = await self.run(handlers.create, entity)
        return entity.refresh_from(recorded)

    async def update(self, entity: E) -> E:
        """Record the changes of an entity and return it, with its stored values; see `handlers.update`."""
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

    async def seal(self, *, batch: int = BATCH, progress: ProgressCallback | None = None) -> Sealed:
        """Seal the recorded events, each batch in a unit of work of its own; see `handlers.seal`."""
        sealing = Sealing.from_arguments(batch, progress)
        if sealing.progress.report is not None:
            sealing.progress.total = await self.read(unsealed)
        while sealing.goes_on(await self.run(seal_next, sealing.batch)):
            pass
        return sealing.done()

    async def import_trades(
        self,
        trades: Iterable[TradeTerms],
        *,
        progress: ProgressCallback | None = None,
        batch: int = BATCH_OF_TRADES,
        source: ImportSource | str | None = None,
    ) -> ImportedTrades:
        """Record any number of executions, all or none; see `Book.import_trades`."""
        return await self.run(
            handlers.import_trades,
            argument("trades", Rereadable, trades),
            progress=progress,
            batch=batch,
            source=source,
        )

    delete = _async_command(handlers.delete)

    record_trade = _async_command(handlers.record_trade)
    execute_trade = _async_command(handlers.execute_trade)
    cancel_trade = _async_command(handlers.cancel_trade)
    reject_trade = _async_command(handlers.reject_trade)
    bust_trade = _async_command(handlers.bust_trade)
    correct_trade = _async_command(handlers.correct_trade)
    rebuild = _async_command(handlers.rebuild)
    undo_import = _async_command(handlers.undo_import)
    mend = _async_command(handlers.mend)
    mark_prices = _async_command(handlers.mark_prices)
    update_position = _async_command(handlers.update_position)
    record_cash_flow = _async_command(handlers.record_cash_flow)
    bust_cash_flow = _async_command(handlers.bust_cash_flow)
    take_snapshot = _async_command(handlers.take_snapshot)
    raise_alert = _async_command(handlers.raise_alert)
    resolve_alert = _async_command(handlers.resolve_alert)
    record_signal = _async_command(handlers.record_signal)
    record_decision = _async_command(handlers.record_decision)
    decision = decisions.async_decision
    decide = _async_command(handlers.decide)
    record_inputs = _async_command(handlers.record_inputs)
    record_action = _async_command(handlers.record_action)
    record_metric = _async_command(handlers.record_metric)

    get = _async_query(queries.get)
    get_all = _async_query(queries.get_all)
    get_rows = _async_query(queries.get_rows)
    count = _async_query(queries.count)
    exists = _async_query(queries.exists)
    get_accounts = _async_query(queries.get_accounts)
    get_consolidated_positions = _async_query(queries.get_consolidated_positions)
    get_consolidated_portfolio = _async_query(queries.get_consolidated_portfolio)

    get_trades = _async_query(queries.get_trades)
    get_recent_trades = _async_query(queries.get_recent_trades)
    get_trades_by_symbol = _async_query(queries.get_trades_by_symbol)
    get_order = _async_query(queries.get_order)
    get_open_orders = _async_query(queries.get_open_orders)
    get_open_positions = _async_query(queries.get_open_positions)
    get_positions = _async_query(queries.get_positions)
    get_position_by_symbol = _async_query(queries.get_position_by_symbol)
    get_cash_flows = _async_query(queries.get_cash_flows)
    get_cash_balances = _async_query(queries.get_cash_balances)
    get_balances = _async_query(queries.get_balances)
    reconcile = _async_query(queries.reconcile)
    reconcile_statement = _async_query(queries.reconcile_statement)
    get_latest_portfolio = _async_query(queries.get_latest_portfolio)
    get_portfolio_history = _async_query(queries.get_portfolio_history)
    get_portfolio_positions = _async_query(queries.get_portfolio_positions)
    get_snapshot = _async_query(snapshots.get_snapshot)
    get_alerts = _async_query(queries.get_alerts)
    get_unresolved_alerts = _async_query(queries.get_unresolved_alerts)
    get_signals = _async_query(queries.get_signals)
    get_decisions = _async_query(queries.get_decisions)
    get_decision = _async_query(queries.get_decision)
    get_inputs = _async_query(queries.get_inputs)
    get_actions = _async_query(queries.get_actions)
    get_metrics = _async_query(queries.get_metrics)
    get_imports = _async_query(queries.get_imports)
    get_events = _async_query(queries.get_events)
    positions_as_of = _async_query(as_of.positions_as_of)
    portfolio_as_of = _async_query(as_of.portfolio_as_of)
    replay = _async_query(replay.replay)
    look_ahead = _async_query(look_ahead.look_ahead)
    attribution = _async_query(attribution)
    equity_curve = _async_query(equity_curve)
    explain = _async_query(explain_record)
    calibration = _async_query(judged_decisions)
    counterfactuals = _async_query(not_executed)
    verify = _async_query(verify_book)
    check_seals = _async_query(seal_check.check_seals)
    export_seals = _async_query(seal_check.export_seals)

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
        """Iterate over the records of a kind, newest first, in constant memory; see `Book.iterate`."""
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
        """Stream the records of a kind, newest first, as Arrow in constant memory; at least one batch."""

        async def found() -> AsyncIterator[pyarrow.Table]:
            after = None
            while True:
                columns, after = await self.read(
                    get_columns, kind, after, since=since, until=until, **equal
                )
                yield columns
                if after is None:
                    return

        as_arrow = ArrowKind.from_kind(kind, decimals)
        if as_arrow.needs_sizes:
            async for columns in found():
                as_arrow.measure(columns)
            as_arrow = as_arrow.sized()
        async for columns in found():
            yield as_arrow.batch(columns)

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
        """Return the records of a kind, newest first, as an Arrow table; see `Book.to_arrow`."""
        found = self.arrow_batches(kind, decimals=decimals, since=since, until=until, **equal)
        return arrow_table([batch async for batch in found])
