"""sources of marks

Whether the mark of a position is the price of a trade or a quote. Marks from before have no source.

Revision: 0005
Revises: 0004
Created: 2026-11-30 13:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

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
    if not online_ddl.on_sqlite():
        _grant()


def downgrade() -> None:
    """Downgrade the schema to the previous revision."""
    online_ddl.drop_check("positions", _CHECK)
    online_ddl.drop_column("positions", "mark_source")


def _grant() -> None:
    """Let each role that may set the time of a mark set its source: otherwise it could book no trade."""
    connection = op.get_bind()
    quoted = connection.dialect.identifier_preparer.quote
    granted = sa.text(
        "SELECT DISTINCT pg_get_userbyid(grantee) FROM pg_attribute, aclexplode(attacl) "
        "WHERE attrelid = to_regclass('positions') AND attname = 'marked_at' "
        "AND privilege_type = 'UPDATE' AND grantee <> 0"
    )
    for role in connection.scalars(granted).all():
        op.execute(f"GRANT UPDATE (mark_source) ON positions TO {quoted(role)}")
