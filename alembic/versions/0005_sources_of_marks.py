"""sources of marks

Whether the mark of a position is the price of a trade or a quote. Marks from before have no source.

Revision: 0005
Revises: 0004
Created: 2026-11-30 13:00:00
"""

from __future__ import annotations

import sqlalchemy as sa

from tradebook.adapters.migrations import online_ddl

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_CHECK = "ck_positions_mark_source"


def upgrade() -> None:
    """Upgrade the schema to this revision."""
    online_ddl.add_column("positions", sa.Column("mark_source", sa.Text()))
    online_ddl.add_check("positions", _CHECK, "mark_source IN ('TRADE', 'QUOTE')")
    online_ddl.grant_like("positions", "marked_at", ("mark_source",))


def downgrade() -> None:
    """Downgrade the schema to the previous revision."""
    online_ddl.drop_check("positions", _CHECK)
    online_ddl.drop_column("positions", "mark_source")
