"""Kinds of roles, their privileges on each table, and the detection of a lost owner.

The writer may change only the columns that the book itself changes, and delete only where nothing was traded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, text

from tradebook.adapters.migrations.schema_state import VERSIONS
from tradebook.adapters.orm import metadata
from tradebook.domain.edit_rules import LEDGER_STATE
from tradebook.domain.imports import COUNTS, UNDO
from tradebook.domain.trades import BUST, TERMS, Trade

OWNER: Final = "owner"
"""Owns the tables and migrates them."""
WRITER: Final = "writer"
"""Books trades and everything else that the book records."""
READER: Final = "reader"
"""Reads every table."""
AUDITOR: Final = "auditor"
"""Reads every table, and adds seals."""
BACKUP: Final = "backup"
"""Reads the whole server, to copy it."""
KINDS: Final = (OWNER, WRITER, READER, AUDITOR, BACKUP)

MEMBERSHIPS: Final[Mapping[str, str]] = {AUDITOR: "pg_read_all_stats", BACKUP: "pg_read_all_data"}
"""The predefined role that a kind is a member of.

A seal covers all events below the oldest running transaction, which may be another role's; a dump reads all tables
and sequences.
"""
BACKUP_FUNCTIONS: Final = (
    "pg_switch_wal()",
    "lo_open(oid, integer)",
    "loread(integer, integer)",
    "lo_close(integer)",
)
"""Functions for the backup role: `tradebook backup archive --now` ends the current WAL file, and a dump reads large
objects."""
BACKUP_ATTRIBUTES: Final = ("rolreplication", "rolbypassrls")
"""Attributes that only the backup role may have: a dump under row-level security would be incomplete."""

_FILL: Final = ("execution_id", *TERMS, "strategy", "decision_id", "details")
"""Columns of a pending order that its fill may set."""
_LEDGER: Final = ("sequence", "booked_at", "revision", "corrects_id")
_BOOKED: Final = ("symbol", "venue", "order_id", *_FILL, *_LEDGER)
"""Columns of a trade that never change once it is booked."""
# Deleting a record begins with SELECT ... FOR UPDATE, which needs UPDATE on at least one column.
_LOCKABLE: Final = ("updated_at",)


def _columns_except(table: str, *names: str) -> list[str]:
    return [c.name for c in metadata.tables[table].columns if c.name not in names]


UPDATABLE: Final[Mapping[str, Sequence[str]]] = {
    "trades": sorted(
        {"status", "updated_at", *_FILL, *LEDGER_STATE[Trade]} - {"revision", "corrects_id"}
    ),
    "positions": _columns_except("positions", "account", "id", "symbol", "created_at"),
    "alerts": _columns_except("alerts", "account", "id", "created_at"),
    "agent_decisions": ["status", "updated_at"],
    "imports": sorted({*COUNTS, *UNDO, "finished_at"}),
    "agent_actions": _LOCKABLE,
    "performance_metrics": _LOCKABLE,
    "signals": _LOCKABLE,
}
"""Columns that the writer may update, by table; none of any other table."""

DELETABLE: Final = (
    "agent_actions",
    "agent_decisions",
    "alerts",
    "decision_signals",
    "performance_metrics",
    "signals",
)
"""Tables from which the writer may delete rows: none that holds trades, cash, events or seals."""

_DISPLACED_OWNER: Final = """
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


def displaced_owner(connection: Connection) -> str | None:
    """Return the owner role that `tradebook db roles` made, where it no longer owns the book's tables.

    A restore gives the tables to the role that restores them, and keeps the grants: they show that the owner
    role belongs to this database.
    """
    owner: str | None = connection.scalar(text(_DISPLACED_OWNER))
    return owner


_PREFIX: Final = """
SELECT regexp_replace(owner.rolname, '_owner$', '')
FROM pg_class AS book JOIN pg_roles AS owner ON owner.oid = relowner
WHERE book.oid = to_regclass('trades') AND owner.rolname LIKE '%\\_owner'
AND EXISTS (SELECT FROM pg_roles WHERE rolname = regexp_replace(owner.rolname, '_owner$', '_writer'))
"""


def prefix_of_roles(connection: Connection) -> str | None:
    """Return the beginning of the names of the roles that `tradebook db roles` made; None without such roles."""
    prefix: str | None = connection.scalar(text(_PREFIX))
    return prefix


def grants(table: str) -> Iterator[tuple[str, str]]:
    """Yield the grants on a table: privileges, and the kind of role that gets them."""
    for kind in (WRITER, READER, AUDITOR):
        yield "SELECT", kind
    if table == VERSIONS:
        return
    yield "INSERT", WRITER
    if table in UPDATABLE:
        yield f"UPDATE ({', '.join(UPDATABLE[table])})", WRITER
    if table in DELETABLE:
        yield "DELETE", WRITER
    if table == "seals":
        yield "INSERT", AUDITOR


def sequence_grants(table: str) -> Iterator[tuple[str, str]]:
    """Yield the grants on the sequence of a table's ids: the privilege, and the kind of role that gets it."""
    if table in (VERSIONS, "decision_signals"):
        return
    yield "USAGE", WRITER
    if table == "seals":
        yield "USAGE", AUDITOR
    if table == "events":  # ids above the last one given were made up
        yield "SELECT", AUDITOR
        yield "SELECT", READER


def forbidden_change() -> str:
    """Return the SQL condition, on the old and the new row of a trade, of an UPDATE that alters a booking."""
    return (
        "old.status <> 'PENDING' AND ("
        f"{_differ(_BOOKED)} "
        "OR new.status <> old.status AND NOT (old.status = 'EXECUTED' AND new.status = 'BUSTED') "
        f"OR old.status = 'BUSTED' AND {_differ(BUST)})"
    )


def _differ(columns: Sequence[str]) -> str:
    # As PostgreSQL writes a comparison of rows, so that the trigger can be compared with this text.
    differences = " OR ".join(f"old.{column} IS DISTINCT FROM new.{column}" for column in columns)
    return f"({differences})"
