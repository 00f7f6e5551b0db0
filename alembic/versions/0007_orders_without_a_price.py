"""orders without a price

A market order has no price until it is filled. Every booked trade has one.

Revision: 0007
Revises: 0006
Created: 2026-11-30 15:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tradebook.adapters.migrations import online_ddl
from tradebook.domain.errors import OperationFailed

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_CHECK = "ck_trades_booked_has_price"


def upgrade() -> None:
    """Upgrade the schema to this revision."""
    online_ddl.drop_not_null("trades", "price")
    online_ddl.add_check(
        "trades", _CHECK, "price IS NOT NULL OR status NOT IN ('EXECUTED', 'BUSTED')"
    )


def downgrade() -> None:
    """Downgrade the schema to the previous revision."""
    without = op.get_bind().scalar(sa.text("SELECT count(*) FROM trades WHERE price IS NULL"))
    if without:
        raise OperationFailed(
            f"{without} orders have no price, and revision {down_revision} has no place for them: fill them, "
            "or delete them with `delete`, and downgrade again"
        )
    online_ddl.drop_check("trades", _CHECK)
    online_ddl.set_not_null("trades", "price")
