"""Queries of orders: what was ordered, what is filled, and what is open."""

from __future__ import annotations

from tradebook.domain.errors import InvalidInput
from tradebook.domain.events import Event
from tradebook.domain.orders import Order, by_order, ended_with, unfilled_row
from tradebook.domain.trades import Trade, TradeStatus
from tradebook.domain.validation import (
    argument,
    optional_identifier,
    order_identifier,
    short_text,
)
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


def get_order(
    uow: AbstractUnitOfWork,
    order_id: str | int,
    *,
    symbol: str | None = None,
    venue: str | None = None,
) -> Order | None:
    """Return an order with its fills; None when there is no trade of it.

    Args:
        uow: a read-only unit of work, which has one consistent view.
        order_id: the venue's or client's id of the order.
        symbol: the instrument, where several orders have this id.
        venue: the venue, where several orders have this id.

    Raises:
        InvalidInput: several orders have this id; the message lists them.
    """
    order_id = argument("order_id", order_identifier, order_id)
    symbol = argument("symbol", optional_identifier, symbol)
    venue = None if venue is None else argument("venue", short_text, venue)
    found = by_order(
        trade
        for trade in uow.trades.of_order(order_id)
        if symbol in (None, trade.symbol) and venue in (None, trade.venue)
    )
    if len(found) > 1:
        listed = ", ".join(sorted(f"{key.symbol} at {key.venue!r}" for key in found))
        raise InvalidInput("order_id", order_id, f"a symbol or venue with it, one of: {listed}")
    for trades in found.values():
        return Order.from_trades(trades, ended_with(_endings(uow, trades)))
    return None


def get_open_orders(uow: AbstractUnitOfWork, *, symbol: str | None = None) -> list[Order]:
    """Return the orders of which a part is open, in the order in which they were recorded.

    Args:
        uow: a read-only unit of work, which has one consistent view.
        symbol: only those of this instrument.
    """
    symbol = argument("symbol", optional_identifier, symbol)
    orders = [
        Order.from_trades(trades)
        for key, trades in by_order(uow.trades.of_open_orders()).items()
        if symbol in (None, key.symbol)
        and any(trade.status is TradeStatus.PENDING for trade in trades)
    ]
    return sorted(orders, key=lambda order: order.recorded_at)


def _endings(uow: AbstractUnitOfWork, trades: list[Trade]) -> list[Event]:
    """Read the events of which one says how much was ordered, where the order is not open any more."""
    row = unfilled_row(trades)
    if row is None:
        return uow.events.bookings_of([trade.id for trade in trades])
    is_open = row.status is TradeStatus.PENDING
    return [] if is_open else uow.events.of(Trade.__name__, row.id)
