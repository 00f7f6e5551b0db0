"""The marks of positions and the exchange rates at points of time: of snapshots, trades and given prices."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import chain
from typing import Any, Final

from attrs import define, field, frozen

from tradebook.domain.equity import Basis
from tradebook.domain.errors import InvalidInput
from tradebook.domain.numbers import number
from tradebook.domain.portfolio import BOOK, Portfolio
from tradebook.domain.positions import NO_MARK, Mark, MarkSource
from tradebook.domain.validation import argument
from tradebook.service_layer.explanations.quality.price_lookups import checked_points
from tradebook.service_layer.performance.point_folds import PointState
from tradebook.service_layer.ports.prices import Prices
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_SHOWN: Final = 20
"""The most symbols without a price that a message names."""


@frozen
class PastSnapshot:
    """A snapshot as far as an equity curve goes.

    Attributes:
        id: of the snapshot.
        at: its time, UTC.
        rates: that it was converted with.
        closed: for each position that was flat, its last entry.
    """

    id: int
    at: datetime
    rates: Mapping[str, Any]
    closed: Mapping[str, Any]


@frozen
class SymbolMarks:
    """The marks in one symbol that snapshots have, and its last entries in them.

    Attributes:
        at_points: for each point, the mark in the newest snapshot up to it, and the last entry in the snapshot.
        ends: the last entry in each of these snapshots, sorted.
        taken: the points at which one was taken whose entries are those that count, sorted.
        taken_ends: the last entry that counts at each of them.
    """

    at_points: Sequence[tuple[Mark, int]]
    ends: Sequence[int]
    taken: Sequence[int]
    taken_ends: Sequence[int]

    def recorded_from(self, entry: int, point: int) -> int:
        """Return the first point at which an entry in the ledger counts.

        A trade has the time at which its call began, and a snapshot may be taken before it is committed: the snapshot
        says which entries it holds.

        Args:
            entry: the number of the entry.
            point: the first one at or after the time of the entry.
        """
        place = bisect_left(self.taken_ends, entry)
        if place < len(self.taken):
            point = min(point, self.taken[place])
        return max(point, self.taken[place - 1] + 1) if place else point


_UNSEEN: Final = (NO_MARK, 0)


@define
class Snapshots:
    """The newest snapshots up to each of the points.

    Attributes:
        uow: reads their positions.
        basis: of the curve.
        times: of the points, sorted.
        of_points: the newest snapshot up to each point.
        ids: of these snapshots.
    """

    uow: AbstractUnitOfWork
    basis: Basis
    times: Sequence[datetime]
    of_points: Sequence[PastSnapshot | None]
    ids: frozenset[int]

    @classmethod
    def read(cls, uow: AbstractUnitOfWork, basis: Basis, times: Sequence[datetime]) -> Snapshots:
        """Read the snapshots that the book took up to the last point; no more are kept than there are points."""
        newest: dict[int, PastSnapshot] = {}
        for portfolio in chain.from_iterable(uow.portfolios.batches()):
            point = bisect_left(times, portfolio.timestamp)
            if portfolio.source != BOOK or point == len(times):
                continue
            known = newest.get(point)
            if known is None or known.at <= portfolio.timestamp:  # they come by id
                newest[point] = _past(portfolio)
        of_points: list[PastSnapshot | None] = []
        last: PastSnapshot | None = None
        for point in range(len(times)):
            last = newest.get(point, last)
            of_points.append(last)
        return cls(uow, basis, times, of_points, frozenset(each.id for each in newest.values()))

    def marks(self, symbol: str) -> SymbolMarks:
        """Read the marks in a symbol."""
        rows = {
            row.portfolio_id: (row.current_price, row.sequence)
            for row in (self.uow.portfolios.positions_in(symbol) if self.ids else ())
            if row.portfolio_id in self.ids
        }
        at_points: list[tuple[Mark, int]] = []
        taken: dict[int, int] = {}
        for point, (time, snapshot) in enumerate(zip(self.times, self.of_points, strict=True)):
            seen, end = _UNSEEN, 0
            if snapshot is not None and (row := rows.get(snapshot.id)) is not None:
                price, end = row
                seen = Mark(price, snapshot.at, MarkSource.QUOTE), end
            elif snapshot is not None:
                end = int(snapshot.closed.get(symbol, 0))
            if snapshot is not None and snapshot.at == time and self.basis is Basis.RECORDED:
                taken[point] = end
            at_points.append(seen)
        ends = sorted({end for _, end in at_points})
        return SymbolMarks(at_points, ends, tuple(taken), tuple(taken.values()))


def _past(portfolio: Portfolio) -> PastSnapshot:
    return PastSnapshot(
        portfolio.id, portfolio.timestamp, portfolio.rates, portfolio.closed_sequences
    )


@define
class GivenMarks:
    """The prices that a caller gave, as marks.

    Attributes:
        prices: the source of them; None where the book's own are to be used.
        missing: the symbols that were open at a point, and of which the source has no price up to any such point.
    """

    prices: Prices | None
    missing: list[str] = field(factory=list)

    def at_points(
        self, symbol: str, since: datetime, times: Sequence[datetime], is_open: Collection[int]
    ) -> Mapping[int, Mark]:
        """Return the last given price up to each point at which a position is open.

        Args:
            symbol: of the position.
            since: the trade time of its first trade; earlier prices are not looked up.
            times: of all points, sorted.
            is_open: the numbers of the points at which it is open.
        """
        if self.prices is None or not is_open:
            return {}
        start = min(since, times[0])
        found = dict(_last_marks(self.prices, symbol, start, times, sorted(is_open)))
        if not found:
            self.missing.append(symbol)
        return found

    def require_all(self) -> None:
        """Refuse the source where it lacks a symbol.

        Raises:
            InvalidInput: naming the symbols.
        """
        if self.missing:
            named = ", ".join(self.missing[:_SHOWN])
            more = len(self.missing) - _SHOWN
            others = f" and {more:,} more" if more > 0 else ""
            expected = (
                "a price of every symbol that is held, from its first trade on and up to a point at which it is held. Without "
                "`prices`, those of the book's own snapshots and trades count"
            )
            raise InvalidInput("prices", f"no price of {named}{others}", expected)


def _last_marks(
    prices: Prices,
    symbol: str,
    start: datetime,
    times: Sequence[datetime],
    points: Sequence[int],
) -> Iterator[tuple[int, Mark]]:
    found = iter(checked_points(prices.between(symbol, start, times[points[-1]])))
    last, following = NO_MARK, next(found, None)
    for point in points:
        while following is not None and following.at <= times[point]:
            price: Decimal = argument("prices", number, following.price)
            last = Mark(price, following.at, MarkSource.QUOTE)
            following = next(found, None)
        if last.at is not None:
            yield point, last


def mark_at(state: PointState, seen: tuple[Mark, int], given: Mark) -> Mark:
    """Return the mark of a position at a point: the newest of a snapshot, a trade and a given price.

    Of one time a given price counts before that of a snapshot, and this one before that of a trade.
    """
    mark, sequence = seen
    newest = mark.refolded(state.newest_after(sequence))
    if given.at is not None and newest.is_replaced_by(given.at, MarkSource.QUOTE):
        return given
    return newest
