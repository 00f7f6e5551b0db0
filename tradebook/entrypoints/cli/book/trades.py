"""`trades` and `positions`: what was traded, what is held and what it earned."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated, Any

import typer

from tradebook.domain.positions import Position
from tradebook.entrypoints.cli.book import corrections
from tradebook.entrypoints.cli.options import (
    AccountName,
    AsJson,
    By,
    Database,
    Time,
    check_by,
    opened,
    refuse_misplaced_options,
    then,
)
from tradebook.entrypoints.cli.output import counted, print_json, progress_bar, say, stdout
from tradebook.entrypoints.cli.tables import Column, Kind, show, totals_by_currency
from tradebook.entrypoints.manager import DatabaseManager

app = typer.Typer(invoke_without_command=True)
app.command()(corrections.bust)
app.command()(corrections.correct)


@app.callback()
def trades(
    context: typer.Context,
    symbol: Annotated[
        str | None, typer.Option("--symbol", metavar="SYMBOL", help="Of this symbol only.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1_000_000, help="At most so many, the latest.")
    ] = 50,
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=36_500, help="Of the last so many days only.")
    ] = None,
    database: Database = None,
    account: AccountName = "main",
    as_json: AsJson = False,
) -> None:
    """List the latest trades, newest first; `trades bust` and `trades correct` put one right.

    tradebook trades --symbol AAPL --days 30 --limit 200
    tradebook trades bust o-17 --reason "cancelled by the venue"
    tradebook trades correct o-17 --price 150.25 --reason "misread"
    """
    if context.invoked_subcommand is not None:
        refuse_misplaced_options(context)
        return
    with opened(database, account) as manager, manager.unit_of_work(read_only=True) as uow:
        since = None if days is None else uow.now() - timedelta(days=days)
        wanted: dict[str, Any] = {} if symbol is None else {"symbol": symbol}
        trades_found = uow.trades.iterate(since=since, batch=min(limit, 1000), **wanted)
        found = list(islice(trades_found, limit))

    executed = [trade for trade in found if trade.status == "EXECUTED"]
    totals = totals_by_currency(executed, ["fee", "realized_pnl"])
    if as_json:
        print_json({"account": account, "trades": found, "totals": totals})
        return
    if not found:
        say(f"no such trades in account {account!r}; book a file with: tradebook import FILE")
        return
    show(
        stdout(),
        f"{counted(len(found), 'trade')} of account {account}",
        [
            Column("executed (UTC)", "executed_at", Kind.TIME),
            Column("symbol", "symbol"),
            Column("venue", "venue", spare=3),
            Column("action", "action"),
            Column("quantity", "quantity", Kind.NUMBER),
            Column("price", "price", Kind.NUMBER),
            Column("fee", "fee", Kind.NUMBER, spare=2),
            Column("realized P&L", "realized_pnl", Kind.GAIN),
            Column("currency", "currency", spare=1),
            Column("status", "status", spare=4),
            Column("strategy", "strategy", spare=5),
            Column("order", "order_id", spare=6),
            Column("execution", "execution_id", spare=7),
            Column("id", "id", Kind.NUMBER, spare=8),
        ],
        found,
        totals,
    )


def positions(
    include_closed: Annotated[
        bool, typer.Option("--all", help="Closed positions too: they earned something.")
    ] = False,
    time: Time = None,
    by: By = None,
    database: Database = None,
    account: AccountName = "main",
    as_json: AsJson = False,
) -> None:
    """Show what is held, what it cost and what it earned, by symbol.

    Realized and unrealized P&L are before fees; net is realized + unrealized
    - fees. The quantity of a short position is negative. Totals stand below,
    by currency.

    As of a time, prices are those of the last snapshot before it, else those
    of the last trades.

      tradebook positions --all
      tradebook positions --as-of 2024-05-17T16:00
      tradebook positions --as-of 2024-05-17T16:00 --by executed
    """
    check_by(by, time)
    with opened(database, account) as manager:
        if time is not None:
            found = _positions_as_of(manager, time, by or "booked", include_closed, as_json)
        else:
            found = manager.get_positions() if include_closed else manager.get_open_positions()

    totals = totals_by_currency(
        found,
        ["market_value", "unrealized_pnl", "realized_pnl", "fees", "net_pnl", "cash_flow"],
    )
    if as_json:
        asked = {} if time is None else {"as_of": time, "by": by or "booked"}
        print_json({"account": account, **asked, "positions": found, "totals": totals})
        return
    when = "" if time is None else f" {then(time, by)}"
    if not found:
        kind = "positions" if include_closed else "open positions"
        say(
            f"no {kind} in account {account!r}{when}"
            + ("" if include_closed else "; --all shows closed ones")
            + ("" if time is None or by else "; --by executed goes by trade times")
        )
        return
    show(
        stdout(),
        f"{counted(len(found), 'position')} of account {account}{when}",
        [
            Column("symbol", "symbol"),
            Column("quantity", "quantity", Kind.NUMBER),
            Column("entry price", "entry_price", Kind.NUMBER, spare=2),
            Column("price", "current_price", Kind.NUMBER, spare=5),
            Column("priced (UTC)", "marked_at", Kind.TIME, spare=8),
            Column("market value", "market_value", Kind.NUMBER, spare=3),
            Column("unrealized", "unrealized_pnl", Kind.GAIN, spare=1),
            Column("realized", "realized_pnl", Kind.GAIN, spare=4),
            Column("fees", "fees", Kind.NUMBER, spare=6),
            Column("net P&L", "net_pnl", Kind.GAIN),
            Column("cash flow", "cash_flow", Kind.NUMBER, spare=7),
            Column("currency", "currency"),
        ],
        found,
        totals,
    )


def _positions_as_of(
    manager: DatabaseManager, time: datetime, by: str, include_closed: bool, as_json: bool
) -> list[Position]:
    with progress_bar("folding", quiet=as_json) as report:
        found = manager.positions_as_of(time, by=by, progress=report)
    return [position for position in found if include_closed or position.quantity]
