"""SQLite alters little of a table in place: what else changes, changes by making the table anew.

The new table's DDL is the old one's with an edit, so that whatever stands in it stays: checks, their names,
AUTOINCREMENT. https://sqlite.org/lang_altertable.html#otheralter is the procedure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from sqlalchemy import Connection

_AS_IT_IS: Mapping[str, str] = MappingProxyType({})


def table_ddl(connection: Connection, table: str) -> str:
    """The statement that made a table of SQLite."""
    found = connection.exec_driver_sql(
        "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)
    ).scalar_one()
    return str(found)


def rebuild(
    connection: Connection,
    table: str,
    edit: Callable[[str], str],
    copied: Mapping[str, str] = _AS_IT_IS,
) -> None:
    """Make a table of SQLite anew, with its rows, indexes and triggers; nothing where nothing changes.

    Foreign keys must be off, or dropping the old table would delete its rows one by one.

    Args:
        connection: in a transaction that writes.
        table: which.
        edit: makes the new DDL of the old one.
        copied: for columns that are not copied as they are, the SQL that makes the new value.
    """
    ddl = table_ddl(connection, table)
    edited = edit(ddl)
    if edited == ddl:
        return
    send = connection.exec_driver_sql
    belongings = _belongings(connection, table)
    new = f"_new_{table}"
    send(f'CREATE TABLE "{new}" {edited[edited.index("(") :]}')
    names = [row.name for row in send(f'PRAGMA table_info("{table}")')]
    kept = {row.name for row in send(f'PRAGMA table_info("{new}")')}
    columns = ", ".join(f'"{name}"' for name in names if name in kept)
    values = ", ".join(copied.get(name, f'"{name}"') for name in names if name in kept)
    send(f'INSERT INTO "{new}" ({columns}) SELECT {values} FROM "{table}"')  # noqa: S608  # our names
    if "AUTOINCREMENT" in edited:
        _keep_last_id(connection, table, new)
    send("PRAGMA legacy_alter_table=ON")  # views and foreign keys go on meaning the old name
    send(f'DROP TABLE "{table}"')
    send(f'ALTER TABLE "{new}" RENAME TO "{table}"')
    send("PRAGMA legacy_alter_table=OFF")
    for statement in belongings:
        send(statement)


def _belongings(connection: Connection, table: str) -> list[str]:
    """What makes a table's indexes and triggers; those of its keys have no statement."""
    found = connection.exec_driver_sql(
        "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type IN ('index', 'trigger') "
        "AND sql IS NOT NULL ORDER BY rowid",
        (table,),
    )
    return [str(statement) for statement in found.scalars()]


def _keep_last_id(connection: Connection, table: str, new: str) -> None:
    """The last row may have been deleted, and its id is not handed out again."""
    connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (new,))
    connection.exec_driver_sql(
        "INSERT INTO sqlite_sequence SELECT ?, seq FROM sqlite_sequence WHERE name = ?",
        (new, table),
    )


def with_constraint(ddl: str, constraint: str) -> str:
    """A table's DDL with one more constraint, its last."""
    end = ddl.rindex(")")
    return f"{ddl[:end].rstrip()}, \n\t{constraint}\n{ddl[end:]}"


def without_check(ddl: str, name: str) -> str:
    """A table's DDL without a CHECK, be it a column's or the table's."""
    found = re.search(rf'\s*,?\s*CONSTRAINT\s+"?{re.escape(name)}"?\s+CHECK\s*\(', ddl)
    if found is None:
        return ddl
    return ddl[: found.start()] + ddl[_closing(ddl, found.end()) :]


def _closing(ddl: str, start: int) -> int:
    """Past the parenthesis that closes one that was opened just before; those in literals do not count."""
    depth = 1
    for token in re.compile(r"'[^']*'|[()]").finditer(ddl, start):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if not depth:
            return token.end()
    raise ValueError(f"unbalanced: {ddl}")
