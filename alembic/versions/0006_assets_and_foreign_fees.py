"""assets and foreign fees

What the quantity of a position is units of, and fees in other assets than its currency. Trades from before name no
asset: they have the one that their symbol says.

Revision: 0006
Revises: 0005
Created: 2026-11-30 15:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tradebook.adapters.migrations import online_ddl
from tradebook.adapters.types import json_type
from tradebook.domain.validation import default_asset

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Upgrade the schema to this revision.

    Lock positions before trades, as a booking does: the other order deadlocks with bookings.
    """
    none = sa.text("'{}'")
    online_ddl.add_column(
        "positions", sa.Column("asset", sa.Text(), nullable=False, server_default=sa.text("''"))
    )
    for table in ("positions", "portfolio_positions"):
        online_ddl.add_column(
            table, sa.Column("other_fees", json_type(), nullable=False, server_default=none)
        )
    _name_assets()
    online_ddl.grant_like("positions", "quantity", ("asset", "other_fees"))
    online_ddl.add_column("trades", sa.Column("asset", sa.Text()))


def downgrade() -> None:
    """Downgrade the schema to the previous revision."""
    online_ddl.drop_column("positions", "other_fees")
    online_ddl.drop_column("positions", "asset")
    online_ddl.drop_column("portfolio_positions", "other_fees")
    online_ddl.drop_column("trades", "asset")


def _name_assets() -> None:
    """Give each position the asset that its symbol says; there is one position for each symbol, not for each trade."""
    connection = op.get_bind()
    unnamed = sa.text("SELECT DISTINCT symbol FROM positions WHERE asset = ''")
    name = sa.text("UPDATE positions SET asset = :asset WHERE symbol = :symbol AND asset = ''")
    for symbol in sorted(connection.scalars(unnamed)):
        connection.execute(name, {"asset": default_asset(symbol), "symbol": symbol})
