"""`prices`: the prices at which positions are marked."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import typer

from tradebook.domain.errors import NotFound
from tradebook.domain.numbers import ZERO, plain
from tradebook.domain.positions import Position
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.filters import Choice
from tradebook.entrypoints.cli.messages import counted
from tradebook.entrypoints.cli.options import (
    CommandContext,
    named_values,
    takes_option_sets,
    time_option,
)
from tradebook.service_layer.handlers import MarkedPositions, mark_prices
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

app = typer.Typer(invoke_without_command=True)

_FORM: Final = "SYMBOL=PRICE, such as AAPL=152.1"


@app.callback()
@takes_option_sets
def prices(context: CommandContext, choice: Choice) -> None:
    """List the prices at which positions are marked; set them.

    tradebook prices
    tradebook prices set AAPL=152.1 MSFT=410
    """
    with context.read_book() as manager:
        found = choice.chosen(manager.get_positions(), Position, "prices")
    context.answer_table(
        {"account": context.account, "prices": [_price(position) for position in found]},
        f"{counted(len(found), 'price')} of account {context.account}",
        select(
            Position,
            "symbol current_price currency marked_at mark_source quantity",
            spare="currency quantity mark_source",
        ),
        found,
        empty=f"no such prices in account {context.account!r}: nothing was traded",
    )


@app.command(name="set")
def set_prices(
    context: CommandContext,
    given: Annotated[list[str], typer.Argument(metavar="SYMBOL=PRICE...")],
    at: Annotated[
        datetime | None,
        typer.Option(
            "--at", metavar="TIME", help="Time of the prices; now by default.", parser=time_option
        ),
    ] = None,
) -> None:
    """Set the prices of positions: all of them, or none.

    A position with a later price keeps it. A symbol in which nothing was ever
    traded is refused.

      tradebook prices set AAPL=152.1
      tradebook prices set AAPL=152.1 MSFT=410 --at 2024-05-17T16:00
    """
    wanted = named_values(given, "SYMBOL=PRICE", _FORM)
    with context.open_book(may_lag=False) as manager:
        marked = manager.run(_mark_traded, wanted, at)
        later = [
            position
            for position in manager.get_positions()
            if position.symbol in wanted.keys() - {each.symbol for each in marked}
        ]
    context.answer(
        {
            "account": context.account,
            "prices": [_price(position) for position in marked],
            "kept": [_price(position) for position in later],
        },
        *(
            f"{position.symbol}: price {_price_of(position)}, unrealized P&L "
            f"{plain(position.unrealized_pnl or ZERO)} {position.currency}"
            for position in marked
        ),
        *(
            f"{position.symbol} keeps its later price {_price_of(position)} of "
            f"{position.marked_at:%Y-%m-%d %H:%M:%S} UTC"
            for position in later
        ),
    )


def _mark_traded(
    uow: AbstractUnitOfWork, prices: dict[str, str], at: datetime | None
) -> MarkedPositions:
    """Mark positions, and refuse a symbol in which nothing was ever traded: it may be a misprint."""
    marked = mark_prices(uow, prices, at=at)
    for symbol in marked.unknown:
        raise NotFound("position", symbol, uow.account)
    return marked


def _price(position: Position) -> dict[str, object]:
    names = ("symbol", "current_price", "currency", "marked_at", "mark_source", "quantity")
    return {name: getattr(position, name) for name in (*names, "unrealized_pnl")}


def _price_of(position: Position) -> str:
    assert position.current_price is not None  # a trade or a quote marked it
    return f"{plain(position.current_price)} {position.currency}"
