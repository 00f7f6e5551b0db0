"""A position as its snapshots saw it: trades that were busted later still counted then."""

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
    """What a snapshot holds of a position.

    Attributes:
        sequence: the last entry in the position's ledger that it holds.
        portfolio_id: the snapshot.
        row: what it says; None where the position was flat.
    """

    sequence: int
    portfolio_id: int
    row: PortfolioPosition | None


_NEVER: Final = 2**63
"""Above every sequence."""

Check = Callable[[Fold, Point], None]


@define(eq=False)
class _View:
    """What counted between two busts, and the snapshots of that time that are not checked yet.

    Attributes:
        since: the entry of the bust before; 0 before the first.
        before: the entry of the bust that ends it; None now.
        points: the first last.
    """

    since: int
    before: int | None
    points: list[Point]

    def holds(self, trade: BookedTrade) -> bool:
        """Whether a trade counted."""
        if self.before is not None and trade.sequence >= self.before:
            return False
        return trade.bust_sequence is None or trade.bust_sequence > self.since


@define(eq=False)
class _Strand:
    """A fold that several views share, for as long as the same trades count in all of them."""

    fold: Fold
    views: list[_View]


class Views:
    """Folds the trades of one symbol for what counts now, and apart from that what counted before busts.

    Trades come in their `in_fold_order`; a snapshot is checked when all that it holds has come.

    Args:
        symbol: whose trades.
        points: what snapshots hold of it, in any order.
        busts: the entries in its ledger that are busts, sorted.
    """

    def __init__(self, symbol: str, points: Iterable[Point], busts: Sequence[int]) -> None:
        ends = [0, *busts]
        by_bust: dict[int, list[Point]] = {len(busts): []}
        for point in sorted(points, key=_place, reverse=True):
            by_bust.setdefault(bisect_right(busts, point.sequence), []).append(point)
        views = {
            number: _View(ends[number], busts[number] if number < len(busts) else None, of_time)
            for number, of_time in by_bust.items()
        }
        self._now = views[len(busts)]
        self._is_only = not busts
        self._strands = [_Strand(Fold(symbol), list(views.values()))]
        self._find_next()

    @property
    def now(self) -> Fold:
        """The fold of what counts now."""
        if self._is_only:
            return self._strands[0].fold
        return next(strand.fold for strand in self._strands if self._now in strand.views)

    def apply(self, trade: BookedTrade) -> Decimal:
        """Fold a trade wherever it counted; returns what it realized as things are now."""
        if self._is_only:  # in most symbols nothing was ever busted
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
        """Check the snapshots that hold nothing from this entry on."""
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
        """The snapshots that were not checked."""
        for strand in self._strands:
            for view in strand.views:
                yield from view.points

    def _find_next(self) -> None:
        views = [view for strand in self._strands for view in strand.views if view.points]
        self._next = min((view.points[-1].sequence for view in views), default=_NEVER)


def _place(point: Point) -> tuple[int, int]:
    return point.sequence, point.portfolio_id
