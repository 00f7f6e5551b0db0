"""DDL for revisions that run while other programs trade on the same tables.

Every function can be run twice, because an interrupted revision is run again. On PostgreSQL none holds a lock
that blocks others for longer than an update of the catalog takes; `tests/support/revision_rules.py` checks
every revision for that. On SQLite a revision is one transaction, which blocks writers until it ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from alembic import op
from sqlalchemy import Column, inspect, text

from tradebook.adapters.migrations.sqlite_rebuild import (
    rebuild,
    table_ddl,
    with_constraint,
    with_nullable,
    without_check,
    without_foreign_key,
    without_nullable,
)

LOCK_TIMEOUT: Final = 400
"""Milliseconds that a change waits for its table's lock; every later statement on the table queues behind it."""


def on_sqlite() -> bool:
    """Check whether the revision runs on SQLite."""
    return bool(op.get_bind().dialect.name == "sqlite")


def has_table(table: str) -> bool:
    """Check whether a table exists already."""
    return inspect(op.get_bind()).has_table(table)


def add_column(table: str, column: Column[Any]) -> None:
    """Add a column, which must be nullable or have a constant default: then no row is rewritten."""
    if not _has_column(table, str(column.name)):
        op.add_column(table, column)


def drop_column(table: str, name: str) -> None:
    """Drop a column; on SQLite every CHECK that names it must be dropped before."""
    if _has_column(table, name):
        op.drop_column(table, name)


def create_index(
    name: str, table: str, columns: Sequence[str], *, unique: bool = False, where: str | None = None
) -> None:
    """Create an index, on PostgreSQL concurrently: a plain CREATE INDEX blocks writes until it is built."""
    condition = None if where is None else text(where)
    with _outside_transaction():
        # An interrupted CREATE INDEX CONCURRENTLY leaves an invalid index, which IF NOT EXISTS would accept.
        if _is_invalid(name):
            op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
        op.create_index(
            name,
            table,
            columns,
            unique=unique,
            if_not_exists=True,
            postgresql_concurrently=True,
            postgresql_where=condition,
            sqlite_where=condition,
        )


def drop_index(name: str, table: str) -> None:
    """Drop an index, on PostgreSQL concurrently."""
    with _outside_transaction():
        op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)


def add_check(table: str, name: str, condition: str) -> None:
    """Add a CHECK, on PostgreSQL for new rows first and then validated for the existing ones."""
    _add_constraint(table, name, f"CHECK ({condition})")


def drop_check(table: str, name: str) -> None:
    """Drop a CHECK if it exists."""
    if on_sqlite():
        rebuild(op.get_bind(), table, lambda ddl: without_check(ddl, name))
    else:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")


def add_foreign_key(table: str, name: str, column: str, referred: str) -> None:
    """Add a foreign key to a record of the same account, on PostgreSQL for new rows first, then validated."""
    columns = f"(account, {column}) REFERENCES {referred} (account, id)"
    _add_constraint(table, name, f"FOREIGN KEY{columns}")


def drop_foreign_key(table: str, name: str) -> None:
    """Drop a foreign key if it exists."""
    if on_sqlite():
        rebuild(op.get_bind(), table, lambda ddl: without_foreign_key(ddl, name))
    else:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")


def grant_like(table: str, column: str, new: Sequence[str]) -> None:
    """Let each role that may update a column update new ones: otherwise it could book no trade."""
    if on_sqlite():
        return
    connection = op.get_bind()
    quoted = connection.dialect.identifier_preparer.quote
    granted = text(
        "SELECT DISTINCT pg_get_userbyid(grantee) FROM pg_attribute, aclexplode(attacl) "
        "WHERE attrelid = to_regclass(:table) AND attname = :column "
        "AND privilege_type = 'UPDATE' AND grantee <> 0"
    )
    for role in connection.scalars(granted, {"table": table, "column": column}).all():
        op.execute(f"GRANT UPDATE ({', '.join(new)}) ON {table} TO {quoted(role)}")


def drop_not_null(table: str, column: str) -> None:
    """Let a column hold NULL."""
    if on_sqlite():
        rebuild(op.get_bind(), table, lambda ddl: with_nullable(ddl, column))
    else:
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL")


def set_not_null(table: str, column: str) -> None:
    """Make a column NOT NULL, on PostgreSQL by a CHECK: the server scans no table under a lock then."""
    if on_sqlite():
        rebuild(op.get_bind(), table, lambda ddl: without_nullable(ddl, column))
        return
    check = f"ck_{table}_{column}_not_null"
    add_check(table, check, f"{column} IS NOT NULL")
    op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL")
    drop_check(table, check)


def _add_constraint(table: str, name: str, rule: str) -> None:
    constraint = f"CONSTRAINT {name} {rule}"
    if on_sqlite():
        if name not in table_ddl(op.get_bind(), table):
            rebuild(op.get_bind(), table, lambda ddl: with_constraint(ddl, constraint))
        return
    # A plain ADD scans the table under ACCESS EXCLUSIVE. NOT VALID takes that lock without a scan, and VALIDATE scans
    # under SHARE UPDATE EXCLUSIVE, which blocks neither reads nor writes.
    if _is_validated(table, name) is None:
        op.execute(f"ALTER TABLE {table} ADD {constraint} NOT VALID")
    if not _is_validated(table, name):
        with _outside_transaction():
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


@contextmanager
def _outside_transaction() -> Iterator[None]:
    """On PostgreSQL, commit the revision so far and run each statement by itself, without a lock timeout.

    CREATE INDEX CONCURRENTLY waits for every transaction that is older than itself. Nothing queues behind
    that wait, so it may last; with LOCK_TIMEOUT one long report would make it fail.
    """
    if on_sqlite():
        yield
        return
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        yield
        op.execute(f"SET lock_timeout = {LOCK_TIMEOUT}")


def _has_column(table: str, name: str) -> bool:
    return any(column["name"] == name for column in inspect(op.get_bind()).get_columns(table))


def _is_invalid(index: str) -> bool:
    if on_sqlite():
        return False
    query = text("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:index)")
    return bool(op.get_bind().scalar(query, {"index": index}))


def _is_validated(table: str, constraint: str) -> bool | None:
    """Check whether a constraint is validated; None where it does not exist."""
    query = text(
        "SELECT convalidated FROM pg_constraint "
        "WHERE conrelid = to_regclass(:table) AND conname = :constraint"
    )
    found: bool | None = op.get_bind().scalar(query, {"table": table, "constraint": constraint})
    return found
