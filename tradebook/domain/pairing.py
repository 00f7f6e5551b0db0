"""Which entries of a venue's statement are which records of the book."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Generic, TypeVar

from attrs import define, field, frozen

from tradebook.domain.cash import CashFlow
from tradebook.domain.numbers import ZERO, exact
from tradebook.domain.trades import Trade

T = TypeVar("T", Trade, CashFlow)


@frozen
class Match(Generic[T]):
    """Entries of the venue, and the records of the book that are the same: mostly one of each.

    Attributes:
        stated: the venue's.
        recorded: the book's.
    """

    stated: tuple[T, ...]
    recorded: tuple[T, ...]


@define
class Pairing(Generic[T]):
    """The entries that have found their records, and those that have not, on both sides.

    Attributes:
        stated: the venue's that have none.
        recorded: the book's that have none.
        matches: those that have.
    """

    stated: list[T]
    recorded: list[T]
    matches: list[Match[T]] = field(factory=list)

    def by(self, key: Callable[[T], Hashable | None]) -> None:
        """Match entries of one key with each other, in their order; an entry whose key is None has none."""
        waiting = _grouped(self.recorded, key)
        found = [(each, waiting.get(key(each))) for each in self.stated]
        self._match(((each,), (queue.pop(0),)) for each, queue in found if queue)

    def by_content(
        self, key: Callable[[T], Hashable], time: Callable[[T], datetime], within: timedelta
    ) -> None:
        """Match entries of one key with each other whose times are nearest, and no further apart than `within`."""
        waiting = _grouped(sorted(self.recorded, key=time), key)
        found = []
        for each in sorted(self.stated, key=time):
            at, alike = time(each), waiting.get(key(each), [])
            place = bisect_left(alike, at, key=time)
            around = [
                (abs(time(other) - at), other) for other in alike[max(place - 1, 0) : place + 1]
            ]
            apart, near = min(around, key=itemgetter(0), default=(within, None))
            if near is not None and apart <= within:
                alike.remove(near)
                found.append(((each,), (near,)))
        self._match(found)

    def by_sum(
        self,
        key: Callable[[T], Hashable | None],
        same: Callable[[Collection[T], Collection[T]], bool],
    ) -> None:
        """Match all entries of one key with all records of it, where they are the `same` together."""
        waiting = _grouped(self.recorded, key)
        groups = _grouped(self.stated, key).items()
        self._match(
            (tuple(group), tuple(waiting[name]))
            for name, group in groups
            if name in waiting and same(group, waiting[name])
        )

    def _match(self, found: Iterable[tuple[tuple[T, ...], tuple[T, ...]]]) -> None:
        new = [Match(*each) for each in found]
        self.matches += new
        stated = {id(each) for match in new for each in match.stated}
        recorded = {id(each) for match in new for each in match.recorded}
        self.stated = [each for each in self.stated if id(each) not in stated]
        self.recorded = [each for each in self.recorded if id(each) not in recorded]


def pair_trades(
    stated: Collection[Trade], recorded: Collection[Trade], within: timedelta
) -> Pairing[Trade]:
    """Find the record of each fill of a venue: by its ids, by its order as a whole, or by what it is.

    An execution id is enough, since bots and exports name orders differently. An order that one side has as one fill and
    the other in parts is the same where the quantities are. What is left is matched by symbol, side, quantity and price.

    Args:
        stated: the venue's fills.
        recorded: trades of the book.
        within: how far apart the times of two fills without a common id may be.
    """
    pairing = Pairing(list(stated), list(recorded))
    pairing.by(lambda trade: (trade.symbol, trade.order_id, trade.execution_id))
    pairing.by(lambda trade: (trade.symbol, trade.execution_id) if trade.execution_id else None)
    pairing.by_sum(lambda trade: (trade.symbol, trade.order_id), _same_quantity)
    pairing.by_content(
        lambda trade: (trade.symbol, trade.action, trade.quantity, trade.price),
        lambda trade: trade.executed_at,
        within,
    )
    return pairing


def pair_cash_flows(
    stated: Collection[CashFlow], recorded: Collection[CashFlow], within: timedelta
) -> Pairing[CashFlow]:
    """Find the record of each cash flow of a venue: by its reference, or by what it is.

    Args:
        stated: the venue's.
        recorded: cash flows of the book.
        within: how far apart the times of two flows of the same kind, amount and currency may be.
    """
    pairing = Pairing(list(stated), list(recorded))
    pairing.by(lambda flow: flow.reference)
    pairing.by_content(
        lambda flow: (flow.kind, flow.amount, flow.currency),
        lambda flow: flow.occurred_at,
        within,
    )
    return pairing


def _same_quantity(one: Collection[Trade], other: Collection[Trade]) -> bool:
    with exact():
        sums = [sum((trade.signed_quantity for trade in trades), ZERO) for trades in (one, other)]
    return sums[0] == sums[1]


def _grouped(
    entries: Iterable[T], key: Callable[[T], Hashable | None]
) -> dict[Hashable | None, list[T]]:
    groups: dict[Hashable | None, list[T]] = defaultdict(list)
    for each in entries:
        if (name := key(each)) is not None:
            groups[name].append(each)
    return dict(groups)
