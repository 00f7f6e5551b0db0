"""`portfolio`: what the account is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Final

import typer

from tradebook.domain.errors import NotFound
from tradebook.domain.portfolio import Amendment, Portfolio, PortfolioPosition
from tradebook.domain.trades import Trade
from tradebook.entrypoints.cli.book.accounts import show_all_portfolios
from tradebook.entrypoints.cli.book.trades import terms_of
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.messages import counted, say
from tradebook.entrypoints.cli.options import (
    VIEWS_OF_ALL,
    AsOf,
    CommandContext,
    named_values,
    option,
    takes_option_sets,
)
from tradebook.entrypoints.cli.output import as_fields
from tradebook.entrypoints.cli.rates import missing_rate_names_option
from tradebook.entrypoints.cli.tables import Column, Kind, totals_by_currency
from tradebook.entrypoints.manager import DatabaseManager

_VALUES: Final = (
    "total_value cash_balance positions_value gross_exposure net_exposure realized_pnl unrealized_pnl "
    "fees external_flows income"
)
_TAKE_ONE: Final = "take one with: tradebook portfolio --snapshot"


@takes_option_sets
def portfolio(
    context: CommandContext,
    as_of: AsOf,
    history: Annotated[
        int | None, option("DAYS", "All snapshots of the last days.", min=1, max=36_500)
    ] = None,
    snapshot: Annotated[bool, typer.Option("--snapshot", help="Take a snapshot now.")] = False,
    portfolio_id: Annotated[
        int | None,
        typer.Option(
            "--id", metavar="ID", min=1, help="The snapshot with this id; the last by default."
        ),
    ] = None,
    rate: Annotated[
        list[str] | None,
        option(
            "CURRENCY=RATE",
            "With --snapshot, --as-of or --account all: a currency's value in the base currency; repeat it for each.",
        ),
    ] = None,
    base_currency: Annotated[
        str | None,
        option(
            "CURRENCY",
            "With --account all: the currency to show it in; by default the one that all accounts share.",
        ),
    ] = None,
    price: Annotated[
        list[str] | None,
        option("SYMBOL=PRICE", "With --as-of: the price of a symbol; repeat it for each."),
    ] = None,
) -> None:
    """Show what the account held and was worth, or take a new snapshot of it.

    Exactly: total value = cash balance + positions value = external flows +
    income + realized P&L + unrealized P&L - fees. A snapshot stays as it was
    taken; trades of it that were busted or corrected since are listed below.

    As of a time, prices and rates that are not given are those of the last
    snapshot before it, else prices are those of the last trades.

    --account all values every account now, in one currency, and adds them up;
    nothing is recorded.

      tradebook portfolio --snapshot
      tradebook portfolio --snapshot --rate EUR=1.08 --rate ETH=1234.5
      tradebook portfolio --history 30
      tradebook portfolio --id 12
      tradebook portfolio --as-of 2024-05-17T16:00 --price AAPL=189.9
      tradebook portfolio --as-of 2024-05-17T16:00 --by executed
      tradebook portfolio --account all --base-currency USD --rate EUR=1.08
    """
    rates = named_values(rate, "--rate", "CURRENCY=RATE, such as ETH=1234.5")
    prices = named_values(price, "--price", "SYMBOL=PRICE, such as AAPL=189.9")
    if context.is_for_all:
        _refuse_for_all(
            {"--snapshot": snapshot, "--history": history, "--id": portfolio_id}
            | {"--as-of": as_of.time, "--price": prices}
        )
        with missing_rate_names_option():
            show_all_portfolios(context, base_currency, rates)
        return
    if base_currency is not None:
        raise typer.BadParameter("goes with --account all", param_hint="--base-currency")
    if rates and not snapshot and as_of.time is None:
        raise typer.BadParameter(
            "goes with --snapshot, --as-of or --account all", param_hint="--rate"
        )
    if prices and as_of.time is None:
        raise typer.BadParameter("goes with --as-of", param_hint="--price")
    if (snapshot or history is not None) + (portfolio_id is not None) + bool(as_of.time) > 1:
        raise typer.BadParameter("--id and --as-of go with neither --snapshot nor --history")
    with context.open_book() if snapshot else context.read_book() as manager:
        if as_of.time is not None:
            with context.progress_bar("folding") as report, missing_rate_names_option():
                past = manager.portfolio_as_of(
                    as_of.time, by=as_of.by, prices=prices, rates=rates, progress=report
                )
            document = {**as_fields(past.portfolio), "positions": past.positions}
            context.answer(
                {"account": context.account, "by": as_of.by, "portfolio": document},
                then=partial(_show_portfolio, context, past.portfolio, past.positions, str(as_of)),
            )
            return
        if snapshot:
            with missing_rate_names_option():
                manager.take_snapshot(rates=rates)
        if history is not None:
            _show_history(context, manager, history)
        else:
            _show_snapshot(context, manager, portfolio_id)


def _refuse_for_all(options: Mapping[str, object]) -> None:
    """Refuse options that work on one account; a snapshot of all of them would have no book to stand in."""
    for name, given in options.items():
        if given:
            raise typer.BadParameter(f"goes with one account. {VIEWS_OF_ALL}", param_hint=name)


def _show_snapshot(
    context: CommandContext, manager: DatabaseManager, portfolio_id: int | None
) -> None:
    found = manager.get_snapshot(portfolio_id)
    if found is None and portfolio_id is not None:
        raise NotFound("snapshot", portfolio_id, context.account)
    if found is None:
        none = f"no snapshot of account {context.account!r} yet; {_TAKE_ONE}"
        context.answer({"account": context.account, "portfolio": None}, none)
        return
    portfolio, held, amendments = found.portfolio, found.positions, found.amendments
    document = {**as_fields(portfolio), "positions": held, "amendments": amendments}
    taken = f"at {portfolio.timestamp:%Y-%m-%d %H:%M:%S} UTC"
    context.answer(
        {"account": context.account, "portfolio": document},
        then=partial(_show_portfolio, context, portfolio, held, taken, amendments),
    )


def _show_portfolio(
    context: CommandContext,
    latest: Portfolio,
    held: list[PortfolioPosition],
    when: str,
    amendments: Sequence[Amendment] = (),
) -> None:
    context.show_table(
        f"account {latest.account} {when}",
        [Column("", "header"), Column(latest.currency, "value", Kind.GAIN, where="is_gain")],
        [
            {
                "header": column.header,
                "value": getattr(latest, column.field),
                "is_gain": column.kind is Kind.GAIN,
            }
            for column in select(Portfolio, _VALUES)
        ],
    )
    for currency, rate in latest.rates.items():
        say(f"1 {currency} = {rate} {latest.currency}")
    if latest.source == "external":
        say(f"recorded by the caller (source {latest.source!r}), not computed from the book")
    if held:
        columns = select(
            PortfolioPosition,
            "symbol quantity current_price market_value unrealized_pnl realized_pnl fees currency",
            spare="current_price realized_pnl fees",
        )
        amounts = ["market_value", "unrealized_pnl", "realized_pnl", "fees"]
        totals = totals_by_currency(held, amounts)
        context.show_table(counted(len(held), "open position"), columns, held, totals)
    else:
        say("no open positions")
    if amendments:
        title = f"{counted(len(amendments), 'trade')} in it busted or corrected since"
        columns = [
            *select(Trade, "busted_at symbol order_id execution_id", spare="execution_id"),
            Column("trade", "trade"),
            Column("corrected to", "correction"),
            *select(Trade, "bust_reason busted_by", spare="busted_by"),
        ]
        rows = [
            {
                **as_fields(each.busted),
                "trade": terms_of(each.busted),
                "correction": each.correction and terms_of(each.correction),
            }
            for each in amendments
        ]
        context.show_table(title, columns, rows)


def _show_history(context: CommandContext, manager: DatabaseManager, days: int) -> None:
    account, period = context.account, counted(days, "day")
    found = manager.get_portfolio_history(days=days, limit=10_000)
    context.answer_table(
        {"account": account, "portfolios": found},
        f"{counted(len(found), 'snapshot')} of account {account} in the last {period}",
        select(
            Portfolio,
            "id timestamp total_value cash_balance positions_value realized_pnl unrealized_pnl fees "
            "external_flows income currency",
            spare="positions_value cash_balance realized_pnl unrealized_pnl fees external_flows income",
        ),
        found,
        empty=f"no snapshot of account {account!r} in the last {period}; {_TAKE_ONE}",
    )
