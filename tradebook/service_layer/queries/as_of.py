"""Positions and portfolios as of a time, folded again from the trades."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from itertools import takewhile
from typing import Any, Final, NamedTuple

from attrs import define, frozen

from tradebook.domain.accounting import BookedTrade
from tradebook.domain.cash import CashFlow, cash_totals
from tradebook.domain.folding import Fold
from tradebook.domain.limits import MAX_ID
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
from tradebook.domain.positions import NO_MARK, Mark, MarkSource, Position, instrument
from tradebook.domain.trades import TradeStatus
from tradebook.domain.validation import argument, enum_member, optional_identifier, utc
from tradebook.service_layer.handlers._common import present_currency
from tradebook.service_layer.handlers.positions import named_prices
from tradebook.service_layer.instrumentation import Progress, ProgressCallback
from tradebook.service_layer.ports.paging import BATCH
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_TICK: Final = timedelta(microseconds=1)
_END: Final = datetime.max.replace(tzinfo=UTC)


class AsOf(StrEnum):
    """The time by which trades count: their booking time, or their trade time."""

    BOOKED = "booked"
    EXECUTED = "executed"


@frozen
class Valuation:
    """The holdings and the value of an account at a time, computed later and not recorded.

    Attributes:
        portfolio: the totals; it has no id, and its source is "as of".
        positions: the open positions, sorted by symbol.
    """

    portfolio: Portfolio
    positions: list[PortfolioPosition]


def positions_as_of(
    uow: AbstractUnitOfWork,
    time: datetime,
    *,
    by: AsOf | str = AsOf.BOOKED,
    symbol: str | None = None,
    progress: ProgressCallback | None = None,
) -> list[Position]:
    """Return the positions as they were at a time, folded from the trades.

    "booked" is the state of the book at that time: a trade counts from its `booked_at` until its
    `busted_at`, and `sequence` is the last entry that the ledger had. Entries before that one count, whatever
    time a wrong clock gave them. A trade carries the time at which its
    call began, and another call may have read before it was committed; the `sequence`s of a snapshot are
    exact.

    "executed" is the state of the market at that time: of the trades that count now, those with a trade
    time up to then; `sequence` is the last entry in the ledger as it is now.

    The book keeps no history of quotes. The mark is that of the newest snapshot taken up to the time, as a quote
    at its time, or that of a newer trade that counts and that the snapshot does not hold.

    Args:
        uow: a read-only unit of work, which has one consistent view.
        time: this time included; a naive time is taken as UTC.
        by: "booked" or "executed".
        symbol: the symbol to return; all by default.
        progress: called with (trades folded, trades in all) as it goes.

    Returns:
        Positions that are not recorded, without id and version, of every symbol traded by then, sorted by
        symbol; flat where no trade counts.

    Raises:
        InvalidInput: `by` or `time` is refused.
    """
    view = _View.from_arguments(time, by)
    of_symbol = argument("symbol", optional_identifier, symbol)
    marks = _Marks.from_snapshot(uow, view.time)
    return list(_positions(uow, view, marks, progress, of_symbol))


def portfolio_as_of(
    uow: AbstractUnitOfWork,
    time: datetime,
    *,
    by: AsOf | str = AsOf.BOOKED,
    prices: Mapping[str, Number] | None = None,
    rates: Mapping[str, Number] | None = None,
    progress: ProgressCallback | None = None,
) -> Valuation:
    """Compute the holdings and the value of the account at a time; nothing is recorded.

    Positions are those of `positions_as_of`. A cash flow counts from the time it was recorded ("booked"), or
    from `occurred_at` ("executed"). As booked at the time of a snapshot, the result equals that snapshot,
    also when trades that it holds were busted or corrected since.

    Args:
        uow: a read-only unit of work, which has one consistent view.
        time: as for `positions_as_of`.
        by: as for `positions_as_of`.
        prices: of one unit of each symbol, in the position's currency; by default those of
            `positions_as_of`.
        rates: the value of one unit of each other currency in the account's base currency, above 0; by
            default those of the newest snapshot taken up to the time.
        progress: called with (trades folded, trades in all) as it goes.

    Returns:
        The portfolio and its open positions, not recorded.

    Raises:
        MissingRate: naming the currency that has no rate.
        InvalidInput: a price, a rate, `by` or `time` is refused.
    """
    view = _View.from_arguments(time, by)
    marks = _Marks.from_snapshot(uow, view.time)
    new_rates = argument("rates", optional_mapping, rates)
    checked = {} if prices is None else named_prices(prices)
    new_prices = {
        symbol: _SeenMark(Mark(price, view.time, MarkSource.QUOTE), MAX_ID)
        for symbol, price in checked.items()
    }
    marks = _Marks({**marks.prices, **new_prices}, {**marks.rates, **new_rates})
    portfolio, rows = value_holdings(
        _holdings(uow, view, marks, progress),
        account=uow.account,
        rates=Rates(present_currency(uow), marks.rates),
        at=view.time,
        source=AS_OF,
    )
    return Valuation(portfolio, [PortfolioPosition(**row) for row in rows])


def holdings_as_of(uow: AbstractUnitOfWork, time: datetime, *, by: AsOf | str) -> Holdings:
    """Return the positions and the cash of the account as of a time, as `portfolio_as_of` values them."""
    return _holdings(uow, _View.from_arguments(time, by), _Marks({}, {}), None)


@frozen
class _View:
    """The rules for what counts as of a time, that time included."""

    time: datetime
    by: AsOf

    @classmethod
    def from_arguments(cls, time: datetime, by: AsOf | str) -> _View:
        """Check the arguments of a query, and make the rules of them."""
        chosen = argument("by", partial(enum_member, AsOf), by)
        return cls(argument("time", utc, time), chosen)

    def counts_cash(self, flow: CashFlow) -> bool:
        """Return whether the cash flow is summed."""
        return (flow.created_at if self.is_booked else flow.occurred_at) <= self.time

    @property
    def is_booked(self) -> bool:
        """True where trades count by their booking time."""
        return self.by is AsOf.BOOKED


class _SeenMark(NamedTuple):
    """A mark, and the last entry in the position's ledger that it takes into account."""

    mark: Mark = NO_MARK
    sequence: int = 0


_UNSEEN: Final = _SeenMark()


@frozen
class _Marks:
    """The marks of a time, by symbol and each with its own time, and the exchange rates, by currency."""

    prices: Mapping[str, _SeenMark]
    rates: Mapping[str, Any]

    @classmethod
    def from_snapshot(cls, uow: AbstractUnitOfWork, time: datetime) -> _Marks:
        """Take the marks and rates of the newest snapshot taken up to the time."""
        until = None if time == _END else time + _TICK
        for portfolio in uow.portfolios.page(limit=1, until=until, source=BOOK):
            rows = uow.portfolios.positions_of([portfolio.id])
            quoted = portfolio.timestamp, MarkSource.QUOTE
            prices = {
                row.symbol: _SeenMark(Mark(row.current_price, *quoted), row.sequence)
                for row in rows
            }
            return cls(prices, portfolio.rates)
        return cls({}, {})


class _Entry(NamedTuple):
    """An entry in a symbol's ledger: the booking of a trade, or its bust."""

    sequence: int
    at: datetime
    trade: BookedTrade


@define
class PastPosition:
    """A position as of a time, folded while its trades are read in fold order, busted ones too."""

    view: _View
    fold: Fold
    last_entry: int  # in its ledger, by the time of a view of what was booked
    seen: _SeenMark
    newest: Mark = NO_MARK  # of the trades that count and that `seen` does not take into account
    first: _Entry | None = None
    last: _Entry | None = None  # its trade has the constants that the position had
    is_listed: bool = False

    def read(self, trade: BookedTrade) -> None:
        """Take in the entries of the next trade, and fold it if it counts."""
        is_booked = self.view.is_booked
        is_reached = self._has(trade.sequence) if is_booked else trade.executed_at <= self.view.time
        self.is_listed = self.is_listed or is_reached
        entries = [_Entry(trade.sequence, trade.booked_at, trade)]
        if trade.bust_sequence is not None and trade.busted_at is not None:
            entries.append(_Entry(trade.bust_sequence, trade.busted_at, trade))
        for entry in entries:
            # Sequences are unique, so that entries compare by them.
            if not is_booked or self._has(entry.sequence):
                self.first = min(self.first or entry, entry)
                self.last = max(self.last or entry, entry)
        was_busted = (
            self._has(trade.bust_sequence)
            if is_booked
            else trade.status is not TradeStatus.EXECUTED
        )
        if is_reached and not was_busted:
            self.fold.apply(trade)
            is_new = trade.sequence > self.seen.sequence
            if is_new and self.newest.is_replaced_by(trade.executed_at, MarkSource.TRADE):
                self.newest = Mark(trade.price, trade.executed_at, MarkSource.TRADE)

    def may_count(self, trade: BookedTrade) -> bool:
        """Return whether this trade, or any after it in fold order, may count."""
        # A correction is folded in the place of what it corrects, before its own turn.
        is_ordered = self.view.is_booked and trade.corrects_id is None
        return not is_ordered or self._has(trade.sequence)

    def _has(self, entry: int | None) -> bool:
        return entry is not None and entry <= self.last_entry

    def position(self, account: str) -> Position | None:
        """Return the position, or None when the symbol was not traded."""
        if not self.is_listed or self.first is None or self.last is None:
            return None
        constants = instrument(self.last.trade)
        mark = self.seen.mark.refolded(self.newest)
        values: dict[str, Any] = {**constants, **self.fold.values(), **mark.fields()}
        return Position(
            account=account,
            symbol=self.fold.symbol,
            sequence=self.last.sequence,
            created_at=self.first.at,
            updated_at=min(self.last.at, self.view.time) if self.view.is_booked else self.last.at,
            **values,
        )


def past_positions(uow: AbstractUnitOfWork, time: datetime) -> Callable[[str], PastPosition]:
    """Return a function that begins the fold of the position in a symbol as of a time, that time included.

    Positions and marks are those of `positions_as_of` by "executed"; for queries that read each trade themselves.
    """
    view = _View(time, AsOf.EXECUTED)
    marks = _Marks.from_snapshot(uow, time)

    def begin(symbol: str) -> PastPosition:
        last_entry = _last_entry(uow, view, symbol)
        return PastPosition(view, Fold(symbol), last_entry, marks.prices.get(symbol, _UNSEEN))

    return begin


def _holdings(
    uow: AbstractUnitOfWork, view: _View, marks: _Marks, progress: ProgressCallback | None
) -> Holdings:
    positions = tuple(_positions(uow, view, marks, progress))
    flows = filter(view.counts_cash, uow.cash_flows.iterate(batch=BATCH))
    return Holdings(
        positions, cash_totals((flow.currency, flow.kind, flow.amount) for flow in flows)
    )


def _last_entry(uow: AbstractUnitOfWork, view: _View, symbol: str) -> int:
    """Return the last entry in a symbol's ledger by the time of a view.

    Those before it count too: a clock that was ahead may have dated them after it. Where the position itself
    was not changed since, all of its ledger does.
    """
    position = uow.positions.by_symbol(symbol) if view.is_booked else None
    if not view.is_booked or (position is not None and position.updated_at <= view.time):
        return MAX_ID
    return uow.trades.last_entry(symbol, view.time)


def _positions(
    uow: AbstractUnitOfWork,
    view: _View,
    marks: _Marks,
    progress: ProgressCallback | None,
    symbol: str | None = None,
) -> Iterator[Position]:
    """Fold the position of one symbol, or of all that were traded by then, sorted."""
    report = argument("progress", optional_function, progress)
    folding = Progress(report, uow.trades.count_booked(symbol), every=BATCH)
    for each in uow.trades.booked_symbols() if symbol is None else [symbol]:
        seen = marks.prices.get(each, _UNSEEN)
        past = PastPosition(view, Fold(each), _last_entry(uow, view, each), seen)
        trades = takewhile(past.may_count, uow.trades.in_fold_order(each, batch=BATCH))
        for trade in folding.over(trades):
            past.read(trade)
        position = past.position(uow.account)
        if position is not None:
            yield position
    unread = folding.total - folding.done
    if unread or not folding.total:  # the end is reported in any case
        folding.add(unread)
