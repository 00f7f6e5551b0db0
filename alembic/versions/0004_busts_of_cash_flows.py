"""busts of cash flows

Revision: 0004
Revises: 0003
Created: 2026-11-30 12:50:00
"""

from __future__ import annotations

import sqlalchemy as sa

from tradebook.adapters.migrations import online_ddl

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Upgrade the schema to this revision."""
    online_ddl.add_column("cash_flows", sa.Column("busts_id", sa.BigInteger()))
    online_ddl.add_column("cash_flows", sa.Column("bust_reason", sa.Text()))


def downgrade() -> None:
    """Downgrade the schema to the previous revision; the entries of busts stay, so that cash is the same."""
    online_ddl.drop_column("cash_flows", "bust_reason")
    online_ddl.drop_column("cash_flows", "busts_id")
