"""`portfolio` and `cash`: what the account is worth, and its money."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tradebook.domain.errors import MissingRate, TradebookError
from tradebook.entrypoints.cli.options import AccountName, AsJson, Database, opened
from tradebook.entrypoints.cli.output import as_fields, counted, print_json, say, stdout

if TYPE_CHECKING:
    from tradebook.domain.portfolio import Portfolio, PortfolioPosition
    from tradebook.entrypoints.manager import DatabaseManager

_VALUES: Final = (
    ("total value", "total_value"),
    ("cash balance", "cash_balance"),
    ("positions value", "positions_value"),
    ("gross exposure", "gross_exposure"),
    ("net exposure", "net_exposure"),
    ("realized P&L", "realized_pnl"),
    ("unrealized P&L", "unrealized_pnl"),
    ("fees", "fees"),
    ("external flows", "external_flows"),
    ("income", "income"),
)


def portfolio(
    history: Annotated[
        int | None,
        typer.Option(
            "--history", metavar="DAYS", min=1, max=36_500, help="All snapshots of the last days."
        ),
    ] = None,
    snapshot: Annotated[bool, typer.Option("--snapshot", help="Take a snapshot now.")] = False,
    rate: Annotated[
        list[str] | None,
        typer.Option(
            "--rate",
            metavar="CURRENCY=RATE",
            help="What one unit of a currency is worth in the account's base currency, for "
            "--snapshot; repeat it for each.",
        ),
    ] = None,
    database: Database = None,
    account: AccountName = "main",
    as_json: AsJson = False,
) -> None:
    """Show what the account held and was worth, or take a new snapshot of it.

    Exactly: total value = cash balance + positions value = external flows +
    income + realized P&L + unrealized P&L - fees.

      tradebook portfolio --snapshot
      tradebook portfolio --snapshot --rate EUR=1.08 --rate ETH=1234.5
      tradebook portfolio --history 30
    """
    rates = _rates(rate or [])
    if rates and not snapshot:
        raise typer.BadParameter("goes with --snapshot", param_hint="--rate")
    with opened(database, account) as manager:
        if snapshot:
            _take_snapshot(manager, rates)
        if history is not None:
            snapshots = manager.get_portfolio_history(days=history, limit=10_000)
            _show_history(snapshots, account, history, as_json)
            return
        from tradebook.service_layer.queries import get_latest_portfolio

        with manager.unit_of_work(read_only=True) as uow:
            latest = get_latest_portfolio(uow)
            held = uow.portfolios.positions_of([latest.id]) if latest else []
    if as_json:
        document = {**as_fields(latest), "positions": held} if latest else None
        print_json({"account": account, "portfolio": document})
    elif latest is None:
        say(
            f"no snapshot of account {account!r} yet; take one with: tradebook portfolio --snapshot"
        )
    else:
        _show_portfolio(latest, held)


def _take_snapshot(manager: DatabaseManager, rates: dict[str, str]) -> None:
    try:
        manager.take_snapshot(rates=rates)
    except MissingRate as missing:
        raise TradebookError(
            f"no rate from {missing.currency} to {missing.base_currency}; give what one "
            f"{missing.currency} is worth in {missing.base_currency}: "
            f"--rate {missing.currency}=NUMBER"
        ) from missing


def _rates(given: list[str]) -> dict[str, str]:
    rates: dict[str, str] = {}
    for text in given:
        currency, equals, value = (part.strip() for part in text.rpartition("="))
        if not (currency and equals and value):
            raise typer.BadParameter(
                f"{text!r}: write CURRENCY=RATE, such as ETH=1234.5", param_hint="--rate"
            )
        rates[currency] = value
    return rates


def _show_portfolio(latest: Portfolio, held: list[PortfolioPosition]) -> None:
    from tradebook.entrypoints.cli.tables import Column, Kind, show, totals_by_currency

    console = stdout()
    show(
        console,
        f"account {latest.account} at {latest.timestamp:%Y-%m-%d %H:%M:%S} UTC",
        [
            Column("", "label"),
            Column(latest.currency, "value", Kind.GAIN, where="is_gain"),
        ],
        [
            {"label": label, "value": getattr(latest, name), "is_gain": name.endswith("_pnl")}
            for label, name in _VALUES
        ],
    )
    for currency, rate in latest.rates.items():
        say(f"1 {currency} = {rate} {latest.currency}")
    if latest.source != "book":
        say(f"recorded by hand (source {latest.source!r}), not taken from the book")
    if not held:
        say("no open positions")
        return
    show(
        console,
        counted(len(held), "open position"),
        [
            Column("symbol", "symbol"),
            Column("quantity", "quantity", Kind.NUMBER),
            Column("price", "current_price", Kind.NUMBER, spare=1),
            Column("market value", "market_value", Kind.NUMBER),
            Column("unrealized", "unrealized_pnl", Kind.GAIN),
            Column("realized", "realized_pnl", Kind.GAIN, spare=2),
            Column("fees", "fees", Kind.NUMBER, spare=3),
            Column("currency", "currency"),
        ],
        held,
        totals_by_currency(held, ["market_value", "unrealized_pnl", "realized_pnl", "fees"]),
    )


def _show_history(found: list[Portfolio], account: str, days: int, as_json: bool) -> None:
    if as_json:
        print_json({"account": account, "portfolios": found})
        return
    period = counted(days, "day")
    if not found:
        say(
            f"no snapshot of account {account!r} in the last {period}; "
            "take one with: tradebook portfolio --snapshot"
        )
        return
    from tradebook.entrypoints.cli.tables import Column, Kind, show

    show(
        stdout(),
        f"{counted(len(found), 'snapshot')} of account {account} in the last {period}",
        [
            Column("taken (UTC)", "timestamp", Kind.TIME),
            Column("total value", "total_value", Kind.NUMBER),
            Column("cash balance", "cash_balance", Kind.NUMBER, spare=2),
            Column("positions value", "positions_value", Kind.NUMBER, spare=1),
            Column("realized", "realized_pnl", Kind.GAIN, spare=3),
            Column("unrealized", "unrealized_pnl", Kind.GAIN, spare=4),
            Column("fees", "fees", Kind.NUMBER, spare=5),
            Column("external flows", "external_flows", Kind.NUMBER, spare=6),
            Column("income", "income", Kind.NUMBER, spare=7),
            Column("currency", "currency"),
        ],
        found,
    )


def cash(
    limit: Annotated[
        int,
        typer.Option("--limit", min=1, max=1_000_000, help="At most so many flows, the latest."),
    ] = 20,
    database: Database = None,
    account: AccountName = "main",
    as_json: AsJson = False,
) -> None:
    """Show the cash in each currency, and the latest flows.

    The balance is external (deposits, withdrawals, transfers) + income
    (dividends, interest, funding and the like) + trading (what positions did
    to cash). It is not buying power.

      tradebook cash --limit 100
    """
    with opened(database, account) as manager:
        balances = manager.get_cash_balances()
        with manager.unit_of_work(read_only=True) as uow:
            flows = list(islice(uow.cash_flows.iterate(batch=min(limit, 1000)), limit))
    if as_json:
        print_json({"account": account, "balances": balances, "flows": flows})
        return
    if not balances:
        say(f"no cash moved in account {account!r}")
        return
    from tradebook.entrypoints.cli.tables import Column, Kind, show

    console = stdout()
    show(
        console,
        f"cash of account {account}",
        [
            Column("currency", "currency"),
            Column("external", "external", Kind.NUMBER, spare=1),
            Column("income", "income", Kind.NUMBER, spare=2),
            Column("trading", "trading", Kind.NUMBER, spare=3),
            Column("balance", "balance", Kind.GAIN),
        ],
        balances,
    )
    if flows:
        show(
            console,
            f"the latest {counted(len(flows), 'cash flow')}",
            [
                Column("when (UTC)", "occurred_at", Kind.TIME),
                Column("kind", "kind"),
                Column("amount", "amount", Kind.GAIN),
                Column("currency", "currency"),
                Column("symbol", "symbol", spare=1),
                Column("reference", "reference", spare=2),
            ],
            flows,
        )
