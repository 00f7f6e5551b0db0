"""Every documented query reads by the index meant for it: asked of the databases, with thousands of rows."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, UniqueConstraint, event, text

from tests.support.filled_books import fill
from tests.support.servers import create_database
from tradebook import (
    Account,
    AgentAction,
    AgentDecision,
    Alert,
    CashFlow,
    DatabaseManager,
    DecisionInput,
    Signal,
    Trade,
    VenueStatement,
)
from tradebook.adapters import orm
from tradebook.adapters.ledger.decision_sql import LAST_RECORD
from tradebook.domain.entity import Entity
from tradebook.domain.trades import OrderKey
from tradebook.service_layer import queries
from tradebook.service_layer.queries import snapshots

Query = Callable[[Any], object]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def book(
    request: pytest.FixtureRequest, migrated_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DatabaseManager]:
    url: Any
    if request.param == "sqlite":
        url = f"sqlite:///{shutil.copy(migrated_file, tmp_path_factory.mktemp('plans'))}"
    else:  # a database of its own: what other tests leave in theirs changes plans
        names = f"plans{uuid4().hex}", request.getfixturevalue("migrated_database")
        url = create_database(request.getfixturevalue("postgresql"), *names)
    account = uuid4().hex
    with DatabaseManager(url, account=account) as manager:
        fill(manager, [account, *(uuid4().hex for _ in range(4))])
        manager.create(Account())
        yield manager


def means(book: DatabaseManager, query: Query) -> set[str]:
    """The indexes by which the statements of a query find their rows; what it scans and sorts otherwise."""
    with book.unit_of_work(read_only=True) as uow:
        said: list[tuple[str, Any]] = []

        def listen(_: Connection, __: Any, statement: str, parameters: Any, *rest: Any) -> None:
            said.append((statement, parameters))

        connection = uow.session.connection()
        event.listen(connection, "before_cursor_execute", listen)
        query(uow)
        event.remove(connection, "before_cursor_execute", listen)
        assert said
        return {
            step
            for statement, parameters in said
            for step in plan(connection, statement, parameters)
        }


def plan(connection: Connection, statement: str, parameters: Any) -> Iterator[str]:
    if connection.dialect.name == "sqlite":
        for *_, step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters):
            yield from on_sqlite(step)
        return
    document = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar()
    [root] = json.loads(document) if isinstance(document, str) else document
    yield from on_postgresql(root["Plan"])


def on_sqlite(step: str) -> Iterator[str]:
    if found := re.match(r"SEARCH \w+ USING (?:COVERING )?INDEX (\w+)", step):
        yield by_constraint(found[1])
    elif found := re.match(r"SEARCH (\w+) USING INTEGER PRIMARY KEY", step):
        yield f"pk_{found[1].removesuffix('_1')}"
    elif step.startswith("SCAN") and "anon_" not in step:
        yield step
    elif "ORDER BY" in step:
        yield "a sort"


def by_constraint(index: str) -> str:
    """The name of the key that SQLite calls `sqlite_autoindex_trades_2`."""
    if not (found := re.fullmatch(r"sqlite_autoindex_(\w+)_(\d)", index)):
        return index
    table = orm.metadata.tables[found[1]]
    if found[2] == "1":
        return f"pk_{table.name}"
    [unique] = [c for c in table.constraints if isinstance(c, UniqueConstraint)]
    return str(unique.name)


def on_postgresql(node: dict[str, Any]) -> Iterator[str]:
    if "Index Name" in node:
        yield node["Index Name"]
    elif node["Node Type"] == "Seq Scan":
        yield f"SCAN {node['Relation Name']}"
    elif node["Node Type"] in ("Sort", "Incremental Sort"):
        yield "a sort"
    for below in node.get("Plans", ()):
        yield from on_postgresql(below)


def identity(kind: type[Entity], **values: Any) -> Query:
    """The look-up by which a repository recognises a record that comes again."""

    def look_up(uow: Any) -> object:
        records = uow.records(kind)
        return records.fetch(records.where(*records._identity(SimpleNamespace(**values))))

    return look_up


IDS = [1, 2, 3]
PERIOD = (datetime(2026, 3, 2, 12, tzinfo=UTC), datetime(2026, 3, 2, 12, 5, tzinfo=UTC))
PAGE: Any = {"limit": 20}
STATEMENT = VenueStatement(start="2026-04-01", end="2026-05-01", trades=[], cash_flows=[])
TRADES_OF_SYMBOL = {"ix_trades_account_symbol_executed_at_id"}
BY_FILL = {"uq_trades_fill", "ix_trades_account_order_id"}
EVENTS_OF_RECORD = {"ix_events_account_entity_entity_id_id"}
DECISIONS = {"ix_agent_decisions_account_decided_at_id"}
WITH_SIGNALS = {"pk_decision_signals", "pk_signals", "a sort"}
WHOLE_ACCOUNT = {"uq_positions_account_symbol", "pk_positions"}
"""What reads all of an account's positions may take either."""

THE_ACCOUNT = {
    *("uq_accounts_account", "SCAN accounts", "SCAN portfolios"),
    *("ix_portfolios_account_timestamp_id", "pk_portfolios", "a sort"),
}
"""What reads an account and its last snapshot, of a few accounts and a few snapshots."""

# The balance is the sum of all cash flows: where they are a fifth of the table it is read whole.
HOLDINGS = (
    WHOLE_ACCOUNT
    | {"ix_cash_flows_account_occurred_at_id", "pk_cash_flows", "SCAN cash_flows"}
    | THE_ACCOUNT
)

# Each query, and the means that it may use. "a sort" is of a few rows.
QUERIES: dict[str, tuple[Query, set[str]]] = {
    "get": (lambda uow: queries.get(uow, Trade, 4000), {"pk_trades"}),
    "get_all": (
        lambda uow: queries.get_all(uow, Trade, **PAGE),
        {"ix_trades_account_executed_at_id"},
    ),
    "get_rows": (
        lambda uow: queries.get_rows(uow, Trade, **PAGE),
        {"ix_trades_account_executed_at_id"},
    ),
    # Any key that begins with account and symbol counts as well.
    "count": (
        lambda uow: queries.count(uow, Trade, symbol="S1"),
        TRADES_OF_SYMBOL | {"uq_trades_fill"},
    ),
    "exists": (lambda uow: queries.exists(uow, Trade, symbol="S1"), TRADES_OF_SYMBOL),
    "get_trades": (
        lambda uow: queries.get_trades(uow, **PAGE),
        {"ix_trades_account_executed_at_id"},
    ),
    "get_recent_trades": (
        lambda uow: queries.get_recent_trades(uow, 20, days=30_000),
        {"ix_trades_account_executed_at_id"},
    ),
    "get_trades_by_symbol": (
        lambda uow: queries.get_trades_by_symbol(uow, "S1", **PAGE),
        TRADES_OF_SYMBOL,
    ),
    "get_order": (
        lambda uow: queries.get_order(uow, "o1", symbol="S1"),
        {"ix_trades_account_order_id", "a sort"} | EVENTS_OF_RECORD,
    ),
    "get_open_orders": (
        queries.get_open_orders,
        {"ix_trades_pending", "ix_trades_account_order_id"},
    ),
    "get_open_positions": (queries.get_open_positions, WHOLE_ACCOUNT),
    "get_positions": (queries.get_positions, WHOLE_ACCOUNT),
    "get_position_by_symbol": (
        lambda uow: queries.get_position_by_symbol(uow, "S1"),
        {"uq_positions_account_symbol"},
    ),
    "get_cash_flows": (
        lambda uow: queries.get_cash_flows(uow, **PAGE),
        {"ix_cash_flows_account_occurred_at_id"},
    ),
    "get_cash_flows of a symbol": (
        lambda uow: queries.get_cash_flows(uow, symbol="S1", **PAGE),
        {"ix_cash_flows_account_symbol_occurred_at_id"},
    ),
    "get_cash_balances": (queries.get_cash_balances, HOLDINGS),
    "get_balances": (queries.get_balances, HOLDINGS),
    "reconcile": (
        lambda uow: queries.reconcile(uow, {}),
        HOLDINGS | {"ix_cash_flows_account_occurred_at_id", "uq_trades_fill", *TRADES_OF_SYMBOL},
    ),
    "reconcile_statement": (
        lambda uow: queries.reconcile_statement(uow, STATEMENT),
        {
            "ix_cash_flows_account_occurred_at_id",
            "ix_trades_account_executed_at_id",
        },
    ),
    "get_accounts": (queries.get_accounts, {"SCAN accounts"}),
    "get_consolidated_positions": (
        lambda uow: queries.get_consolidated_positions(uow, accounts=[uow.account]),
        HOLDINGS,
    ),
    "get_consolidated_portfolio": (
        lambda uow: queries.get_consolidated_portfolio(uow, accounts=[uow.account]),
        HOLDINGS,
    ),
    "get_latest_portfolio": (
        queries.get_latest_portfolio,
        {"ix_portfolios_account_timestamp_id"},
    ),
    "get_portfolio_history": (
        lambda uow: queries.get_portfolio_history(uow, days=30_000, **PAGE),
        {"ix_portfolios_account_timestamp_id"},
    ),
    "get_portfolio_positions": (
        lambda uow: queries.get_portfolio_positions(uow, 30),
        {"uq_portfolio_positions_account_portfolio_id_symbol"},
    ),
    "get_snapshot": (
        snapshots.get_snapshot,
        {
            "ix_portfolios_account_timestamp_id",
            "uq_portfolio_positions_account_portfolio_id_symbol",
            "ix_portfolio_positions_account_symbol_sequence",
            "a sort",
        },
    ),
    "get_alerts": (
        lambda uow: queries.get_alerts(uow, **PAGE),
        {"ix_alerts_account_timestamp_id"},
    ),
    "get_unresolved_alerts": (
        lambda uow: queries.get_unresolved_alerts(uow, **PAGE),
        {"ix_alerts_unresolved"},
    ),
    "get_signals": (
        lambda uow: queries.get_signals(uow, **PAGE),
        {"ix_signals_account_generated_at_id"},
    ),
    "get_signals of a symbol": (
        lambda uow: queries.get_signals(uow, symbol="S1", **PAGE),
        {"ix_signals_account_symbol_generated_at_id"},
    ),
    "get_decisions": (lambda uow: queries.get_decisions(uow, **PAGE), DECISIONS),
    "get_decisions of an agent": (
        lambda uow: queries.get_decisions(uow, agent="a1", **PAGE),
        {"ix_agent_decisions_account_agent_decided_at_id"},
    ),
    "get_decisions with signals": (
        lambda uow: queries.get_decisions(uow, with_signals=True, **PAGE),
        DECISIONS | WITH_SIGNALS,
    ),
    "get_decision": (
        lambda uow: queries.get_decision(uow, 4000),
        {"pk_agent_decisions"} | WITH_SIGNALS,
    ),
    "get_inputs": (lambda uow: queries.get_inputs(uow, **PAGE), {"pk_decision_inputs"}),
    "get_inputs of a decision": (
        lambda uow: queries.get_inputs(uow, decision_id=5, **PAGE),
        {"uq_decision_inputs_account_decision_id_name", "a sort"},
    ),
    "get_actions": (
        lambda uow: queries.get_actions(uow, **PAGE),
        {"ix_agent_actions_account_started_at_id"},
    ),
    "get_actions of an agent": (
        lambda uow: queries.get_actions(uow, agent="a1", **PAGE),
        {"ix_agent_actions_account_agent_started_at_id"},
    ),
    "get_actions of a decision": (
        lambda uow: queries.get_actions(uow, decision_id=5, **PAGE),
        {"ix_agent_actions_account_decision_id", "a sort"},
    ),
    "get_imports": (
        lambda uow: queries.get_imports(uow, **PAGE),
        {"ix_imports_account_started_at_id"},
    ),
    "get_metrics": (
        lambda uow: queries.get_metrics(uow, **PAGE),
        {"ix_performance_metrics_account_period_end_id"},
    ),
    "get_metrics of a name": (
        lambda uow: queries.get_metrics(uow, name="n1", **PAGE),
        {"ix_performance_metrics_account_name_period_end_id"},
    ),
    "get_events": (lambda uow: queries.get_events(uow, **PAGE), {"pk_events"}),
    "get_events of a record": (
        lambda uow: queries.get_events(uow, entity="Trade", entity_id=7),
        EVENTS_OF_RECORD,
    ),
}

# What handlers, proofs and repairs read.
INSIDE: dict[str, tuple[Query, set[str]]] = {
    "a replay by its order": (
        lambda uow: list(uow.ledger._of_orders("S1", {OrderKey("", "S1", "o1")})),
        BY_FILL,
    ),
    "an order": (lambda uow: uow.trades.of_order("o1"), {"ix_trades_account_order_id", "a sort"}),
    "the fold": (
        lambda uow: list(uow.trades.in_fold_order("S1", batch=10)),
        {"uq_trades_account_symbol_sequence", "uq_trades_account_corrects_id", "a sort"},
    ),
    "the last entry by a time": (
        lambda uow: uow.trades.last_entry("S1", datetime(2026, 1, 1, tzinfo=UTC)),
        {"uq_trades_account_symbol_sequence", "uq_trades_account_symbol_bust_sequence"},
    ),
    "corrections of a symbol": (
        lambda uow: uow.trades.corrections("S1"),
        {"uq_trades_account_corrects_id", "uq_trades_account_symbol_bust_sequence"},
    ),
    "how many were booked": (
        lambda uow: uow.trades.count_booked("S1"),
        {"uq_trades_account_symbol_sequence"},
    ),
    "busted since a snapshot": (
        lambda uow: uow.trades.busted_after({"S1": 3, "S2": 4}),
        {"uq_trades_account_symbol_bust_sequence"},
    ),
    "a correction": (
        lambda uow: uow.trades.correcting(IDS),
        {"uq_trades_account_corrects_id"},
    ),
    "snapshots of a symbol": (
        lambda uow: uow.portfolios.positions_in("S1"),
        {"ix_portfolio_positions_account_symbol_sequence"},
    ),
    "marked positions": (
        lambda uow: uow.ledger.marked(["S1", "S2"]),
        {"uq_positions_account_symbol"},
    ),
    "events of a record": (lambda uow: uow.events.of("Trade", 7), EVENTS_OF_RECORD),
    "events that booked": (
        lambda uow: uow.events.bookings_of(IDS),
        EVENTS_OF_RECORD | {"a sort"},
    ),
    "what the last event of a decision states": (
        lambda uow: uow.session.execute(
            text(f"SELECT {LAST_RECORD} FROM agent_decisions WHERE account = :account AND id = 5"),
            {"account": uow.account},
        ),
        EVENTS_OF_RECORD | {"pk_agent_decisions"},
    ),
    "decisions above others": (
        lambda uow: uow.decisions.ancestry(IDS, limit=20),
        {"pk_agent_decisions", "pk_above", "SCAN ancestry", "a sort"},
    ),
    "decisions made upon others": (
        lambda uow: uow.decisions.referring("parent_id", IDS, limit=101),
        {"ix_agent_decisions_account_parent_id", "a sort"},
    ),
    "signals behind decisions": (
        lambda uow: uow.signals.behind(IDS, limit=101),
        {"pk_decision_signals", "pk_signals", "a sort"},
    ),
    "actions of decisions": (
        lambda uow: uow.actions.referring("decision_id", IDS, limit=101),
        {"ix_agent_actions_account_decision_id", "a sort"},
    ),
    "trades of decisions": (
        lambda uow: uow.trades.referring("decision_id", IDS, limit=1001),
        {"ix_trades_account_decision_id", "a sort"},
    ),
    "events of decisions": (
        lambda uow: uow.events.referring("entity_id", IDS, limit=101, entity="AgentDecision"),
        EVENTS_OF_RECORD | {"a sort"},
    ),
    "trades of one order": (
        lambda uow: uow.trades.of_order_key(OrderKey("", "S1", "o1"), limit=1000),
        {"uq_trades_fill", "a sort"},
    ),
    "the last booked of a symbol": (
        lambda uow: uow.trades.newest_booked("S1", limit=20),
        {"uq_trades_account_symbol_sequence"},
    ),
    "busts after an entry": (
        lambda uow: uow.trades.busts_after("S1", 3, limit=1000),
        {"uq_trades_account_symbol_bust_sequence", "a sort"},
    ),
    "trades whose import was undone": (lambda uow: uow.events.undone_of(IDS), EVENTS_OF_RECORD),
    "the newest event": (lambda uow: uow.events.newest_id(), {"pk_events"}),
    "events in order": (lambda uow: uow.events.in_order(after=500, limit=20), {"pk_events"}),
    "events by their ids": (lambda uow: uow.events.found(IDS), {"pk_events"}),
    "the last seal": (lambda uow: uow.seals.last(), {"uq_seals_account_number"}),
    "seals in order": (
        lambda uow: uow.seals.numbered(after=500, limit=20),
        {"uq_seals_account_number"},
    ),
    "seals over events": (lambda uow: uow.seals.covering(1990, 1995), {"ix_seals_account_to_id"}),
    "a signal again": (identity(Signal, reference="r1"), {"uq_signals_account_reference"}),
    "a decision again": (
        identity(AgentDecision, reference="r1"),
        {"uq_agent_decisions_account_reference"},
    ),
    "an action again": (
        identity(AgentAction, reference="r1"),
        {"uq_agent_actions_account_reference"},
    ),
    "an input again": (
        identity(DecisionInput, decision_id=5, name="n"),
        {"uq_decision_inputs_account_decision_id_name"},
    ),
    "the inputs of decisions": (
        lambda uow: uow.decision_inputs.of_decisions(IDS),
        {"uq_decision_inputs_account_decision_id_name", "a sort"},
    ),
    "prices of trades": (
        lambda uow: list(uow.trades.prices("S1", *PERIOD)),
        TRADES_OF_SYMBOL | {"a sort"},
    ),
    "prices of snapshots": (
        lambda uow: list(uow.portfolios.prices("S1", *PERIOD)),
        {
            "ix_portfolios_account_timestamp_id",
            "uq_portfolio_positions_account_portfolio_id_symbol",
            "ix_portfolio_positions_account_symbol_sequence",
            "a sort",
        },
    ),
    "a cash flow again": (
        identity(CashFlow, reference="r1"),
        {"uq_cash_flows_account_reference"},
    ),
    "an alert again": (identity(Alert, dedup_key="k1"), {"uq_alerts_account_dedup_key"}),
}


@pytest.mark.parametrize("name", [*QUERIES, *INSIDE])
def test_a_query_reads_by_the_index_meant_for_it(book: DatabaseManager, name: str) -> None:
    query, expected = {**QUERIES, **INSIDE}[name]
    used = means(book, query)
    assert used - {"a sort"}
    assert used <= expected


def test_every_query_is_asked() -> None:
    folding = {"portfolio_as_of", "positions_as_of"}  # they read every trade
    assert {name.split()[0] for name in QUERIES} == {*queries.__all__} - {"CashBalance", *folding}
