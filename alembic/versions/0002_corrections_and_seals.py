"""corrections and seals

Revision: 0002
Revises: 0001
Created: 2026-11-24 16:50:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tradebook.adapters import types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_UNIQUE = {
    "uq_trades_account_corrects_id": ("corrects_id", ["account", "corrects_id"]),
    "uq_trades_account_symbol_bust_sequence": (
        "bust_sequence",
        ["account", "symbol", "bust_sequence"],
    ),
}


def upgrade() -> None:
    """Bring the schema up."""

    op.add_column(
        "trades", sa.Column("busted_by", sa.Text(), nullable=False, server_default=sa.text("''"))
    )
    # In words: SQLite adds a CHECK only together with its column.
    op.execute(
        "ALTER TABLE trades ADD COLUMN bust_sequence BIGINT "
        "CONSTRAINT ck_trades_busted_has_sequence "
        "CHECK ((status = 'BUSTED') = (bust_sequence IS NOT NULL))"
    )
    for name, (column, columns) in _UNIQUE.items():
        where = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            name, "trades", columns, unique=True, postgresql_where=where, sqlite_where=where
        )
    op.create_table(
        "seals",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", types.Id(), sa.Identity(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("from_id", sa.BigInteger(), nullable=False),
        sa.Column("to_id", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("covered", types.json_type(), nullable=False),
        sa.Column("settled_id", sa.BigInteger(), nullable=False),
        sa.Column("horizon", sa.BigInteger(), nullable=False),
        sa.Column("events_hash", sa.Text(), nullable=False),
        sa.Column("previous_hash", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("sealed_at", types.UtcDateTime(), nullable=False),
        sa.Column("seal_hash", sa.Text(), nullable=False),
        sa.UniqueConstraint("account", "number", name=op.f("uq_seals_account_number")),
        types.AccountKey("account", "id", name="pk_seals"),
    )
    op.create_index(op.f("ix_seals_account_to_id"), "seals", ["account", "to_id"], unique=False)


def downgrade() -> None:
    """Take it down again."""

    op.drop_index(op.f("ix_seals_account_to_id"), table_name="seals")
    op.drop_table("seals")
    for name in reversed(_UNIQUE):
        op.drop_index(name, table_name="trades")
    # SQLite drops no column that a CHECK names, unless the CHECK is the column's own.
    op.execute("ALTER TABLE trades DROP COLUMN bust_sequence")
    op.drop_column("trades", "busted_by")
