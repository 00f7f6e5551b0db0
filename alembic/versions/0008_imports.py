"""imports

Revision: 0008
Revises: 0007
Created: 2026-11-30 19:30:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tradebook.adapters import types
from tradebook.adapters.migrations import online_ddl

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Upgrade the schema to this revision."""
    if online_ddl.has_table("imports"):
        return
    op.create_table(
        "imports",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", types.Id(), sa.Identity(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("booked", sa.BigInteger(), nullable=False),
        sa.Column("duplicates", sa.BigInteger(), nullable=False),
        sa.Column("skipped", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("started_at", types.UtcDateTime(), nullable=False),
        sa.Column("finished_at", types.UtcDateTime(), nullable=True),
        sa.Column("undone_at", types.UtcDateTime(), nullable=True),
        sa.Column("undone_by", sa.Text(), nullable=False),
        sa.Column("undo_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "status IN ('STARTED', 'FINISHED', 'UNDONE')", name=op.f("ck_imports_status")
        ),
        sa.CheckConstraint(
            "(status = 'UNDONE') = (undone_at IS NOT NULL)", name=op.f("ck_imports_undone_has_time")
        ),
        sa.UniqueConstraint("account", "reference", name=op.f("uq_imports_account_reference")),
        types.AccountKey("account", "id", name="pk_imports"),
    )
    op.create_index(
        op.f("ix_imports_account_started_at_id"),
        "imports",
        ["account", "started_at", "id"],
        unique=False,
    )


def downgrade() -> None:
    """Downgrade the schema to the previous revision; trades and their busts stay, their imports are forgotten."""
    if online_ddl.has_table("imports"):
        op.drop_table("imports")
