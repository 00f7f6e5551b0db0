"""`trades` and `positions`: list, take out and correct trades; show what is held and earned."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated, Any, Literal, TypeAlias

import typer
from attrs import frozen

from tradebook.domain.numbers import plain
from tradebook.domain.positions import Position
from tradebook.domain.trades import Trade
from tradebook.entrypoints.cli.book.accounts import (
    POSITION_AMOUNTS,
    POSITION_COLUMNS,
    POSITION_SPARE,
    show_all_positions,
)
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.messages import counted
from tradebook.entrypoints.cli.options import (
    AsOf,
    By,
    CommandContext,
    Reason,
    Symbol,
    WhichTrade,
    option,
    takes_option_sets,
    time_option,
)
from tradebook.entrypoints.cli.output import as_fields
from tradebook.entrypoints.cli.tables import totals_by_currency

app = typer.Typer(invoke_without_command=True)


@app.callback()
def trades(
    context: CommandContext,
    symbol: Symbol = None,
    limit: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="At most this many, the latest first.")
    ] = 50,
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Only those of the last days.")
    ] = None,
) -> None:
    """List the latest trades, newest first; take out or correct a wrong one.

    tradebook trades --symbol AAPL --days 30 --limit 200
    tradebook trades bust o-17 --reason "cancelled by the venue"
    tradebook trades correct o-17 --price 150.25 --reason "misread"
    """
    with context.read_book() as manager, manager.unit_of_work(read_only=True) as uow:
        since = None if days is None else uow.now() - timedelta(days=days)
        equal: dict[str, Any] = {} if symbol is None else {"symbol": symbol}
        trades_found = uow.trades.iterate(since=since, batch=min(limit, 1000), **equal)
        found = list(islice(trades_found, limit))

    executed = [trade for trade in found if trade.status == "EXECUTED"]
    totals = totals_by_currency(executed, ["fee", "realized_pnl"])
    columns = select(
        Trade,
        "executed_at symbol venue action quantity price fee realized_pnl currency status strategy "
        "order_id execution_id id",
        spare="currency fee venue status strategy order_id execution_id id",
    )
    context.answer_table(
        {"account": context.account, "trades": found, "totals": totals},
        f"{counted(len(found), 'trade')} of account {context.account}",
        columns,
        found,
        totals,
        empty=f"no such trades in account {context.account!r}; book a file with: tradebook import FILE",
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
        f"{position.symbol}: quantity {plain(position.quantity)}, realized P&L "
        f"{plain(position.realized_pnl)}, fees {plain(position.fees)} {position.currency}",
    )


def terms_of(trade: Trade) -> str:
    """Format a trade's terms: `BUY 10 at 150.25 USD, fee 1`."""
    return (
        f"{trade.action} {plain(trade.quantity)} at {plain(trade.price)} {trade.currency}, "
        f"fee {plain(trade.fee)}"
    )


@takes_option_sets
def positions(
    context: CommandContext,
    as_of: AsOf,
    include_closed: Annotated[
        bool, typer.Option("--all", help="Show closed positions too, with what they earned.")
    ] = False,
) -> None:
    """Show what is held, what it cost and what it earned, by symbol.

    Realized and unrealized P&L are before fees; net is realized + unrealized
    - fees. The quantity of a short position is negative. Totals stand below,
    by currency.

    As of a time, prices are those of the last snapshot before it, else those
    of the last trades.

    --account all shows those of every account, with totals over all of them.

      tradebook positions --all
      tradebook positions --account all
      tradebook positions --as-of 2024-05-17T16:00
      tradebook positions --as-of 2024-05-17T16:00 --by executed
    """
    if context.is_for_all:
        show_all_positions(context, as_of, include_closed=include_closed)
        return
    with context.read_book() as manager:
        if as_of.time is not None:
            with context.progress_bar("folding") as report:
                past = manager.positions_as_of(as_of.time, by=as_of.by, progress=report)
            found = [position for position in past if include_closed or position.quantity]
        else:
            found = manager.get_positions() if include_closed else manager.get_open_positions()

    totals = totals_by_currency(found, POSITION_AMOUNTS)
    account, when = context.account, f" {as_of}".rstrip()
    time = {} if as_of.time is None else {"as_of": as_of.time, "by": as_of.by}
    columns = select(Position, POSITION_COLUMNS, spare=POSITION_SPARE)
    context.answer_table(
        {"account": account, **time, "positions": found, "totals": totals},
        f"{counted(len(found), 'position')} of account {account}{when}",
        columns,
        found,
        totals,
        empty=f"no {'' if include_closed else 'open '}positions in account {account!r}{when}"
        + ("" if include_closed else "; --all shows closed ones")
        + ("" if as_of.time is None or as_of.given_by else "; --by executed goes by trade times"),
    )
