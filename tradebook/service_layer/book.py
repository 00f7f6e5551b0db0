"""The book as applications call it: every handler and query as a method, in a unit of work of its own.

`DatabaseManager` and the public fake are both a `Book`, so that the tests of a trading bot can use the fake.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import wraps
from itertools import chain
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
from tradebook.service_layer.ports.columns import ColumnPage
from tradebook.service_layer.ports.paging import (
    BATCH,
    BATCH_OF_TRADES,
    page_limit,
    pages,
)
from tradebook.service_layer.queries import as_of, snapshots
from tradebook.service_layer.queries.arrow import ArrowKind, Decimals, get_columns
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork
from tradebook.service_layer.verification import seal_check
from tradebook.service_layer.verification.verify import verify as verify_book

if TYPE_CHECKING:
    import pyarrow

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E", bound=Entity)


class BookRunner(Protocol):
    """Runs handlers and queries, each in a unit of work of its own."""

    def run(self, handler: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Call a handler and commit, with retries."""

    def read(self, query: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Call a query on one consistent view, with retries."""


def _command(
    handler: Callable[Concatenate[AbstractUnitOfWork, P], R],
) -> Callable[Concatenate[Book, P], R]:
    """Make a method that runs `handler` in one unit of work and commits it."""

    @wraps(handler)
    def method(self: Book, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.run(handler, *args, **kwargs)

    return method


def _query(
    query: Callable[Concatenate[AbstractUnitOfWork, P], R],
) -> Callable[Concatenate[Book, P], R]:
    """Make a method that reads with `query`, in a transaction where the query needs one."""

    @wraps(query)
    def method(self: Book, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.read(query, *args, **kwargs)

    return method


class Book(ABC):
    """Every handler and query as a method without the `uow` argument.

    The functions in `tradebook.service_layer.handlers` and `tradebook.service_layer.queries` document each of
    them.
    """

    account: str
    _runner: BookRunner

    @abstractmethod
    def unit_of_work(
        self, *, read_only: bool = False, context: CallContext | None = None
    ) -> AbstractUnitOfWork:
        """Make a unit of work, for several calls in one transaction; commit it yourself.

        Args:
            read_only: for queries: one consistent view, no write lock, nothing to commit.
            context: the time, actor and correlation id of the call; the time now by default.
        """

    def run(
        self,
        handler: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call `handler(uow, ...)` in a unit of work, commit, and return its result.

        After a conflict with another writer, or a lost connection, the call is repeated as a whole: `handler`
        must have no effects but on the book, and take its times and ids from the unit of work.

        Args:
            handler: a function of `handlers`, or one of yours.
            args: its arguments after `uow`.
            kwargs: its named arguments.

        Raises:
            BookBusy: conflicts outlasted every retry.
            DatabaseUnavailable: the database stayed unreachable; nothing was written.
            CommitUnknown: the connection was lost at COMMIT, and the outcome could not be read afterwards.
        """
        if not callable(handler):
            raise InvalidInput("handler", handler, "a function")
        return self._runner.run(handler, *args, **kwargs)

    def read(
        self,
        query: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call `query(uow, ...)` without writing, and return its result.

        All that it reads is of one instant. A query that is marked `single_statement` needs no transaction
        for that, and gets none; any other reads in a transaction with one consistent view.

        Args:
            query: a function of `queries`, or one of yours.
            args: its arguments after `uow`.
            kwargs: its named arguments.

        Raises:
            DatabaseUnavailable: the database stayed unreachable.
        """
        if not callable(query):
            raise InvalidInput("query", query, "a function")
        return self._runner.read(query, *args, **kwargs)

    @abstractmethod
    def for_account(self, name: str, *, base_currency: str | None = None) -> Self:
        """Open the book of another account of the same database, on the same engine and pool.

        Closing it leaves the engine open; closing the book that it was made from closes the connections of
        both. An observer of one watches both. The first call connects.

        Args:
            name: of the account; one that does not exist yet is an empty book, and its first trade opens it.
            base_currency: of the account: another one than it was opened with is refused on first use. By
                default an account that is opened gets this book's, and one that is open keeps its own.

        Raises:
            InvalidInput: the name or the currency is refused.
            NotPermitted: on first use: row-level security hides the account from the connected role.
        """

    def consistency_token(self) -> str:
        """Return a token of all that is committed, with which another process reads at least that.

        `""` where no query ever goes to another server, as in this book.
        """
        return ""

    @abstractmethod
    def close(self) -> None:
        """Close every connection; the book stays usable, and connects again."""

    def __enter__(self) -> Self:
        """Return the book itself, still unconnected."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close every connection on leaving the block."""
        self.close()

    def create(self, entity: E) -> E:
        """Record an entity and return it, with its id and stored values; see `handlers.create`."""
        recorded = self.run(handlers.create, entity)
        return entity.refresh_from(recorded)

    def update(self, entity: E) -> E:
        """Record the changes of an entity and return it, with its stored values; see `handlers.update`."""
        recorded = self.run(handlers.update, entity)
        return entity.refresh_from(recorded)

    def bulk_create(self, entities: Iterable[E]) -> list[E]:
        """Record many entities, all or none; see `handlers.bulk_create`."""
        given = argument("entities", entries, entities)
        return refreshed(given, self.run(handlers.bulk_create, given))

    def bulk_update(self, entities: Iterable[E]) -> list[E]:
        """Record the changes of many entities, all or none; see `handlers.bulk_update`."""
        given = argument("entities", entries, entities)
        return refreshed(given, self.run(handlers.bulk_update, given))

    def record_trades(self, trades: Iterable[TradeTerms]) -> RecordedTrades:
        """Record many executions, all or none; see `handlers.record_trades`."""
        given = argument("trades", entries, trades)  # a generator would be empty on a retry
        return self.run(handlers.record_trades, given)

    def seal(self, *, batch: int = BATCH, progress: ProgressCallback | None = None) -> Sealed:
        """Seal the recorded events, each batch in a unit of work of its own; see `handlers.seal`."""
        sealing = Sealing.from_arguments(batch, progress)
        if sealing.progress.report is not None:
            sealing.progress.total = self.read(unsealed)
        while sealing.goes_on(self.run(seal_next, sealing.batch)):
            pass
        return sealing.done()

    def import_trades(
        self,
        trades: Iterable[TradeTerms],
        *,
        progress: ProgressCallback | None = None,
        batch: int = BATCH_OF_TRADES,
        source: ImportSource | str | None = None,
    ) -> ImportedTrades:
        """Record any number of executions, all or none; see `handlers.import_trades`.

        Pass a list rather than an iterator where you can: after a conflict the trades are read again.
        """
        return self.run(
            handlers.import_trades,
            argument("trades", Rereadable, trades),
            progress=progress,
            batch=batch,
            source=source,
        )

    delete = _command(handlers.delete)

    record_trade = _command(handlers.record_trade)
    execute_trade = _command(handlers.execute_trade)
    cancel_trade = _command(handlers.cancel_trade)
    reject_trade = _command(handlers.reject_trade)
    bust_trade = _command(handlers.bust_trade)
    correct_trade = _command(handlers.correct_trade)
    rebuild = _command(handlers.rebuild)
    undo_import = _command(handlers.undo_import)
    mend = _command(handlers.mend)
    mark_prices = _command(handlers.mark_prices)
    update_position = _command(handlers.update_position)
    record_cash_flow = _command(handlers.record_cash_flow)
    bust_cash_flow = _command(handlers.bust_cash_flow)
    take_snapshot = _command(handlers.take_snapshot)
    raise_alert = _command(handlers.raise_alert)
    resolve_alert = _command(handlers.resolve_alert)
    record_signal = _command(handlers.record_signal)
    record_decision = _command(handlers.record_decision)
    decision = decisions.decision
    decide = _command(handlers.decide)
    record_inputs = _command(handlers.record_inputs)
    record_action = _command(handlers.record_action)
    record_metric = _command(handlers.record_metric)

    get = _query(queries.get)
    get_all = _query(queries.get_all)
    get_rows = _query(queries.get_rows)
    count = _query(queries.count)
    exists = _query(queries.exists)

    get_accounts = _query(queries.get_accounts)
    get_consolidated_positions = _query(queries.get_consolidated_positions)
    get_consolidated_portfolio = _query(queries.get_consolidated_portfolio)

    get_trades = _query(queries.get_trades)
    get_recent_trades = _query(queries.get_recent_trades)
    get_trades_by_symbol = _query(queries.get_trades_by_symbol)
    get_order = _query(queries.get_order)
    get_open_orders = _query(queries.get_open_orders)
    get_open_positions = _query(queries.get_open_positions)
    get_positions = _query(queries.get_positions)
    get_position_by_symbol = _query(queries.get_position_by_symbol)
    get_cash_flows = _query(queries.get_cash_flows)
    get_cash_balances = _query(queries.get_cash_balances)
    get_balances = _query(queries.get_balances)
    reconcile = _query(queries.reconcile)
    reconcile_statement = _query(queries.reconcile_statement)
    get_latest_portfolio = _query(queries.get_latest_portfolio)
    get_portfolio_history = _query(queries.get_portfolio_history)
    get_portfolio_positions = _query(queries.get_portfolio_positions)
    get_snapshot = _query(snapshots.get_snapshot)
    get_alerts = _query(queries.get_alerts)
    get_unresolved_alerts = _query(queries.get_unresolved_alerts)
    get_signals = _query(queries.get_signals)
    get_decisions = _query(queries.get_decisions)
    get_decision = _query(queries.get_decision)
    get_inputs = _query(queries.get_inputs)
    get_actions = _query(queries.get_actions)
    get_metrics = _query(queries.get_metrics)
    get_imports = _query(queries.get_imports)
    get_events = _query(queries.get_events)
    positions_as_of = _query(as_of.positions_as_of)
    portfolio_as_of = _query(as_of.portfolio_as_of)
    replay = _query(replay.replay)
    look_ahead = _query(look_ahead.look_ahead)
    attribution = _query(attribution)
    equity_curve = _query(equity_curve)
    explain = _query(explain_record)
    calibration = _query(judged_decisions)
    counterfactuals = _query(not_executed)
    verify = _query(verify_book)
    check_seals = _query(seal_check.check_seals)
    export_seals = _query(seal_check.export_seals)

    def iterate(
        self,
        kind: type[E],
        /,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        batch: int = BATCH,
        **equal: object,
    ) -> Iterator[E]:
        """Iterate over the records of a kind, newest first, in constant memory; `get_all` has the filters.

        Each batch is a read of its own, so that no transaction is open between batches. No record comes
        twice, and none that was there at the beginning is missed, unless its own time is changed meanwhile
        (a pending order that is filled moves to its trade time).

        Args:
            kind: such as `Trade`.
            since: from this time on; a naive time is taken as UTC.
            until: before this time.
            batch: records per read, from 1 to 10,000.
            equal: the values that fields must have, by name.
        """
        limit = page_limit(batch, "batch")
        return chain.from_iterable(
            pages(lambda after: self.get_all(kind, limit, after, since=since, until=until, **equal))
        )

    def arrow_batches(
        self,
        kind: type[E],
        /,
        *,
        decimals: Decimals = "exact",
        since: datetime | None = None,
        until: datetime | None = None,
        **equal: object,
    ) -> pyarrow.RecordBatchReader:
        """Stream the records of a kind, newest first, as Arrow in constant memory; see `to_arrow`."""

        def found() -> Iterator[ColumnPage]:
            return pages(
                lambda at: self.read(get_columns, kind, at, since=since, until=until, **equal)
            )

        as_arrow = ArrowKind.from_kind(kind, decimals)
        if as_arrow.needs_sizes:
            for page in found():
                as_arrow.measure(page.table)
            as_arrow = as_arrow.sized()
        return as_arrow.reader(as_arrow.batch(page.table) for page in found())

    def to_arrow(
        self,
        kind: type[E],
        /,
        *,
        decimals: Decimals = "exact",
        since: datetime | None = None,
        until: datetime | None = None,
        **equal: object,
    ) -> pyarrow.Table:
        """Return the records of a kind, newest first, as an Arrow table; `get_all` has the filters.

        Args:
            kind: such as `Trade`.
            decimals: "exact" for `decimal256(76, 40)`; "text"; "decimal128" for decimals of the digits that each
                column needs, at most 38, for which the records are read twice; "float" for the nearest floats.
            since: from this time on; a naive time is taken as UTC.
            until: before this time.
            equal: the values that fields must have, by name.

        Raises:
            ExtraNotInstalled: pyarrow is missing: install `tradebook[arrow]`.
            InvalidInput: a number does not fit into its column; "text" takes every number.
        """
        found = self.arrow_batches(kind, decimals=decimals, since=since, until=until, **equal)
        return found.read_all()
