"""The last id that each table's counter gave, and the highest one in its rows: a counter set back gives ids again."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

from tradebook.adapters.migrations.catalog import Description

# `accounts` names every account, so that each index is searched and not read.
_HIGHEST: Final = (
    "(SELECT max(last.id) FROM accounts AS a CROSS JOIN LATERAL "
    "(SELECT id FROM {table} AS t WHERE t.account = a.account ORDER BY id DESC LIMIT 1) AS last)"
)
_SEQUENCES: Final = text(
    "SELECT name, format('%I.%I', nspname, relname) "
    "FROM unnest(CAST(:tables AS text[])) AS name "
    "JOIN pg_class ON pg_class.oid = pg_get_serial_sequence(quote_ident(name), 'id')::regclass "
    "JOIN pg_namespace ON pg_namespace.oid = relnamespace "
    "WHERE CASE relkind WHEN 'S' THEN has_sequence_privilege(pg_class.oid, 'SELECT') END"
)


def counters_set_back(connection: Connection, found: Description) -> dict[str, tuple[int, int]]:
    """Return, by table, the last id that the counter gave and a row's that is higher; usually there is none.

    Left out on PostgreSQL are the sequences that the role may not read.
    """
    tables = [
        table
        for table, items in found.items()
        if ("column", "id") in items and ("column", "account") in items
    ]
    if connection.dialect.name == "sqlite":
        parts = [
            f"SELECT '{table}', (SELECT max(seq) FROM sqlite_sequence WHERE name = '{table}'), "  # noqa: S608, names of ours
            f"(SELECT max(id) FROM {table})"
            for table in tables
            if "AUTOINCREMENT" in found[table]["table", table].get("options", "")
        ]
    elif ("column", "account") in found.get("accounts", {}):
        parts = [
            # Read after the rows that the statement sees, the sequence has given all of their ids.
            f"SELECT '{table}', (SELECT last_value - (NOT is_called)::int FROM {sequence}), "  # noqa: S608, names of ours
            + _HIGHEST.format(table=table)
            for table, sequence in connection.execute(_SEQUENCES, {"tables": tables})
        ]
    else:
        parts = []
    if not parts:
        return {}
    rows = connection.execute(text(" UNION ALL ".join(parts)))
    return {
        table: (given or 0, highest)
        for table, given, highest in rows
        if highest is not None and highest > (given or 0)
    }
