"""`portfolio` and `cash`: what the account is worth, and its money."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Annotated, Any, Final

import typer

from tradebook.domain.errors import MissingRate, NotFound, TradebookError
from tradebook.domain.portfolio import Amendment, Portfolio, PortfolioPosition
from tradebook.entrypoints.cli.book.corrections import terms_of
from tradebook.entrypoints.cli.options import (
    AccountName,
    AsJson,
    By,
    Database,
    Time,
    check_by,
    opened,
    then,
)
from tradebook.entrypoints.cli.output import (
    as_fields,
    counted,
    print_json,
    progress_bar,
    say,
    stdout,
)
from tradebook.entrypoints.cli.tables import Column, Kind, show, totals_by_currency
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
    portfolio_id: Annotated[
        int | None,
        typer.Option(
            "--id",
            metavar="ID",
            min=1,
            help="The snapshot with this id; the last by default.",
            show_default=False,
        ),
    ] = None,
    time: Time = None,
    by: By = None,
    rate: Annotated[
        list[str] | None,
        typer.Option(
            "--rate",
            metavar="CURRENCY=RATE",
            help="What one unit of a currency is worth in the account's base currency, for "
            "--snapshot and --as-of; repeat it for each.",
        ),
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(
            "--price",
            metavar="SYMBOL=PRICE",
            help="What one unit of a symbol was worth, for --as-of; repeat it for each.",
        ),
    ] = None,
    database: Database = None,
    account: AccountName = "main",
    as_json: AsJson = False,
) -> None:
    """Show what the account held and was worth, or take a new snapshot of it.

    Exactly: total value = cash balance + positions value = external flows +
    income + realized P&L + unrealized P&L - fees. A snapshot stays as it was
    taken; trades of it that were busted or corrected since are listed below.

    As of a time, prices and rates that are not given are those of the last
    snapshot before it, else prices are those of the last trades.

      tradebook portfolio --snapshot
      tradebook portfolio --snapshot --rate EUR=1.08 --rate ETH=1234.5
      tradebook portfolio --history 30
      tradebook portfolio --id 12
      tradebook portfolio --as-of 2024-05-17T16:00 --price AAPL=189.9
      tradebook portfolio --as-of 2024-05-17T16:00 --by executed
    """
    rates = _pairs(rate, "--rate", "CURRENCY=RATE, such as ETH=1234.5")
    prices = _pairs(price, "--price", "SYMBOL=PRICE, such as AAPL=189.9")
    if rates and not snapshot and time is None:
        raise typer.BadParameter("goes with --snapshot or --as-of", param_hint="--rate")
    if prices and time is None:
        raise typer.BadParameter("goes with --as-of", param_hint="--price")
    check_by(by, time)
    _check_one(snapshot or history is not None, portfolio_id, time)
    with opened(database, account) as manager:
        if time is not None:
            _show_as_of(manager, time, by or "booked", prices, rates, as_json)
            return
        if snapshot:
            with _rates_explained():
                manager.take_snapshot(rates=rates)
        if history is not None:
            snapshots = manager.get_portfolio_history(days=history, limit=10_000)
            _show_history(snapshots, account, history, as_json)
        else:
            _show_snapshot(manager, portfolio_id, as_json)


def _check_one(is_usual: bool, portfolio_id: int | None, time: datetime | None) -> None:
    if is_usual + (portfolio_id is not None) + (time is not None) > 1:
        raise typer.BadParameter("--id and --as-of go with neither --snapshot nor --history")


def _show_as_of(
    manager: DatabaseManager,
    time: datetime,
    by: str,
    prices: dict[str, str],
    rates: dict[str, str],
    as_json: bool,
) -> None:
    with progress_bar("folding", quiet=as_json) as report, _rates_explained():
        found = manager.portfolio_as_of(time, by=by, prices=prices, rates=rates, progress=report)
    if as_json:
        document = {**as_fields(found.portfolio), "positions": found.positions}
        print_json({"account": manager.account, "by": by, "portfolio": document})
    else:
        _show_portfolio(found.portfolio, found.positions, then(time, by))


def _show_snapshot(manager: DatabaseManager, portfolio_id: int | None, as_json: bool) -> None:
    account, found = manager.account, manager.get_snapshot(portfolio_id)
    if found is None and portfolio_id is not None:
        raise NotFound("snapshot", portfolio_id, account)
    if as_json:
        document = found and {
            **as_fields(found.portfolio),
            "positions": found.positions,
            "amendments": found.amendments,
        }
        print_json({"account": account, "portfolio": document})
    elif found is None:
        say(
            f"no snapshot of account {account!r} yet; take one with: tradebook portfolio --snapshot"
        )
    else:
        taken = f"at {found.portfolio.timestamp:%Y-%m-%d %H:%M:%S} UTC"
        _show_portfolio(found.portfolio, found.positions, taken)
        _show_amendments(found.amendments)


@contextmanager
def _rates_explained() -> Iterator[None]:
    """A missing rate is explained by the option that gives it."""
    try:
        yield
    except MissingRate as missing:
        raise TradebookError(
            f"no rate from {missing.currency} to {missing.base_currency}; give what one "
            f"{missing.currency} is worth in {missing.base_currency}: "
            f"--rate {missing.currency}=NUMBER"
        ) from missing


def _pairs(given: list[str] | None, option: str, form: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in given or []:
        name, equals, value = (part.strip() for part in text.rpartition("="))
        if not (name and equals and value):
            raise typer.BadParameter(f"{text!r}: write {form}", param_hint=option)
        pairs[name] = value
    return pairs


def _show_portfolio(latest: Portfolio, held: list[PortfolioPosition], when: str) -> None:

    console = stdout()
    show(
        console,
        f"account {latest.account} {when}",
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
    if latest.source == "external":
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


def _show_amendments(amendments: list[Amendment]) -> None:
    if not amendments:
        return

    show(
        stdout(),
        f"{counted(len(amendments), 'trade')} in it busted or corrected since",
        [
            Column("busted (UTC)", "busted_at", Kind.TIME),
            Column("symbol", "symbol"),
            Column("order", "order_id"),
            Column("execution", "execution_id", spare=1),
            Column("trade", "trade"),
            Column("corrected to", "correction"),
            Column("reason", "bust_reason", Kind.PROSE),
            Column("by", "busted_by", spare=2),
        ],
        [_amendment(amendment) for amendment in amendments],
    )


def _amendment(amendment: Amendment) -> dict[str, Any]:
    correction = amendment.correction
    return {
        **as_fields(amendment.busted),
        "trade": terms_of(amendment.busted),
        "correction": None if correction is None else terms_of(correction),
    }


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

    show(
        stdout(),
        f"{counted(len(found), 'snapshot')} of account {account} in the last {period}",
        [
            Column("id", "id", Kind.NUMBER),
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
