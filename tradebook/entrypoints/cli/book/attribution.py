"""`attribution` and `agents`: who earned what, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Annotated, Final, TypeAlias

import typer

from tradebook.domain.agents import DecisionStatus
from tradebook.domain.attribution import Attribution, AttributionRow, AttributionTotal, GroupBy
from tradebook.domain.numbers import EXACT, canonical
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
from tradebook.entrypoints.cli.tables import Column, Kind, grouped
from tradebook.service_layer.explanations.attribution.agents import AgentSummary, agent_summaries

_COLUMNS: Final = (
    "group kind trades net_pnl realized_pnl unrealized_pnl fees income cost calls unpriced net_after_costs win_rate "
    "profit_factor expectancy payoff holding_time turnover currency"
)
_SPARE: Final = (
    "fees realized_pnl unrealized_pnl cost net_after_costs win_rate income unpriced calls profit_factor expectancy "
    "payoff turnover holding_time kind"
)
"""The columns that a narrow terminal may leave out, the last one first."""
_SUMS: Final = "realized_pnl unrealized_pnl fees income net_pnl"
_STATUSES: Final = " ".join(status.value.lower() for status in DecisionStatus)
_SUMMARY: Final = "trades net_pnl cost unpriced net_after_costs win_rate currency"

Rate: TypeAlias = Annotated[
    list[str] | None,
    option(
        "CURRENCY=RATE",
        "A currency's value in the base currency; repeat it for each. Without: rows by currency.",
    ),
]


@takes_option_sets
def attribution(
    context: CommandContext,
    period: Period,
    by: Annotated[
        GroupBy, typer.Option("--by", case_sensitive=False, help="Who is to have earned it.")
    ] = GroupBy.AGENT,
    rate: Rate = None,
) -> None:
    """Show who earned what: P&L on a cost basis of its own, fees, income and costs of each group.

    The trades of each agent, model, strategy or other group are folded as a
    book of their own; what agents cost stands beside it. The total of all rows
    is compared with the book, and the difference is shown: 0, to the last
    digit. Realized and unrealized P&L differ from the book's by what the own
    cost bases moved from one to the other.

    Without --rate, amounts stay in their own currencies. With --since or
    --until, what was earned in that time, by trade times and at the prices
    that the book knew then.

      tradebook attribution
      tradebook attribution --by strategy --since 2024-05-01 --until 2024-06-01
      tradebook attribution --by signal_source --rate EUR=1.08 --wide
    """
    rates = given_rates(rate)
    with (
        context.read_book() as manager,
        context.progress_bar("folding") as report,
        missing_rate_names_option(),
    ):
        found = manager.attribution(by, period.since, period.until, rates, progress=report)
    context.answer({**as_fields(found), "ties": found.ties}, then=partial(_show, context, found))


@takes_option_sets
def agents(context: CommandContext, period: Period, rate: Rate = None) -> None:
    """Show each agent: its decisions by status, its trades, what they earned and what it cost.

    Net P&L is that of `tradebook attribution`; net after costs is left out
    while the cost of an action or a decision is not known.

      tradebook agents
      tradebook agents --since 2024-05-01 --rate EUR=1.08
    """
    rates = given_rates(rate)
    with (
        context.read_book() as manager,
        context.progress_bar("folding") as report,
        missing_rate_names_option(),
    ):
        found = manager.read(agent_summaries, period.since, period.until, rates, progress=report)
    statuses = [Column(status, status, Kind.NUMBER, 1) for status in _STATUSES.split()]
    context.answer_table(
        {"account": context.account, "agents": found},
        f"{counted(len(found), 'agent')} of account {context.account}",
        [
            Column("agent", "agent"),
            *statuses,
            *select(AttributionRow, _SUMMARY, spare="cost net_after_costs unpriced win_rate"),
        ],
        [row for summary in found for row in _lines(summary)],
        empty=f"no agents in account {context.account!r}",
    )


def _show(context: CommandContext, found: Attribution) -> None:
    if not found.rows:
        say(f"nothing to attribute in account {found.account!r}{_during(found)}")
        return
    rows = [row for total in found.totals for row in _totals(total)]
    columns = select(AttributionRow, _COLUMNS, spare=_SPARE)
    title = f"P&L of account {found.account} by {found.by.replace('_', ' ')}{_during(found)}"
    context.show_table(title, columns, found.rows, rows)
    for total in found.totals:
        if total.moved:
            moved = grouped(total.moved.copy_abs(), None if context.wide else 6)
            kinds = ("unrealized", "realized")[:: 1 if total.moved > 0 else -1]
            say(f"{moved} {total.currency} moved from {' to '.join(kinds)} on own cost bases")


def _during(found: Attribution) -> str:
    bounds = (("since", found.start), ("until", found.end))
    return "".join(f", {name} {time:%Y-%m-%d %H:%M:%S} UTC" for name, time in bounds if time)


def _totals(total: AttributionTotal) -> Iterator[Mapping[str, object]]:
    """Return the rows below the table: the groups, the book, and what is left of one less the other."""
    yield as_fields(total.groups)
    book = {name: getattr(total.book, name) for name in (*_SUMS.split(), "currency")}
    yield {"label": "the book", **book}
    left = {
        name: canonical(EXACT.subtract(getattr(total.groups, name), getattr(total.book, name)))
        for name in _SUMS.split()
    }
    yield {"label": "difference", **left, "currency": total.currency}


def _lines(summary: AgentSummary) -> Iterator[Mapping[str, object]]:
    """Return a line for each currency of an agent; its decisions are in the first."""
    decisions = {s.value.lower(): Decimal(n) for s, n in summary.decisions.items()}
    for row in summary.figures:
        yield {"agent": summary.agent, **decisions, **as_fields(row)}
        decisions = {}
