"""`orders`: the open orders, and any order with its fills."""

from __future__ import annotations

import typer
from attrs import evolve

from tradebook.domain.errors import NotFound
from tradebook.domain.numbers import plain
from tradebook.domain.orders import Order, OrderStatus
from tradebook.domain.trades import Trade
from tradebook.domain.validation import enum_member
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.filters import Choice
from tradebook.entrypoints.cli.messages import counted
from tradebook.entrypoints.cli.options import (
    CommandContext,
    OrderId,
    OrderSymbol,
    OrderVenue,
    takes_option_sets,
)

app = typer.Typer(invoke_without_command=True)


@app.callback()
@takes_option_sets
def orders(context: CommandContext, choice: Choice) -> None:
    """List the open orders, the oldest first; show any order with its fills.

    tradebook orders --symbol AAPL
    tradebook orders show o-17
    """
    if choice.status is not None:
        choice = evolve(choice, status=enum_member(OrderStatus, choice.status))
    with context.read_book() as manager:
        found = choice.chosen(manager.get_open_orders(), Order, "orders", "recorded_at")
    context.answer_table(
        {"account": context.account, "orders": found},
        f"{counted(len(found), 'open order')} of account {context.account}",
        select(
            Order,
            "recorded_at symbol venue action ordered filled remaining price average_price status "
            "order_id",
            spare="filled action status venue average_price price recorded_at",
        ),
        found,
        empty=f"no such open orders in account {context.account!r}; show any other with: "
        "tradebook orders show ORDER_ID",
    )


@app.command()
def show(
    context: CommandContext,
    order_id: OrderId,
    symbol: OrderSymbol = None,
    venue: OrderVenue = None,
) -> None:
    """Show an order, open or not: what was ordered, and the fills that count.

    tradebook orders show o-17
    tradebook orders show 1 --symbol AAPL --venue XNAS
    """
    with context.read_book() as manager:
        order = manager.get_order(order_id, symbol=symbol, venue=venue)
    if order is None:
        raise NotFound("order", order_id, context.account)
    fees = ", ".join(f"{plain(fee)} {currency}" for currency, fee in order.fees.items())
    average = "" if order.average_price is None else f" at {plain(order.average_price)} on average"
    over = f", overfilled by {plain(order.overfilled)}" if order.overfilled else ""
    context.answer_table(
        {"account": context.account, "order": order},
        f"order {order.order_id} is {order.status}: {order.action} {plain(order.ordered)} {order.symbol}, "
        f"filled {plain(order.filled)}{average}, remaining {plain(order.remaining)}{over}, "
        f"fees {fees or 0}",
        select(
            Trade,
            "executed_at quantity price fee fee_currency execution_id id",
            spare="fee_currency id",
        ),
        order.fills,
        empty=f"order {order.order_id} is {order.status}: {order.action} {plain(order.ordered)} "
        f"{order.symbol}, without a fill that counts",
    )
