"""json digit for digit

On SQLite a column declared JSON makes a number of a number alone, and keeps 15 digits of a long one.
On PostgreSQL there is nothing to do.

Revision: 0003
Revises: 0002
Created: 2026-11-25 21:00:00
"""

from __future__ import annotations

import json
import re
from typing import Any

from alembic import op

from tradebook.adapters.migrations.online_ddl import on_sqlite
from tradebook.adapters.migrations.sqlite_rebuild import rebuild

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COLUMNS = {
    "agent_actions": ["input", "output"],
    "agent_decisions": ["inputs"],
    "events": ["payload"],
    "performance_metrics": ["parameters"],
    "portfolios": ["rates", "closed_sequences"],
    "seals": ["covered"],
    "signals": ["details"],
    "trades": ["details"],
}


def upgrade() -> None:
    """Bring the schema up."""
    if not on_sqlite():
        return
    driver: Any = op.get_bind().connection.driver_connection
    driver.create_function("as_json_text", 1, _as_text, deterministic=True)
    for table, columns in _COLUMNS.items():
        as_text = {column: f'as_json_text("{column}")' for column in columns}
        rebuild(op.get_bind(), table, _declared_as_text, as_text)


def downgrade() -> None:
    """Nothing: older versions read the text as well, and losing digits again would help nobody."""


def _declared_as_text(ddl: str) -> str:
    return re.sub(r'^(\s*"?\w+"? )JSON\b', r"\1TEXT", ddl, flags=re.MULTILINE)


def _as_text(stored: object) -> object:
    """SQLite's own text of a number has 15 digits."""
    return json.dumps(stored) if isinstance(stored, int | float) else stored
