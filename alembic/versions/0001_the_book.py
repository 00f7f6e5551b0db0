"""the book

Revision: 0001
Revises:
Created: 2026-11-24 00:13:28.636950
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tradebook.adapters import types

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Upgrade the schema to this revision."""

    op.create_table(
        "accounts",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", types.Id(), sa.Identity(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("base_currency", sa.Text(), nullable=False),
        sa.UniqueConstraint("account", name=op.f("uq_accounts_account")),
        types.AccountKey("account", "id", name="pk_accounts"),
    )
    op.create_table(
        "agent_decisions",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", types.Id(), sa.Identity(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("quantity", types.ExactDecimal(), nullable=True),
        sa.Column("price", types.ExactDecimal(), nullable=True),
        sa.Column("confidence", types.ExactDecimal(), nullable=False),
        sa.Column("reasoning", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("inputs", types.json_type(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("decided_at", types.UtcDateTime(), nullable=False),
        sa.Column("cost", types.ExactDecimal(), nullable=False),
        sa.Column("cost_currency", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "action IN ('BUY', 'SELL', 'HOLD')", name=op.f("ck_agent_decisions_action")
        ),
        sa.CheckConstraint(
            "status IN ('PROPOSED', 'APPROVED', 'REJECTED', 'EXPIRED', 'EXECUTED')",
            name=op.f("ck_agent_decisions_status"),
        ),
        types.AccountKey("account", "id", name="pk_agent_decisions"),
    )
    op.create_index(
        op.f("ix_agent_decisions_account_agent_decided_at_id"),
        "agent_decisions",
        ["account", "agent", "decided_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_agent_decisions_account_decided_at_id"),
        "agent_decisions",
        ["account", "decided_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_agent_decisions_account_reference",
        "agent_decisions",
        ["account", "reference"],
        unique=True,
        postgresql_where=sa.text("reference IS NOT NULL"),
        sqlite_where=sa.text("reference IS NOT NULL"),
    )
    op.create_table(
        "alerts",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", types.Id(), sa.Identity(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("alert_type", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=True),
        sa.Column("dedup_key", sa.Text(), nullable=True),
        sa.Column("resolved", sa.Boolean(), nullable=False),
        sa.Column("resolution", sa.Text(), nullable=True),
        sa.Column("resolved_at", types.UtcDateTime(), nullable=True),
        sa.Column("resolved_by", sa.Text(), nullable=True),
        sa.Column("timestamp", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "severity IN ('INFO', 'WARNING', 'CRITICAL', 'EMERGENCY')",
            name=op.f("ck_alerts_severity"),
        ),
        sa.CheckConstraint(
            "resolved = (resolved_at IS NOT NULL)", name=op.f("ck_alerts_resolved_has_time")
        ),
        types.AccountKey("account", "id", name="pk_alerts"),
    )
    op.create_index(
        op.f("ix_alerts_account_timestamp_id"),
        "alerts",
        ["account", "timestamp", "id"],
        unique=False,
    )
    op.create_index(
        "ix_alerts_unresolved",
        "alerts",
        ["account", "timestamp", "id"],
        unique=False,
        postgresql_where=sa.text("NOT resolved"),
        sqlite_where=sa.text("NOT resolved"),
    )
    op.create_index(
        "uq_alerts_account_dedup_key",
        "alerts",
        ["account", "dedup_key"],
        unique=True,
        postgresql_where=sa.text("dedup_key IS NOT NULL AND NOT resolved"),
        sqlite_where=sa.text("dedup_key IS NOT NULL AND NOT resolved"),
    )
    op.create_table(
        "cash_flows",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", types.Id(), sa.Identity(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount", types.ExactDecimal(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=True),
        sa.Column("occurred_at", types.UtcDateTime(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('DEPOSIT', 'WITHDRAWAL', 'TRANSFER', 'DIVIDEND', 'INTEREST', 'FUNDING', 'FEE', 'TAX', 'ADJUSTMENT')",
            name=op.f("ck_cash_flows_kind"),
        ),
        sa.UniqueConstraint("account", "reference", name=op.f("uq_cash_flows_account_reference")),
        types.AccountKey("account", "id", name="pk_cash_flows"),
    )
    op.create_index(
        op.f("ix_cash_flows_account_occurred_at_id"),
        "cash_flows",
        ["account", "occurred_at", "id"],
        unique=False,
    )
    op.create_table(
        "events",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", types.Id(), sa.Identity(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("entity_id", sa.BigInteger(), nullable=False),
        sa.Column("payload", types.json_type(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("occurred_at", types.UtcDateTime(), nullable=False),
        types.AccountKey("account", "id", name="pk_events"),
    )
    op.create_index(
        op.f("ix_events_account_entity_entity_id_id"),
        "events",
        ["account", "entity", "entity_id", "id"],
        unique=False,
    )
    op.create_table(
        "performance_metrics",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", types.Id(), sa.Identity(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", types.ExactDecimal(), nullable=False),
        sa.Column("period_start", types.UtcDateTime(), nullable=False),
        sa.Column("period_end", types.UtcDateTime(), nullable=False),
        sa.Column("computed_at", types.UtcDateTime(), nullable=False),
        sa.Column("parameters", types.json_type(), nullable=False),
        types.AccountKey("account", "id", name="pk_performance_metrics"),
    )
    op.create_index(
        op.f("ix_performance_metrics_account_name_period_end_id"),
        "performance_metrics",
        ["account", "name", "period_end", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_performance_metrics_account_period_end_id"),
        "performance_metrics",
        ["account", "period_end", "id"],
        unique=False,
    )
    op.create_table(
        "portfolios",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", types.Id(), sa.Identity(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("cash_balance", types.ExactDecimal(), nullable=False),
        sa.Column("positions_value", types.ExactDecimal(), nullable=False),
        sa.Column("total_value", types.ExactDecimal(), nullable=False),
        sa.Column("gross_exposure", types.ExactDecimal(), nullable=False),
        sa.Column("net_exposure", types.ExactDecimal(), nullable=False),
        sa.Column("realized_pnl", types.ExactDecimal(), nullable=False),
        sa.Column("unrealized_pnl", types.ExactDecimal(), nullable=False),
        sa.Column("fees", types.ExactDecimal(), nullable=False),
        sa.Column("external_flows", types.ExactDecimal(), nullable=False),
        sa.Column("income", types.ExactDecimal(), nullable=False),
        sa.Column("rates", types.json_type(), nullable=False),
        sa.Column("closed_sequences", types.json_type(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("timestamp", types.UtcDateTime(), nullable=False),
        types.AccountKey("account", "id", name="pk_portfolios"),
    )
    op.create_index(
        op.f("ix_portfolios_account_timestamp_id"),
        "portfolios",
        ["account", "timestamp", "id"],
        unique=False,
    )
    op.create_table(
        "positions",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", types.Id(), sa.Identity(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("quantity", types.ExactDecimal(), nullable=False),
        sa.Column("cost_basis", types.ExactDecimal(), nullable=False),
        sa.Column("realized_pnl", types.ExactDecimal(), nullable=False),
        sa.Column("fees", types.ExactDecimal(), nullable=False),
        sa.Column("cash_flow", types.ExactDecimal(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("multiplier", types.ExactDecimal(), nullable=False),
        sa.Column("settlement", sa.Text(), nullable=False),
        sa.Column("current_price", types.ExactDecimal(), nullable=True),
        sa.Column("marked_at", types.UtcDateTime(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("opened_at", types.UtcDateTime(), nullable=True),
        sa.Column("closed_at", types.UtcDateTime(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "settlement IN ('CASH', 'MARGINED')", name=op.f("ck_positions_settlement")
        ),
        sa.CheckConstraint("status IN ('OPEN', 'CLOSED')", name=op.f("ck_positions_status")),
        sa.CheckConstraint(
            "(current_price IS NULL) = (marked_at IS NULL)",
            name=op.f("ck_positions_marked_has_time"),
        ),
        sa.UniqueConstraint("account", "symbol", name=op.f("uq_positions_account_symbol")),
        types.AccountKey("account", "id", name="pk_positions"),
    )
    op.create_table(
        "signals",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", types.Id(), sa.Identity(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("strength", types.ExactDecimal(), nullable=False),
        sa.Column("confidence", types.ExactDecimal(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("price", types.ExactDecimal(), nullable=True),
        sa.Column("generated_at", types.UtcDateTime(), nullable=False),
        sa.Column("horizon", types.ExactDecimal(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("details", types.json_type(), nullable=False),
        sa.CheckConstraint("action IN ('BUY', 'SELL', 'HOLD')", name=op.f("ck_signals_action")),
        types.AccountKey("account", "id", name="pk_signals"),
    )
    op.create_index(
        op.f("ix_signals_account_generated_at_id"),
        "signals",
        ["account", "generated_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_signals_account_symbol_generated_at_id"),
        "signals",
        ["account", "symbol", "generated_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_signals_account_reference",
        "signals",
        ["account", "reference"],
        unique=True,
        postgresql_where=sa.text("reference IS NOT NULL"),
        sqlite_where=sa.text("reference IS NOT NULL"),
    )
    op.create_table(
        "agent_actions",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", types.Id(), sa.Identity(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("action_type", sa.Text(), nullable=False),
        sa.Column("input", types.json_type(), nullable=True),
        sa.Column("output", types.json_type(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", types.UtcDateTime(), nullable=False),
        sa.Column("duration", types.ExactDecimal(), nullable=False),
        sa.Column("cost", types.ExactDecimal(), nullable=False),
        sa.Column("cost_currency", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("decision_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "status IN ('SUCCEEDED', 'FAILED')", name=op.f("ck_agent_actions_status")
        ),
        sa.ForeignKeyConstraint(
            ["account", "decision_id"],
            ["agent_decisions.account", "agent_decisions.id"],
            name=op.f("fk_agent_actions_account_decision_id_agent_decisions"),
        ),
        types.AccountKey("account", "id", name="pk_agent_actions"),
    )
    op.create_index(
        op.f("ix_agent_actions_account_agent_started_at_id"),
        "agent_actions",
        ["account", "agent", "started_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_agent_actions_account_decision_id",
        "agent_actions",
        ["account", "decision_id"],
        unique=False,
        postgresql_where=sa.text("decision_id IS NOT NULL"),
        sqlite_where=sa.text("decision_id IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_agent_actions_account_started_at_id"),
        "agent_actions",
        ["account", "started_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_agent_actions_account_reference",
        "agent_actions",
        ["account", "reference"],
        unique=True,
        postgresql_where=sa.text("reference IS NOT NULL"),
        sqlite_where=sa.text("reference IS NOT NULL"),
    )
    op.create_table(
        "decision_signals",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("decision_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("signal_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["account", "decision_id"],
            ["agent_decisions.account", "agent_decisions.id"],
            name=op.f("fk_decision_signals_account_decision_id_agent_decisions"),
        ),
        sa.ForeignKeyConstraint(
            ["account", "signal_id"],
            ["signals.account", "signals.id"],
            name=op.f("fk_decision_signals_account_signal_id_signals"),
        ),
        sa.PrimaryKeyConstraint(
            "account", "decision_id", "signal_id", name=op.f("pk_decision_signals")
        ),
    )
    op.create_index(
        op.f("ix_decision_signals_account_signal_id"),
        "decision_signals",
        ["account", "signal_id"],
        unique=False,
    )
    op.create_table(
        "portfolio_positions",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", types.Id(), sa.Identity(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("portfolio_id", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("quantity", types.ExactDecimal(), nullable=False),
        sa.Column("cost_basis", types.ExactDecimal(), nullable=False),
        sa.Column("current_price", types.ExactDecimal(), nullable=False),
        sa.Column("market_value", types.ExactDecimal(), nullable=False),
        sa.Column("unrealized_pnl", types.ExactDecimal(), nullable=False),
        sa.Column("realized_pnl", types.ExactDecimal(), nullable=False),
        sa.Column("fees", types.ExactDecimal(), nullable=False),
        sa.Column("cash_flow", types.ExactDecimal(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("multiplier", types.ExactDecimal(), nullable=False),
        sa.Column("settlement", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "settlement IN ('CASH', 'MARGINED')", name=op.f("ck_portfolio_positions_settlement")
        ),
        sa.ForeignKeyConstraint(
            ["account", "portfolio_id"],
            ["portfolios.account", "portfolios.id"],
            name=op.f("fk_portfolio_positions_account_portfolio_id_portfolios"),
        ),
        sa.UniqueConstraint(
            "account",
            "portfolio_id",
            "symbol",
            name=op.f("uq_portfolio_positions_account_portfolio_id_symbol"),
        ),
        types.AccountKey("account", "id", name="pk_portfolio_positions"),
    )
    op.create_index(
        op.f("ix_portfolio_positions_account_symbol_sequence"),
        "portfolio_positions",
        ["account", "symbol", "sequence"],
        unique=False,
    )
    op.create_table(
        "trades",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", types.Id(), sa.Identity(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("quantity", types.ExactDecimal(), nullable=False),
        sa.Column("price", types.ExactDecimal(), nullable=False),
        sa.Column("fee", types.ExactDecimal(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("fee_currency", sa.Text(), nullable=False),
        sa.Column("multiplier", types.ExactDecimal(), nullable=False),
        sa.Column("settlement", sa.Text(), nullable=False),
        sa.Column("executed_at", types.UtcDateTime(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("decision_id", sa.BigInteger(), nullable=True),
        sa.Column("details", types.json_type(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.Column("booked_at", types.UtcDateTime(), nullable=True),
        sa.Column("realized_pnl", types.ExactDecimal(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("corrects_id", sa.BigInteger(), nullable=True),
        sa.Column("busted_at", types.UtcDateTime(), nullable=True),
        sa.Column("bust_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(status IN ('EXECUTED', 'BUSTED')) = (sequence IS NOT NULL)",
            name=op.f("ck_trades_booked_has_sequence"),
        ),
        sa.CheckConstraint("action IN ('BUY', 'SELL')", name=op.f("ck_trades_action")),
        sa.CheckConstraint("settlement IN ('CASH', 'MARGINED')", name=op.f("ck_trades_settlement")),
        sa.CheckConstraint(
            "status IN ('PENDING', 'EXECUTED', 'CANCELLED', 'REJECTED', 'BUSTED')",
            name=op.f("ck_trades_status"),
        ),
        sa.CheckConstraint(
            "(sequence IS NULL) = (booked_at IS NULL)", name=op.f("ck_trades_booked_has_time")
        ),
        sa.ForeignKeyConstraint(
            ["account", "corrects_id"],
            ["trades.account", "trades.id"],
            name=op.f("fk_trades_account_corrects_id_trades"),
        ),
        sa.ForeignKeyConstraint(
            ["account", "decision_id"],
            ["agent_decisions.account", "agent_decisions.id"],
            name=op.f("fk_trades_account_decision_id_agent_decisions"),
        ),
        sa.UniqueConstraint(
            "account",
            "symbol",
            "venue",
            "order_id",
            "execution_id",
            "revision",
            name="uq_trades_fill",
        ),
        types.AccountKey("account", "id", name="pk_trades"),
    )
    op.create_index(
        "ix_trades_account_decision_id",
        "trades",
        ["account", "decision_id"],
        unique=False,
        postgresql_where=sa.text("decision_id IS NOT NULL"),
        sqlite_where=sa.text("decision_id IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_trades_account_executed_at_id"),
        "trades",
        ["account", "executed_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_trades_account_order_id"), "trades", ["account", "order_id"], unique=False
    )
    op.create_index(
        op.f("ix_trades_account_symbol_executed_at_id"),
        "trades",
        ["account", "symbol", "executed_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_trades_account_symbol_sequence",
        "trades",
        ["account", "symbol", "sequence"],
        unique=True,
        postgresql_where=sa.text("sequence IS NOT NULL"),
        sqlite_where=sa.text("sequence IS NOT NULL"),
    )


def downgrade() -> None:
    """Downgrade the schema to the previous revision."""

    op.drop_index(
        "uq_trades_account_symbol_sequence",
        table_name="trades",
        postgresql_where=sa.text("sequence IS NOT NULL"),
        sqlite_where=sa.text("sequence IS NOT NULL"),
    )
    op.drop_index(op.f("ix_trades_account_symbol_executed_at_id"), table_name="trades")
    op.drop_index(op.f("ix_trades_account_order_id"), table_name="trades")
    op.drop_index(op.f("ix_trades_account_executed_at_id"), table_name="trades")
    op.drop_index(
        "ix_trades_account_decision_id",
        table_name="trades",
        postgresql_where=sa.text("decision_id IS NOT NULL"),
        sqlite_where=sa.text("decision_id IS NOT NULL"),
    )
    op.drop_table("trades")
    op.drop_index(
        op.f("ix_portfolio_positions_account_symbol_sequence"), table_name="portfolio_positions"
    )
    op.drop_table("portfolio_positions")
    op.drop_index(op.f("ix_decision_signals_account_signal_id"), table_name="decision_signals")
    op.drop_table("decision_signals")
    op.drop_index(
        "uq_agent_actions_account_reference",
        table_name="agent_actions",
        postgresql_where=sa.text("reference IS NOT NULL"),
        sqlite_where=sa.text("reference IS NOT NULL"),
    )
    op.drop_index(op.f("ix_agent_actions_account_started_at_id"), table_name="agent_actions")
    op.drop_index(
        "ix_agent_actions_account_decision_id",
        table_name="agent_actions",
        postgresql_where=sa.text("decision_id IS NOT NULL"),
        sqlite_where=sa.text("decision_id IS NOT NULL"),
    )
    op.drop_index(op.f("ix_agent_actions_account_agent_started_at_id"), table_name="agent_actions")
    op.drop_table("agent_actions")
    op.drop_index(
        "uq_signals_account_reference",
        table_name="signals",
        postgresql_where=sa.text("reference IS NOT NULL"),
        sqlite_where=sa.text("reference IS NOT NULL"),
    )
    op.drop_index(op.f("ix_signals_account_symbol_generated_at_id"), table_name="signals")
    op.drop_index(op.f("ix_signals_account_generated_at_id"), table_name="signals")
    op.drop_table("signals")
    op.drop_table("positions")
    op.drop_index(op.f("ix_portfolios_account_timestamp_id"), table_name="portfolios")
    op.drop_table("portfolios")
    op.drop_index(
        op.f("ix_performance_metrics_account_period_end_id"), table_name="performance_metrics"
    )
    op.drop_index(
        op.f("ix_performance_metrics_account_name_period_end_id"), table_name="performance_metrics"
    )
    op.drop_table("performance_metrics")
    op.drop_index(op.f("ix_events_account_entity_entity_id_id"), table_name="events")
    op.drop_table("events")
    op.drop_index(op.f("ix_cash_flows_account_occurred_at_id"), table_name="cash_flows")
    op.drop_table("cash_flows")
    op.drop_index(
        "uq_alerts_account_dedup_key",
        table_name="alerts",
        postgresql_where=sa.text("dedup_key IS NOT NULL AND NOT resolved"),
        sqlite_where=sa.text("dedup_key IS NOT NULL AND NOT resolved"),
    )
    op.drop_index(
        "ix_alerts_unresolved",
        table_name="alerts",
        postgresql_where=sa.text("NOT resolved"),
        sqlite_where=sa.text("NOT resolved"),
    )
    op.drop_index(op.f("ix_alerts_account_timestamp_id"), table_name="alerts")
    op.drop_table("alerts")
    op.drop_index(
        "uq_agent_decisions_account_reference",
        table_name="agent_decisions",
        postgresql_where=sa.text("reference IS NOT NULL"),
        sqlite_where=sa.text("reference IS NOT NULL"),
    )
    op.drop_index(op.f("ix_agent_decisions_account_decided_at_id"), table_name="agent_decisions")
    op.drop_index(
        op.f("ix_agent_decisions_account_agent_decided_at_id"), table_name="agent_decisions"
    )
    op.drop_table("agent_decisions")
    op.drop_table("accounts")
