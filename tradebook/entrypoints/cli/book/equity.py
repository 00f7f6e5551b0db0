"""`equity`: the value of an account, or of its strategies, agents or symbols, over time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Final

import typer

from tradebook.domain.equity import AMOUNTS, Basis, EquityBy, EquityPoint
from tradebook.entrypoints.cli.chart import line_chart
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.messages import counted, say
from tradebook.entrypoints.cli.options import (
    CommandContext,
    Period,
    option,
    takes_option_sets,
)
from tradebook.entrypoints.cli.output import as_fields, stdout
from tradebook.entrypoints.cli.rates import given_rates, missing_rate_names_option
from tradebook.service_layer.performance.curve import EquityCurve

_COLUMNS: Final = " ".join(AMOUNTS)
_SPARE: Final = "cash realized_pnl unrealized_pnl external_flows positions_value net_exposure gross_exposure fees income"
"""The columns that a narrow terminal may leave out, the last one first."""
_ROWS: Final = 20
"""Points that the table shows; --wide shows all."""
_MARGIN: Final = 14
"""Characters beside the chart, for its axis."""


@takes_option_sets
def equity(
    context: CommandContext,
    period: Period,
    frequency: Annotated[
        str,
        option("HOW", "hour, day, week, month, quarter, year, snapshot, or steps such as 15m."),
    ] = "day",
    basis: Annotated[
        Basis,
        typer.Option(
            "--basis",
            case_sensitive=False,
            help="What the book held at the time (recorded), or what is true of it now (restated).",
        ),
    ] = Basis.RECORDED,
    by: Annotated[
        EquityBy | None,
        typer.Option("--by", case_sensitive=False, help="Show the curve of each group."),
    ] = None,
    prices: Annotated[
        str | None,
        option(
            "FILE.csv",
            "Prices with the columns time, symbol and price, beside those of the book's trades and snapshots.",
        ),
    ] = None,
    rate: Annotated[
        list[str] | None,
        option("CURRENCY=RATE", "A currency's value in the base currency; repeat it for each."),
    ] = None,
    time_zone: Annotated[
        str, option("ZONE", "Where days begin, such as America/New_York.")
    ] = "UTC",
) -> None:
    """Show what the account was worth over time, as a chart and in numbers.

    Every point is exact: with --basis recorded it is what the book would have
    said then, and at the time of a snapshot it is that snapshot. Records that
    were imported later than they happened count from their own times with
    --basis restated.

    The table has the last 20 points, and all of them with --wide or --json.
    --by shows the last point of each group; all total values add up to that of
    the account.

      tradebook equity
      tradebook equity --basis restated --frequency week --since 2024-01-01
      tradebook equity --by strategy --prices closes.csv --rate EUR=1.08
    """
    rates = given_rates(rate)
    with (
        context.read_book() as manager,
        context.progress_bar("folding") as report,
        missing_rate_names_option(),
    ):
        curve = manager.equity_curve(
            period.since,
            period.until,
            frequency,
            prices,
            basis,
            by,
            rates,
            time_zone,
            progress=report,
        )
    context.answer(as_fields(curve), then=partial(_show, context, curve))


def _show(context: CommandContext, curve: EquityCurve) -> None:
    points = curve.points
    title = (
        f"total value of account {curve.account} in {curve.currency}, {curve.basis}, "
        f"{counted(len(points), 'point')}"
    )
    say(title)
    for line in _chart(points) if len(points) > 1 else ():
        say(line)
    shown = points if context.wide else points[-_ROWS:]
    heading = "all points" if len(shown) == len(points) else f"the last {_ROWS} points"
    context.show_table(heading, select(EquityPoint, f"time {_COLUMNS}", spare=_SPARE), shown)
    if curve.by is not None:
        last = [point for point in curve.groups if point.time == points[-1].time]
        columns = select(EquityPoint, f"group {_COLUMNS}", spare=_SPARE)
        at = f"{points[-1].time:%Y-%m-%d %H:%M:%S} UTC"
        context.show_table(f"by {curve.by} at {at}", columns, last)


def _chart(points: Sequence[EquityPoint]) -> list[str]:
    console = stdout()
    return line_chart(
        [point.total_value for point in points],
        [f"{point.time:%Y-%m-%d}" for point in points],
        width=max(40, min(78, console.width - _MARGIN)),
        ascii_only=console.options.ascii_only,
    )
