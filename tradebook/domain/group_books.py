"""Books of groups: the trades of one group in one symbol, folded by the rules of positions on a cost basis of their own.

Groups that trade a symbol in one account share its position, whose realized P&L is measured against their common cost
basis. On its own cost basis a group realizes what it bought and sold itself: amounts move between realized and
unrealized P&L, and the net P&L of all groups still adds up to the book's to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar

from attrs import define, evolve, field, fields

from tradebook.domain.accounting import Balance, BookedTrade, net_fill
from tradebook.domain.assets import third_fee
from tradebook.domain.events import Effect
from tradebook.domain.numbers import EXACT, ZERO
from tradebook.domain.shares import shares

K = TypeVar("K")

_NOTHING: Final = Balance()
_MICROSECOND: Final = timedelta(microseconds=1)


@define
class Sums:
    """Sums of a group in one currency.

    Attributes:
        realized_pnl, unrealized_pnl, fees, income, cost: as in `AttributionRow`.
        gross_profit: of the trades that realized more than 0.
        gross_loss: of those that realized less, above 0.
        turnover: as in `AttributionRow`.
        trades: executed.
        closing_trades: those of them that closed some of what was held.
        wins: closing trades that realized more than 0.
        losses: closing trades that realized less than 0.
        round_trips: from flat to flat, or through zero, that were closed.
        calls: agents' actions.
        unpriced: costs that are not known.
        held: the duration of all round trips together, in microseconds.
    """

    realized_pnl: Decimal = ZERO
    unrealized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    income: Decimal = ZERO
    cost: Decimal = ZERO
    gross_profit: Decimal = ZERO
    gross_loss: Decimal = ZERO
    turnover: Decimal = ZERO
    trades: int = 0
    closing_trades: int = 0
    wins: int = 0
    losses: int = 0
    round_trips: int = 0
    calls: int = 0
    unpriced: int = 0
    held: int = 0

    @property
    def holding_time(self) -> timedelta | None:
        """The average duration of a round trip; None without any."""
        if not self.round_trips:
            return None
        return timedelta(microseconds=self.held // self.round_trips)

    def add(self, other: Sums) -> None:
        """Add the sums of the same currency."""
        for name in AMOUNTS:
            if value := getattr(other, name):
                setattr(self, name, EXACT.add(getattr(self, name), value))
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def converted(self, convert: Callable[[Decimal], Decimal]) -> Sums:
        """Return the sums with each amount converted, such as into another currency."""
        amounts: dict[str, Any] = {name: convert(getattr(self, name)) for name in AMOUNTS}
        return evolve(self, **amounts)

    def split(self, weights: Sequence[int]) -> list[Sums]:
        """Return a part for each weight: shares of each amount that add up to it, and all counts whole in each."""
        parts = [evolve(self) for _ in weights]
        for name in AMOUNTS:
            for part, share in zip(parts, shares(getattr(self, name), weights), strict=True):
                setattr(part, name, share)
        return parts


def merge(sums: dict[K, Sums], key: K, added: Sums) -> None:
    """Add to the sums of a key; those of a new key are `added` itself, as there may be a million of them."""
    found = sums.setdefault(key, added)
    if found is not added:
        found.add(added)


_NAMES: Final = tuple(each.name for each in fields(Sums))
AMOUNTS: Final = _NAMES[: _NAMES.index("trades")]
"""The sums that are amounts of money."""
_COUNTS: Final = _NAMES[_NAMES.index("trades") :]


@define
class GroupBook:
    """The trades of one group in one symbol, folded in the book's order.

    In a period two balances are folded, of the trades before its end and of those before its start.

    Attributes:
        balance: of the trades before the end of the period; of all without one.
        before: of the trades before its start; flat without one.
        other_fees: in third assets, of the trades in the period, by currency.
        sums: statistics of the trades in the period, gross of fees. A round trip lasts for the time between the
            trades that opened and closed it.
        opened_at: trade time of the fill that opened it last.
    """

    balance: Balance = _NOTHING
    before: Balance = _NOTHING
    other_fees: dict[str, Decimal] = field(factory=dict)
    sums: Sums = field(factory=Sums)
    opened_at: datetime | None = None

    def apply(self, trade: BookedTrade, *, is_before: bool = False) -> Decimal:
        """Fold a trade that counts, and return the size that it moved; call it inside `exact()`.

        Args:
            trade: executed before the end of the period.
            is_before: whether it was executed before the start of it.
        """
        size, unit_cash, fee = net_fill(trade)
        is_paid = trade.is_paid
        self.balance, realized, effect = self.balance.moved(size, unit_cash, fee, is_paid)
        if is_before:
            self.before = self.before.moved(size, unit_cash, fee, is_paid).balance
        else:
            self._count(trade, size * unit_cash, realized, effect)
        if effect is Effect.OPENED or effect is Effect.FLIPPED:
            self.opened_at = trade.executed_at
        return size

    def _count(self, trade: BookedTrade, value: Decimal, realized: Decimal, effect: Effect) -> None:
        sums = self.sums
        sums.trades += 1
        sums.turnover += abs(value)
        if trade.fee_currency != trade.currency and (fee := third_fee(trade)):
            currency = trade.fee_currency
            self.other_fees[currency] = self.other_fees.get(currency, ZERO) + fee
        if effect is Effect.OPENED or effect is Effect.INCREASED:
            return
        sums.closing_trades += 1
        if realized > 0:
            sums.wins += 1
            sums.gross_profit += realized
        elif realized:
            sums.losses += 1
            sums.gross_loss -= realized
        if effect is not Effect.REDUCED and self.opened_at is not None:
            sums.round_trips += 1
            sums.held += abs(trade.executed_at - self.opened_at) // _MICROSECOND

    def valued(self, end: Decimal, start: Decimal) -> Sums:
        """Return all sums of the period but those of other fees.

        Args:
            end: the price of one unit times the multiplier at the end of the period; any where it is flat then.
            start: the same at its start.
        """
        now, then = self.balance, self.before
        realized = EXACT.subtract(now.realized_pnl, then.realized_pnl)
        unrealized = EXACT.subtract(_unrealized(now, end), _unrealized(then, start))
        fees = EXACT.subtract(now.fees, then.fees)
        return evolve(self.sums, realized_pnl=realized, unrealized_pnl=unrealized, fees=fees)


def _unrealized(balance: Balance, unit_value: Decimal) -> Decimal:
    return EXACT.subtract(EXACT.multiply(balance.quantity, unit_value), balance.cost_basis)
