"""The demo's report, on the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from shlex import quote
from typing import Final

from attrs import frozen
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from tradebook.demo.prices import SOURCE
from tradebook.demo.results import Results
from tradebook.domain.agents import DecisionStatus
from tradebook.domain.alerts import Severity
from tradebook.domain.numbers import ZERO, plain
from tradebook.entrypoints.cli.book.explain import rich_tree
from tradebook.entrypoints.cli.chart import line_chart
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
    ("agents", "who earned what"),
    ("explain position AAPL", "how a position came about"),
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


def proof(verification: Verification) -> str:
    """Summarize the result of `verify` in one line."""
    counts = f"{verification.trades} trades, {verification.positions} positions"
    if verification.proven:
        return f"verify: the book is proven ({counts})"
    return f"verify: NOT proven, {len(verification.differences)} differences ({counts})"


def as_json(results: Results, run: Run) -> dict[str, object]:
    """Return every fact of the report; amounts are exact."""
    portfolio, verification = results.portfolio, results.verification
    pnl = "realized_pnl unrealized_pnl fees net_pnl"
    position = f"symbol status quantity entry_price current_price market_value {pnl}"
    return {
        "period": [f"{results.history[end].timestamp:%Y-%m-%d}" for end in (0, -1)],
        "currency": portfolio.currency,
        "positions": [_some(each, position) for each in results.positions],
        "deposited": portfolio.external_flows,
        "cash": portfolio.cash_balance,
        **_some(portfolio, "positions_value total_value"),
        **_some(results, "total_return max_drawdown sharpe_ratio"),
        "equity_curve": [
            {"date": f"{snapshot.timestamp:%Y-%m-%d}", "total_value": snapshot.total_value}
            for snapshot in results.history
        ],
        "pnl_by_agent": [
            {"agent": row.group, **_some(row, f"trades {pnl}")} for row in results.agents.rows
        ],
        "book_pnl": results.book_pnl,
        **_some(results.total, "difference moved"),
        "agents_add_up": results.agents.ties,
        **_some(results, "best worst calibration look_ahead"),
        "open_alerts": [
            _some(each, "id severity message timestamp") for each in results.open_alerts
        ],
        **_some(results, "alerts signals decisions"),
        "snapshots": len(results.history),
        "verify": {
            **_some(verification, "proven trades positions"),
            "differences": len(verification.differences),
        },
        "run": {"days": run.days, "seconds": round(run.seconds, 3), "database": run.database},
        "explore": [command for command, _ in run.explore],
        "source": SOURCE,
    }


def _some(record: object, names: str) -> dict[str, object]:
    return {name: getattr(record, name) for name in names.split()}


def print_report(results: Results, run: Run, console: Console) -> None:
    """Print the report; amounts are rounded to cents here, and only here."""
    for part in _parts(results, run, console):
        console.print(part)
    width = max(len(command) for command, _ in run.explore)
    for command, shows in run.explore:
        line = Text(f"  {command:<{width}}").append(f"  # {shows}", "dim")
        console.print(line, soft_wrap=True)
    console.print()
    console.print(Text(SOURCE, "dim"))


def _parts(results: Results, run: Run, console: Console) -> Iterator[RenderableType]:
    days = [f"{snapshot.timestamp:%Y-%m-%d}" for snapshot in results.history]
    yield ""
    yield f"[bold]Two agents, five stocks[/bold], {days[0]} to {days[-1]}. {run.summary}"
    yield ""
    yield _positions_table(results)
    yield ""
    yield _account_table(results)
    yield ""
    yield f"[bold]Equity curve[/bold] (total value at each close, {results.portfolio.currency})"
    width = max(40, min(78, console.width - 12))
    color = "green" if results.total_return >= ZERO else "red"
    lines = line_chart(results.values, days, width=width, ascii_only=console.options.ascii_only)
    yield from (Text(line, color) for line in lines)
    yield ""
    yield _agents_table(results)
    yield _tie(results)
    yield ""
    for name, tree in (("best", results.best), ("worst", results.worst)):
        yield f"[bold]The {name} trade[/bold], and what led to it"
        yield rich_tree(tree)
        yield ""
    yield from _quality(results)
    yield ""
    opened = len(results.open_alerts)
    raised = f"of {results.alerts} raised, {results.alerts - opened} resolved"
    yield f"[bold]Open alerts[/bold]: {opened} ({raised})"
    for alert in results.open_alerts:
        severity = Text("  ").append(alert.severity.value, _COLORS[alert.severity])
        yield severity.append(f" {alert.timestamp:%Y-%m-%d} {alert.message}")
    yield ""
    style = "bold green" if results.verification.proven else "bold red"
    yield Text(proof(results.verification), style)
    for difference in results.verification.differences[:10]:
        yield Text(f"  {difference}", "red")
    yield ""
    yield "[bold]Explore it[/bold]"


def _positions_table(results: Results) -> Table:
    columns = ("quantity", "entry", "price", "value", "realized", "unrealized", "fees", "net P&L")
    pnl = "realized_pnl unrealized_pnl fees"
    table = _table("Positions", "symbol", *columns)
    for position in results.positions:
        table.add_row(
            position.symbol,
            f"{position.quantity:,f}" if position.quantity else "flat",
            *_amounts(position, f"entry_price current_price market_value {pnl}"),
            _gain(position.net_pnl),
        )
    totals = _amounts(results.portfolio, f"positions_value {pnl}")
    table.add_row("all", "", "", "", *totals, _gain(results.book_pnl), style="bold")
    return table


def _account_table(results: Results) -> Table:
    portfolio, decisions = results.portfolio, results.decisions
    rejected = decisions.get(DecisionStatus.REJECTED, 0)
    decided = f"{sum(decisions.values()):,}, {rejected:,} of them rejected"
    deposited, cash, positions, total = _amounts(
        portfolio, "external_flows cash_balance positions_value total_value"
    )
    grid = Table.grid("", "", "", "", padding=(0, 2))
    grid.columns[1].justify = "right"
    rows: tuple[tuple[str, str | Text, str, str], ...] = (
        ("deposited", deposited, "trades", f"{results.verification.trades:,}"),
        ("cash", cash, "signals", f"{results.signals:,}"),
        ("positions value", positions, "decisions", decided),
        ("[bold]total value[/bold]", Text(total, "bold"), "snapshots", f"{len(results.history):,}"),
        ("net P&L", _gain(results.book_pnl), "max drawdown", f"{results.max_drawdown:.2%}"),
        ("return", f"{results.total_return:+.2%}", "Sharpe ratio", f"{results.sharpe_ratio:.2f}"),
    )
    for name, amount, thing, count in rows:
        grid.add_row(name, amount, f"   {thing}", count)
    return grid


def _agents_table(results: Results) -> Table:
    table = _table("P&L by agent", "agent", "trades", "realized", "unrealized", "fees", "net P&L")
    pnl, total = "realized_pnl unrealized_pnl fees", results.total
    for row in results.agents.rows:
        table.add_row(row.group, str(row.trades), *_amounts(row, pnl), _gain(row.net_pnl))
    trades = str(total.groups.trades)
    for name, figures, count in (
        ("all agents", total.groups, trades),
        ("the book", total.book, ""),
    ):
        amounts = _amounts(figures, pnl)
        table.add_row(name, count, *amounts, _gain(figures.net_pnl), style="bold")
    return table


def _tie(results: Results) -> Text:
    """Compare the agents' P&L, each on its own cost basis, with the book's."""
    total = results.total
    moved = f"{total.moved:,.2f} moved from unrealized to realized on the agents' own cost"
    adds_up = Text("yes", "green") if results.agents.ties else Text("NO", "bold red")
    line = Text("the agents' P&L adds up to the book's: ").append(adds_up)
    return line.append(f", difference {plain(total.difference)};\n{moved}")


def _quality(results: Results) -> Iterator[RenderableType]:
    """Say how often the decisions were right, and whether they could know what they were made from."""
    calibration, look_ahead = results.calibration, results.look_ahead
    (judged,) = calibration.horizons
    yield f"[bold]Decisions[/bold], judged by the price 30 days later: {judged.scored:,} of {calibration.decisions:,}"
    table = _table("", "confidence", "decisions", "mean confidence", "right")
    for each in judged.bins:
        if each.count:
            table.add_row(
                f"{each.lower:.1f} to {each.upper:.1f}",
                f"{each.count:,}",
                *_shares(each.mean_forecast, each.observed),
            )
    table.add_row("all", f"{judged.scored:,}", "", *_shares(judged.hit_rate), style="bold")
    yield table
    if judged.brier is not None:
        yield f"Brier score {judged.brier.score:.3f} (always saying 50 % has 0.250; lower is better)"
    sorted_out = (
        f"{look_ahead.proven:,} inputs and signals proven, {look_ahead.claimed:,} claimed, "
        f"{look_ahead.violated:,} violated"
    )
    style = "green" if look_ahead.is_clean else "bold red"
    yield Text("look-ahead: ").append(sorted_out, style)


def _shares(*values: Decimal | None) -> list[str]:
    return ["" if value is None else f"{value:.0%}" for value in values]


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


def _amounts(record: object, names: str) -> list[str]:
    """Format amounts of a record in cents; one that the record does not have is empty."""
    values = _some(record, names).values()
    return ["" if value is None else f"{value:,.2f}" for value in values]


def _gain(value: Decimal | None) -> Text:
    if value is None:
        return Text()
    return Text(f"{value:+,.2f}", "green" if value >= ZERO else "red")
