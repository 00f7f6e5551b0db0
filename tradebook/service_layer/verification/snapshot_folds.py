"""Folds of a position at the times of its snapshots, when trades that were busted later still counted."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Final

from attrs import define, frozen

from tradebook.domain.accounting import BookedTrade
from tradebook.domain.folding import Fold
from tradebook.domain.numbers import ZERO
from tradebook.domain.portfolio import PortfolioPosition


@frozen
class Point:
    """One position in one snapshot."""

    sequence: int  # of the last entry of the position's ledger in the snapshot
    portfolio_id: int
    row: PortfolioPosition | None  # None where the position was flat


_NEVER: Final = 2**63
"""Above every sequence."""

Check = Callable[[Fold, Point], None]


@define(eq=False)
class _View:
    """The period between two busts, by their sequences, and its snapshots that are not checked yet."""

    since: int  # 0 for the first period
    before: int  # `_NEVER` for the last
    points: list[Point]  # in descending order, so that `pop` takes the next

    def holds(self, trade: BookedTrade) -> bool:
        """Return whether a trade counted in this period."""
        is_bust_later = trade.bust_sequence is None or trade.bust_sequence > self.since
        return trade.sequence < self.before and is_bust_later


@define(eq=False)
class _Strand:
    """A fold shared by the views in which the same trades have counted so far."""

    fold: Fold
    views: list[_View]


class Views:
    """The folds of one symbol's trades: one of what counts now, and one for each period between busts.

    Trades are applied in their `in_fold_order`; a snapshot is checked once all of its trades were applied.
    """

    def __init__(self, fold: Fold, points: Iterable[Point], busts: Sequence[int]) -> None:
        """Start with an empty fold of a symbol, its snapshots in any order and its busts' sequences, sorted."""
        ends = [0, *busts, _NEVER]
        by_bust: dict[int, list[Point]] = {len(busts): []}
        for point in sorted(points, key=lambda p: (p.sequence, p.portfolio_id), reverse=True):
            by_bust.setdefault(bisect_right(busts, point.sequence), []).append(point)
        views = {
            number: _View(ends[number], ends[number + 1], of_time)
            for number, of_time in by_bust.items()
        }
        self._now = views[len(busts)]
        self._is_only = not busts
        self._strands = [_Strand(fold, list(views.values()))]
        self._find_next()

    @property
    def now(self) -> Fold:
        """The fold of the trades that count now."""
        if self._is_only:
            return self._strands[0].fold
        return next(strand.fold for strand in self._strands if self._now in strand.views)

    def apply(self, trade: BookedTrade) -> Decimal:
        """Fold a trade in each period in which it counted; return its P&L as of now."""
        if self._is_only:  # most symbols have no bust, and need no search for views
            return self._strands[0].fold.apply(trade)
        realized = ZERO
        for strand in list(self._strands):
            holding = [view for view in strand.views if view.holds(trade)]
            if not holding:
                continue
            if len(holding) < len(strand.views):
                others = [view for view in strand.views if view not in holding]
                self._strands.append(_Strand(strand.fold.copy(), others))
                strand.views = holding
            pnl = strand.fold.apply(trade)
            if self._now in holding:
                realized = pnl
        return realized

    def check_before(self, sequence: int, check: Check) -> None:
        """Check the snapshots that end before this sequence."""
        if sequence <= self._next:
            return
        for strand in self._strands:
            for view in strand.views:
                while view.points and view.points[-1].sequence < sequence:
                    check(strand.fold, view.points.pop())
            strand.views = [view for view in strand.views if view.points or view is self._now]
        self._strands = [strand for strand in self._strands if strand.views]
        self._find_next()

    def left(self) -> Iterator[Point]:
        """Yield the snapshots that were not checked."""
        for strand in self._strands:
            for view in strand.views:
                yield from view.points

    def _find_next(self) -> None:
        views = [view for strand in self._strands for view in strand.views if view.points]
        self._next = min((view.points[-1].sequence for view in views), default=_NEVER)
