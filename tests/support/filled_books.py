"""Books with enough of everything for a database to plan as it would in earnest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, insert, literal, select, text

from tradebook import (
    AgentAction,
    AgentDecision,
    Alert,
    CashFlow,
    DecisionInput,
    PerformanceMetric,
    Portfolio,
    Position,
    Signal,
    Trade,
)
from tradebook.adapters import orm
from tradebook.adapters.repositories.entity_rows import table_of, values_of
from tradebook.domain.entity import Entity
from tradebook.domain.events import Event
from tradebook.domain.imports import Import
from tradebook.domain.portfolio import PortfolioPosition
from tradebook.domain.seals import Seal
from tradebook.service_layer.book import Book

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROWS = 2000
SYMBOLS = 10
_TIMES = ("executed_at", "generated_at", "decided_at", "started_at", "occurred_at", "timestamp")


def fill(book: Book, accounts: list[str]) -> None:
    """Give each of these accounts the same 2,000 records of each kind."""

    first, *others = accounts

    def insert_everything(uow: Any) -> None:
        connection = uow.session.connection()
        entities = one_of_each(first)
        for entity in entities:
            values = values_of(entity)
            rows = [{**values, **_apart(values, number)} for number in range(ROWS)]
            if isinstance(entity, DecisionInput):
                decisions = _ids(connection, orm.agent_decisions, first)
                for decision_id, row in zip(decisions, rows, strict=True):
                    row["decision_id"] = decision_id
            if isinstance(entity, PortfolioPosition):
                portfolios = _ids(connection, orm.portfolios, first)
                for number, row in enumerate(rows):
                    row["portfolio_id"] = portfolios[number // SYMBOLS]
            connection.execute(insert(table_of(type(entity))), rows)
        for account in others:
            for entity in entities:
                copy(connection, table_of(type(entity)), first, account)
        for account in accounts:
            ids = [_ids(connection, t, account) for t in (orm.agent_decisions, orm.signals)]
            links = [
                {"account": account, "decision_id": decision, "signal_id": signal}
                for decision, signal in zip(*ids, strict=True)
            ]
            connection.execute(insert(orm.decision_signals), links)
        connection.execute(text("ANALYZE"))

    book.run(insert_everything)


def copy(connection: Connection, table: Table, account: str, into: str) -> None:
    """Give another account the same records."""
    values: dict[str, Any] = {column.name: column for column in table.c if column.name != "id"}
    values["account"] = literal(into)
    for of_table, column, referred in (
        (orm.portfolio_positions, "portfolio_id", orm.portfolios),
        (orm.decision_inputs, "decision_id", orm.agent_decisions),
    ):
        if table is of_table:
            here, there = (_ids(connection, referred, name)[0] for name in (account, into))
            values[column] = table.c[column] + (there - here)
    rows = select(*values.values()).where(table.c.account == account).order_by(table.c.id)
    connection.execute(insert(table).from_select([*values], rows))


def _ids(connection: Connection, table: Table, account: str) -> list[int]:
    """The ids of an account's records."""
    return sorted(connection.scalars(select(table.c.id).where(table.c.account == account)))


def one_of_each(account: str) -> list[Entity]:
    """A record of each kind, booked where it can be."""

    def of(kind: type[Any], /, **values: Any) -> Any:
        return kind(account=account, created_at=NOON, **values)

    amounts = dict.fromkeys(
        ("quantity", "cost_basis", "current_price", "market_value", "unrealized_pnl"), 1
    )
    totals = dict.fromkeys(("realized_pnl", "fees", "cash_flow"), 1)
    trade = of(Trade, symbol="S", action="BUY", quantity=1, price=1, order_id="o")
    trade.book(sequence=1, booked_at=NOON, realized_pnl=trade.price)
    return [
        trade,
        of(Position, symbol="S"),
        of(CashFlow, kind="DEPOSIT", amount=1, reference="r"),
        of(Portfolio, cash_balance=1, total_value=1),
        of(
            PortfolioPosition,
            symbol="S",
            currency="USD",
            multiplier=1,
            settlement="CASH",
            sequence=1,
            **amounts,
            **totals,
        ),
        of(Signal, symbol="S", action="BUY"),
        of(AgentDecision, agent="a", symbol="S", action="BUY", confidence=1, cost=0),
        of(
            DecisionInput,
            decision_id=1,
            name="close",
            value=1,
            digest="d",
            available_at=NOON,
            recorded_at=NOON,
        ),
        of(AgentAction, agent="a", action_type="call", cost=0),
        of(Alert, alert_type="drawdown", severity="INFO"),
        of(Import, source="f.csv", reference="r"),
        of(PerformanceMetric, name="n", value=1, period_start=NOON, period_end=NOON),
        of(Event, event_type="TradeRecorded", entity="Trade", entity_id=1, occurred_at=NOON),
        of(
            Seal,
            number=1,
            from_id=1,
            to_id=1,
            count=1,
            covered=[],
            settled_id=1,
            horizon=0,
            events_hash="h",
            previous_hash="",
            sealed_at=NOON,
        ),
    ]


def _apart(values: dict[str, Any], number: int) -> dict[str, Any]:
    """What tells a record from the others of its kind."""
    at = NOON + timedelta(seconds=number)
    is_position = "version" in values
    apart = {
        **dict.fromkeys(_TIMES, at),
        "period_end": at,
        "symbol": f"S{number}" if is_position else f"S{number % SYMBOLS}",
        "status": ("CLOSED", "OPEN")[number % 20 == 0] if is_position else values.get("status"),
        "sequence": 1 if is_position else number // SYMBOLS + 1,
        "agent": f"a{number % SYMBOLS}",
        "name": f"n{number % SYMBOLS}",
        "order_id": f"o{number}",
        "reference": f"r{number}",
        "entity_id": number,
        "number": number + 1,
        "from_id": number + 1,
        "to_id": number + 1,
    }
    apart["dedup_key"] = f"k{number}"
    if "dedup_key" in values and number % 20:
        apart |= {"resolved": True, "resolved_at": at, "resolved_by": "me", "resolution": "done"}
    if "bust_sequence" in values and number % 100 == 0:
        apart |= {"status": "BUSTED", "bust_sequence": ROWS + number, "busted_at": at}
        apart |= {"bust_reason": "never happened"}
    return {name: value for name, value in apart.items() if name in values}
