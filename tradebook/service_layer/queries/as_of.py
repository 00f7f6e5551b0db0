"""As of a time: what the book said then, or what was true then, folded from the trades again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Any, Final, NamedTuple

from attrs import define, frozen

from tradebook.domain.accounting import BookedTrade
from tradebook.domain.cash import CashFlow, CashTotal, cash_totals
from tradebook.domain.folding import Fold
from tradebook.domain.numbers import Number
from tradebook.domain.plain_values import optional_function, optional_mapping
from tradebook.domain.portfolio import (
    AS_OF,
    BOOK,
    Holdings,
    Portfolio,
    PortfolioPosition,
    Rates,
    value_holdings,
)
from tradebook.domain.positions import INSTRUMENT, Position
from tradebook.domain.trades import TradeStatus
from tradebook.domain.validation import argument, enum_member, identifier, utc
from tradebook.service_layer.handlers.positions import named_prices
from tradebook.service_layer.instrumentation import Progress
from tradebook.service_layer.ports.paging import BATCH
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_TICK: Final = timedelta(microseconds=1)
_END: Final = datetime.max.replace(tzinfo=UTC)


class AsOf(StrEnum):
    """Which time of a trade is meant: its booking time, or its trade time."""

    BOOKED = "booked"
    EXECUTED = "executed"


@frozen
class Valuation:
    """What an account held and was worth at a time, worked out later and not kept.

    Attributes:
        portfolio: the totals; it has no id, and its source is "as of".
        positions: what was open, by symbol.
    """

    portfolio: Portfolio
    positions: list[PortfolioPosition]


def positions_as_of(
    uow: AbstractUnitOfWork,
    time: datetime,
    *,
    by: AsOf | str = AsOf.BOOKED,
    symbol: str | None = None,
    progress: Progress | None = None,
) -> list[Position]:
    """Positions as they were at a time, folded from the trades.

    "booked" is what the book said then: a trade counts from its `booked_at` until its `busted_at`, and
    `sequence` is the last entry that the ledger had. A trade is dated when its call began, and another
    may have looked before it was committed: exact are a snapshot's `sequence`s.

    "executed" is what was true then: the trades that count now, in their order, but for those with a
    later trade time; `sequence` is the last entry in the ledger as it is now.

    The book keeps no history of marks. `current_price` is that of the newest snapshot taken up to the
    time, or where that holds no such position, of the last trade that counts; `marked_at` says how old
    it is.

    Args:
        uow: a read-only unit of work, which sees one instant.
        time: this time included; a naive time is taken as UTC.
        by: "booked" or "executed".
        symbol: of one symbol; all of them by default.
        progress: called with (trades folded, trades in all) as it goes.

    Returns:
        Positions that are not recorded, without id and version, for all that was ever traded by then,
        by symbol; flat where no trade counts.

    Raises:
        InvalidInput: `by` or `time` is something else.
    """
    view = _view(time, by)
    of_symbol = None if symbol is None else argument("symbol", identifier, symbol)
    return list(_Past(uow, view, _Marks.of(uow, view.time), progress).positions(of_symbol))


def portfolio_as_of(
    uow: AbstractUnitOfWork,
    time: datetime,
    *,
    by: AsOf | str = AsOf.BOOKED,
    prices: Mapping[str, Number] | None = None,
    rates: Mapping[str, Number] | None = None,
    progress: Progress | None = None,
) -> Valuation:
    """What the account held and was worth at a time; nothing is kept.

    Positions are those of `positions_as_of`. A cash flow counts from when it was recorded ("booked"), or
    from `occurred_at` ("executed"). What the book said at the time of a snapshot is that snapshot, also
    when trades that it holds were busted or corrected since.

    Args:
        uow: a read-only unit of work, which sees one instant.
        time: this time included; a naive time is taken as UTC.
        by: "booked" or "executed".
        prices: for one unit of each symbol, in the position's currency; where none is given, as
            `positions_as_of` finds them.
        rates: for each currency other than the account's base currency, what one unit is worth in the
            base currency, above 0; where none is given, those of the newest snapshot taken up to the
            time.
        progress: called with (trades folded, trades in all) as it goes.

    Returns:
        The portfolio and its open positions, not recorded.

    Raises:
        MissingRate: naming the currency that has no rate.
        InvalidInput: a price, a rate, `by` or `time` is refused.
    """
    view = _view(time, by)
    marks = _Marks.of(uow, view.time)
    of_rates = argument("rates", optional_mapping, rates)
    marks = marks.replaced({} if prices is None else named_prices(prices), of_rates, view.time)
    account = uow.accounts.current()
    base_currency = uow.base_currency if account is None else account.base_currency
    past = _Past(uow, view, marks, progress)
    portfolio, rows = value_holdings(
        Holdings(tuple(past.positions()), past.cash()),
        account=uow.account,
        rates=Rates(base_currency, marks.rates),
        at=view.time,
        source=AS_OF,
    )
    return Valuation(portfolio, rows)


@frozen
class _View(ABC):
    """What counts as of a time."""

    time: datetime

    @abstractmethod
    def lists(self, trade: BookedTrade) -> bool:
        """Whether the trade makes its symbol one that was traded."""

    @abstractmethod
    def counts(self, trade: BookedTrade) -> bool:
        """Whether the trade is folded."""

    @abstractmethod
    def has(self, entered_at: datetime) -> bool:
        """Whether an entry of this time is in the ledger."""

    @abstractmethod
    def ends_before(self, trade: BookedTrade) -> bool:
        """Whether neither this trade nor any after it in fold order matters."""

    @abstractmethod
    def counts_cash(self, flow: CashFlow) -> bool:
        """Whether the cash flow is summed."""


class _AsBooked(_View):
    def lists(self, trade: BookedTrade) -> bool:
        return self._was(trade.booked_at)

    def counts(self, trade: BookedTrade) -> bool:
        return self._was(trade.booked_at) and not self._was(trade.busted_at)

    def has(self, entered_at: datetime) -> bool:
        return entered_at <= self.time

    def ends_before(self, trade: BookedTrade) -> bool:
        # Booking times never decrease; but a correction comes in the place of what it corrects.
        return trade.corrects_id is None and not self._was(trade.booked_at)

    def counts_cash(self, flow: CashFlow) -> bool:
        return flow.created_at <= self.time

    def _was(self, at: datetime | None) -> bool:
        return at is not None and at <= self.time


class _AsExecuted(_View):
    def lists(self, trade: BookedTrade) -> bool:
        return trade.executed_at <= self.time

    def counts(self, trade: BookedTrade) -> bool:
        return trade.status is TradeStatus.EXECUTED and trade.executed_at <= self.time

    def has(self, entered_at: datetime) -> bool:  # noqa: ARG002
        return True

    def ends_before(self, trade: BookedTrade) -> bool:  # noqa: ARG002
        return False

    def counts_cash(self, flow: CashFlow) -> bool:
        return flow.occurred_at <= self.time


_VIEWS: Final[Mapping[AsOf, type[_View]]] = {
    AsOf.BOOKED: _AsBooked,
    AsOf.EXECUTED: _AsExecuted,
}


def _view(time: datetime, by: AsOf | str) -> _View:
    chosen = argument("by", partial(enum_member, AsOf), by)
    return _VIEWS[chosen](argument("time", utc, time))


@frozen
class _Marks:
    """The prices of a time, and the rates.

    Attributes:
        prices: by symbol, each with its time.
        rates: by currency.
    """

    prices: Mapping[str, tuple[Decimal, datetime]]
    rates: Mapping[str, Any]

    @classmethod
    def of(cls, uow: AbstractUnitOfWork, time: datetime) -> _Marks:
        """Those of the newest snapshot that was taken up to the time."""
        until = None if time == _END else time + _TICK
        for portfolio in uow.portfolios.page(limit=1, until=until, source=BOOK):
            rows = uow.portfolios.positions_of([portfolio.id])
            prices = {row.symbol: (row.current_price, portfolio.timestamp) for row in rows}
            return cls(prices, portfolio.rates)
        return cls({}, {})

    def replaced(
        self, prices: Mapping[str, Decimal], rates: Mapping[str, Number], at: datetime
    ) -> _Marks:
        """These, but where others are given for this time."""
        given = {symbol: (price, at) for symbol, price in prices.items()}
        return _Marks({**self.prices, **given}, {**self.rates, **rates})


class _Entry(NamedTuple):
    """An entry in a symbol's ledger: the booking of a trade, or its bust."""

    sequence: int
    at: datetime
    trade: BookedTrade


def _entries(trade: BookedTrade) -> Iterator[_Entry]:
    yield _Entry(trade.sequence, trade.booked_at, trade)
    if trade.bust_sequence is not None and trade.busted_at is not None:
        yield _Entry(trade.bust_sequence, trade.busted_at, trade)


@define
class _Page:
    """A symbol's page of the ledger as of a time, while its trades go by in fold order.

    Attributes:
        fold: of what counts.
        counted: the last trade of it.
        first: the first entry.
        last: the last one; its trade has the constants that the position had.
        is_listed: whether the symbol was traded.
    """

    view: _View
    fold: Fold
    counted: BookedTrade | None = None
    first: _Entry | None = None
    last: _Entry | None = None
    is_listed: bool = False

    def read(self, trade: BookedTrade) -> None:
        """Note a trade's entries, and fold it if it counts."""
        self.is_listed = self.is_listed or self.view.lists(trade)
        for entry in _entries(trade):
            if self.view.has(entry.at):
                if self.first is None or entry.sequence < self.first.sequence:
                    self.first = entry
                if self.last is None or entry.sequence > self.last.sequence:
                    self.last = entry
        if self.view.counts(trade):
            self.fold.apply(trade)
            self.counted = trade

    def position(self, account: str, marks: _Marks) -> Position | None:
        """What the page says; None when the symbol was not traded."""
        if not self.is_listed or self.first is None or self.last is None:
            return None
        values: dict[str, Any] = {
            **{constant: getattr(self.last.trade, constant) for constant in INSTRUMENT},
            **self.fold.values(),
        }
        price, marked_at = self._mark(marks)
        return Position(
            account=account,
            symbol=self.fold.symbol,
            current_price=price,
            marked_at=marked_at,
            sequence=self.last.sequence,
            created_at=self.first.at,
            updated_at=self.last.at,
            **values,
        )

    def _mark(self, marks: _Marks) -> tuple[Decimal, datetime] | tuple[None, None]:
        known = marks.prices.get(self.fold.symbol)
        if known is not None or self.counted is None:
            return known or (None, None)
        return self.counted.price, self.counted.executed_at


class _Past:
    """Reads the book as of a time."""

    def __init__(
        self, uow: AbstractUnitOfWork, view: _View, marks: _Marks, progress: Progress | None
    ) -> None:
        self.uow = uow
        self.view = view
        self.marks = marks
        progress = argument("progress", optional_function, progress)
        self.progress = (lambda _done, _total: None) if progress is None else progress
        self.done = 0

    def positions(self, symbol: str | None = None) -> Iterator[Position]:
        """What was traded by then: one symbol, or all, sorted."""
        total = self.uow.trades.count_booked(symbol)
        for each in self.uow.trades.booked_symbols() if symbol is None else [symbol]:
            page = _Page(self.view, Fold(each))
            for trade in self._trades(each, total):
                page.read(trade)
            position = page.position(self.uow.account, self.marks)
            if position is not None:
                yield position
        self.progress(total, total)

    def cash(self) -> tuple[CashTotal, ...]:
        """The sums of the cash flows that count."""
        return cash_totals(
            (flow.currency, flow.kind, flow.amount)
            for flow in self.uow.cash_flows.iterate(batch=BATCH)
            if self.view.counts_cash(flow)
        )

    def _trades(self, symbol: str, total: int) -> Iterator[BookedTrade]:
        for trade in self.uow.trades.in_fold_order(symbol, batch=BATCH):
            if self.view.ends_before(trade):
                return
            self.done += 1
            if self.done % BATCH == 0 and self.done < total:
                self.progress(self.done, total)
            yield trade
