"""Attribution of an account's P&L, income and costs to agents, models, strategies and other groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import Final

from tradebook.domain.accounting import BookedTrade, net_fill
from tradebook.domain.attribution import Attribution, GroupBy, Holders, tabulated
from tradebook.domain.cash import CashTotal
from tradebook.domain.group_books import GroupBook, Sums
from tradebook.domain.numbers import Number, exact
from tradebook.domain.plain_values import optional_function
from tradebook.domain.portfolio import Rates
from tradebook.domain.positions import Position
from tradebook.domain.trades import TradeStatus
from tradebook.domain.validation import argument, enum_member
from tradebook.service_layer.explanations.attribution.costs import Costs
from tradebook.service_layer.explanations.attribution.groups import Groups
from tradebook.service_layer.explanations.attribution.income import Income, OpenQuantities
from tradebook.service_layer.explanations.attribution.period import (
    Bounds,
    Period,
    PositionBounds,
    book_sums,
    unit_value,
)
from tradebook.service_layer.explanations.attribution.sums import AttributedSums
from tradebook.service_layer.instrumentation import Progress, ProgressCallback
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_READ: Final = 10_000
"""Trades read at a time; as plain values they take 15 MB."""
_FOLDED: Final = 1_000
"""Trades folded between two reports of progress."""


def attribution(
    uow: AbstractUnitOfWork,
    by: GroupBy | str = GroupBy.AGENT,
    start: datetime | None = None,
    end: datetime | None = None,
    rates: Mapping[str, Number] | None = None,
    *,
    progress: ProgressCallback | None = None,
) -> Attribution:
    """Compute who earned what: the P&L of each group's trades as a book of its own, its income and its costs.

    Trades that count are folded for each group and symbol in the book's order, on a cost basis of the group's own, and
    what is open is valued at the marks of the account's positions. Each trade is in exactly one group, or in the row
    `none`, and pays its own fee. Income of a symbol is shared by the signed quantities that were open just before its
    `entitled_at`, else its `occurred_at`; what has no symbol or no holder is in the row `none`. The totals are compared
    with the book's own figures, to the last digit.

    In a period each amount is that at its end less that at its start, by trade time: trades that were executed before
    each, at the marks of `positions_as_of` by "executed". Statistics are of the trades, income of the `occurred_at`, and
    costs of the `decided_at` and `started_at` in the period.

    Args:
        uow: a read-only unit of work, which has one consistent view.
        by: agent, model, strategy, symbol, decision, signal_source or tag; see `GroupBy`.
        start: the first moment of the period, UTC; by default all that was before `end`.
        end: the end of the period, UTC, which is not in it; by default the book as it is now, at its own marks.
        rates: for each other currency the value of one unit in the account's base currency, above 0: all amounts are
            converted, at the start and at the end alike. By default rows are by group and currency.
        progress: called with (trades folded, trades in all) as it goes.

    Returns:
        A row for each group, the totals, and the book's own figures.

    Raises:
        MissingRate: naming the currency that has no rate; also that of a cost which is in neither the base currency nor
            that of any row, where `rates` are not given.
        InvalidTransition: a position in which a group holds something has no current price.
        InvalidInput: an argument is refused.
    """
    grouped_by = argument("by", partial(enum_member, GroupBy), by)
    period = Period.from_arguments(start, end)
    report = argument("progress", optional_function, progress)
    holdings = uow.ledger.holdings()
    base_currency = holdings.base_currency or uow.base_currency
    converted = None if rates is None else Rates(base_currency, rates)
    groups, sums = Groups.read(uow, grouped_by), AttributedSums(base_currency, converted)
    costs = Costs(groups, period)
    costs.read(uow)
    reading = _Reading(uow, groups, period, sums, report)
    for position in holdings.positions:
        reading.fold(position)
    reading.end(holdings.cash)
    sums.add_costs(costs.sums)
    rows, totals = tabulated(sums.held, sums.book, base_currency)
    return Attribution(
        account=uow.account,
        by=grouped_by,
        start=period.start,
        end=period.end,
        rows=rows,
        totals=totals,
    )


class _Reading:
    """One pass over the trades of an account."""

    def __init__(
        self,
        uow: AbstractUnitOfWork,
        groups: Groups,
        period: Period,
        sums: AttributedSums,
        report: ProgressCallback | None,
    ) -> None:
        self.uow = uow
        self.groups = groups
        self.period = period
        self.sums = sums
        self.bounds = Bounds.read(uow, period)
        self.income = Income.read(uow, period)
        self.progress = Progress(report, uow.trades.count_booked())

    def fold(self, live: Position) -> None:
        """Fold the trades of one symbol, and add the sums of its groups and of the book."""
        bounds, entitled = self.bounds.of(live), self.income.take(live.symbol)
        books: dict[Holders, GroupBook] = {}
        trades = self.uow.trades.in_fold_order(live.symbol, batch=_READ)
        while some := list(islice(trades, _FOLDED)):
            with exact():
                self._apply(some, books, bounds, entitled)
            self.progress.add(len(some))
        self._value(books, bounds)
        if entitled is not None:
            self._add_income(entitled.shared())

    def _apply(
        self,
        trades: Iterable[BookedTrade],
        books: dict[Holders, GroupBook],
        bounds: PositionBounds,
        entitled: OpenQuantities[str] | None,
    ) -> None:
        """Fold trades into the books of their groups; call it inside `exact()`."""
        of_trade, period = self.groups.of_trade, self.period
        is_limited = period.is_limited
        for trade in trades:
            if is_limited:
                bounds.read(trade)
            if trade.status is not TradeStatus.EXECUTED:
                continue
            holders, at = of_trade(trade), trade.executed_at
            if is_limited and period.is_after(at):
                size, _, _ = net_fill(trade)
            else:
                book = books.get(holders)
                if book is None:
                    book = books[holders] = GroupBook()
                size = book.apply(trade, is_before=is_limited and period.is_before(at))
            if entitled is not None:
                entitled.add(holders, size, at)

    def _value(self, books: Mapping[Holders, GroupBook], bounds: PositionBounds) -> None:
        end, start = bounds.end, bounds.start
        is_open = any(book.balance.quantity for book in books.values())
        was_open = any(book.before.quantity for book in books.values())
        value, value_before = (
            unit_value(end, is_needed=is_open),
            unit_value(start, is_needed=was_open),
        )
        for holders, book in books.items():
            self.sums.add(holders, bounds.live.currency, book.valued(value, value_before))
            for currency, fee in book.other_fees.items():
                self.sums.add(holders, currency, Sums(fees=fee))
        for currency, sums in book_sums(end, start):
            self.sums.add_to_book(currency, sums)

    def end(self, cash: Iterable[CashTotal]) -> None:
        """Add the income that no group holds, and the book's.

        Args:
            cash: the account's cash, which has all income up to now.
        """
        self._add_income(self.income.left())
        income = self.income.total
        if not self.period.is_limited:
            income = {total.currency: total.income for total in cash}
        for currency, amount in income.items():
            self.sums.add_to_book(currency, Sums(income=amount))
        if not self.progress.total:  # the end is reported in any case
            self.progress.add(0)

    def _add_income(self, income: Iterable[tuple[Holders, str, Decimal]]) -> None:
        for holders, currency, amount in income:
            self.sums.add(holders, currency, Sums(income=amount))
