"""Description of a database's tables, from its own catalog, in a form that can be compared.

Two descriptions are compared as text that one database wrote. So a CHECK, a default or an index condition
compares equal however its author spelled it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, inspect, text

from tradebook.adapters.migrations.sqlite_rebuild import table_ddl

Item: TypeAlias = tuple[str, str]
"""Kind (column, check, index, foreign key, unique key, primary key, table) and name of a part of a table."""
Facts: TypeAlias = dict[str, str]
"""Properties of an item, by name: `{"type": "text", "null": "not null"}`."""
Description: TypeAlias = dict[str, dict[Item, Facts]]
"""Items of each table, by the table's name."""

CURRENT_SCHEMA: Final = "current_schema()::regnamespace"
TEMPORARY_SCHEMA: Final = "pg_my_temp_schema()"

# Each returns table, kind and name, and then facts under their names.
_QUERIES: Final = (
    """
    SELECT t.relname::text, 'column', a.attname::text,
           format_type(a.atttypid, a.atttypmod) AS type,
           CASE WHEN a.attnotnull THEN 'not null' ELSE 'nullable' END AS "null",
           pg_get_expr(d.adbin, d.adrelid) AS "default",
           CASE a.attidentity WHEN 'd' THEN 'by default' WHEN 'a' THEN 'always' END AS identity,
           CASE WHEN a.attcollation <> y.typcollation THEN c.collname::text END AS collation
      FROM pg_class t
      JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
      JOIN pg_type y ON y.oid = a.atttypid
      LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum
      LEFT JOIN pg_collation c ON c.oid = a.attcollation
     WHERE t.relnamespace = {0} AND t.relkind IN ('r', 'p')
    """,
    """
    SELECT t.relname::text, CASE k.contype WHEN 'c' THEN 'check' WHEN 'f' THEN 'foreign key'
           WHEN 'u' THEN 'unique key' ELSE 'primary key' END,
           k.conname::text, pg_get_constraintdef(k.oid) AS definition
      FROM pg_class t
      JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype IN ('c', 'f', 'u', 'p')
     WHERE t.relnamespace = {0} AND t.relkind IN ('r', 'p')
    """,
    # Without the indexes of keys, which the constraints describe.
    """
    SELECT t.relname::text, 'index', x.relname::text,
           CASE WHEN i.indisunique THEN 'unique ' ELSE '' END
           || substring(pg_get_indexdef(i.indexrelid) from ' (USING .*)') AS definition,
           CASE WHEN i.indisvalid THEN 'valid' ELSE 'invalid' END AS state
      FROM pg_class t
      JOIN pg_index i ON i.indrelid = t.oid
      JOIN pg_class x ON x.oid = i.indexrelid
     WHERE t.relnamespace = {0} AND t.relkind IN ('r', 'p')
       AND NOT EXISTS (
           SELECT FROM pg_constraint WHERE conindid = i.indexrelid AND contype <> 'f')
    """,
)


def describe_postgresql(connection: Connection, namespace: str) -> Description:
    """Describe every table of a schema, given as the SQL expression of its oid."""
    found: Description = defaultdict(dict)
    for query in _QUERIES:
        result = connection.execute(text(query.format(namespace)))
        facts = list(result.keys())[3:]
        for table, kind, name, *values in result:
            found[table][kind, name] = {
                # A foreign key of a temporary table refers to another by its schema, `pg_temp_3.trades`.
                fact: re.sub(r"\bREFERENCES \S+?\.(?=\w|\")", "REFERENCES ", value)
                for fact, value in zip(facts, values, strict=True)
                if value
            }
    return found


def describe_sqlite(connection: Connection, tables: Collection[str]) -> Description:
    """Describe those of the tables that exist in a SQLite database."""
    existing = set(inspect(connection).get_table_names())
    return {
        table: _columns_and_options(connection, table)
        | _constraints(connection, table)
        | _indexes(connection, table)
        for table in sorted(existing.intersection(tables))
    }


def _columns_and_options(connection: Connection, table: str) -> dict[Item, Facts]:
    found: dict[Item, Facts] = {}
    for column in connection.exec_driver_sql(f'PRAGMA table_info("{table}")'):
        facts = {
            "type": column.type,
            "null": "not null" if column.notnull else "nullable",
            "default": column.dflt_value,
        }
        found["column", column.name] = {fact: value for fact, value in facts.items() if value}
    # No PRAGMA lists these.
    ddl = table_ddl(connection, table)
    options = sorted(set(re.findall(r"AUTOINCREMENT|COLLATE \w+|WITHOUT ROWID|STRICT$", ddl)))
    found["table", table] = {"options": ", ".join(options)} if options else {}
    return found


def _constraints(connection: Connection, table: str) -> dict[Item, Facts]:
    inspector = inspect(connection)
    primary: Any = inspector.get_pk_constraint(table)
    found = [("primary key", primary, _columns(primary["constrained_columns"]))]
    for unique in inspector.get_unique_constraints(table):
        found.append(("unique key", unique, _columns(unique["column_names"])))
    for check in inspector.get_check_constraints(table):
        found.append(("check", check, " ".join(check["sqltext"].split())))
    for foreign in inspector.get_foreign_keys(table):
        target = foreign["referred_table"] + _columns(foreign["referred_columns"])
        options = "".join(f" {name} {value}" for name, value in foreign["options"].items())
        own = _columns(foreign["constrained_columns"])
        found.append(("foreign key", foreign, f"{own} REFERENCES {target}{options}"))
    return {
        (kind, str(constraint["name"] or "")): {"definition": definition}
        for kind, constraint, definition in found
    }


def _indexes(connection: Connection, table: str) -> dict[Item, Facts]:
    """Describe indexes by their DDL from the list of columns on; indexes of keys have none."""
    stored = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_master WHERE tbl_name = ? AND type = 'index' AND sql IS NOT NULL",
        (table,),
    )
    found: dict[Item, Facts] = {}
    for name, sql in stored:
        head, _, rest = " ".join(sql.split()).partition(" ON ")
        unique = "unique " if head.startswith("CREATE UNIQUE") else ""
        found["index", name] = {"definition": unique + rest[rest.index("(") :]}
    return found


def _columns(names: Collection[str | None]) -> str:
    return "(" + ", ".join(map(str, names)) + ")"
