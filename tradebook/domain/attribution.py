"""Attribution: who earned what of an account's P&L, in rows that add up to the book's own figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from attrs import frozen

from tradebook.domain.group_books import Sums, merge
from tradebook.domain.numbers import EXACT, ZERO, canonical, divide, exact


class GroupBy(StrEnum):
    """The ways to group trades, income and the costs of agents.

    AGENT: the agent of a trade's decision; MODEL: its model. Where there is none, the trade's strategy.
    STRATEGY: the trade's; where it has none, its decision's.
    SYMBOL: the instrument. DECISION: the id of the decision.
    SIGNAL_SOURCE: the sources of the signals behind the decision, with equal shares for each signal.
    TAG: `details["tag"]` of the trade; where it has none, `details["enter_tag"]`, as freqtrade names it.
    """

    AGENT = "agent"
    MODEL = "model"
    STRATEGY = "strategy"
    SYMBOL = "symbol"
    DECISION = "decision"
    SIGNAL_SOURCE = "signal_source"
    TAG = "tag"


class Group(NamedTuple):
    """The name of a group, and its kind: a value of `GroupBy`, or `none`."""

    name: str
    kind: str


NONE: Final = Group("none", "none")
"""The group of what belongs to no other."""
TOTAL: Final = Group("total", "total")

_ADDED: Final = ("realized_pnl", "unrealized_pnl", "fees", "income", "cost", "turnover")
"""The amounts of a total that are the sums of its rows."""

Holders: TypeAlias = tuple[Group, ...]
"""The groups that hold something together in equal shares; one that is named twice has two."""


@frozen(kw_only=True)
class AttributionRow:
    """The figures of one group in one currency.

    All statistics are of the group's trades as a book of their own, before fees, and None where they are undefined.
    By signal source, amounts are shares, and counts are of all trades, calls and costs that a source had a share in.

    Attributes:
        group: its name; `none` for what belongs to no group.
        kind: a value of `GroupBy`; `none` for the row `none`, and `total` for the total of all rows.
        currency: of all amounts.
        realized_pnl: price P&L of what the group closed, on its own cost basis, before fees.
        unrealized_pnl: of what it holds, at the marks of the account's positions.
        fees: of its trades, less rebates.
        income: its part of dividends, funding, interest and other cash flows; negative is paid.
        net_pnl: realized_pnl + unrealized_pnl - fees + income; costs are no part of it.
        cost: the known costs of its decisions and actions; 0 is free.
        calls: the number of its actions.
        unpriced: the number of its actions without a cost, and of its decisions that have neither a cost nor an action.
        net_after_costs: net_pnl - cost; None while anything is unpriced.
        trades: the number of its trades.
        closing_trades: those of them that closed some of what it held.
        win_rate: the fraction of closing trades that realized more than 0.
        profit_factor: the sum of all gains divided by that of all losses; None without a loss.
        expectancy: the average P&L that a closing trade realized.
        payoff: the average gain divided by the average loss; None without a gain or without a loss.
        holding_time: the average time between the trade that opened a round trip and the one that closed it.
        turnover: the sum of size times price times multiplier of its trades, each above 0.
    """

    group: str
    kind: str
    currency: str
    realized_pnl: Decimal
    unrealized_pnl: Decimal
    fees: Decimal
    income: Decimal
    net_pnl: Decimal
    cost: Decimal
    calls: int
    unpriced: int
    net_after_costs: Decimal | None
    trades: int
    closing_trades: int
    win_rate: Decimal | None
    profit_factor: Decimal | None
    expectancy: Decimal | None
    payoff: Decimal | None
    holding_time: timedelta | None
    turnover: Decimal

    @classmethod
    def from_sums(cls, group: Group, currency: str, sums: Sums) -> AttributionRow:
        """Compute a row from the sums of its group in a currency."""
        net = _net(sums)
        profit, loss, closing = sums.gross_profit, sums.gross_loss, sums.closing_trades
        with exact():
            after_costs = None if sums.unpriced else canonical(net - sums.cost)
            earned, losers, winners = profit - loss, profit * sums.losses, loss * sums.wins
        return cls(
            group=group.name,
            kind=group.kind,
            currency=currency,
            realized_pnl=canonical(sums.realized_pnl),
            unrealized_pnl=canonical(sums.unrealized_pnl),
            fees=canonical(sums.fees),
            income=canonical(sums.income),
            net_pnl=net,
            cost=canonical(sums.cost),
            calls=sums.calls,
            unpriced=sums.unpriced,
            net_after_costs=after_costs,
            trades=sums.trades,
            closing_trades=closing,
            win_rate=_ratio(Decimal(sums.wins), Decimal(closing)),
            profit_factor=_ratio(profit, loss),
            expectancy=_ratio(earned, Decimal(closing)),
            payoff=_ratio(losers, winners) if losers else None,
            holding_time=sums.holding_time,
            turnover=canonical(sums.turnover),
        )


@frozen(kw_only=True)
class BookFigures:
    """The book's own figures in one currency: of its positions, whose cost basis all groups share, and its cash.

    Attributes:
        currency: of all amounts.
        realized_pnl, unrealized_pnl, fees, income: as the portfolio of the account has them.
        net_pnl: realized_pnl + unrealized_pnl - fees + income.
    """

    currency: str
    realized_pnl: Decimal
    unrealized_pnl: Decimal
    fees: Decimal
    income: Decimal
    net_pnl: Decimal

    @classmethod
    def from_sums(cls, currency: str, sums: Sums) -> BookFigures:
        """Compute the figures from the sums of all positions and cash flows in a currency."""
        return cls(
            currency=currency,
            realized_pnl=canonical(sums.realized_pnl),
            unrealized_pnl=canonical(sums.unrealized_pnl),
            fees=canonical(sums.fees),
            income=canonical(sums.income),
            net_pnl=_net(sums),
        )


@frozen(kw_only=True)
class AttributionTotal:
    """The total of all rows in one currency, beside the book's own figures.

    Attributes:
        currency: of all amounts.
        groups: the sum of the rows, with the statistics of all groups' trades.
        book: the book's own figures.
        difference: the groups' net P&L less the book's: 0.
        moved: the groups' realized P&L less the book's: how much the groups' own cost bases moved from unrealized to
            realized P&L; negative is the other way.
    """

    currency: str
    groups: AttributionRow
    book: BookFigures
    difference: Decimal
    moved: Decimal

    @property
    def ties(self) -> bool:
        """True where net P&L, fees and income are the book's, to the last digit."""
        groups, book = self.groups, self.book
        return (groups.net_pnl, groups.fees, groups.income) == (
            book.net_pnl,
            book.fees,
            book.income,
        )


@frozen(kw_only=True)
class Attribution:
    """The result of `attribution`.

    Attributes:
        account: the account.
        by: how it is grouped.
        start: the first moment of the period, UTC; None for all before.
        end: the end of the period, UTC, which is not in it; None for the book as it is now, at its own marks.
        rows: by currency, then by net P&L, the highest first, then by name.
        totals: one for each currency.
    """

    account: str
    by: GroupBy
    start: datetime | None
    end: datetime | None
    rows: tuple[AttributionRow, ...]
    totals: tuple[AttributionTotal, ...]

    @property
    def ties(self) -> bool:
        """True where the totals are the book's, to the last digit."""
        return all(total.ties for total in self.totals)


def tabulated(
    held: Mapping[tuple[Holders, str], Sums], book: Mapping[str, Sums], base_currency: str
) -> tuple[tuple[AttributionRow, ...], tuple[AttributionTotal, ...]]:
    """Make the rows and the totals of an attribution.

    Args:
        held: the sums of those who hold something together, by them and by currency; they are used up.
        book: the book's own sums, by currency.
        base_currency: of the account, in which a book without any amount has its total.
    """
    by_group: dict[tuple[Group, str], Sums] = {}
    earning = {currency for currency, sums in book.items() if sums != Sums()}
    currencies = {*earning, *(currency for _, currency in held)} or {base_currency}
    counted = {currency: Sums() for currency in sorted(currencies)}
    for (holders, currency), sums in held.items():
        counted[currency].add(sums)
        for group, part in _parts(holders, sums):
            merge(by_group, (group, currency), part)
    rows = [AttributionRow.from_sums(*key, sums) for key, sums in by_group.items()]
    rows.sort(key=lambda row: (row.currency, row.net_pnl.copy_negate(), row.group, row.kind))
    totals = (
        _total(currency, sums, rows, book.get(currency, Sums()))
        for currency, sums in counted.items()
    )
    return tuple(rows), tuple(totals)


def _parts(holders: Holders, sums: Sums) -> Iterable[tuple[Group, Sums]]:
    if len(holders) == 1:
        return [(holders[0], sums)]
    groups = list(dict.fromkeys(holders))
    return zip(groups, sums.split([holders.count(group) for group in groups]), strict=True)


def _total(
    currency: str, counted: Sums, rows: Iterable[AttributionRow], book_sums: Sums
) -> AttributionTotal:
    """Compare the sum of the rows of a currency with the book; `counted` are sums in which each trade counts once."""
    of_currency = [row for row in rows if row.currency == currency]
    for name in _ADDED:
        setattr(counted, name, _sum(getattr(row, name) for row in of_currency))
    groups = AttributionRow.from_sums(TOTAL, currency, counted)
    book = BookFigures.from_sums(currency, book_sums)
    return AttributionTotal(
        currency=currency,
        groups=groups,
        book=book,
        difference=canonical(EXACT.subtract(groups.net_pnl, book.net_pnl)),
        moved=canonical(EXACT.subtract(groups.realized_pnl, book.realized_pnl)),
    )


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    with exact():
        return sum(amounts, start=ZERO)


def _net(sums: Sums) -> Decimal:
    with exact():
        return canonical(sums.realized_pnl + sums.unrealized_pnl - sums.fees + sums.income)


def _ratio(dividend: Decimal, divisor: Decimal) -> Decimal | None:
    """Divide, half-even to 10^-40; None where the divisor is 0."""
    return divide(dividend, divisor) if divisor else None
