"""`trades`: list, book, show, take out and correct trades."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, TypeAlias

import typer
from attrs import evolve, frozen

from tradebook.domain.errors import NotFound
from tradebook.domain.events import Event
from tradebook.domain.numbers import plain
from tradebook.domain.positions import Position
from tradebook.domain.trades import Trade
from tradebook.domain.validation import argument, order_identifier, utc_now
from tradebook.entrypoints.cli.book.entries import NUMBERS, recorded_now
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.filters import Filters
from tradebook.entrypoints.cli.messages import counted
from tradebook.entrypoints.cli.options import (
    By,
    CommandContext,
    OrderId,
    OrderSymbol,
    OrderVenue,
    Reason,
    WhichTrade,
    named_values,
    option,
    takes_option_sets,
    time_option,
)
from tradebook.entrypoints.cli.output import as_fields
from tradebook.entrypoints.cli.tables import Column, Kind, totals_by_currency
from tradebook.service_layer.handlers import record_trade
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

app = typer.Typer(invoke_without_command=True)

_COLUMNS: Final = (
    "executed_at symbol venue action quantity price fee realized_pnl currency status strategy "
    "order_id execution_id id"
)
_SPARE: Final = "currency realized_pnl fee venue status strategy order_id execution_id id"


@app.callback()
@takes_option_sets
def trades(
    context: CommandContext,
    filters: Filters,
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Only those of the last days.")
    ] = None,
) -> None:
    """List the latest trades, newest first; add one, show an order's, take out or correct a wrong one.

    tradebook trades --symbol AAPL --days 30 --limit 200
    tradebook trades add AAPL BUY 100 150.25 --fee 1 --order-id o-17
    tradebook trades show o-17
    tradebook trades bust o-17 --reason "cancelled by the venue"
    tradebook trades correct o-17 --price 150.25 --reason "misread"
    """
    if days is not None:
        if filters.since is not None:
            raise typer.BadParameter("does not go with --since", param_hint="--days")
        filters = evolve(filters, since=utc_now() - timedelta(days=days))
    with context.read_book() as manager:
        found = filters.newest(context, manager, Trade, "trades")

    executed = [trade for trade in found if trade.status == "EXECUTED"]
    totals = totals_by_currency(executed, ["fee", "realized_pnl"])
    context.answer_table(
        {"account": context.account, "trades": found, "totals": totals},
        f"{counted(len(found), 'trade')} of account {context.account}",
        select(Trade, _COLUMNS, spare=_SPARE),
        found,
        totals,
        empty=f"no such trades in account {context.account!r}; book a file with: tradebook import FILE",
    )


@frozen
class NewTerms:
    """The options that give the terms of a new trade, besides its arguments."""

    fee: Annotated[str | None, option("NUMBER", "What the venue took; below 0 for a rebate.")] = (
        None
    )
    fee_currency: Annotated[
        str | None, option("NAME", "Of the fee; the price's currency by default.")
    ] = None
    currency: Annotated[
        str | None, option("NAME", "Of the price; by default that of the symbol's first trade.")
    ] = None
    multiplier: Annotated[
        str | None, option("NUMBER", "What a price move of 1 earns for one unit.")
    ] = None
    settlement: Annotated[
        Literal["CASH", "MARGINED"] | None,
        typer.Option(case_sensitive=False, help="MARGINED: only P&L and fees move cash."),
    ] = None
    asset: Annotated[str | None, option("NAME", "What the quantity is units of.")] = None
    executed_at: Annotated[
        datetime | None,
        typer.Option(
            "--at", metavar="TIME", help="Trade time; now by default.", parser=time_option
        ),
    ] = None
    order_id: Annotated[str | None, option("ID", "The order; made up by default.")] = None
    execution_id: Annotated[
        str | None, option("ID", "The fill, for an order that has several.")
    ] = None
    venue: Annotated[str | None, option("NAME", "Where it was traded.")] = None
    strategy: Annotated[str | None, option("NAME", "The strategy that traded.")] = None
    decision_id: Annotated[
        int | None, option("ID", "The decision of an agent that led to it.", min=1)
    ] = None
    details: Annotated[
        list[str] | None,
        typer.Option(
            "--detail", metavar="NAME=VALUE", help="Anything else to keep; repeat it for each."
        ),
    ] = None
    status: Annotated[
        Literal["PENDING", "EXECUTED"] | None,
        typer.Option(case_sensitive=False, help="PENDING: an order that is not filled yet."),
    ] = None


@app.command(context_settings=NUMBERS)
@takes_option_sets
def add(
    context: CommandContext,
    symbol: Annotated[str, typer.Argument(help="The instrument.")],
    action: Annotated[str, typer.Argument(metavar="BUY|SELL", help="The side.")],
    quantity: Annotated[str, typer.Argument(help="How much, above 0.")],
    by: By,
    terms: NewTerms,
    price: Annotated[
        str | None, typer.Argument(help="For one unit; a pending market order has none.")
    ] = None,
) -> None:
    """Book one trade, and show what the position is now.

    With --order-id the command may be repeated: a fill that is booked already
    changes nothing. Without one, every run books another trade.

      tradebook trades add AAPL BUY 100 150.25 --fee 1 --order-id o-17
      tradebook trades add ES SELL 2 5310.5 --multiplier 50 --settlement margined
      tradebook trades add AAPL BUY 100 149 --status pending --order-id o-18
    """
    given = as_fields(terms)
    details = named_values(terms.details, "--detail", "NAME=VALUE", split=str.partition)
    given |= {"symbol": symbol, "action": action, "quantity": quantity, "price": price}
    with context.open_book(by, may_lag=False) as manager:
        trade, is_new = manager.run(
            recorded_now, record_trade, **given | {"details": details or None}
        )
        position = manager.get_position_by_symbol(trade.symbol)
    if is_new:
        outcome = "is open" if trade.status == "PENDING" else "is booked"
    else:
        outcome = "was recorded before; nothing was changed"
    context.answer(
        {
            "account": context.account,
            "trade": trade,
            "recorded_before": not is_new,
            "position": position,
        },
        f"order {trade.identity}: {terms_of(trade)}, {outcome}",
        *([] if position is None else [_held(position)]),
    )


@app.command()
def show(
    context: CommandContext, order_id: OrderId, symbol: OrderSymbol = None, venue: OrderVenue = None
) -> None:
    """Show every fill of an order, each of its revisions, and the events that speak of them.

    Busted and corrected trades are shown too, with the reason.

      tradebook trades show o-17
      tradebook trades show 1 --symbol AAPL --venue XNAS
    """
    with context.read_book() as manager:
        found, events = manager.read(_of_order, order_id, symbol, venue)
    if not found:
        raise NotFound("order", order_id, context.account)
    context.answer(
        {"account": context.account, "trades": found, "events": events},
        then=lambda: _show_order(context, order_id, found, events),
    )


def _of_order(
    uow: AbstractUnitOfWork, order_id: str, symbol: str | None, venue: str | None
) -> tuple[list[Trade], list[Event]]:
    """Read the trades of an order, and the events of them."""
    found = [
        trade
        for trade in uow.trades.of_order(argument("order_id", order_identifier, order_id))
        if symbol in (None, trade.symbol) and venue in (None, trade.venue)
    ]
    return found, uow.events.about(Trade.__name__, [trade.id for trade in found])


def _show_order(
    context: CommandContext, order_id: str, found: list[Trade], events: list[Event]
) -> None:
    names = (
        "id executed_at symbol venue action quantity price fee realized_pnl currency status "
        "execution_id revision bust_reason"
    )
    context.show_table(
        f"{counted(len(found), 'trade')} of order {order_id}",
        select(
            Trade,
            names,
            spare="currency realized_pnl bust_reason fee venue execution_id symbol revision",
        ),
        found,
    )
    context.show_table(
        counted(len(events), "event"),
        [
            *select(Event, "occurred_at entity_id event_type actor", spare="actor entity_id"),
            Column("what", "what", Kind.PROSE),
        ],
        [{**as_fields(event), "what": _particulars(event.payload)} for event in events],
    )


def _particulars(payload: Mapping[str, Any]) -> str:
    """Format what an event changed, and why: `price 150.25 -> 150.5, reason misread`."""
    changes: dict[str, list[object]] = payload.get("changes", {})
    told = {name: payload[name] for name in ("effect", "reason") if payload.get(name)}
    return ", ".join(
        [
            *(f"{name} {before} -> {after}" for name, (before, after) in changes.items() if before),
            *(f"{name} {value}" for name, value in told.items()),
        ]
    )


RightNumber: TypeAlias = Annotated[str | None, option("NUMBER", "The right number.")]


@frozen
class RightTerms:
    """The options that give the right terms of a trade."""

    action: Annotated[
        Literal["BUY", "SELL"] | None, typer.Option(case_sensitive=False, help="The right side.")
    ] = None
    quantity: RightNumber = None
    price: RightNumber = None
    fee: RightNumber = None
    fee_currency: Annotated[str | None, option("NAME", "The right currency of the fee.")] = None
    executed_at: Annotated[
        datetime | None, option("TIME", "The right trade time.", parser=time_option)
    ] = None


@app.command()
@takes_option_sets
def bust(context: CommandContext, which: WhichTrade, reason: Reason, by: By) -> None:
    """Take out a booked trade: positions, P&L and cash become as if it had never been booked.

    The trade stays on record with the reason, the time and the person; so do
    the snapshots that hold it. Repeating the command changes nothing.

      tradebook trades bust o-17 --reason "cancelled by the venue"
      tradebook trades bust o-17 --execution-id f-2 --reason "booked twice"
      tradebook trades bust --trade-id 8 --reason "not ours"
    """
    _bust_or_correct(context, "bust_trade", which, by, reason=reason)


@app.command()
@takes_option_sets
def correct(
    context: CommandContext,
    which: WhichTrade,
    reason: Reason,
    by: By,
    right: RightTerms,
) -> None:
    """Correct a booked trade: everything becomes as if it had been booked so at first.

    Terms that are not given stay. The wrong trade stays on record with the
    reason, the time and the person; its next revision counts in its place.
    Repeating the command changes nothing.

      tradebook trades correct o-17 --price 150.25 --reason "misread"
      tradebook trades correct o-17 --quantity 90 --fee 0.5 --reason "late report"
      tradebook trades correct --trade-id 8 --action sell --reason "wrong side"
    """
    terms = as_fields(right)
    if all(term is None for term in terms.values()):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in terms)
        raise typer.BadParameter(f"give at least one right term: {options}")
    _bust_or_correct(context, "correct_trade", which, by, reason=reason, **terms)


def _bust_or_correct(
    context: CommandContext, method: str, which: WhichTrade, by: str, **arguments: Any
) -> None:
    """Bust or correct a trade, and show what the position is now."""
    with context.open_book(by, may_lag=False) as manager:
        with context.progress_bar("folding") as report:
            trade = getattr(manager, method)(**as_fields(which), **arguments, progress=report)
        position = manager.get_position_by_symbol(trade.symbol)
    assert position is not None  # the trade was booked on it
    if trade.status == "BUSTED":
        outcome = f"is busted: {trade.bust_reason}"
    else:
        outcome = f"counts as {terms_of(trade)} (revision {trade.revision})"
    context.answer(
        {"account": context.account, "trade": trade, "position": position},
        f"order {trade.identity} {outcome}",
        _held(position),
    )


def _held(position: Position) -> str:
    """Format what a position is: `AAPL: quantity 10, realized P&L 0, fees 1 USD`."""
    return (
        f"{position.symbol}: quantity {plain(position.quantity)}, realized P&L "
        f"{plain(position.realized_pnl)}, fees {plain(position.fees)} {position.currency}"
    )


def terms_of(trade: Trade) -> str:
    """Format a trade's terms: `BUY 10 at 150.25 USD, fee 1`."""
    is_at_market = trade.price is None  # of a pending market order
    price = "the market" if is_at_market else f"{plain(trade.price)} {trade.currency}"
    return f"{trade.action} {plain(trade.quantity)} at {price}, fee {plain(trade.fee)}"
