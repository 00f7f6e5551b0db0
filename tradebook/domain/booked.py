"""Booked trades as plain values: what folding and proving a book take, without an entity for each."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final, NamedTuple, cast

from tradebook.domain.trades import Settlement, Trade, TradeAction, TradeStatus


class BookedTrade(NamedTuple):
    """Some fields of a `Trade` that was booked, under their names there."""

    id: int
    symbol: str
    order_id: str
    execution_id: str
    strategy: str
    action: TradeAction
    quantity: Decimal
    price: Decimal
    fee: Decimal
    currency: str
    multiplier: Decimal
    settlement: Settlement
    executed_at: datetime
    status: TradeStatus
    sequence: int
    booked_at: datetime
    realized_pnl: Decimal
    corrects_id: int | None
    busted_at: datetime | None
    bust_sequence: int | None

    @classmethod
    def of(cls, trade: Trade) -> BookedTrade:
        """The values of an entity."""
        return cls._make(cast("Any", _values)(trade))

    @property
    def signed_quantity(self) -> Decimal:
        """Positive when bought, negative when sold."""
        bought = self.action is TradeAction.BUY
        return self.quantity if bought else self.quantity.copy_negate()


_values: Final = attrgetter(*BookedTrade._fields)
