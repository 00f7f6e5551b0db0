"""Orders for tests, and what there is to see of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tradebook import Order, Trade

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ORDER: dict[str, Any] = {
    "symbol": "AAPL",
    "action": "BUY",
    "quantity": 100,
    "price": 150,
    "order_id": "o",
}
PENDING: dict[str, Any] = {**ORDER, "status": "PENDING"}


def part(quantity: Any, execution_id: str, **terms: Any) -> dict[str, Any]:
    return {**ORDER, "quantity": quantity, "execution_id": execution_id, **terms}


def order(book: Any) -> Order:
    found = book.get_order("o")
    assert found is not None
    return found


def amounts(book: Any) -> tuple[Any, ...]:
    found = order(book)
    return found.status, found.ordered, found.filled, found.remaining


def events(book: Any, trade_id: int) -> list[Any]:
    return [*book.read(lambda uow: uow.events.of("Trade", trade_id))]


def state(book: Any) -> tuple[Any, ...]:
    """All that a refusal or a repetition must not change."""
    trades = [vars_of(trade) for trade in book.get_trades(limit=100)]
    return trades, [p.balance for p in book.get_positions()], len(book.get_events(limit=1000))


def vars_of(trade: Trade) -> tuple[Any, ...]:
    return trade.id, trade.status, trade.quantity, trade.execution_id, trade.sequence


def require_sound(book: Any) -> None:
    assert book.verify().proven
    assert book.rebuild().positions == ()
    book.seal()
    assert book.check_seals().findings == ()
