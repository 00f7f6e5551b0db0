"""The demo's report, on the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from shlex import quote
from typing import Final

from attrs import frozen
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tradebook.config import DatabaseConfig
from tradebook.demo.chart import line_chart
from tradebook.demo.prices import SOURCE
from tradebook.demo.results import Results
from tradebook.domain.agents import DecisionStatus
from tradebook.domain.alerts import Severity
from tradebook.domain.numbers import ZERO, plain
from tradebook.domain.portfolio import Portfolio
from tradebook.domain.validation import Json, json_value
from tradebook.service_layer.verification.verify import Verification

_COLORS: Final = {
    Severity.INFO: "cyan",
    Severity.WARNING: "yellow",
    Severity.CRITICAL: "red",
    Severity.EMERGENCY: "bold red",
}
_EXPLORE: Final = (
    ("positions", "what is held, and what it earned"),
    ("trades", "what was traded"),
    ("portfolio", "the last snapshot"),
    ("alerts", "what needs attention"),
    ("verify", "prove the book again"),
)


@frozen
class Run:
    """The facts of this run.

    Attributes:
        database: the URL of its database, without a password.
        days: the number of days traded; 0 when all were in the book.
        seconds: the time that took.
    """

    database: str
    days: int
    seconds: float

    @property
    def summary(self) -> str:
        """One sentence about the run."""
        if not self.days:
            return "Every day was in the book already: nothing was traded again."
        return f"{self.days} days traded and committed in {self.seconds:.1f} seconds."

    @property
    def explore(self) -> list[tuple[str, str]]:
        """Commands that show the book, each with its description."""
        database = quote(self.database)
        return [(f"tradebook {name} --database {database}", shows) for name, shows in _EXPLORE]


def without_password(database_url: str) -> str:
    """Return a database's URL without its password."""
    return DatabaseConfig.from_url(database_url).safe_url


def proof(verification: Verification) -> str:
    """Summarize the result of `verify` in one line."""
    counts = f"{verification.trades} trades, {verification.positions} positions"
    if verification.proven:
        return f"verify: the book is proven ({counts})"
    return f"verify: NOT proven, {len(verification.differences)} differences ({counts})"


def as_json(results: Results, run: Run) -> dict[str, Json]:
    """Return every fact of the report; amounts are exact, as text."""
    portfolio, verification = results.portfolio, results.verification
    return {
        "period": [portfolio.timestamp.date().isoformat() for portfolio in _ends(results)],
        "currency": portfolio.currency,
        "positions": [_facts(position, _POSITION) for position in results.positions],
        "deposited": plain(portfolio.external_flows),
        "cash": plain(portfolio.cash_balance),
        **_facts(portfolio, ("positions_value", "total_value")),
        **_facts(results, ("total_return", "max_drawdown", "sharpe_ratio")),
        "equity_curve": [
            {"date": p.timestamp.date().isoformat(), "total_value": plain(p.total_value)}
            for p in results.history
        ],
        "pnl_by_agent": [_facts(result, ("agent", "trades", *_PNL)) for result in results.agents],
        "book_pnl": plain(results.book_pnl),
        "agents_add_up": results.adds_up,
        "open_alerts": [_facts(alert, _ALERT) for alert in results.open_alerts],
        "alerts": results.alerts,
        "signals": results.signals,
        "decisions": {status.value: count for status, count in results.decisions.items()},
        "snapshots": len(results.history),
        "verify": {
            **_facts(verification, ("proven", "trades", "positions")),
            "differences": len(verification.differences),
        },
        "run": {"days": run.days, "seconds": round(run.seconds, 3), "database": run.database},
        "explore": [command for command, _ in run.explore],
        "source": SOURCE,
    }


_PNL: Final = ("realized_pnl", "unrealized_pnl", "fees", "net_pnl")
_PRICES: Final = ("entry_price", "current_price", "market_value")
_POSITION: Final = ("symbol", "status", "quantity", *_PRICES, *_PNL)
_ALERT: Final = ("id", "severity", "message", "timestamp")


def _facts(of: object, names: Sequence[str]) -> dict[str, Json]:
    """Return fields as JSON: decimals as exact text, times in ISO 8601."""
    return {name: json_value(getattr(of, name)) for name in names}


def _ends(results: Results) -> list[Portfolio]:
    return [results.history[0], results.history[-1]]


def print_report(results: Results, run: Run, console: Console) -> None:
    """Print the report; amounts are rounded to cents here, and only here."""
    first, last = _ends(results)
    console.print()
    console.print(
        f"[bold]Two agents, five stocks[/bold], {first.timestamp:%Y-%m-%d} to "
        f"{last.timestamp:%Y-%m-%d}. {run.summary}"
    )
    console.print()
    console.print(_positions_table(results))
    console.print()
    console.print(_account_table(results))
    _print_chart(results, console)
    console.print(_agents_table(results))
    answer = Text("yes", "green") if results.adds_up else Text("NO", "bold red")
    console.print(Text("the agents' P&L adds up to the book's: ").append(answer))
    console.print()
    _print_alerts(results, console)
    console.print()
    style = "bold green" if results.verification.proven else "bold red"
    console.print(Text(proof(results.verification), style))
    for difference in results.verification.differences[:10]:
        console.print(Text(f"  {difference}", "red"))
    console.print()
    _print_explore(run, console)
    console.print(Text(SOURCE, "dim"))


def _positions_table(results: Results) -> Table:
    columns = ("quantity", "entry", "price", "value", "realized", "unrealized", "fees", "net P&L")
    table = _table("Positions", "symbol", *columns)
    for position in results.positions:
        table.add_row(
            position.symbol,
            f"{position.quantity:,f}" if position.quantity else "flat",
            *_money_of(position, (*_PRICES, *_PNL[:-1])),
            _gain(position.net_pnl),
        )
    totals = _money_of(results.portfolio, ("positions_value", *_PNL[:-1]))
    table.add_row("all", "", "", "", *totals, _gain(results.book_pnl), style="bold")
    return table


def _account_table(results: Results) -> Table:
    portfolio, decisions = results.portfolio, results.decisions
    rejected = decisions.get(DecisionStatus.REJECTED, 0)
    grid = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "left", "left"):
        grid.add_column(justify=justify)
    counts = (
        ("trades", f"{results.verification.trades:,}"),
        ("signals", f"{results.signals:,}"),
        ("decisions", f"{sum(decisions.values()):,}, {rejected:,} of them rejected"),
        ("snapshots", f"{len(results.history):,}"),
        ("max drawdown", f"{results.max_drawdown:.2%}"),
        ("Sharpe ratio", f"{results.sharpe_ratio:.2f}"),
    )
    amounts: tuple[tuple[str, str | Text], ...] = (
        ("deposited", _money(portfolio.external_flows)),
        ("cash", _money(portfolio.cash_balance)),
        ("positions value", _money(portfolio.positions_value)),
        ("[bold]total value[/bold]", Text(_money(portfolio.total_value), "bold")),
        ("net P&L", _gain(results.book_pnl)),
        ("return", f"{results.total_return:+.2%}"),
    )
    for (name, amount), (thing, count) in zip(amounts, counts, strict=True):
        grid.add_row(name, amount, f"   {thing}", count)
    return grid


def _print_chart(results: Results, console: Console) -> None:
    labels = [f"{portfolio.timestamp:%Y-%m-%d}" for portfolio in results.history]
    width = max(40, min(78, console.width - 12))
    lines = line_chart(results.values, labels, width=width, ascii_only=console.options.ascii_only)
    console.print()
    console.print(
        f"[bold]Equity curve[/bold] (total value at each close, {results.portfolio.currency})"
    )
    for line in lines:
        console.print(Text(line, "green" if results.total_return >= ZERO else "red"))
    console.print()


def _agents_table(results: Results) -> Table:
    table = _table("P&L by agent", "agent", "trades", "realized", "unrealized", "fees", "net P&L")
    for result in results.agents:
        table.add_row(
            result.agent or "(none)",
            str(result.trades),
            *_money_of(result, _PNL[:-1]),
            _gain(result.net_pnl),
        )
    table.add_row("all", "", "", "", "", _gain(results.agents_pnl), style="bold")
    return table


def _print_alerts(results: Results, console: Console) -> None:
    open_alerts = results.open_alerts
    console.print(
        f"[bold]Open alerts[/bold]: {len(open_alerts)} (of {results.alerts} raised, "
        f"{results.alerts - len(open_alerts)} resolved)"
    )
    for alert in open_alerts:
        line = Text("  ").append(alert.severity.value, _COLORS[alert.severity])
        console.print(line.append(f" {alert.timestamp:%Y-%m-%d} {alert.message}"))


def _print_explore(run: Run, console: Console) -> None:
    console.print("[bold]Explore it[/bold]")
    width = max(len(command) for command, _ in run.explore)
    for command, shows in run.explore:
        line = Text(f"  {command:<{width}}").append(f"  # {shows}", "dim")
        console.print(line, soft_wrap=True)
    console.print()


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
        collapse_padding=True,
        pad_edge=False,
    )
    table.add_column(first, overflow="fold")
    for column in others:
        table.add_column(column, justify="right", overflow="fold")
    return table


def _money_of(of: object, names: Sequence[str]) -> list[str]:
    return [_money(getattr(of, name)) for name in names]


def _money(value: Decimal | None) -> str:
    return "" if value is None else f"{value:,.2f}"


def _gain(value: Decimal | None) -> Text:
    if value is None:
        return Text()
    return Text(f"{value:+,.2f}", "green" if value >= ZERO else "red")
