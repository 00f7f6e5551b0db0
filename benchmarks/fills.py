"""The fills that benchmarks book, and what is told of them: the same for every way of booking."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from tradebook.domain.accounting import Balance, Moved
from tradebook.domain.numbers import ONE, ZERO, plain


class Fill(NamedTuple):
    """One unit bought, for cash."""

    account: str
    symbol: str
    order_id: str
    price: Decimal
    at: datetime
    action: str = "BUY"
    quantity: Decimal = ONE
    signed_quantity: Decimal = ONE
    fee: Decimal = ZERO
    multiplier: Decimal = ONE
    is_paid: bool = True


def evidence(fill: Fill, sequence: int, before: Balance, moved: Moved) -> dict[str, str | int]:
    """What the event says: the same as the library's."""
    return {
        "symbol": fill.symbol,
        "order_id": fill.order_id,
        "execution_id": "",
        "action": fill.action,
        "quantity": plain(fill.quantity),
        "price": plain(fill.price),
        "fee": plain(fill.fee),
        "currency": "USD",
        "executed_at": fill.at.isoformat(),
        "sequence": sequence,
        "realized_pnl": plain(moved.realized),
        "effect": moved.effect,
        "quantity_before": plain(before.quantity),
        "quantity_after": plain(moved.balance.quantity),
    }


def new_fill(account: str, symbol: str, order_id: str, price: int) -> Fill:
    """A fill as the benchmarks book it."""
    return Fill(account, symbol, order_id, Decimal(price), datetime.now(UTC))
