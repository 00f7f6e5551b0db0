"""The book as applications call it: every handler and query as a method, in a unit of work of its own.

`DatabaseManager` and the public fake are both a `Book`, so a trading bot cannot tell them apart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar

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
from tradebook.service_layer.ports.paging import BATCH, BATCH_OF_TRADES, page_limit, walk
from tradebook.service_layer.queries import as_of, snapshots
from tradebook.service_layer.queries.arrow import Decimals
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork
from tradebook.service_layer.verification import seal_check
from tradebook.service_layer.verification.verify import verify as verify_book

if TYPE_CHECKING:
    import pyarrow


P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E", bound=Entity)


def _operation(
    handler: Callable[Concatenate[AbstractUnitOfWork, P], R],
) -> Callable[Concatenate[Book, P], R]:
    """A method that runs `handler` in one unit of work and commits it."""

    @wraps(handler)
    def method(self: Book, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.run(handler, *args, **kwargs)

    return method


def _question(
    query: Callable[Concatenate[AbstractUnitOfWork, P], R],
) -> Callable[Concatenate[Book, P], R]:
    """A method that runs `query` on one consistent view."""

    @wraps(query)
    def method(self: Book, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.read(query, *args, **kwargs)

    return method


def _look(
    query: Callable[Concatenate[AbstractUnitOfWork, P], R],
) -> Callable[Concatenate[Book, P], R]:
    """A method that runs `query`, which is one statement, by itself."""

    @wraps(query)
    def method(self: Book, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.look_up(query, *args, **kwargs)

    return method


class Book(ABC):
    """Every handler and query, without the `uow` argument; see the functions for what they do."""

    @abstractmethod
    def unit_of_work(
        self, *, read_only: bool = False, context: CallContext | None = None
    ) -> AbstractUnitOfWork:
        """A unit of work, to do several things together or not at all; commit it yourself.

        Args:
            read_only: for queries: one consistent view, no write lock, nothing to commit.
            context: the time, actor and correlation id of the call; the time now by default.
        """

    @abstractmethod
    def run(
        self,
        handler: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call `handler(uow, ...)` in a unit of work, commit, and return its result.

        When another writer was first, or the connection was lost, all of it is done again: `handler` must
        have no effects but on the book, and take its times and ids from the unit of work.

        Raises:
            BookBusy: conflicts outlasted every retry.
            DatabaseUnavailable: no connection could be had again in time; nothing was written.
            CommitUnknown: neither, nor could the database be asked whether the COMMIT was done.
        """

    def read(
        self,
        query: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call `query(uow, ...)` on one consistent view, and return its result."""
        argument("query", function, query)
        with self.unit_of_work(read_only=True) as uow:
            return query(uow, *args, **kwargs)

    def look_up(
        self,
        query: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call `query(uow, ...)`, which reads with one statement: that sees one instant by itself."""
        return self.read(query, *args, **kwargs)

    @abstractmethod
    def close(self) -> None:
        """Let go of every connection; the book can still be used, and connects again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def create(self, entity: E) -> E:
        """Record an entity; see `handlers.create`. Returns it, with its id and all that is recorded."""
        recorded = self.run(handlers.create, entity)
        return entity.refresh_from(recorded)

    def update(self, entity: E) -> E:
        """Record the changes of an entity; see `handlers.update`. Returns it, as it is recorded now."""
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

    def seal(self, *, batch: int = BATCH, progress: Progress | None = None) -> Sealed:
        """Seal what happened, each batch in a unit of work of its own; see `handlers.seal`."""

        sealing = Sealing.of(batch, progress)
        if sealing.progress is not None:
            sealing.total = self.read(unsealed)
        while sealing.goes_on(self.run(seal_next, sealing.batch)):
            pass
        return sealing.done()

    def import_trades(
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

        return self.run(
            handlers.import_trades,
            argument("trades", Rereadable, trades),
            progress=progress,
            batch=batch,
        )

    delete = _operation(handlers.delete)

    record_trade = _operation(handlers.record_trade)
    execute_trade = _operation(handlers.execute_trade)
    cancel_trade = _operation(handlers.cancel_trade)
    reject_trade = _operation(handlers.reject_trade)
    bust_trade = _operation(handlers.bust_trade)
    correct_trade = _operation(handlers.correct_trade)
    rebuild = _operation(handlers.rebuild)
    mark_prices = _operation(handlers.mark_prices)
    update_position = _operation(handlers.update_position)
    record_cash_flow = _operation(handlers.record_cash_flow)
    take_snapshot = _operation(handlers.take_snapshot)
    raise_alert = _operation(handlers.raise_alert)
    resolve_alert = _operation(handlers.resolve_alert)
    record_signal = _operation(handlers.record_signal)
    record_decision = _operation(handlers.record_decision)
    decide = _operation(handlers.decide)
    record_action = _operation(handlers.record_action)
    record_metric = _operation(handlers.record_metric)

    get = _look(queries.get)
    get_all = _look(queries.get_all)
    get_rows = _look(queries.get_rows)
    count = _look(queries.count)
    exists = _look(queries.exists)

    get_trades = _look(queries.get_trades)
    get_recent_trades = _look(queries.get_recent_trades)
    get_trades_by_symbol = _look(queries.get_trades_by_symbol)
    get_open_positions = _look(queries.get_open_positions)
    get_positions = _look(queries.get_positions)
    get_position_by_symbol = _look(queries.get_position_by_symbol)
    get_cash_flows = _look(queries.get_cash_flows)
    get_cash_balances = _look(queries.get_cash_balances)
    get_latest_portfolio = _look(queries.get_latest_portfolio)
    get_portfolio_history = _look(queries.get_portfolio_history)
    get_portfolio_positions = _look(queries.get_portfolio_positions)
    get_snapshot = _question(snapshots.get_snapshot)
    get_alerts = _look(queries.get_alerts)
    get_unresolved_alerts = _look(queries.get_unresolved_alerts)
    get_signals = _look(queries.get_signals)
    get_decisions = _look(queries.get_decisions)
    get_decision = _look(queries.get_decision)
    get_actions = _look(queries.get_actions)
    get_metrics = _look(queries.get_metrics)
    get_events = _look(queries.get_events)
    positions_as_of = _question(as_of.positions_as_of)
    portfolio_as_of = _question(as_of.portfolio_as_of)
    verify = _question(verify_book)
    check_seals = _question(seal_check.check_seals)
    export_seals = _question(seal_check.export_seals)

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
        """Every record of a kind, newest first, in constant memory; see `get_all` for what can be asked.

        Each batch is a read of its own: nothing is held open while the caller works on it. No record
        comes twice, and none that was there at the beginning is missed, unless its own time is changed
        meanwhile (a pending order that is filled moves to its trade time).

        Args:
            kind: such as `Trade`.
            since: from this time on; a naive time is taken as UTC.
            until: before this time.
            batch: how many records are read at a time, from 1 to 10,000.
            equal: the values that fields must have, by name.
        """
        limit = page_limit(batch, "batch")
        return walk(
            lambda after: self.get_all(kind, limit, after, since=since, until=until, **equal)
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
        """Every record of a kind, newest first, as Arrow in constant memory; see `iterate` and `to_arrow`."""
        from tradebook.service_layer.queries.arrow import BATCH as ARROW_BATCH
        from tradebook.service_layer.queries.arrow import ArrowKind

        as_arrow = ArrowKind.of(kind, decimals)

        def batches() -> Iterator[pyarrow.RecordBatch]:
            after = None
            while True:
                rows = self.get_rows(kind, ARROW_BATCH, after, since=since, until=until, **equal)
                yield as_arrow.batch(rows)
                after = rows.after
                if after is None:
                    return

        return as_arrow.reader(batches())

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
        """Every record of a kind, newest first, as an Arrow table; see `get_all` for what can be asked.

        Args:
            kind: such as `Trade`.
            decimals: "exact" for `decimal256(76, 40)`, or "text".
            since: from this time on; a naive time is taken as UTC.
            until: before this time.
            equal: the values that fields must have, by name.

        Raises:
            ExtraNotInstalled: pyarrow is missing: install `tradebook[arrow]`.
            InvalidInput: a number does not fit; "text" takes them all.
        """
        found = self.arrow_batches(kind, decimals=decimals, since=since, until=until, **equal)
        return found.read_all()
