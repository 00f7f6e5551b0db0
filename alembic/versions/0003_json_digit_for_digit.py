"""json digit for digit

SQLite gives a column that is declared JSON numeric affinity: it stores a bare number as a float, which keeps 15
digits. So these columns become TEXT there. PostgreSQL's JSONB keeps every digit and is left alone.

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
    """Upgrade the schema to this revision."""
    if not on_sqlite():
        return
    driver: Any = op.get_bind().connection.driver_connection
    driver.create_function("as_json_text", 1, _as_text, deterministic=True)
    for table, columns in _COLUMNS.items():
        as_text = {column: f'as_json_text("{column}")' for column in columns}
        rebuild(op.get_bind(), table, _declared_as_text, as_text)


def downgrade() -> None:
    """Change nothing: older versions read TEXT too, and JSON columns would lose digits again."""


def _declared_as_text(ddl: str) -> str:
    return re.sub(r'^(\s*"?\w+"? )JSON\b', r"\1TEXT", ddl, flags=re.MULTILINE)


def _as_text(stored: object) -> object:
    """Write a stored number as JSON with all its digits; SQLite's CAST to text keeps only 15."""
    return json.dumps(stored) if isinstance(stored, int | float) else stored
