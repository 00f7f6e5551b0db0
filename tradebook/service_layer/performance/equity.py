"""Equity curves, folded in one pass over the trades and the cash flows of an account."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

from tradebook.domain.accounting import BookedTrade
from tradebook.domain.attribution import NONE, GroupBy, Holders
from tradebook.domain.cash import EXTERNAL
from tradebook.domain.equity import Basis, EquityBy, EquityPoint
from tradebook.domain.frequencies import Frequency
from tradebook.domain.numbers import ZERO, Number, exact
from tradebook.domain.plain_values import optional_function, optional_mapping
from tradebook.domain.portfolio import Rates, carried_value
from tradebook.domain.positions import NO_MARK
from tradebook.domain.trades import TradeStatus
from tradebook.domain.validation import argument, enum_member
from tradebook.service_layer.explanations.attribution.groups import NAMED_BY, Groups
from tradebook.service_layer.explanations.attribution.income import OpenQuantities
from tradebook.service_layer.explanations.quality.prices import GivenPrices, as_prices
from tradebook.service_layer.instrumentation import Progress, ProgressCallback
from tradebook.service_layer.performance.curve import EquityCurve
from tradebook.service_layer.performance.curve_times import curve_times
from tradebook.service_layer.performance.equity_lines import EquityLine, points_of
from tradebook.service_layer.performance.point_folds import Fill, PointFold, PointState
from tradebook.service_layer.performance.point_marks import (
    GivenMarks,
    Snapshots,
    SymbolMarks,
    mark_at,
)
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_READ: Final = 10_000
"""Trades read at a time; as plain values they take 15 MB."""
_FOLDED: Final = 1_000
"""Trades folded between two reports of progress."""
_ACCOUNT: Final[Holders] = ()
"""The key of the account's own sums among those of groups."""
_UNHELD: Final[Holders] = (NONE,)
_TIME: Final[Mapping[Basis, str]] = {Basis.RECORDED: "created_at", Basis.RESTATED: "occurred_at"}
"""The time from which a cash flow counts."""

Place = tuple[int, str]
"""A point and a currency, for cash flows that count from the point on."""


def equity_curve(
    uow: AbstractUnitOfWork,
    start: datetime | None = None,
    end: datetime | None = None,
    frequency: Frequency = "day",
    prices: GivenPrices | None = None,
    basis: Basis | str = Basis.RECORDED,
    by: EquityBy | str | None = None,
    rates: Mapping[str, Number] | None = None,
    time_zone: str = "UTC",
    *,
    progress: ProgressCallback | None = None,
) -> EquityCurve:
    """Compute the value of the account, and of its strategies, agents or symbols, at points of time.

    Each point equals `portfolio_as_of` at its time: by "booked" on the recorded basis, where it also equals a snapshot
    taken at that time, to the last digit; by "executed" on the restated basis. For records that were imported later than
    they happened, the restated basis has the curve. All points together take one pass over the trades, which are not
    kept in memory.

    A position is valued at the newest price up to the point: of a snapshot, of a trade that counts, or of `prices`; of
    one time those of `prices` count first, then those of snapshots.

    Args:
        uow: a read-only unit of work, which has one consistent view.
        start: the first point, UTC; by default the time of the first record.
        end: the last point, UTC; now by default.
        frequency: the times between them: "hour", "day", "week" (from Monday), "month", "quarter" or "year" for those at
            which one begins; "snapshot" for those of snapshots; or a duration such as "15m" for equal steps from the
            start. At most 100,000 points.
        prices: see `calibration`; every symbol that is held at a point must have one up to some such point. By default
            those of the book's snapshots and trades alone.
        basis: "recorded" or "restated"; see `Basis`.
        by: "strategy", "agent" or "symbol", for a curve of each group too; trades belong to the groups of
            `attribution`, with a cost basis of their own, and income is shared as there.
        rates: for each other currency the value of one unit in the account's base currency, above 0, at all points; by
            default those of the newest snapshot up to each point.
        time_zone: in which days and longer periods begin, by its IANA name.
        progress: called with (trades folded, trades in all) as it goes.

    Returns:
        The points of the account, and of each group.

    Raises:
        MissingRate: naming the currency that has no rate at a point.
        InvalidInput: an argument is refused; or positions have no price in `prices`, which are named.
    """
    kind = argument("basis", partial(enum_member, Basis), basis)
    grouped_by = None if by is None else argument("by", partial(enum_member, EquityBy), by)
    given = None if prices is None else as_prices(uow, prices)
    fixed = argument("rates", optional_mapping, rates)
    report = argument("progress", optional_function, progress)
    times = curve_times(uow, kind, start, end, frequency, time_zone)
    reading = _Reading(uow, kind, grouped_by, times, GivenMarks(given), report)
    holdings = uow.ledger.holdings()
    base_currency = holdings.base_currency or uow.base_currency
    for position in holdings.positions:
        reading.fold(position.symbol)
    reading.given.require_all()
    reading.add_cash_flows()
    points, groups = reading.points(base_currency, fixed)
    return EquityCurve(
        account=uow.account,
        currency=base_currency,
        basis=kind,
        by=grouped_by,
        points=points,
        groups=groups,
    )


class _Open(NamedTuple):
    """A state in which something is open, from one point to before another."""

    holders: Holders
    first: int
    behind: int
    state: PointState


class _Reading:
    """One pass over the trades and cash flows of an account."""

    def __init__(
        self,
        uow: AbstractUnitOfWork,
        basis: Basis,
        by: EquityBy | None,
        times: Sequence[datetime],
        given: GivenMarks,
        report: ProgressCallback | None,
    ) -> None:
        self.uow = uow
        self.basis = basis
        self.times = times
        self.given = given
        self.groups = None if by is None else _groups(uow, by)
        self.snapshots = Snapshots.read(uow, basis, times)
        self.entitled, self.unshared = self._read_cash_flows()
        self.progress = Progress(report, uow.trades.count_booked())
        self.lines: dict[Holders, dict[str, EquityLine]] = {_ACCOUNT: {}}

    def fold(self, symbol: str) -> None:
        """Fold the trades of one symbol, and add its sums at each point."""
        marks = self.snapshots.marks(symbol)
        entitled = self.entitled.pop(symbol, None)
        shared = None if entitled is None else OpenQuantities(entitled)
        folds = {_ACCOUNT: PointFold(len(self.times))}
        since: datetime | None = None
        trades = self.uow.trades.in_fold_order(symbol, batch=_READ)
        while some := list(islice(trades, _FOLDED)):
            with exact():
                for trade in some:
                    self._apply(trade, folds, marks, shared)
            first = min(trade.executed_at for trade in some)
            since = first if since is None else min(since, first)
            self.progress.add(len(some))
        if since is not None:
            self._add_sums(symbol, folds, marks, since)
        if shared is not None:
            self._add_income(shared.shared())

    def _apply(
        self,
        trade: BookedTrade,
        folds: dict[Holders, PointFold],
        marks: SymbolMarks,
        shared: OpenQuantities[Place] | None,
    ) -> None:
        first, behind = self._interval(trade, marks)
        holders = _ACCOUNT if self.groups is None else self.groups.of_trade(trade)
        fill = Fill.from_trade(trade, bisect_left(marks.ends, trade.sequence))
        folds[_ACCOUNT].apply(fill, first, behind)
        if holders:
            fold = folds.get(holders)
            if fold is None:
                fold = folds[holders] = PointFold(len(self.times))
            fold.apply(fill, first, behind)
        if shared is not None and trade.status is TradeStatus.EXECUTED:
            shared.add(holders, fill.size, trade.executed_at)

    def _interval(self, trade: BookedTrade, marks: SymbolMarks) -> tuple[int, int]:
        """Return the first point at which a trade counts, and the one from which on it does not."""
        end = len(self.times)
        if self.basis is Basis.RESTATED:
            counts = trade.status is TradeStatus.EXECUTED
            return (bisect_left(self.times, trade.executed_at), end) if counts else (end, end)
        first = marks.recorded_from(trade.sequence, bisect_left(self.times, trade.booked_at))
        if trade.bust_sequence is None or trade.busted_at is None:
            return first, end
        busted = bisect_left(self.times, trade.busted_at)
        return first, marks.recorded_from(trade.bust_sequence, busted)

    def _add_sums(
        self, symbol: str, folds: Mapping[Holders, PointFold], marks: SymbolMarks, since: datetime
    ) -> None:
        open_states: list[_Open] = []
        with exact():
            for holders, fold in folds.items():
                before = PointState()
                for first, behind, state in fold.states():
                    self._add_steps(holders, first, before, -1)
                    self._add_steps(holders, first, state, 1)
                    before = state
                    if state.balance.quantity:
                        open_states.append(_Open(holders, first, behind, state))
            is_open = {point for each in open_states for point in range(each.first, each.behind)}
            given = self.given.at_points(symbol, since, self.times, is_open)
            prices = {}
            for first, behind, state in folds[_ACCOUNT].states():
                for point in is_open.intersection(range(first, behind)):
                    mark = mark_at(state, marks.at_points[point], given.get(point, NO_MARK))
                    prices[point] = mark.price or ZERO
            for each in open_states:
                self._add_values(each, prices)

    def _add_steps(self, holders: Holders, first: int, state: PointState, sign: int) -> None:
        """Add what the trades of a state did, whatever the price is; or take it away."""
        if state.instrument is None:
            return
        line, balance = self._line(holders, state.instrument.currency), state.balance
        line.step(first, "cash", sign * balance.cash_flow)
        line.step(first, "realized_pnl", sign * balance.realized_pnl)
        line.step(first, "fees", sign * balance.fees)
        for currency, fee in state.other_fees.items():
            line = self._line(holders, currency)
            line.step(first, "fees", sign * fee)
            line.step(first, "cash", -sign * fee)

    def _add_values(self, held: _Open, prices: Mapping[int, Decimal]) -> None:
        """Add what an open position is worth at each point."""
        balance, instrument = held.state.balance, held.state.instrument
        if instrument is None:
            return
        line = self._line(held.holders, instrument.currency)
        for point in range(held.first, held.behind):
            value = balance.quantity * prices[point] * instrument.multiplier
            unrealized = value - balance.cost_basis
            carried = carried_value(instrument.settlement, value, unrealized)
            line.value(point, "positions_value", carried)
            line.value(point, "net_exposure", value)
            line.value(point, "gross_exposure", abs(value))
            line.value(point, "unrealized_pnl", unrealized)

    def _read_cash_flows(
        self,
    ) -> tuple[dict[str, dict[datetime, dict[Place, Decimal]]], list[tuple[Place, str, Decimal]]]:
        """Read the cash flows: income of symbols to be shared, and all other cash with the name of its sum."""
        of_symbols: dict[str, dict[datetime, dict[Place, Decimal]]] = {}
        others: list[tuple[Place, str, Decimal]] = []
        names = ("kind", "amount", "currency", "symbol", "occurred_at", "entitled_at")
        for (
            _,
            kind,
            amount,
            currency,
            symbol,
            occurred_at,
            entitled_at,
            at,
        ) in self.uow.cash_flows.values(*names, _TIME[self.basis]):
            place = bisect_left(self.times, at), currency
            if place[0] == len(self.times):
                continue
            if kind in EXTERNAL or symbol is None:
                others.append((place, "external_flows" if kind in EXTERNAL else "income", amount))
                continue
            times = of_symbols.setdefault(symbol, {})
            flows = times.setdefault(entitled_at or occurred_at, {})
            with exact():
                flows[place] = flows.get(place, ZERO) + amount
        return of_symbols, others

    def _add_income(self, income: Iterator[tuple[Holders, Place, Decimal]]) -> None:
        for holders, place, amount in income:
            self._add_cash(holders, place, "income", amount)

    def add_cash_flows(self) -> None:
        """Add the cash flows that no trade of their symbol shares."""
        for place, name, amount in self.unshared:
            self._add_cash(_UNHELD, place, name, amount)
        for times in self.entitled.values():
            for flows in times.values():
                for place, amount in flows.items():
                    self._add_cash(_UNHELD, place, "income", amount)
        if not self.progress.total:  # the end is reported in any case
            self.progress.add(0)

    def _add_cash(self, holders: Holders, place: Place, name: str, amount: Decimal) -> None:
        """Add cash to the sums of the account, and to those of a group where there are groups."""
        point, currency = place
        for owner in {_ACCOUNT, _ACCOUNT if self.groups is None else holders}:
            line = self._line(owner, currency)
            with exact():
                line.step(point, name, amount)
                line.step(point, "cash", amount)

    def _line(self, holders: Holders, currency: str) -> EquityLine:
        lines = self.lines.setdefault(holders, {})
        line = lines.get(currency)
        if line is None:
            line = lines[currency] = EquityLine()
        return line

    def points(
        self, base_currency: str, fixed: Mapping[str, Number]
    ) -> tuple[tuple[EquityPoint, ...], tuple[EquityPoint, ...]]:
        """Return the points of the account, and those of all groups by name."""
        made: dict[int | None, Rates] = {}

        def rates_at(point: int) -> Rates:
            snapshot = self.snapshots.of_points[point]
            key = None if snapshot is None else snapshot.id
            if key not in made:
                known = {} if snapshot is None else snapshot.rates
                made[key] = Rates(base_currency, {**known, **fixed})
            return made[key]

        account = tuple(points_of(self.lines.pop(_ACCOUNT), self.times, rates_at, None))
        groups = [
            point
            for holders in sorted(self.lines)
            for point in points_of(self.lines[holders], self.times, rates_at, holders[0])
        ]
        return account, tuple(groups)


def _groups(uow: AbstractUnitOfWork, by: EquityBy) -> Groups:
    """Read the decisions, where they name the groups of trades."""
    grouped_by = GroupBy(by.value)
    groups = Groups.read(uow, grouped_by)
    if by is not EquityBy.SYMBOL:
        for id_, *names in uow.decisions.values(*NAMED_BY[grouped_by]):
            groups.add_decision(id_, names)
    return groups
