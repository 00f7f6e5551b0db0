"""A summary of each agent: its decisions by status, and the figures that are attributed to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from tradebook.domain.agents import DecisionStatus
from tradebook.domain.attribution import AttributionRow, Group, GroupBy
from tradebook.domain.group_books import Sums
from tradebook.domain.numbers import Number
from tradebook.service_layer.explanations.attribution.attribution import attribution
from tradebook.service_layer.explanations.attribution.period import Period
from tradebook.service_layer.instrumentation import ProgressCallback
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


@frozen
class AgentSummary:
    """An agent, what it decided, and what that earned and cost.

    Attributes:
        agent: its name.
        decisions: the number of its decisions with each status that one has.
        figures: its rows of the attribution by agent, at least one: one for each currency.
    """

    agent: str
    decisions: Mapping[DecisionStatus, int]
    figures: tuple[AttributionRow, ...]


def agent_summaries(
    uow: AbstractUnitOfWork,
    start: datetime | None = None,
    end: datetime | None = None,
    rates: Mapping[str, Number] | None = None,
    *,
    progress: ProgressCallback | None = None,
) -> list[AgentSummary]:
    """Return a summary of each agent that decided, acted or traded in a period.

    Args:
        uow: a read-only unit of work, which has one consistent view.
        start: as for `attribution`; decisions count by `decided_at`.
        end: as for `attribution`.
        rates: as for `attribution`.
        progress: as for `attribution`.

    Returns:
        The summaries in the order of the rows of the attribution, then by name.
    """
    found = attribution(uow, GroupBy.AGENT, start, end, rates, progress=progress)
    period = Period(found.start, found.end)
    figures: dict[str, list[AttributionRow]] = {}
    for row in found.rows:
        if row.kind == GroupBy.AGENT:
            figures.setdefault(row.group, []).append(row)
    decisions: dict[str, Counter[DecisionStatus]] = {agent: Counter() for agent in figures}
    for _, agent, status, at in uow.decisions.values("agent", "status", "decided_at"):
        if period.has(at):
            decisions.setdefault(agent, Counter())[status] += 1
    currency = found.totals[0].currency
    for agent in sorted(decisions.keys() - figures.keys()):
        # Of an agent that earned and cost nothing, attribution has no row.
        group = Group(agent, GroupBy.AGENT.value)
        figures[agent] = [AttributionRow.from_sums(group, currency, Sums())]
    return [
        AgentSummary(agent, dict(decisions[agent]), tuple(rows)) for agent, rows in figures.items()
    ]
