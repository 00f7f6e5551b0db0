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
    decimal_columns,
    enum_column,
    foreign_key,
    index_where,
    integer_columns,
    json_columns,
    record_table,
    text_columns,
    time_columns,
    unique_if_set,
)
from tradebook.adapters.columns import metadata as metadata
from tradebook.adapters.types import Json
from tradebook.domain.agents import ActionStatus, AgentAction, AgentDecision, DecisionStatus
from tradebook.domain.alerts import Alert, Severity
from tradebook.domain.cash import Account, CashFlow, CashFlowKind
from tradebook.domain.decision_inputs import DecisionInput
from tradebook.domain.entity import Entity
from tradebook.domain.errors import InvalidInput
from tradebook.domain.events import Event
from tradebook.domain.imports import Import, ImportStatus
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.portfolio import Portfolio, PortfolioPosition
from tradebook.domain.positions import MarkSource, Position, PositionStatus
from tradebook.domain.seals import Seal
from tradebook.domain.signals import Signal, SignalAction
from tradebook.domain.trades import Settlement, Trade, TradeAction, TradeStatus

mapped: Final[list[Mapper[Any]]] = []
"""The mappers of all entities, once they are mapped."""

accounts: Final = record_table(
    "accounts", *text_columns("base_currency"), UniqueConstraint("account")
)

signals: Final = record_table(
    "signals",
    *text_columns("symbol"),
    *enum_column("action", SignalAction),
    *decimal_columns("strength", "confidence"),
    *text_columns("source", "strategy"),
    *decimal_columns("price", nullable=True),
    *time_columns("generated_at"),
    *decimal_columns("horizon", nullable=True),
    *text_columns("reference", nullable=True),
    *json_columns("details"),
    unique_if_set("signals", "account", "reference"),
    Index(None, "account", "generated_at", "id"),
    Index(None, "account", "symbol", "generated_at", "id"),
)

agent_decisions: Final = record_table(
    "agent_decisions",
    *text_columns("agent", "strategy", "symbol"),
    *enum_column("action", SignalAction),
    *decimal_columns("quantity", "price", "confidence", nullable=True),
    *text_columns("reasoning", "model"),
    *json_columns("inputs"),
    *enum_column("status", DecisionStatus),
    *time_columns("decided_at"),
    *decimal_columns("cost", nullable=True),
    *text_columns("cost_currency"),
    *text_columns("reference", nullable=True),
    *integer_columns("parent_id", nullable=True),
    *json_columns("parameters", nullable=True),
    *text_columns("prompt_hash", nullable=True),
    foreign_key("parent_id", "agent_decisions"),
    unique_if_set("agent_decisions", "account", "reference"),
    Index(None, "account", "decided_at", "id"),
    Index(None, "account", "agent", "decided_at", "id"),
    index_where(None, "parent_id IS NOT NULL", "account", "parent_id"),
)

decision_inputs: Final = record_table(
    "decision_inputs",
    *integer_columns("decision_id"),
    *text_columns("name"),
    *json_columns("value", nullable=True),
    *text_columns("digest"),
    *time_columns("available_at", "recorded_at"),
    *text_columns("source"),
    foreign_key("decision_id", "agent_decisions"),
    UniqueConstraint("account", "decision_id", "name"),
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
    *text_columns("agent", "action_type"),
    *json_columns("input", "output", nullable=True),
    *enum_column("status", ActionStatus),
    *text_columns("error", nullable=True),
    *time_columns("started_at"),
    *decimal_columns("duration"),
    *decimal_columns("cost", nullable=True),
    *text_columns("cost_currency"),
    *text_columns("reference", nullable=True),
    *integer_columns("decision_id", nullable=True),
    *text_columns("model", nullable=True),
    *integer_columns("input_tokens", "output_tokens", nullable=True),
    *text_columns("trace_id", "span_id", nullable=True),
    foreign_key("decision_id", "agent_decisions"),
    unique_if_set("agent_actions", "account", "reference"),
    Index(None, "account", "started_at", "id"),
    Index(None, "account", "agent", "started_at", "id"),
    index_where(None, "decision_id IS NOT NULL", "account", "decision_id"),
)

trades: Final = record_table(
    "trades",
    *text_columns("symbol", "venue"),
    *enum_column("action", TradeAction),
    *decimal_columns("quantity"),
    *decimal_columns("price", nullable=True),
    *decimal_columns("fee"),
    *text_columns("currency", "fee_currency"),
    *decimal_columns("multiplier"),
    *enum_column("settlement", Settlement),
    *time_columns("executed_at"),
    *text_columns("order_id", "execution_id", "strategy"),
    *integer_columns("decision_id", nullable=True),
    *json_columns("details"),
    *enum_column("status", TradeStatus),
    *integer_columns("sequence", nullable=True),
    *time_columns("booked_at", nullable=True),
    *decimal_columns("realized_pnl"),
    *integer_columns("revision"),
    *integer_columns("corrects_id", nullable=True),
    *time_columns("busted_at", nullable=True),
    *text_columns("bust_reason", nullable=True),
    Column("busted_by", Text, nullable=False, server_default=text("''")),
    *integer_columns("bust_sequence", nullable=True),
    *text_columns("asset", nullable=True),
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
        "price IS NOT NULL OR status NOT IN ('EXECUTED', 'BUSTED')", name="booked_has_price"
    ),
    CheckConstraint(
        "(status = 'BUSTED') = (bust_sequence IS NOT NULL)", name="busted_has_sequence"
    ),
    unique_if_set("trades", "account", "corrects_id"),
    unique_if_set("trades", "account", "symbol", "bust_sequence"),
    unique_if_set("trades", "account", "symbol", "sequence"),
    Index(None, "account", "order_id"),
    # Each booking looks for a pending order. This index is so small that every planner prefers it,
    # whatever the statistics say.
    index_where("ix_trades_pending", "status = 'PENDING'", "account", "order_id"),
    Index(None, "account", "executed_at", "id"),
    Index(None, "account", "symbol", "executed_at", "id"),
    index_where(None, "decision_id IS NOT NULL", "account", "decision_id"),
)

positions: Final = record_table(
    "positions",
    *text_columns("symbol"),
    *decimal_columns("quantity", "cost_basis", "realized_pnl", "fees", "cash_flow"),
    *text_columns("currency"),
    *decimal_columns("multiplier"),
    *enum_column("settlement", Settlement),
    *decimal_columns("current_price", nullable=True),
    *time_columns("marked_at", nullable=True),
    *enum_column("status", PositionStatus),
    *time_columns("opened_at", "closed_at", nullable=True),
    *integer_columns("sequence", "version"),
    *enum_column("mark_source", MarkSource, nullable=True),
    Column("asset", Text, nullable=False, server_default=text("''")),
    Column("other_fees", Json, nullable=False, server_default=text("'{}'")),
    UniqueConstraint("account", "symbol"),
    CheckConstraint("(current_price IS NULL) = (marked_at IS NULL)", name="marked_has_time"),
)

cash_flows: Final = record_table(
    "cash_flows",
    *enum_column("kind", CashFlowKind),
    *decimal_columns("amount"),
    *text_columns("currency"),
    *text_columns("symbol", nullable=True),
    *time_columns("occurred_at"),
    *text_columns("reference"),
    *integer_columns("busts_id", nullable=True),
    *text_columns("bust_reason", nullable=True),
    *time_columns("entitled_at", nullable=True),
    UniqueConstraint("account", "reference"),
    Index(None, "account", "occurred_at", "id"),
    index_where(None, "symbol IS NOT NULL", "account", "symbol", "occurred_at", "id"),
)

portfolios: Final = record_table(
    "portfolios",
    *text_columns("currency"),
    *decimal_columns("cash_balance", "positions_value", "total_value"),
    *decimal_columns("gross_exposure", "net_exposure"),
    *decimal_columns("realized_pnl", "unrealized_pnl", "fees", "external_flows", "income"),
    *json_columns("rates", "closed_sequences"),
    *text_columns("source"),
    *time_columns("timestamp"),
    Index(None, "account", "timestamp", "id"),
)

portfolio_positions: Final = record_table(
    "portfolio_positions",
    *integer_columns("portfolio_id"),
    *text_columns("symbol"),
    *decimal_columns("quantity", "cost_basis", "current_price", "market_value"),
    *decimal_columns("unrealized_pnl", "realized_pnl", "fees", "cash_flow"),
    *text_columns("currency"),
    *decimal_columns("multiplier"),
    *enum_column("settlement", Settlement),
    *integer_columns("sequence"),
    Column("other_fees", Json, nullable=False, server_default=text("'{}'")),
    foreign_key("portfolio_id", "portfolios"),
    UniqueConstraint("account", "portfolio_id", "symbol"),
    Index(None, "account", "symbol", "sequence"),
)

imports: Final = record_table(
    "imports",
    *text_columns("source"),
    *text_columns("digest", nullable=True),
    *text_columns("reference"),
    *enum_column("status", ImportStatus),
    *integer_columns("booked", "duplicates", "skipped"),
    *text_columns("actor"),
    *time_columns("started_at"),
    *time_columns("finished_at", "undone_at", nullable=True),
    *text_columns("undone_by"),
    *text_columns("undo_reason", nullable=True),
    UniqueConstraint("account", "reference"),
    CheckConstraint("(status = 'UNDONE') = (undone_at IS NOT NULL)", name="undone_has_time"),
    Index(None, "account", "started_at", "id"),
)

alerts: Final = record_table(
    "alerts",
    *text_columns("alert_type"),
    *enum_column("severity", Severity),
    *text_columns("message", "source"),
    *text_columns("symbol", "dedup_key", nullable=True),
    Column("resolved", Boolean, nullable=False),
    *text_columns("resolution", nullable=True),
    *time_columns("resolved_at", nullable=True),
    *text_columns("resolved_by", nullable=True),
    *time_columns("timestamp"),
    CheckConstraint("resolved = (resolved_at IS NOT NULL)", name="resolved_has_time"),
    index_where(
        "uq_alerts_account_dedup_key",
        "dedup_key IS NOT NULL AND NOT resolved",
        *("account", "dedup_key"),
        unique=True,
    ),
    Index(None, "account", "timestamp", "id"),
    index_where("ix_alerts_unresolved", "NOT resolved", "account", "timestamp", "id"),
)

performance_metrics: Final = record_table(
    "performance_metrics",
    *text_columns("name"),
    *decimal_columns("value"),
    *time_columns("period_start", "period_end", "computed_at"),
    *json_columns("parameters"),
    Index(None, "account", "period_end", "id"),
    Index(None, "account", "name", "period_end", "id"),
)

events: Final = record_table(
    "events",
    *text_columns("event_type", "entity"),
    *integer_columns("entity_id"),
    *json_columns("payload"),
    *text_columns("actor", "correlation_id"),
    *time_columns("occurred_at"),
    Index(None, "account", "entity", "entity_id", "id"),
)

seals: Final = record_table(
    "seals",
    *integer_columns("number", "from_id", "to_id", "count"),
    *json_columns("covered"),
    *integer_columns("settled_id", "horizon"),
    *text_columns("events_hash", "previous_hash", "actor", "correlation_id"),
    *time_columns("sealed_at"),
    *text_columns("seal_hash"),
    UniqueConstraint("account", "number"),
    Index(None, "account", "to_id"),
)


TABLES: Final[Mapping[type[Entity], Table]] = {
    Account: accounts,
    Signal: signals,
    AgentDecision: agent_decisions,
    DecisionInput: decision_inputs,
    AgentAction: agent_actions,
    Trade: trades,
    Position: positions,
    CashFlow: cash_flows,
    Import: imports,
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
            # Loaded where `with_signals` or an eager load asks; a lazy load would hide a query.
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
        # used, 27 ms for thirteen, 2 ms for a trade.
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
