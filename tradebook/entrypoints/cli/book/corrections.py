"""`trades bust`, `trades correct` and `rebuild`: late corrections, and repair."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

import typer

from tradebook.domain.numbers import plain
from tradebook.domain.positions import Position
from tradebook.domain.trades import Trade
from tradebook.entrypoints.cli.book.lifecycle import show_verification
from tradebook.entrypoints.cli.options import (
    AccountName,
    AsJson,
    Database,
    login_name,
    opened,
    time_given,
)
from tradebook.entrypoints.cli.output import as_fields, counted, print_json, progress_bar, say
from tradebook.entrypoints.manager import DatabaseManager

Reason: TypeAlias = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept with the trade.")
]
OrderId: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="ORDER_ID", help="Which order.", show_default=False)
]
TradeId: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--trade-id",
        metavar="ID",
        min=1,
        help="Which trade, by its id in the book, instead of ORDER_ID.",
        show_default=False,
    ),
]
ExecutionId: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--execution-id",
        metavar="ID",
        help="Which fill, of an order that has several.",
        show_default=False,
    ),
]
Who: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="NAME",
        help="Who does it; your login name by default.",
        show_default=False,
    ),
]


def bust(
    reason: Reason,
    order_id: OrderId = None,
    trade_id: TradeId = None,
    execution_id: ExecutionId = None,
    by: Who = None,
    database: Database = None,
    account: AccountName = "main",
    as_json: AsJson = False,
) -> None:
    """Take out a booked trade: all becomes as if it had never been.

    The trade stays on record, with who busted it, when and why, and so do the
    snapshots that hold it. Doing so again changes nothing.

      tradebook trades bust o-17 --reason "cancelled by the venue"
      tradebook trades bust o-17 --execution-id f-2 --reason "booked twice"
      tradebook trades bust --trade-id 8 --reason "not ours"
    """
    _require_one(order_id, trade_id)
    with (
        _opened(database, account, by) as manager,
        progress_bar("folding", quiet=as_json) as report,
    ):
        trade = manager.bust_trade(
            order_id=order_id,
            trade_id=trade_id,
            execution_id=execution_id,
            reason=reason,
            progress=report,
        )
        position = manager.get_position_by_symbol(trade.symbol)
    if as_json:
        print_json({"account": account, "trade": trade, "position": position})
    else:
        say(f"order {trade.identity} is busted: {trade.bust_reason}")
        _say_what_is_held(position)


def correct(
    reason: Reason,
    order_id: OrderId = None,
    trade_id: TradeId = None,
    execution_id: ExecutionId = None,
    action: Annotated[
        Literal["BUY", "SELL"] | None,
        typer.Option("--action", case_sensitive=False, help="The right side.", show_default=False),
    ] = None,
    quantity: Annotated[
        str | None,
        typer.Option("--quantity", metavar="NUMBER", help="The right one.", show_default=False),
    ] = None,
    price: Annotated[
        str | None,
        typer.Option("--price", metavar="NUMBER", help="The right one.", show_default=False),
    ] = None,
    fee: Annotated[
        str | None,
        typer.Option("--fee", metavar="NUMBER", help="The right one.", show_default=False),
    ] = None,
    executed_at: Annotated[
        datetime | None,
        typer.Option(
            "--executed-at",
            metavar="TIME",
            parser=time_given,
            help="The right trade time, in UTC unless it says otherwise.",
            show_default=False,
        ),
    ] = None,
    by: Who = None,
    database: Database = None,
    account: AccountName = "main",
    as_json: AsJson = False,
) -> None:
    """Put a booked trade right: all becomes as if it had been booked so at first.

    What is left out stays as it is. The wrong trade stays on record, with who
    corrected it, when and why; its next revision counts in its place. Doing
    so again changes nothing.

      tradebook trades correct o-17 --price 150.25 --reason "misread"
      tradebook trades correct o-17 --quantity 90 --fee 0.5 --reason "late report"
      tradebook trades correct --trade-id 8 --action sell --reason "wrong side"
    """
    _require_one(order_id, trade_id)
    terms: dict[str, Any] = {
        "action": action,
        "quantity": quantity,
        "price": price,
        "fee": fee,
        "executed_at": executed_at,
    }
    if all(term is None for term in terms.values()):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in terms)
        raise typer.BadParameter(f"say what is right: {options}")
    with (
        _opened(database, account, by) as manager,
        progress_bar("folding", quiet=as_json) as report,
    ):
        trade = manager.correct_trade(
            order_id=order_id,
            trade_id=trade_id,
            execution_id=execution_id,
            **terms,
            reason=reason,
            progress=report,
        )
        position = manager.get_position_by_symbol(trade.symbol)
    if as_json:
        print_json({"account": account, "trade": trade, "position": position})
    else:
        say(f"order {trade.identity} counts as {terms_of(trade)} (revision {trade.revision})")
        _say_what_is_held(position)


def _opened(
    database: str | None, account: str, by: str | None
) -> AbstractContextManager[DatabaseManager]:
    return opened(database, account, login_name() if by is None else by, reads_elsewhere=False)


def _require_one(order_id: str | None, trade_id: int | None) -> None:
    if (order_id is None) == (trade_id is None):
        raise typer.BadParameter("say which trade: either ORDER_ID or --trade-id ID")


def terms_of(trade: Trade) -> str:
    """`BUY 10 at 150.25 USD, fee 1`."""

    return (
        f"{trade.action} {plain(trade.quantity)} at {plain(trade.price)} {trade.currency}, "
        f"fee {plain(trade.fee)}"
    )


def _say_what_is_held(position: Position | None) -> None:

    assert position is not None  # something was booked on it
    say(
        f"{position.symbol}: quantity {plain(position.quantity)}, realized P&L "
        f"{plain(position.realized_pnl)}, fees {plain(position.fees)} {position.currency}"
    )


def rebuild(
    symbol: Annotated[
        str | None,
        typer.Option("--symbol", metavar="SYMBOL", help="This position only.", show_default=False),
    ] = None,
    database: Database = None,
    account: AccountName = "main",
    as_json: AsJson = False,
) -> None:
    """Fold positions from their trades again, and put right what is wrong in them.

    Then verify the book. What was put right stays on record as an event, with
    before and after; nothing is changed where all is well. Exits with 1 and a
    table of what is left, such as a snapshot that somebody altered.

      tradebook verify || tradebook rebuild
      tradebook rebuild --symbol AAPL
    """
    with opened(database, account, reads_elsewhere=False) as manager:
        with progress_bar("folding", quiet=as_json) as report:
            rebuilt = manager.rebuild(symbol, progress=report)
        with progress_bar("verifying", quiet=as_json) as report:
            result = manager.verify(progress=report)
    if as_json:
        left = {"proven": result.proven, "differences": result.differences}
        print_json({"account": account, **as_fields(rebuilt), **left})
    else:
        names = f" ({', '.join(rebuilt.positions)})" if rebuilt.positions else ""
        say(
            f"{counted(rebuilt.trades, 'trade')} folded: "
            f"{counted(len(rebuilt.positions), 'position')}{names} put right, "
            f"{counted(rebuilt.restated, 'trade')} restated"
        )
        show_verification(result)
    if not result.proven:
        raise typer.Exit(1)
