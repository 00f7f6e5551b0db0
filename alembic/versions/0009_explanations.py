"""explanations

What decisions were made from and upon, what model calls took, and who was entitled to cash. Costs and confidences that
are not known have no value any more; those recorded before keep the 0 or 1 that they have.

Revision: 0009
Revises: 0008
Created: 2026-12-01 05:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tradebook.adapters import types
from tradebook.adapters.migrations import online_ddl

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_NULLABLE = (
    ("agent_decisions", "confidence", 1),
    ("agent_decisions", "cost", 0),
    ("agent_actions", "cost", 0),
)
_COLUMNS = {
    "agent_decisions": {
        "parent_id": sa.BigInteger,
        "parameters": types.json_type,
        "prompt_hash": sa.Text,
    },
    "agent_actions": {
        "model": sa.Text,
        "input_tokens": sa.BigInteger,
        "output_tokens": sa.BigInteger,
        "trace_id": sa.Text,
        "span_id": sa.Text,
    },
    "cash_flows": {"entitled_at": types.UtcDateTime},
}
_PARENT = "fk_agent_decisions_account_parent_id_agent_decisions"
_CHILDREN = "ix_agent_decisions_account_parent_id"
_BY_SYMBOL = "ix_cash_flows_account_symbol_occurred_at_id"


def upgrade() -> None:
    """Upgrade the schema to this revision."""
    for table, column, _ in _NULLABLE:
        online_ddl.drop_not_null(table, column)
    for table, columns in _COLUMNS.items():
        for name, kind in columns.items():
            online_ddl.add_column(table, sa.Column(name, kind()))
    online_ddl.add_foreign_key("agent_decisions", _PARENT, "parent_id", "agent_decisions")
    if not online_ddl.has_table("decision_inputs"):
        _create_inputs()
    online_ddl.create_index(
        _CHILDREN, "agent_decisions", ["account", "parent_id"], where="parent_id IS NOT NULL"
    )
    online_ddl.create_index(
        _BY_SYMBOL,
        "cash_flows",
        ["account", "symbol", "occurred_at", "id"],
        where="symbol IS NOT NULL",
    )


def downgrade() -> None:
    """Downgrade the schema to the previous revision.

    Inputs of decisions are forgotten. Unknown costs become 0 and unknown confidences 1, the defaults of the previous
    revision; `verify` reports these records from then on, because their events state no cost and no confidence.
    """
    online_ddl.drop_index(_BY_SYMBOL, "cash_flows")
    online_ddl.drop_index(_CHILDREN, "agent_decisions")
    if online_ddl.has_table("decision_inputs"):
        op.drop_table("decision_inputs")
    online_ddl.drop_foreign_key("agent_decisions", _PARENT)
    for table, columns in _COLUMNS.items():
        for name in columns:
            online_ddl.drop_column(table, name)
    for table, column, default in _NULLABLE:
        op.execute(f"UPDATE {table} SET {column} = '{default}' WHERE {column} IS NULL")  # noqa: S608, names of ours
        online_ddl.set_not_null(table, column)


def _create_inputs() -> None:
    op.create_table(
        "decision_inputs",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", types.Id(), sa.Identity(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("decision_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", types.json_type(), nullable=True),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("available_at", types.UtcDateTime(), nullable=False),
        sa.Column("recorded_at", types.UtcDateTime(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account", "decision_id"],
            ["agent_decisions.account", "agent_decisions.id"],
            name=op.f("fk_decision_inputs_account_decision_id_agent_decisions"),
        ),
        sa.UniqueConstraint(
            "account",
            "decision_id",
            "name",
            name=op.f("uq_decision_inputs_account_decision_id_name"),
        ),
        types.AccountKey("account", "id", name="pk_decision_inputs"),
    )
