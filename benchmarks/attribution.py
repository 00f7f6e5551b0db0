"""`attribution` and `equity_curve` next to `verify`, on a book whose trades name decisions: time and memory, each in a process of its own.

`python -m benchmarks --only attribution`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
from sqlalchemy import URL

from benchmarks import children
from benchmarks.comparing import TIME, Times, figures
from benchmarks.filled import filled
from benchmarks.results import Goal, Result, Settings
from tests.support.servers import create_database, postgresql_server

SYMBOLS, AGENTS = 500, 10
_STEP = "45m"
_CURVE = "equity curve, a point for each 45 minutes"
"""1,000,000 trades are 1,000,000 seconds, which have 371 points: as many as the days of a year."""


_DECISIONS = """
INSERT INTO agent_decisions (account, created_at, updated_at, agent, strategy, symbol, action, confidence, reasoning,
    model, inputs, status, decided_at, cost, cost_currency)
SELECT 'main', now(), now(), 'agent-' || number % {agents}, '', 'S0', 'BUY', 1, '', 'm', '{{}}', 'PROPOSED', now(), 0.01,
    'USD'
FROM generate_series(1, (SELECT count(*) FROM trades) / {trades}) AS number
"""
_DECIDED = """
UPDATE trades SET decision_id = numbered.decision_id
FROM (SELECT trades.id, decisions.id AS decision_id
    FROM (SELECT id, (row_number() OVER (ORDER BY id) - 1) / {trades} AS number FROM trades) AS trades
    JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS number FROM agent_decisions) AS decisions USING (number)
) AS numbered
WHERE trades.id = numbered.id
"""
_ACTIONS = """
INSERT INTO agent_actions (account, created_at, updated_at, agent, action_type, status, started_at, duration, cost,
    cost_currency, decision_id)
SELECT account, now(), now(), agent, 'call', 'SUCCEEDED', now(), 1, 0.005, 'USD', id FROM agent_decisions
WHERE id % 10 = 0
"""
_EVENTS = """
INSERT INTO events (account, created_at, updated_at, event_type, entity, entity_id, payload, actor, correlation_id,
    occurred_at)
SELECT account, now(), now(), 'DecisionRecorded', 'AgentDecision', id, jsonb_build_object('agent', agent, 'symbol',
    symbol, 'action', action, 'status', status, 'signals', '[]'::jsonb), '', '', now() FROM agent_decisions
UNION ALL
SELECT account, now(), now(), 'ActionRecorded', 'AgentAction', id, jsonb_build_object('agent', agent, 'action_type',
    action_type, 'status', status), '', '', now() FROM agent_actions
"""


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
    """Make a book of which each so many trades in a row name a decision, of agents in turn, with a cost each."""
    with filled(url, rows, SYMBOLS):
        values = {"trades": trades, "agents": AGENTS}
        plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
        with closing(psycopg2.connect(plain)) as connection, connection.cursor() as cursor:
            for statement in (_DECISIONS, _DECIDED, _ACTIONS, _EVENTS):
                cursor.execute(statement.format_map(values))
            connection.commit()
            connection.autocommit = True
            cursor.execute("VACUUM ANALYZE")


def compared(url: URL, title: str, rounds: int) -> Iterator[Result]:
    """Both in turns; the first round is no warm-up, since each runs in a new process."""
    ways: dict[str, tuple[Any, ...]] = {
        "verify": ("verify", url),
        "attribution by agent": ("attribution", url, "agent"),
        "attribution by symbol": ("attribution", url, "symbol"),
        _CURVE: ("equity_curve", url, _STEP, ""),
        f"{_CURVE}, by agent": ("equity_curve", url, _STEP, "agent"),
    }
    seconds, memory = Times(), dict[str, list[float]]()
    for _ in range(rounds):
        for name, arguments in ways.items():
            told = children.run(*arguments)
            seconds.add(name, told.seconds, told.processor)
            memory.setdefault(name, []).append(told.megabytes)
    goals = dict.fromkeys(list(ways)[1:], Goal(2, at_most=True))
    goals[_CURVE] = Goal(1.5, at_most=True)
    yield seconds.result(title, goals, ratio=TIME, unit="seconds")
    at_most = {**dict.fromkeys(ways, Goal(1_000, at_most=True)), _CURVE: Goal(300, at_most=True)}
    yield figures(f"{title}: memory", "MB", memory, at_most)
