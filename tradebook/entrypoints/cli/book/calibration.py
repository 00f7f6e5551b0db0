"""`calibration` and `counterfactuals`: how right agents were, and what they were not let do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Annotated, Any, Final, Literal, TypeAlias

from attrs import frozen

from tradebook.domain.calibration import ReliabilityBin
from tradebook.domain.decision_outcomes import OutcomeKind
from tradebook.domain.decision_scores import HorizonCalibration, Latency
from tradebook.domain.durations import duration_text
from tradebook.domain.numbers import plain
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.messages import counted, say
from tradebook.entrypoints.cli.options import (
    CommandContext,
    Period,
    option,
    takes_option_sets,
)
from tradebook.entrypoints.cli.output import as_fields
from tradebook.entrypoints.cli.rates import given_rates, missing_rate_names_option
from tradebook.entrypoints.cli.tables import Column, Kind, totals_by_currency
from tradebook.service_layer.explanations.quality.calibration import Calibration
from tradebook.service_layer.explanations.quality.counterfactuals import (
    CounterfactualRow,
    Counterfactuals,
)

_HORIZON_HELP: Final = (
    "How long after a decision to look at the price: 30m, 1h, 1d, 2w, or ISO 8601 such as PT1H"
)
_SCORED: Final = ("scored", "right", "hit_rate")
_REASONS: Final = (
    *("unchanged", "no_confidence", "unfinished", "no_price"),
    *("no_trade", "open", "unconverted"),
)
_TERMS: Final = (
    *("score", "reliability", "resolution", "uncertainty"),
    *("within_bin_variance", "within_bin_covariance"),
)
_SPARE: Final = {"within_bin_variance": 1, "within_bin_covariance": 2}
_BINS: Final = ("lower", "upper", "count", "mean_forecast", "observed")
_ROW: Final = ("scored", "right", "hit_rate", "forecasts", "brier")
_LEFT_OUT: Final = ("no_quantity", "unfinished", "no_price", "traded")


@frozen
class Judged(Period):
    """The options of the decisions that are judged, and of the prices to judge them by."""

    agent: Annotated[str | None, option("NAME", "Only the decisions of this agent.")] = None
    prices: Annotated[
        str | None,
        option(
            "FILE.csv",
            "Prices with the columns time, symbol and price; by default those of the book's trades and snapshots.",
        ),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the query."""
        return {name: getattr(self, name) for name in ("agent", "prices", "since", "until")}


Bins: TypeAlias = Annotated[
    int, option("N", "The number of bins of the confidence, from 0 to 1.", min=1, max=100)
]


@takes_option_sets
def calibration(
    context: CommandContext,
    horizon: Annotated[list[str], option("TIME", f"{_HORIZON_HELP}; repeat it for several.")],
    judged: Judged,
    outcome: Annotated[
        Literal["price", "pnl"],
        option(
            "price|pnl",
            "Judge by the move of the price, or by the realized P&L less fees of the decision's trades.",
            case_sensitive=False,
        ),
    ] = "price",
    bins: Bins = 10,
) -> None:
    """Show how often agents were right, and whether their confidence said so.

    A BUY is right where the last price within the horizon is above the price
    at the decision, a SELL where it is below. HOLD is not judged. A Brier score
    is 0 for perfect forecasts; 0.25 is what always saying 50 % has. It is
    reliability - resolution + uncertainty + within-bin variance - covariance.

      tradebook calibration --horizon 1d
      tradebook calibration --agent momentum-bot --horizon 1h --horizon 1d
      tradebook calibration --horizon 1d --prices closes.csv --since 2024-05-01
      tradebook calibration --horizon 2w --outcome pnl --json
    """
    with context.read_book() as manager, context.progress_bar("judging") as report:
        found = manager.calibration(
            **judged.arguments(), horizon=horizon, outcome=outcome, bins=bins, progress=report
        )
    context.answer(
        {"account": context.account, "calibration": found}, then=partial(_show, context, found)
    )


@takes_option_sets
def counterfactuals(
    context: CommandContext,
    horizon: Annotated[str, option("TIME", f"{_HORIZON_HELP}.")],
    judged: Judged,
    rate: Annotated[
        list[str] | None,
        option("CURRENCY=RATE", "A currency's value in the base currency, for the total."),
    ] = None,
) -> None:
    """Show what decisions that were never executed would have earned.

    Hypothetical: of rejected, expired, proposed and approved decisions that no
    trade followed, as if each had been filled at once, in full and without
    fees. No figure of the book contains these amounts.

      tradebook counterfactuals --horizon 1d
      tradebook counterfactuals --agent momentum-bot --horizon 4h --prices minutes.csv
    """
    rates = given_rates(rate, "ETH=1234.5")
    with (
        context.read_book() as manager,
        context.progress_bar("valuing") as report,
        missing_rate_names_option(),
    ):
        found = manager.counterfactuals(
            **judged.arguments(), horizon=horizon, rates=rates, progress=report
        )
    context.answer(
        {"account": context.account, "counterfactuals": found},
        then=partial(_show_counterfactuals, context, found),
    )


def _show(context: CommandContext, found: Calibration) -> None:
    of_agent = "" if found.agent is None else f" of {found.agent}"
    if not found.decisions:
        say(f"no such decisions{of_agent} in account {context.account!r}")
        return
    by = "the P&L of their trades" if found.outcome is OutcomeKind.PNL else "later prices"
    scores = [(each, [each.brier] if each.brier else []) for each in found.horizons]
    context.show_table(
        f"{counted(found.decisions, 'decision')}{of_agent} in account {context.account}, {found.held:,} of them "
        f"HOLD; judged by {by}",
        [
            *_columns("horizon", _SCORED),
            *_columns("", [name for name in _REASONS if _any(name, found.horizons)]),
        ],
        _rows((each, [each]) for each in found.horizons),
    )
    for title, columns, rows in (
        ("Brier score and its terms", _columns("horizon", _TERMS), _rows(scores)),
        ("confidence and what came of it", _columns("horizon", _BINS), _rows(_bins(found))),
        ("by agent", _columns("horizon agent", _ROW), _rows((h, h.agents) for h in found.horizons)),
        ("by week", _columns("horizon week", _ROW), _rows((h, h.weeks) for h in found.horizons)),
    ):
        if rows:
            context.show_table(title, columns, rows)
    say(_latency_line(found.latency))


def _bins(found: Calibration) -> Iterator[tuple[HorizonCalibration, list[ReliabilityBin]]]:
    return ((each, [bin_ for bin_ in each.bins if bin_.count]) for each in found.horizons)


def _columns(names: str, numbers: Sequence[str]) -> list[Column]:
    """Return columns of names, then of numbers; an agent and a week are the `name` of their row."""
    named = [Column(each, each if each == "horizon" else "name") for each in names.split()]
    return [
        *named,
        *(
            Column(each.replace("_", " "), each, Kind.NUMBER, _SPARE.get(each, 0))
            for each in numbers
        ),
    ]


def _rows(
    groups: Iterable[tuple[HorizonCalibration, Sequence[object]]],
) -> list[dict[str, object]]:
    """Return records of several horizons, each with the text of its horizon."""
    return [
        {**as_fields(record), "horizon": duration_text(horizon.horizon)}
        for horizon, records in groups
        for record in records
    ]


def _any(name: str, records: Sequence[object]) -> bool:
    return any(getattr(record, name) for record in records)


def _latency_line(latency: Latency) -> str:
    early = f"; {latency.early:,} had a trade before the decision" if latency.early else ""
    if latency.mean is None or latency.median is None or latency.max is None:
        return f"no decision was followed by a trade{early}"
    return (
        f"from decision to first trade, of {counted(latency.count, 'decision')}: mean {plain(latency.mean)} s, "
        f"median {plain(latency.median)} s, at most {plain(latency.max)} s{early}"
    )


def _show_counterfactuals(context: CommandContext, found: Counterfactuals) -> None:
    of_agent = "" if found.agent is None else f" of {found.agent}"
    if not found.rows:
        say(f"no decisions{of_agent} in account {context.account!r} that were never executed")
        return
    count = sum(row.decisions for row in found.rows)
    context.show_table(
        f"hypothetical P&L of {counted(count, 'decision')}{of_agent} never executed in account {context.account}, "
        f"after {duration_text(found.horizon)}; no part of the book",
        [
            *select(CounterfactualRow, "status agent decisions valued gained"),
            *_columns("", [name for name in _LEFT_OUT if _any(name, found.rows)]),
            *select(CounterfactualRow, "hypothetical_pnl currency"),
        ],
        found.rows,
        totals_by_currency(
            [row for row in found.rows if row.hypothetical_pnl is not None], ["hypothetical_pnl"]
        ),
    )
    if found.hypothetical_total is not None and len({row.currency for row in found.rows}) > 1:
        say(f"hypothetical total: {plain(found.hypothetical_total)} {found.currency}")
