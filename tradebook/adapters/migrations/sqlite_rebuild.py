"""Rebuilding of SQLite tables, for the changes that ALTER TABLE cannot make there.

The new table's DDL is the stored text with an edit, so that whatever the edit leaves alone survives: checks, constraint
names, AUTOINCREMENT. The steps follow https://sqlite.org/lang_altertable.html#otheralter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sqlalchemy import Connection


def table_ddl(connection: Connection, table: str) -> str:
    """Return the CREATE TABLE statement that SQLite stores for a table."""
    stored = connection.exec_driver_sql(
        "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)
    )
    return str(stored.scalar_one())


def rebuild(
    connection: Connection,
    table: str,
    edit: Callable[[str], str],
    conversions: Mapping[str, str] | None = None,
) -> None:
    """Replace a SQLite table by one with edited DDL, keeping its rows, indexes and triggers.

    Does nothing where the edit changes nothing. Foreign keys must be switched off, because DROP TABLE
    would otherwise delete the rows one by one and follow their ON DELETE actions.

    Args:
        connection: one with an open write transaction.
        table: name of the table.
        edit: returns the new DDL for the stored one.
        conversions: SQL expression of the new value, by column; other columns are copied unchanged.
    """
    ddl = table_ddl(connection, table)
    edited = edit(ddl)
    if edited == ddl:
        return
    send, new = connection.exec_driver_sql, f"_new_{table}"
    # DROP TABLE takes them along. Indexes of keys have no statement; the new table brings its own.
    dependents = send(
        "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type IN ('index', 'trigger') "
        "AND sql IS NOT NULL ORDER BY rowid",
        (table,),
    ).all()
    send(f'CREATE TABLE "{new}" {edited[edited.index("(") :]}')
    remaining = {row.name for row in send(f'PRAGMA table_info("{new}")')}
    kept = [row.name for row in send(f'PRAGMA table_info("{table}")') if row.name in remaining]
    columns = ", ".join(f'"{name}"' for name in kept)
    values = ", ".join((conversions or {}).get(name, f'"{name}"') for name in kept)
    send(f'INSERT INTO "{new}" ({columns}) SELECT {values} FROM "{table}"')  # noqa: S608  # our names
    if "AUTOINCREMENT" in edited:
        # The copied rows may lack the highest id, if its row was deleted; it must not be used again.
        send("DELETE FROM sqlite_sequence WHERE name = ?", (new,))
        send(
            "INSERT INTO sqlite_sequence SELECT ?, seq FROM sqlite_sequence WHERE name = ?",
            (new, table),
        )
    # Otherwise RENAME would rewrite views and foreign keys that refer to the old table's name.
    send("PRAGMA legacy_alter_table=ON")
    send(f'DROP TABLE "{table}"')
    send(f'ALTER TABLE "{new}" RENAME TO "{table}"')
    send("PRAGMA legacy_alter_table=OFF")
    for (statement,) in dependents:
        send(statement)


def with_constraint(ddl: str, constraint: str) -> str:
    """Append a constraint to a table's DDL."""
    end = ddl.rindex(")")
    return f"{ddl[:end].rstrip()}, \n\t{constraint}\n{ddl[end:]}"


def without_check(ddl: str, name: str) -> str:
    """Remove a named CHECK of a column or of the table from its DDL."""
    found = re.search(rf'\s*,?\s*CONSTRAINT\s+"?{re.escape(name)}"?\s+CHECK\s*\(', ddl)
    if found is None:
        return ddl
    return ddl[: found.start()] + ddl[_closing_parenthesis(ddl, found.end()) :]


def without_foreign_key(ddl: str, name: str) -> str:
    """Remove a named foreign key of the table from its DDL."""
    found = rf'\s*,\s*CONSTRAINT\s+"?{re.escape(name)}"?\s+FOREIGN KEY\s*\([^)]*\)\s*REFERENCES\s+"?\w+"?\s*\([^)]*\)'
    return re.sub(found, "", ddl, count=1)


def with_nullable(ddl: str, column: str) -> str:
    """Take NOT NULL from a column in a table's DDL."""
    return re.sub(rf'([(,]\s*"?{re.escape(column)}"? \w+) NOT NULL', r"\1", ddl, count=1)


def without_nullable(ddl: str, column: str) -> str:
    """Make a column of a table's DDL NOT NULL."""
    name = re.escape(column)
    return re.sub(rf'([(,]\s*"?{name}"? \w+)(?! NOT NULL)\b', r"\1 NOT NULL", ddl, count=1)


def _closing_parenthesis(ddl: str, start: int) -> int:
    """Return the index past the `)` that closes the one opened before `start`, ignoring string literals."""
    depth = 1
    for token in re.compile(r"'[^']*'|[()]").finditer(ddl, start):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if not depth:
            return token.end()
    raise ValueError(f"the parentheses of the table's DDL are not balanced: {ddl}")
