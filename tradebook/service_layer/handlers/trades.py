"""Handlers of orders: execute, cancel and reject a pending trade."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final, cast

from tradebook.domain.errors import InvalidInput, InvalidTransition, NotFound
from tradebook.domain.events import TradeCancelled, TradeRejected
from tradebook.domain.numbers import Number
from tradebook.domain.orders import by_order, ordered_quantity, unfilled_row
from tradebook.domain.trades import Trade, TradeStatus
from tradebook.domain.validation import (
    argument,
    fill_identifier,
    long_text,
    optional_id,
    optional_order_identifier,
)
from tradebook.service_layer.handlers._common import given
from tradebook.service_layer.handlers.booking import record_trade
from tradebook.service_layer.handlers.trade_terms import TradeTerms
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_OF_ORDER: Final = ("symbol", "venue", "order_id", "execution_id", "action", "quantity", "price")
"""The terms that a fill takes from its order, or from the fill that it repeats, where it has none of its own."""


def execute_trade(
    uow: AbstractUnitOfWork,
    *,
    order_id: str | int | None = None,
    trade_id: int | None = None,
    price: Number | None = None,
    quantity: Number | None = None,
    fee: Number | None = None,
    executed_at: datetime | str | None = None,
    execution_id: str | int | None = None,
) -> Trade:
    """Book a fill of a pending trade, with its price, quantity, fee and time.

    A quantity below what is open leaves the rest of the order pending, and needs an execution id.

    Args:
        uow: the unit of work.
        order_id: the order's id; this or `trade_id`.
        trade_id: the trade's id.
        price: of the fill, for one unit; as recorded by default; a market order has none.
        quantity: of the fill; all that is open by default.
        fee: of the fill; negative is a rebate.
        executed_at: the trade time; now by default.
        execution_id: of the fill.

    Returns:
        The booked trade, for a fill that leaves a rest open another one than the pending trade; when it was booked before on the same terms, that one.

    Raises:
        NotFound: there is no such trade.
        InvalidTransition: it was cancelled or rejected.
        InvalidInput: a value is refused; the order has no price and none is given; or a fill that leaves a rest
            open has no execution id of its own.
        DuplicateOrder: it was executed on other terms.
    """
    order = find_trade(uow, order_id, trade_id)
    if execution_id is not None:
        execution_id = argument("execution_id", fill_identifier, execution_id)
    terms = given(
        price=price, quantity=quantity, fee=fee, executed_at=executed_at, execution_id=execution_id
    )
    order = _booked_fill(uow, order, execution_id) or order
    if price is None:
        order.require_price()
    if order.sequence is None:
        terms.setdefault("executed_at", uow.now())
    defaults = {name: getattr(order, name) for name in _OF_ORDER}
    return record_trade(uow, **cast("TradeTerms", {**defaults, **terms}))


def cancel_trade(
    uow: AbstractUnitOfWork,
    *,
    order_id: str | int | None = None,
    trade_id: int | None = None,
    reason: str = "",
) -> Trade:
    """Cancel what is open of an order; its fills stay, and cancelling it again changes nothing.

    Raises:
        NotFound: there is no such trade.
        InvalidTransition: it was filled or rejected.
    """
    why = argument("reason", long_text, reason)
    return _end(uow, order_id, trade_id, partial(Trade.cancel, reason=why, at=uow.now()))


def reject_trade(
    uow: AbstractUnitOfWork,
    *,
    order_id: str | int | None = None,
    trade_id: int | None = None,
    reason: str = "",
) -> Trade:
    """Record that the venue refused what is open of an order; doing so again changes nothing.

    Raises:
        NotFound: there is no such trade.
        InvalidTransition: it was filled or cancelled.
    """
    why = argument("reason", long_text, reason)
    return _end(uow, order_id, trade_id, partial(Trade.reject, reason=why, at=uow.now()))


def find_trade(uow: AbstractUnitOfWork, order_id: str | int | None, trade_id: int | None) -> Trade:
    """Return the trade with an order id or a trade id; of an order with fills its unfilled row, or the first.

    Raises:
        NotFound: there is none.
        InvalidInput: both are given, or none, or the order id is that of several orders.
    """
    order_id = argument("order_id", optional_order_identifier, order_id)
    trade_id = argument("trade_id", optional_id, trade_id)
    if (order_id is None) == (trade_id is None):
        raise InvalidInput("order_id", order_id, "either an order_id or a trade_id")
    if order_id is None:
        return uow.trades.get(cast("int", trade_id))
    trades = uow.trades.of_order(order_id)
    if not trades:
        raise NotFound("order", order_id, uow.account)
    if len({trade.order_key for trade in trades}) > 1:
        raise InvalidInput(
            "order_id", order_id, "a trade_id: several symbols or venues have this order id"
        )
    return unfilled_row(trades) or trades[0]


def _booked_fill(
    uow: AbstractUnitOfWork, order: Trade, execution_id: str | int | None
) -> Trade | None:
    """Return the booked fill that a repeated execution of its order refers to; None where there is none yet."""
    wanted = order.execution_id if execution_id is None else execution_id
    for trade in uow.trades.of_order(order.order_id):
        if (trade.order_key, trade.execution_id) == (order.order_key, wanted) and trade.sequence:
            return trade
    if order.status is TradeStatus.PENDING:
        return None
    raise InvalidTransition(
        f"order {order.identity} is {order.status} and cannot be executed; "
        "record a further fill with record_trade and its own execution_id"
    )


def _end(
    uow: AbstractUnitOfWork,
    order_id: str | int | None,
    trade_id: int | None,
    end: Callable[..., TradeCancelled | TradeRejected | None],
) -> Trade:
    found = find_trade(uow, order_id, trade_id)
    # The position is locked and the trade read again: a fill may be booked at the same time.
    opened = uow.ledger.open(found.symbol, {found.order_key})
    trade = next(t for t in opened.trades if t.id == found.id)
    rows = by_order(opened.trades)[trade.order_key]
    uow.record(end(trade, ordered=ordered_quantity(rows)), trade)
    return trade
