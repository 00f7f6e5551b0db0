"""`attribution` next to `verify`, on a book whose trades name decisions: time and memory, each in a process of its own.

`python -m benchmarks --only attribution`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import URL

from benchmarks import children
from benchmarks.bulk import fills
from benchmarks.comparing import TIME, Times, figures
from benchmarks.results import Goal, Result, Settings
from tests.support.servers import create_database, postgresql_server
from tradebook import AgentAction, AgentDecision, DatabaseManager
from tradebook.service_layer.handlers import TradeTerms

SYMBOLS, AGENTS = 500, 10
_AT_A_TIME = 10_000


def results(settings: Settings) -> Iterator[Result]:
    """A decision for each trade, and one for ten trades."""
    rows = settings.size(2_000, 100_000, 1_000_000)
    rounds = settings.size(1, 3, 3)
    with postgresql_server() as server:
        for trades, name in ((1, "each trade"), (10, "ten trades")):
            url = create_database(server, f"attribution-{trades}")
            fill(url, rows, trades)
            yield from compared(url, f"{rows:,} trades, a decision for {name}", rounds)


def fill(url: URL, rows: int, trades: int) -> None:
    """Record decisions of several agents with their costs, an action for each tenth, and their trades."""
    with DatabaseManager(url) as manager:
        manager.upgrade()
        decisions: list[int] = []
        for start in range(0, rows // trades, _AT_A_TIME):
            numbers = range(start, min(start + _AT_A_TIME, rows // trades))
            made = manager.bulk_create([decision(number) for number in numbers])
            manager.bulk_create([action(each) for each in made[::10]])
            decisions += [each.id for each in made]
        manager.import_trades([*decided(fills(rows, SYMBOLS), decisions, trades)])


def decision(number: int) -> AgentDecision:
    """Return a decision that costs a cent, of one of the agents."""
    return AgentDecision(
        agent=f"agent-{number % AGENTS}",
        symbol="SYM0",
        action="BUY",
        status="APPROVED",
        cost="0.01",
    )


def action(of: AgentDecision) -> AgentAction:
    """Return an action that costs half a cent."""
    return AgentAction(agent=of.agent, action_type="call", decision_id=of.id, cost="0.005")


def decided(given: Iterator[TradeTerms], decisions: list[int], trades: int) -> Iterator[TradeTerms]:
    """Name the decision of each fill."""
    for number, terms in enumerate(given):
        terms["decision_id"] = decisions[number // trades]
        yield terms


def compared(url: URL, title: str, rounds: int) -> Iterator[Result]:
    """Both in turns; the first round is no warm-up, since each runs in a new process."""
    ways: dict[str, tuple[Any, ...]] = {
        "verify": ("verify", url),
        "attribution by agent": ("attribution", url, "agent"),
        "attribution by symbol": ("attribution", url, "symbol"),
    }
    seconds, memory = Times(), dict[str, list[float]]()
    for _ in range(rounds):
        for name, arguments in ways.items():
            told = children.run(*arguments)
            seconds.add(name, told.seconds, told.processor)
            memory.setdefault(name, []).append(told.megabytes)
    goals = dict.fromkeys(list(ways)[1:], Goal(2, at_most=True))
    yield seconds.result(title, goals, ratio=TIME, unit="seconds")
    at_most = dict.fromkeys(ways, Goal(1_000, at_most=True))
    yield figures(f"{title}: memory", "MB", memory, at_most)
