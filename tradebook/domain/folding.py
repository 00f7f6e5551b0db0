"""Folds of the trades of one symbol, in the order of their `sequence`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from attrs import define, evolve, field

from tradebook.domain.accounting import Balance, BookedTrade
from tradebook.domain.events import Effect
from tradebook.domain.numbers import canonical, exact
from tradebook.domain.positions import INSTRUMENT, Position, PositionStatus
from tradebook.domain.trades import Settlement, Trade

AMOUNTS: Final = ("quantity", "cost_basis", "realized_pnl", "fees", "cash_flow")


@define
class Fold:
    """The totals of a position, computed from its trades.

    Attributes:
        symbol: whose trades.
        balance: the running totals.
        opened_at: trade time of the fill that opened it last; none before the first.
        closed_at: trade time of the fill that closed it; none while open.
        constants: the currency, multiplier and settlement of the first trade; empty before it.
    """

    symbol: str
    balance: Balance = field(factory=Balance)
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    constants: Mapping[str, object] = field(factory=dict)

    def apply(self, trade: Trade | BookedTrade) -> Decimal:
        """Fold one trade, and return the price P&L that it realized, before fees."""
        size, in_cash = trade.signed_quantity, trade.settlement is Settlement.CASH
        with exact():
            unit_cash = trade.price * trade.multiplier
            self.balance, realized, done = self.balance.moved(size, unit_cash, trade.fee, in_cash)
        if not self.constants:
            self.constants = {name: getattr(trade, name) for name in INSTRUMENT}
        if done in (Effect.OPENED, Effect.FLIPPED):
            self.opened_at, self.closed_at = trade.executed_at, None
        elif done is Effect.CLOSED:
            self.closed_at = trade.executed_at
        return canonical(realized)

    def copy(self) -> Fold:
        """Return an independent copy of the fold."""
        return evolve(self)

    def values(self) -> dict[str, object]:
        """Return the fields of the position that follow from these trades, by name."""
        return {
            **{name: canonical(getattr(self.balance, name)) for name in AMOUNTS},
            "status": PositionStatus.OPEN if self.balance.quantity else PositionStatus.CLOSED,
            "opened_at": self.opened_at,
            "closed_at": self.closed_at,
            **self.constants,
        }


def differing(position: Position, values: Mapping[str, object]) -> Collection[str]:
    """Return the names of the fields of a position that differ from these values."""
    return [name for name, value in values.items() if getattr(position, name) != value]
