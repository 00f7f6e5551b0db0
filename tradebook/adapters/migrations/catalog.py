"""What a database says of its tables, in one comparable form: columns, keys, checks and indexes.

Asked of the database's own catalog, in its own words. So a CHECK, a default or the condition of an index
is compared as the database understood it, not as somebody wrote it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, inspect, text

from tradebook.adapters.migrations.sqlite_rebuild import table_ddl

Item: TypeAlias = tuple[str, str]
"""A kind (column, check, index, foreign key, unique key, primary key, table) and a name."""
Facts: TypeAlias = dict[str, str]
"""What is known of an item, by what it is about: `{"type": "text", "null": "not null"}`."""
Description: TypeAlias = dict[str, dict[Item, Facts]]
"""For each table its items."""

PUBLIC: Final = "current_schema()::regnamespace"
TEMPORARY: Final = "pg_my_temp_schema()"


def describe_postgresql(connection: Connection, namespace: str) -> Description:
    """All tables of a schema: of `PUBLIC`, or of this session's `TEMPORARY` ones."""
    found: Description = defaultdict(dict)
    for question in _QUESTIONS:
        for table, kind, name, *facts in connection.execute(text(question.format(namespace))):
            values = zip(_FACTS[kind], facts, strict=False)
            found[table][kind, name] = {what: _unqualified(fact) for what, fact in values if fact}
    return found


_FACTS: Final[Mapping[str, tuple[str, ...]]] = {
    "column": ("type", "null", "default", "identity", "collation"),
    "index": ("definition", "state"),
    **dict.fromkeys(("check", "foreign key", "unique key", "primary key"), ("definition",)),
}
_QUESTIONS: Final = (
    """
    SELECT t.relname::text, 'column', a.attname::text, format_type(a.atttypid, a.atttypmod),
           CASE WHEN a.attnotnull THEN 'not null' ELSE 'nullable' END,
           pg_get_expr(d.adbin, d.adrelid),
           CASE a.attidentity WHEN 'd' THEN 'by default' WHEN 'a' THEN 'always' END,
           CASE WHEN a.attcollation <> y.typcollation THEN c.collname::text END
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
           k.conname::text, pg_get_constraintdef(k.oid)
      FROM pg_class t
      JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype IN ('c', 'f', 'u', 'p')
     WHERE t.relnamespace = {0} AND t.relkind IN ('r', 'p')
    """,
    """
    SELECT t.relname::text, 'index', x.relname::text,
           CASE WHEN i.indisunique THEN 'unique ' ELSE '' END
           || substring(pg_get_indexdef(i.indexrelid) from ' (USING .*)'),
           CASE WHEN i.indisvalid THEN 'valid' ELSE 'invalid' END
      FROM pg_class t
      JOIN pg_index i ON i.indrelid = t.oid
      JOIN pg_class x ON x.oid = i.indexrelid
     WHERE t.relnamespace = {0} AND t.relkind IN ('r', 'p')
       AND NOT EXISTS (
           SELECT FROM pg_constraint WHERE conindid = i.indexrelid AND contype <> 'f')
    """,
)


def _unqualified(fact: str) -> str:
    """A temporary table refers to temporary tables."""
    return re.sub(r"\bREFERENCES \S+?\.(?=\w|\")", "REFERENCES ", fact)


def describe_sqlite(connection: Connection, tables: Collection[str]) -> Description:
    """Those of the tables that there are."""
    there = set(inspect(connection).get_table_names())
    return {table: _of_sqlite(connection, table) for table in sorted(there.intersection(tables))}


def _of_sqlite(connection: Connection, table: str) -> dict[Item, Facts]:
    found: dict[Item, Facts] = {}
    for column in connection.exec_driver_sql(f'PRAGMA table_info("{table}")'):
        facts = {
            "type": column.type,
            "null": "not null" if column.notnull else "nullable",
            "default": column.dflt_value,
        }
        found["column", column.name] = {what: fact for what, fact in facts.items() if fact}
    ddl = table_ddl(connection, table)
    words = sorted(set(re.findall(r"AUTOINCREMENT|COLLATE \w+|WITHOUT ROWID|STRICT$", ddl)))
    found["table", table] = {"kept": ", ".join(words) or "plainly"}
    return found | _constraints(connection, table) | _indexes(connection, table)


def _constraints(connection: Connection, table: str) -> dict[Item, Facts]:
    inspector = inspect(connection)
    key: Any = inspector.get_pk_constraint(table)
    found = {("primary key", _named(key)): _defined(_columns(key["constrained_columns"]))}
    for unique in inspector.get_unique_constraints(table):
        found["unique key", _named(unique)] = _defined(_columns(unique["column_names"]))
    for check in inspector.get_check_constraints(table):
        found["check", _named(check)] = _defined(" ".join(check["sqltext"].split()))
    for foreign in inspector.get_foreign_keys(table):
        target = foreign["referred_table"] + _columns(foreign["referred_columns"])
        options = "".join(f" {name} {value}" for name, value in foreign["options"].items())
        said = f"{_columns(foreign['constrained_columns'])} REFERENCES {target}{options}"
        found["foreign key", _named(foreign)] = _defined(said)
    return found


def _indexes(connection: Connection, table: str) -> dict[Item, Facts]:
    """By their DDL, past the name of the table."""
    made = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_master WHERE tbl_name = ? AND type = 'index' AND sql IS NOT NULL",
        (table,),
    )
    found: dict[Item, Facts] = {}
    for name, sql in made:
        how, _, what = " ".join(sql.split()).partition(" ON ")
        unique = "unique " if how.startswith("CREATE UNIQUE") else ""
        found["index", name] = _defined(unique + what[what.index("(") :])
    return found


def _named(constraint: Any) -> str:
    return str(constraint["name"] or "")


def _columns(names: Collection[str | None]) -> str:
    return "(" + ", ".join(map(str, names)) + ")"


def _defined(definition: str) -> Facts:
    return {"definition": definition}
