"""Folds of the trades of one symbol at many points of time, in one pass over the trades.

A trade counts from one point on, and up to another where it was busted. Points at which the same trades have counted so
far share one state: trades in the order of their times touch one state each, and a trade that is booked late touches one
for each later point at which something else happened.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from tradebook.domain.accounting import Balance, BookedTrade, net_fill
from tradebook.domain.assets import third_fee
from tradebook.domain.numbers import ZERO
from tradebook.domain.positions import NO_MARK, Mark, MarkSource
from tradebook.domain.trades import Settlement

_NO_FEES: Final[Mapping[str, Decimal]] = {}


class TradePrice(NamedTuple):
    """The price of a trade that counts.

    Attributes:
        sequence: of the trade.
        epoch: the number of snapshots of the symbol that end before the trade.
        mark: its price and trade time.
    """

    sequence: int
    epoch: int
    mark: Mark


class Instrument(NamedTuple):
    """The constants of the trades that count together; others may follow where all of these were busted.

    Attributes:
        currency: of the position.
        multiplier: of the price.
        settlement: CASH or MARGINED.
    """

    currency: str
    multiplier: Decimal
    settlement: Settlement


class PointState(NamedTuple):
    """The totals of the trades that count at a point.

    Attributes:
        instrument: of these trades; None where there are none.
        balance: of the position.
        other_fees: in third assets, by currency.
        prices: of trades, each the newest of those that a snapshot may leave to be the mark, in fold order.
    """

    instrument: Instrument | None = None
    balance: Balance = Balance()
    other_fees: Mapping[str, Decimal] = _NO_FEES
    prices: tuple[TradePrice, ...] = ()

    def newest_after(self, sequence: int) -> Mark:
        """Return the newest mark of the trades after an entry in the ledger."""
        newest = NO_MARK
        for price in self.prices:
            mark = price.mark
            if price.sequence > sequence and mark.at is not None:
                newest = mark if newest.is_replaced_by(mark.at, MarkSource.TRADE) else newest
        return newest


class Fill(NamedTuple):
    """A trade as it moves the states of points: its instrument, the terms of `Balance.moved`, other fees, its price."""

    instrument: Instrument
    size: Decimal
    unit_cash: Decimal
    fee: Decimal
    third_currency: str
    third_fee: Decimal
    price: TradePrice

    @classmethod
    def from_trade(cls, trade: BookedTrade, epoch: int) -> Fill:
        """Take the terms of a trade; call it inside `exact()`."""
        mark = Mark(trade.price, trade.executed_at, MarkSource.TRADE)
        is_foreign = trade.fee_currency != trade.currency
        return cls(
            Instrument(trade.currency, trade.multiplier, trade.settlement),
            *net_fill(trade),
            trade.fee_currency,
            third_fee(trade) if is_foreign else ZERO,
            TradePrice(trade.sequence, epoch, mark),
        )

    def applied(self, state: PointState) -> PointState:
        """Return the state after the fill; call it inside `exact()`."""
        is_paid = self.instrument.settlement is Settlement.CASH
        moved = state.balance.moved(self.size, self.unit_cash, self.fee, is_paid)
        other_fees, currency = state.other_fees, self.third_currency
        if self.third_fee:
            other_fees = {
                **other_fees,
                currency: other_fees.get(currency, ZERO) + self.third_fee,
            }
        return PointState(self.instrument, moved.balance, other_fees, self._added(state.prices))

    def _added(self, prices: tuple[TradePrice, ...]) -> tuple[TradePrice, ...]:
        """Add the price of the fill, and drop each that no snapshot lets be the mark any more."""
        new = self.price
        at = _time(new)
        kept = tuple(each for each in prices if each.epoch > new.epoch or _time(each) > at)
        is_older = any(each.epoch >= new.epoch and _time(each) > at for each in kept)
        return kept if is_older else (*kept, new)


def _time(price: TradePrice) -> datetime:
    return price.mark.at  # type: ignore[return-value]  # a trade has a time


class PointFold:
    """The states of one position at all points, as trades are applied in fold order."""

    def __init__(self, points: int) -> None:
        """Start without trades.

        Args:
            points: how many there are.
        """
        self._points = points
        self._firsts = [0]
        self._states = [PointState()]

    def apply(self, fill: Fill, first: int, behind: int) -> None:
        """Apply a fill from the point `first` to before the point `behind`; call it inside `exact()`."""
        if first >= behind:
            return
        if first == self._firsts[-1] and behind == self._points:  # nearly every trade
            self._states[-1] = fill.applied(self._states[-1])
            return
        place = self._split(first)
        end = len(self._firsts) if behind == self._points else self._split(behind)
        for number in range(place, end):
            self._states[number] = fill.applied(self._states[number])

    def _split(self, point: int) -> int:
        """Let a state begin at a point; return its place."""
        place = bisect_left(self._firsts, point)
        if place == len(self._firsts) or self._firsts[place] != point:
            self._firsts.insert(place, point)
            self._states.insert(place, self._states[place - 1])
        return place

    def states(self) -> Iterator[tuple[int, int, PointState]]:
        """Iterate over the states, each with its first point and the one behind its last."""
        behind = [*self._firsts[1:], self._points]
        return zip(self._firsts, behind, self._states, strict=True)
