"""`positions`: what is held, what it cost and what it earned."""

from __future__ import annotations

from typing import Annotated

import typer

from tradebook.domain.positions import Position
from tradebook.entrypoints.cli.book.accounts import (
    POSITION_AMOUNTS,
    POSITION_COLUMNS,
    POSITION_SPARE,
    show_all_positions,
)
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.filters import Choice
from tradebook.entrypoints.cli.messages import counted
from tradebook.entrypoints.cli.options import AsOf, CommandContext, takes_option_sets
from tradebook.entrypoints.cli.tables import totals_by_currency


@takes_option_sets
def positions(
    context: CommandContext,
    as_of: AsOf,
    choice: Choice,
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
      tradebook positions --symbol AAPL
      tradebook positions --account all
      tradebook positions --as-of 2024-05-17T16:00
      tradebook positions --as-of 2024-05-17T16:00 --by executed
    """
    if context.is_for_all:
        show_all_positions(context, as_of, choice, include_closed=include_closed)
        return
    with context.read_book() as manager:
        if as_of.time is not None:
            with context.progress_bar("folding") as report:
                past = manager.positions_as_of(as_of.time, by=as_of.by, progress=report)
            found = [position for position in past if include_closed or position.quantity]
        else:
            found = manager.get_positions() if include_closed else manager.get_open_positions()
    found = choice.chosen(found, Position, "positions")

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
