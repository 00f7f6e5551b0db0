"""corrections and seals

Revision: 0002
Revises: 0001
Created: 2026-11-24 16:50:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

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
    pending = sa.text("status = 'PENDING'")
    op.create_index(
        "ix_trades_pending",
        "trades",
        ["account", "order_id"],
        postgresql_where=pending,
        sqlite_where=pending,
    )


def downgrade() -> None:
    """Take it down again."""

    op.drop_index("ix_trades_pending", table_name="trades")
    for name in reversed(_UNIQUE):
        op.drop_index(name, table_name="trades")
    # SQLite drops no column that a CHECK names, unless the CHECK is the column's own.
    op.execute("ALTER TABLE trades DROP COLUMN bust_sequence")
    op.drop_column("trades", "busted_by")
