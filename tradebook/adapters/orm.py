"""The tables, and the mapping of the domain's entities to them.

One schema for SQLite, PostgreSQL, and PostgreSQL distributed by `account`: every key, unique
constraint and foreign key contains the account. No column of `positions` that trades or marks change
is indexed: updates would stop being HOT.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import registry, relationship

from tradebook.adapters.types import (
    AccountKey,
    EnumText,
    ExactDecimal,
    Id,
    UtcDateTime,
    json_type,
)
from tradebook.domain.agents import ActionStatus, AgentAction, AgentDecision, DecisionStatus
from tradebook.domain.alerts import Alert, Severity
from tradebook.domain.cash import Account, CashFlow, CashFlowKind
from tradebook.domain.events import Event
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.portfolio import Portfolio, PortfolioPosition
from tradebook.domain.positions import Position, PositionStatus
from tradebook.domain.signals import Signal, SignalAction
from tradebook.domain.trades import Settlement, Trade, TradeAction, TradeStatus

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
mapper_registry: Final = registry(metadata=metadata)


def _table(name: str, *items: Any) -> Table:
    """A table with what every record has."""
    return Table(
        name,
        metadata,
        Column("account", Text, nullable=False),
        Column("id", Id, Identity(), nullable=False),
        Column("created_at", UtcDateTime, nullable=False),
        Column("updated_at", UtcDateTime, nullable=False),
        *items,
        AccountKey("account", "id"),
    )


def _text(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, Text, nullable=nullable)


def _decimal(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, ExactDecimal, nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, UtcDateTime, nullable=nullable)


def _json(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, json_type(), nullable=nullable)


def _whole(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, BigInteger, nullable=nullable)


def _choice(name: str, kind: type[StrEnum]) -> tuple[Column[Any], CheckConstraint]:
    members = ", ".join(f"'{member}'" for member in kind)
    return (
        Column(name, EnumText(kind), nullable=False),
        CheckConstraint(f"{name} IN ({members})", name=name),
    )


def _refers(column: str, table: str) -> ForeignKeyConstraint:
    """To a record of the same account."""
    return ForeignKeyConstraint(["account", column], [f"{table}.account", f"{table}.id"])


def _unique_where(name: str, condition: str, *columns: str) -> Index:
    where = text(condition)
    return Index(name, *columns, unique=True, postgresql_where=where, sqlite_where=where)


def _index_where(name: str, condition: str, *columns: str) -> Index:
    where = text(condition)
    return Index(name, *columns, postgresql_where=where, sqlite_where=where)


accounts: Final = _table(
    "accounts",
    _text("base_currency"),
    UniqueConstraint("account"),
)

signals: Final = _table(
    "signals",
    _text("symbol"),
    *_choice("action", SignalAction),
    _decimal("strength"),
    _decimal("confidence"),
    _text("source"),
    _text("strategy"),
    _decimal("price", nullable=True),
    _time("generated_at"),
    _decimal("horizon", nullable=True),
    _text("reference", nullable=True),
    _json("details"),
    _unique_where("uq_signals_account_reference", "reference IS NOT NULL", "account", "reference"),
    Index(None, "account", "generated_at", "id"),
    Index(None, "account", "symbol", "generated_at", "id"),
)

agent_decisions: Final = _table(
    "agent_decisions",
    _text("agent"),
    _text("strategy"),
    _text("symbol"),
    *_choice("action", SignalAction),
    _decimal("quantity", nullable=True),
    _decimal("price", nullable=True),
    _decimal("confidence"),
    _text("reasoning"),
    _text("model"),
    _json("inputs"),
    *_choice("status", DecisionStatus),
    _time("decided_at"),
    _decimal("cost"),
    _text("cost_currency"),
    _text("reference", nullable=True),
    _unique_where(
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
    _refers("decision_id", "agent_decisions"),
    _refers("signal_id", "signals"),
    Index(None, "account", "signal_id"),
)

agent_actions: Final = _table(
    "agent_actions",
    _text("agent"),
    _text("action_type"),
    _json("input", nullable=True),
    _json("output", nullable=True),
    *_choice("status", ActionStatus),
    _text("error", nullable=True),
    _time("started_at"),
    _decimal("duration"),
    _decimal("cost"),
    _text("cost_currency"),
    _text("reference", nullable=True),
    _whole("decision_id", nullable=True),
    _refers("decision_id", "agent_decisions"),
    _unique_where(
        "uq_agent_actions_account_reference", "reference IS NOT NULL", "account", "reference"
    ),
    Index(None, "account", "started_at", "id"),
    Index(None, "account", "agent", "started_at", "id"),
    _index_where(
        "ix_agent_actions_account_decision_id",
        "decision_id IS NOT NULL",
        "account",
        "decision_id",
    ),
)

trades: Final = _table(
    "trades",
    _text("symbol"),
    _text("venue"),
    *_choice("action", TradeAction),
    _decimal("quantity"),
    _decimal("price"),
    _decimal("fee"),
    _text("currency"),
    _text("fee_currency"),
    _decimal("multiplier"),
    *_choice("settlement", Settlement),
    _time("executed_at"),
    _text("order_id"),
    _text("execution_id"),
    _text("strategy"),
    _whole("decision_id", nullable=True),
    _json("details"),
    *_choice("status", TradeStatus),
    _whole("sequence", nullable=True),
    _time("booked_at", nullable=True),
    _decimal("realized_pnl"),
    _whole("revision"),
    _whole("corrects_id", nullable=True),
    _time("busted_at", nullable=True),
    _text("bust_reason", nullable=True),
    _refers("decision_id", "agent_decisions"),
    _refers("corrects_id", "trades"),
    UniqueConstraint(
        "account", "symbol", "venue", "order_id", "execution_id", "revision", name="uq_trades_fill"
    ),
    CheckConstraint(
        "(status IN ('EXECUTED', 'BUSTED')) = (sequence IS NOT NULL)", name="booked_has_sequence"
    ),
    CheckConstraint("(sequence IS NULL) = (booked_at IS NULL)", name="booked_has_time"),
    _unique_where(
        "uq_trades_account_symbol_sequence",
        "sequence IS NOT NULL",
        "account",
        "symbol",
        "sequence",
    ),
    Index(None, "account", "order_id"),
    Index(None, "account", "executed_at", "id"),
    Index(None, "account", "symbol", "executed_at", "id"),
    _index_where(
        "ix_trades_account_decision_id", "decision_id IS NOT NULL", "account", "decision_id"
    ),
)

positions: Final = _table(
    "positions",
    _text("symbol"),
    _decimal("quantity"),
    _decimal("cost_basis"),
    _decimal("realized_pnl"),
    _decimal("fees"),
    _decimal("cash_flow"),
    _text("currency"),
    _decimal("multiplier"),
    *_choice("settlement", Settlement),
    _decimal("current_price", nullable=True),
    _time("marked_at", nullable=True),
    *_choice("status", PositionStatus),
    _time("opened_at", nullable=True),
    _time("closed_at", nullable=True),
    _whole("sequence"),
    _whole("version"),
    UniqueConstraint("account", "symbol"),
    CheckConstraint("(current_price IS NULL) = (marked_at IS NULL)", name="marked_has_time"),
)

cash_flows: Final = _table(
    "cash_flows",
    *_choice("kind", CashFlowKind),
    _decimal("amount"),
    _text("currency"),
    _text("symbol", nullable=True),
    _time("occurred_at"),
    _text("reference"),
    UniqueConstraint("account", "reference"),
    Index(None, "account", "occurred_at", "id"),
)

portfolios: Final = _table(
    "portfolios",
    _text("currency"),
    _decimal("cash_balance"),
    _decimal("positions_value"),
    _decimal("total_value"),
    _decimal("gross_exposure"),
    _decimal("net_exposure"),
    _decimal("realized_pnl"),
    _decimal("unrealized_pnl"),
    _decimal("fees"),
    _decimal("external_flows"),
    _decimal("income"),
    _json("rates"),
    _json("closed_sequences"),
    _text("source"),
    _time("timestamp"),
    Index(None, "account", "timestamp", "id"),
)

portfolio_positions: Final = _table(
    "portfolio_positions",
    _whole("portfolio_id"),
    _text("symbol"),
    _decimal("quantity"),
    _decimal("cost_basis"),
    _decimal("current_price"),
    _decimal("market_value"),
    _decimal("unrealized_pnl"),
    _decimal("realized_pnl"),
    _decimal("fees"),
    _decimal("cash_flow"),
    _text("currency"),
    _decimal("multiplier"),
    *_choice("settlement", Settlement),
    _whole("sequence"),
    _refers("portfolio_id", "portfolios"),
    UniqueConstraint("account", "portfolio_id", "symbol"),
    Index(None, "account", "symbol", "sequence"),
)

alerts: Final = _table(
    "alerts",
    _text("alert_type"),
    *_choice("severity", Severity),
    _text("message"),
    _text("source"),
    _text("symbol", nullable=True),
    _text("dedup_key", nullable=True),
    Column("resolved", Boolean, nullable=False),
    _text("resolution", nullable=True),
    _time("resolved_at", nullable=True),
    _text("resolved_by", nullable=True),
    _time("timestamp"),
    CheckConstraint("resolved = (resolved_at IS NOT NULL)", name="resolved_has_time"),
    _unique_where(
        "uq_alerts_account_dedup_key",
        "dedup_key IS NOT NULL AND NOT resolved",
        "account",
        "dedup_key",
    ),
    Index(None, "account", "timestamp", "id"),
    _index_where("ix_alerts_unresolved", "NOT resolved", "account", "timestamp", "id"),
)

performance_metrics: Final = _table(
    "performance_metrics",
    _text("name"),
    _decimal("value"),
    _time("period_start"),
    _time("period_end"),
    _time("computed_at"),
    _json("parameters"),
    Index(None, "account", "period_end", "id"),
    Index(None, "account", "name", "period_end", "id"),
)

events: Final = _table(
    "events",
    _text("event_type"),
    _text("entity"),
    _whole("entity_id"),
    _json("payload"),
    _text("actor"),
    _text("correlation_id"),
    _time("occurred_at"),
    Index(None, "account", "entity", "entity_id", "id"),
)


def start_mappers() -> None:
    """Map the domain's entities to the tables; does nothing when they are mapped already."""
    if mapper_registry.mappers:
        return
    map_one = mapper_registry.map_imperatively
    map_one(Account, accounts)
    map_one(Signal, signals)
    map_one(
        AgentDecision,
        agent_decisions,
        properties={
            # Asked for with `with_signals` or an eager load; never loaded behind the caller's back.
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
        },
    )
    map_one(AgentAction, agent_actions)
    map_one(Trade, trades)
    # The domain counts the version; the mapper checks it.
    map_one(Position, positions, version_id_col=positions.c.version, version_id_generator=False)
    map_one(CashFlow, cash_flows)
    map_one(Portfolio, portfolios)
    map_one(PortfolioPosition, portfolio_positions)
    map_one(Alert, alerts)
    map_one(PerformanceMetric, performance_metrics)
    map_one(Event, events)
