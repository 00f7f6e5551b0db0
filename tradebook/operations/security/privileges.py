"""Whether the role that was made to own the book's tables still does: a restore takes them from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, text

from tradebook.adapters.orm import metadata
from tradebook.domain.edit_rules import LEDGER_STATE
from tradebook.domain.trades import BUST, TERMS, Trade

_DISOWNED: Final = """
SELECT owner.rolname
FROM pg_class AS book, pg_roles AS owner, pg_roles AS writer
WHERE book.oid = to_regclass('trades') AND owner.rolname <> pg_get_userbyid(book.relowner)
AND owner.rolname LIKE '%\\_owner'
AND writer.rolname = regexp_replace(owner.rolname, '_owner$', '_writer')
AND (
    EXISTS (SELECT FROM aclexplode(book.relacl) AS granted WHERE granted.grantee = writer.oid)
    OR EXISTS (
        SELECT FROM pg_database, aclexplode(datacl) AS granted
        WHERE datname = current_database() AND granted.grantee = owner.oid
    )
)
ORDER BY 1 LIMIT 1
"""
"""A restore leaves the tables to whoever restores, and the grants with the roles."""


def disowned(connection: Connection) -> str | None:
    """The role that was made to own the book's tables, but does not; None where all is as it was made."""
    owner: str | None = connection.scalar(text(_DISOWNED))
    return owner


OWNER: Final = "owner"
WRITER: Final = "writer"
READER: Final = "reader"
AUDITOR: Final = "auditor"
BACKUP: Final = "backup"
KINDS: Final = (OWNER, WRITER, READER, AUDITOR, BACKUP)
"""Owns the schema and migrates it; books; reads; reads and seals; copies the whole server."""

COPIES: Final = {
    "pg_read_all_data": "a dump reads all tables and sequences",
    "EXECUTE ON FUNCTION pg_switch_wal()": "`tradebook backup archive --now`",
}
"""What is granted to who backs up, and why."""
COPYING: Final = ("rolreplication", "rolbypassrls")
"""What who backs up has, and nobody else: a copy of what one may see is no backup."""

VERSIONS: Final = "alembic_version"
_BOOKED: Final = (
    "symbol",
    "venue",
    "order_id",
    "execution_id",
    *TERMS,
    "strategy",
    "decision_id",
    "details",
    "sequence",
    "booked_at",
    "revision",
    "corrects_id",
)
"""What never changes once a trade is booked."""
_OF_ORDERS: Final = ("execution_id", *TERMS, "strategy", "decision_id", "details")
"""What an order that waits may still be given, or its fill."""
_FIXED: Final = ("account", "id", "symbol", "created_at")
_RELEASED: Final = ("updated_at",)
"""Lets a record be locked, which is what deleting it begins with."""

CHANGED: Final[Mapping[str, Sequence[str]]] = {
    "trades": sorted(
        {"status", "updated_at", *_OF_ORDERS, *LEDGER_STATE[Trade]} - {"revision", "corrects_id"}
    ),
    "positions": [c.name for c in metadata.tables["positions"].columns if c.name not in _FIXED],
    "alerts": [
        c.name
        for c in metadata.tables["alerts"].columns
        if c.name not in ("account", "id", "created_at")
    ],
    "agent_decisions": ["status", "updated_at"],
    "agent_actions": _RELEASED,
    "performance_metrics": _RELEASED,
    "signals": _RELEASED,
}
"""The columns that the writer may change, of each table where it may change anything."""

REMOVED: Final = (
    "agent_actions",
    "agent_decisions",
    "alerts",
    "decision_signals",
    "performance_metrics",
    "signals",
)
"""Where the writer may delete: of what was traded, and of what happened, nothing goes."""


def grants(table: str, roles: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """For each role of a table, what it is granted there: (privileges, role)."""
    writer, reader, auditor = roles[WRITER], roles[READER], roles[AUDITOR]
    for role in (writer, reader, auditor):
        yield "SELECT", role
    if table == VERSIONS:
        return
    yield "INSERT", writer
    if table in CHANGED:
        yield f"UPDATE ({', '.join(CHANGED[table])})", writer
    if table in REMOVED:
        yield "DELETE", writer
    if table == "seals":
        yield "INSERT", auditor


def forbidden_change() -> str:
    """The condition, on the OLD and NEW row of a trade, under which an UPDATE takes back a booking."""
    return (
        "OLD.status <> 'PENDING' AND ("
        f"{_differ(_BOOKED)} "
        "OR NEW.status <> OLD.status AND NOT (OLD.status = 'EXECUTED' AND NEW.status = 'BUSTED') "
        f"OR OLD.status = 'BUSTED' AND {_differ(BUST)})"
    )


def _differ(columns: Sequence[str]) -> str:
    old, new = (", ".join(f"{row}.{column}" for column in columns) for row in ("OLD", "NEW"))
    return f"({old}) IS DISTINCT FROM ({new})"
