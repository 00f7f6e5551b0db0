"""The tables, and the mapping of the domain's entities to them.

One schema serves SQLite, PostgreSQL, and PostgreSQL distributed by `account`: every key, unique
constraint and foreign key contains the account. No column of `positions` that trades or marks change
is indexed, or its updates would not be HOT and the heap would grow 16 times as large.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar, cast

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import InstrumentedAttribute, Mapper, registry, relationship

from tradebook.adapters.columns import (
    decimal_column,
    enum_column,
    foreign_key,
    index_where,
    integer_column,
    json_column,
    record_table,
    text_column,
    time_column,
    unique_where,
)
from tradebook.adapters.columns import metadata as metadata
from tradebook.domain.agents import ActionStatus, AgentAction, AgentDecision, DecisionStatus
from tradebook.domain.alerts import Alert, Severity
from tradebook.domain.cash import Account, CashFlow, CashFlowKind
from tradebook.domain.entity import Entity
from tradebook.domain.errors import InvalidInput
from tradebook.domain.events import Event
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.portfolio import Portfolio, PortfolioPosition
from tradebook.domain.positions import Position, PositionStatus
from tradebook.domain.seals import Seal
from tradebook.domain.signals import Signal, SignalAction
from tradebook.domain.trades import Settlement, Trade, TradeAction, TradeStatus

mapped: Final[list[Mapper[Any]]] = []
"""The mappers of all entities, once they are mapped."""

accounts: Final = record_table(
    "accounts",
    text_column("base_currency"),
    UniqueConstraint("account"),
)

signals: Final = record_table(
    "signals",
    text_column("symbol"),
    *enum_column("action", SignalAction),
    decimal_column("strength"),
    decimal_column("confidence"),
    text_column("source"),
    text_column("strategy"),
    decimal_column("price", nullable=True),
    time_column("generated_at"),
    decimal_column("horizon", nullable=True),
    text_column("reference", nullable=True),
    json_column("details"),
    unique_where("uq_signals_account_reference", "reference IS NOT NULL", "account", "reference"),
    Index(None, "account", "generated_at", "id"),
    Index(None, "account", "symbol", "generated_at", "id"),
)

agent_decisions: Final = record_table(
    "agent_decisions",
    text_column("agent"),
    text_column("strategy"),
    text_column("symbol"),
    *enum_column("action", SignalAction),
    decimal_column("quantity", nullable=True),
    decimal_column("price", nullable=True),
    decimal_column("confidence"),
    text_column("reasoning"),
    text_column("model"),
    json_column("inputs"),
    *enum_column("status", DecisionStatus),
    time_column("decided_at"),
    decimal_column("cost"),
    text_column("cost_currency"),
    text_column("reference", nullable=True),
    unique_where(
        "uq_agent_decisions_account_reference", "reference IS NOT NULL", "account", "reference"
    ),
    Index(None, "account", "decided_at", "id"),
    Index(None, "account", "agent", "decided_at", "id"),
)

decision_signals: Final = Table(
    "decision_signals",
    metadata,
    Column("account", Text, primary_key=True),
    Column("decision_id", BigInteger, primary_key=True, autoincrement=False),
    Column("signal_id", BigInteger, primary_key=True, autoincrement=False),
    foreign_key("decision_id", "agent_decisions"),
    foreign_key("signal_id", "signals"),
    Index(None, "account", "signal_id"),
)

agent_actions: Final = record_table(
    "agent_actions",
    text_column("agent"),
    text_column("action_type"),
    json_column("input", nullable=True),
    json_column("output", nullable=True),
    *enum_column("status", ActionStatus),
    text_column("error", nullable=True),
    time_column("started_at"),
    decimal_column("duration"),
    decimal_column("cost"),
    text_column("cost_currency"),
    text_column("reference", nullable=True),
    integer_column("decision_id", nullable=True),
    foreign_key("decision_id", "agent_decisions"),
    unique_where(
        "uq_agent_actions_account_reference", "reference IS NOT NULL", "account", "reference"
    ),
    Index(None, "account", "started_at", "id"),
    Index(None, "account", "agent", "started_at", "id"),
    index_where(
        "ix_agent_actions_account_decision_id",
        "decision_id IS NOT NULL",
        "account",
        "decision_id",
    ),
)

trades: Final = record_table(
    "trades",
    text_column("symbol"),
    text_column("venue"),
    *enum_column("action", TradeAction),
    decimal_column("quantity"),
    decimal_column("price"),
    decimal_column("fee"),
    text_column("currency"),
    text_column("fee_currency"),
    decimal_column("multiplier"),
    *enum_column("settlement", Settlement),
    time_column("executed_at"),
    text_column("order_id"),
    text_column("execution_id"),
    text_column("strategy"),
    integer_column("decision_id", nullable=True),
    json_column("details"),
    *enum_column("status", TradeStatus),
    integer_column("sequence", nullable=True),
    time_column("booked_at", nullable=True),
    decimal_column("realized_pnl"),
    integer_column("revision"),
    integer_column("corrects_id", nullable=True),
    time_column("busted_at", nullable=True),
    text_column("bust_reason", nullable=True),
    Column("busted_by", Text, nullable=False, server_default=text("''")),
    integer_column("bust_sequence", nullable=True),
    foreign_key("decision_id", "agent_decisions"),
    foreign_key("corrects_id", "trades"),
    UniqueConstraint(
        "account", "symbol", "venue", "order_id", "execution_id", "revision", name="uq_trades_fill"
    ),
    CheckConstraint(
        "(status IN ('EXECUTED', 'BUSTED')) = (sequence IS NOT NULL)", name="booked_has_sequence"
    ),
    CheckConstraint("(sequence IS NULL) = (booked_at IS NULL)", name="booked_has_time"),
    CheckConstraint(
        "(status = 'BUSTED') = (bust_sequence IS NOT NULL)", name="busted_has_sequence"
    ),
    unique_where(
        "uq_trades_account_corrects_id", "corrects_id IS NOT NULL", "account", "corrects_id"
    ),
    unique_where(
        "uq_trades_account_symbol_bust_sequence",
        "bust_sequence IS NOT NULL",
        "account",
        "symbol",
        "bust_sequence",
    ),
    unique_where(
        "uq_trades_account_symbol_sequence",
        "sequence IS NOT NULL",
        "account",
        "symbol",
        "sequence",
    ),
    Index(None, "account", "order_id"),
    # Each booking looks for a pending order. This index is so small that every planner prefers it,
    # whatever the statistics say.
    index_where("ix_trades_pending", "status = 'PENDING'", "account", "order_id"),
    Index(None, "account", "executed_at", "id"),
    Index(None, "account", "symbol", "executed_at", "id"),
    index_where(
        "ix_trades_account_decision_id", "decision_id IS NOT NULL", "account", "decision_id"
    ),
)

positions: Final = record_table(
    "positions",
    text_column("symbol"),
    decimal_column("quantity"),
    decimal_column("cost_basis"),
    decimal_column("realized_pnl"),
    decimal_column("fees"),
    decimal_column("cash_flow"),
    text_column("currency"),
    decimal_column("multiplier"),
    *enum_column("settlement", Settlement),
    decimal_column("current_price", nullable=True),
    time_column("marked_at", nullable=True),
    *enum_column("status", PositionStatus),
    time_column("opened_at", nullable=True),
    time_column("closed_at", nullable=True),
    integer_column("sequence"),
    integer_column("version"),
    UniqueConstraint("account", "symbol"),
    CheckConstraint("(current_price IS NULL) = (marked_at IS NULL)", name="marked_has_time"),
)

cash_flows: Final = record_table(
    "cash_flows",
    *enum_column("kind", CashFlowKind),
    decimal_column("amount"),
    text_column("currency"),
    text_column("symbol", nullable=True),
    time_column("occurred_at"),
    text_column("reference"),
    UniqueConstraint("account", "reference"),
    Index(None, "account", "occurred_at", "id"),
)

portfolios: Final = record_table(
    "portfolios",
    text_column("currency"),
    decimal_column("cash_balance"),
    decimal_column("positions_value"),
    decimal_column("total_value"),
    decimal_column("gross_exposure"),
    decimal_column("net_exposure"),
    decimal_column("realized_pnl"),
    decimal_column("unrealized_pnl"),
    decimal_column("fees"),
    decimal_column("external_flows"),
    decimal_column("income"),
    json_column("rates"),
    json_column("closed_sequences"),
    text_column("source"),
    time_column("timestamp"),
    Index(None, "account", "timestamp", "id"),
)

portfolio_positions: Final = record_table(
    "portfolio_positions",
    integer_column("portfolio_id"),
    text_column("symbol"),
    decimal_column("quantity"),
    decimal_column("cost_basis"),
    decimal_column("current_price"),
    decimal_column("market_value"),
    decimal_column("unrealized_pnl"),
    decimal_column("realized_pnl"),
    decimal_column("fees"),
    decimal_column("cash_flow"),
    text_column("currency"),
    decimal_column("multiplier"),
    *enum_column("settlement", Settlement),
    integer_column("sequence"),
    foreign_key("portfolio_id", "portfolios"),
    UniqueConstraint("account", "portfolio_id", "symbol"),
    Index(None, "account", "symbol", "sequence"),
)

alerts: Final = record_table(
    "alerts",
    text_column("alert_type"),
    *enum_column("severity", Severity),
    text_column("message"),
    text_column("source"),
    text_column("symbol", nullable=True),
    text_column("dedup_key", nullable=True),
    Column("resolved", Boolean, nullable=False),
    text_column("resolution", nullable=True),
    time_column("resolved_at", nullable=True),
    text_column("resolved_by", nullable=True),
    time_column("timestamp"),
    CheckConstraint("resolved = (resolved_at IS NOT NULL)", name="resolved_has_time"),
    unique_where(
        "uq_alerts_account_dedup_key",
        "dedup_key IS NOT NULL AND NOT resolved",
        "account",
        "dedup_key",
    ),
    Index(None, "account", "timestamp", "id"),
    index_where("ix_alerts_unresolved", "NOT resolved", "account", "timestamp", "id"),
)

performance_metrics: Final = record_table(
    "performance_metrics",
    text_column("name"),
    decimal_column("value"),
    time_column("period_start"),
    time_column("period_end"),
    time_column("computed_at"),
    json_column("parameters"),
    Index(None, "account", "period_end", "id"),
    Index(None, "account", "name", "period_end", "id"),
)

events: Final = record_table(
    "events",
    text_column("event_type"),
    text_column("entity"),
    integer_column("entity_id"),
    json_column("payload"),
    text_column("actor"),
    text_column("correlation_id"),
    time_column("occurred_at"),
    Index(None, "account", "entity", "entity_id", "id"),
)

seals: Final = record_table(
    "seals",
    integer_column("number"),
    integer_column("from_id"),
    integer_column("to_id"),
    integer_column("count"),
    json_column("covered"),
    integer_column("settled_id"),
    integer_column("horizon"),
    text_column("events_hash"),
    text_column("previous_hash"),
    text_column("actor"),
    text_column("correlation_id"),
    time_column("sealed_at"),
    text_column("seal_hash"),
    UniqueConstraint("account", "number"),
    Index(None, "account", "to_id"),
)


TABLES: Final[Mapping[type[Entity], Table]] = {
    Account: accounts,
    Signal: signals,
    AgentDecision: agent_decisions,
    AgentAction: agent_actions,
    Trade: trades,
    Position: positions,
    CashFlow: cash_flows,
    Portfolio: portfolios,
    PortfolioPosition: portfolio_positions,
    Alert: alerts,
    PerformanceMetric: performance_metrics,
    Event: events,
    Seal: seals,
}
"""The table of each kind of record."""

COLUMNS: Final[Mapping[type[Entity], Sequence[str]]] = {
    kind: tuple(table.columns.keys()) for kind, table in TABLES.items()
}
"""The columns of each kind of record, which are its mapped fields too."""

_OPTIONS: Final[Mapping[type[Entity], dict[str, Any]]] = {
    AgentDecision: {
        "properties": {
            # Loaded where `with_signals` or an eager load asks; a lazy load would be a query out of sight.
            "signals": relationship(
                Signal,
                secondary=decision_signals,
                primaryjoin=(agent_decisions.c.account == decision_signals.c.account)
                & (agent_decisions.c.id == decision_signals.c.decision_id),
                secondaryjoin=(signals.c.account == decision_signals.c.account)
                & (signals.c.id == decision_signals.c.signal_id),
                order_by=signals.c.id,
                lazy="raise",
            )
        }
    },
    # The domain counts the version; the mapper checks it.
    Position: {"version_id_col": positions.c.version, "version_id_generator": False},
}


def start_mappers() -> None:
    """Map the domain's entities to the tables; again it does nothing."""
    if mapped:
        return
    for kind, table in TABLES.items():
        # A registry for each class: SQLAlchemy configures all classes of a registry when one is first
        # used, 27 ms for the thirteen, 2 ms for a trade.
        own = registry(metadata=metadata)
        mapped.append(own.map_imperatively(kind, table, **_OPTIONS.get(kind, {})))


T = TypeVar("T")


def col(attribute: T) -> InstrumentedAttribute[T]:
    """Return the column behind an entity's field, typed for queries: `col(Trade.symbol) == "AAPL"`.

    Args:
        attribute: a mapped field of an entity's class. At run time it is the column already; type
            checkers take it for the value that it has in an entity.

    Returns:
        The same object.

    Raises:
        InvalidInput: it is no mapped field but a value, or computed, such as `entry_price`.
    """
    if not isinstance(attribute, InstrumentedAttribute):
        raise InvalidInput("attribute", attribute, "a mapped field such as Trade.symbol")
    return cast("InstrumentedAttribute[T]", attribute)


start_mappers()
