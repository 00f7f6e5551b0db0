"""What a revision does to tables that others trade on meanwhile.

Each change is safe to make twice, because a revision that was interrupted is run again, and on PostgreSQL
none keeps anybody from a table for longer than it takes to write a line into the catalog:
`tests/support/revision_rules.py` holds every revision to it. On SQLite a revision is one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from alembic import op
from sqlalchemy import Column, Connection, inspect, text

from tradebook.adapters.migrations.sqlite_rebuild import (
    rebuild,
    table_ddl,
    with_constraint,
    without_check,
)

LOCK_TIMEOUT: Final = 400
"""Milliseconds that a change may wait for a table; all who come to it later wait behind it."""


def on_sqlite() -> bool:
    """Whether the revision runs on SQLite."""
    return bool(op.get_bind().dialect.name == "sqlite")


def has_table(table: str) -> bool:
    """Whether there is such a table."""
    return inspect(op.get_bind()).has_table(table)


def add_column(table: str, column: Column[Any]) -> None:
    """Add a column that is nullable or has a constant default: no row is touched."""
    if column.name not in _columns(table):
        op.add_column(table, column)


def drop_column(table: str, name: str) -> None:
    """Drop a column; on SQLite no CHECK may name it any more."""
    if name in _columns(table):
        op.drop_column(table, name)


def create_index(
    name: str, table: str, columns: Sequence[str], *, unique: bool = False, where: str | None = None
) -> None:
    """Create an index; on PostgreSQL concurrently, and anew where an interrupted try left half of one."""
    condition = None if where is None else text(where)
    if on_sqlite():
        op.create_index(
            name, table, columns, unique=unique, sqlite_where=condition, if_not_exists=True
        )
        return
    with unhurried():
        if _is_half_made(name):
            op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
        op.create_index(
            name,
            table,
            columns,
            unique=unique,
            postgresql_where=condition,
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def drop_index(name: str, table: str) -> None:
    """Drop an index; on PostgreSQL concurrently."""
    if on_sqlite():
        op.drop_index(name, table, if_exists=True)
        return
    with unhurried():
        op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)


def add_check(table: str, name: str, condition: str) -> None:
    """Add a CHECK; on PostgreSQL it holds for new rows at once, and old ones are looked at afterwards."""
    constraint = f"CONSTRAINT {name} CHECK ({condition})"
    if on_sqlite():
        if name not in table_ddl(op.get_bind(), table):
            rebuild(op.get_bind(), table, lambda ddl: with_constraint(ddl, constraint))
        return
    if _is_validated(table, name) is None:
        op.execute(f"ALTER TABLE {table} ADD {constraint} NOT VALID")
    if not _is_validated(table, name):
        with unhurried():
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def drop_check(table: str, name: str) -> None:
    """Drop a CHECK."""
    if on_sqlite():
        rebuild(op.get_bind(), table, lambda ddl: without_check(ddl, name))
    else:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")


@contextmanager
def unhurried() -> Iterator[None]:
    """For statements on PostgreSQL that nobody waits behind, each its own transaction.

    They wait until transactions that began before them end, however long that takes; what the revision
    did before them is committed.
    """
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        yield
        op.execute(f"SET lock_timeout = {LOCK_TIMEOUT}")


def _columns(table: str) -> set[str]:
    return {column["name"] for column in inspect(op.get_bind()).get_columns(table)}


def _is_half_made(index: str) -> bool:
    found = _ask(
        "SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:index)", index=index
    )
    return bool(found)


def _is_validated(table: str, constraint: str) -> bool | None:
    """None where there is no such constraint."""
    found: bool | None = _ask(
        "SELECT convalidated FROM pg_constraint "
        "WHERE conrelid = to_regclass(:table) AND conname = :constraint",
        table=table,
        constraint=constraint,
    )
    return found


def _ask(question: str, **names: str) -> Any:
    connection: Connection = op.get_bind()
    return connection.scalar(text(question), names)
