"""corrections and seals

Revision: 0002
Revises: 0001
Created: 2026-11-24 16:50:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tradebook.adapters import types
from tradebook.adapters.migrations import online_ddl

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
_BUSTED_HAS_SEQUENCE = "ck_trades_busted_has_sequence"


def upgrade() -> None:
    """Upgrade the schema to this revision."""
    busted_by = sa.Column("busted_by", sa.Text(), nullable=False, server_default=sa.text("''"))
    online_ddl.add_column("trades", busted_by)
    online_ddl.add_column("trades", sa.Column("bust_sequence", sa.BigInteger()))
    _number_busts()
    if not online_ddl.has_table("seals"):
        _create_seals()
    online_ddl.add_check(
        "trades", _BUSTED_HAS_SEQUENCE, "(status = 'BUSTED') = (bust_sequence IS NOT NULL)"
    )
    for name, (column, columns) in _UNIQUE.items():
        online_ddl.create_index(name, "trades", columns, unique=True, where=f"{column} IS NOT NULL")
    online_ddl.create_index(
        "ix_trades_pending", "trades", ["account", "order_id"], where="status = 'PENDING'"
    )


def downgrade() -> None:
    """Downgrade the schema to the previous revision."""
    if online_ddl.has_table("seals"):
        op.drop_table("seals")
    online_ddl.drop_index("ix_trades_pending", "trades")
    for name in reversed(_UNIQUE):
        online_ddl.drop_index(name, "trades")
    online_ddl.drop_check("trades", _BUSTED_HAS_SEQUENCE)
    online_ddl.drop_column("trades", "bust_sequence")
    online_ddl.drop_column("trades", "busted_by")


def _number_busts() -> None:
    """Give each trade that was busted before this revision a free number in its position's sequence."""
    busted = op.get_bind().execute(
        sa.text(
            "SELECT account, symbol, id FROM trades "
            "WHERE status = 'BUSTED' AND bust_sequence IS NULL ORDER BY busted_at, id"
        )
    )
    for account, symbol, trade_id in busted.all():
        number = sa.text(
            "UPDATE trades SET bust_sequence = :number WHERE account = :account AND id = :id"
        )
        free = _free_number(account, symbol)
        op.get_bind().execute(number, {"number": free, "account": account, "id": trade_id})


def _free_number(account: str, symbol: str) -> int:
    taken = op.get_bind().execute(
        sa.text(
            "SELECT sequence, bust_sequence FROM trades "
            "WHERE account = :account AND symbol = :symbol AND sequence IS NOT NULL"
        ),
        {"account": account, "symbol": symbol},
    )
    numbers = {number for row in taken for number in row}
    return next(number for number in range(1, len(numbers) + 2) if number not in numbers)


def _create_seals() -> None:
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
