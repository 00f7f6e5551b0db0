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
"""Kind (as `drift.Difference` lists them) and name of a part of a table, or of what is around the tables."""
Facts: TypeAlias = dict[str, str]
"""Properties of an item, by name: `{"type": "text", "null": "not null"}`."""
Description: TypeAlias = dict[str, dict[Item, Facts]]
"""Items of each table, by the table's name; those of no table by the name `DATABASE`."""

CURRENT_SCHEMA: Final = "to_regnamespace(quote_ident(current_schema()))"
TEMPORARY_SCHEMA: Final = "pg_my_temp_schema()"
DATABASE: Final = "database"

_TABLE: Final = (
    "t.relnamespace = {0} AND t.relname = ANY(:tables) AND t.relkind IN ('r', 'p', 'v', 'm', 'f')"
)
# Each returns table, kind and name, and then facts under their names.
_QUERIES: Final = (
    # A change of pg_class alone keeps the server from applying what the other catalogs have.
    """
    SELECT t.relname::text, 'table', t.relname::text,
           CASE t.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
           WHEN 'm' THEN 'materialized view' ELSE 'foreign table' END AS form,
           CASE t.relpersistence WHEN 'u' THEN 'unlogged' END AS persistence,
           CASE WHEN t.relrowsecurity THEN 'on' END AS "row security",
           CASE WHEN t.relforcerowsecurity THEN 'on' END AS "row security of its owner",
           (SELECT string_agg(inhrelid::regclass::text, ', ') FROM pg_inherits WHERE inhparent = t.oid)
           AS children,
           (SELECT string_agg(inhparent::regclass::text, ', ') FROM pg_inherits WHERE inhrelid = t.oid)
           AS parents,
           (SELECT format('%s.%s', h.relnamespace::regnamespace, h.relname) FROM pg_class h
             WHERE h.oid = to_regclass(quote_ident(t.relname)) AND h.oid <> t.oid
               AND t.relnamespace = to_regnamespace(quote_ident(current_schema()))) AS "hidden by",
           concat_ws(', ',
               CASE WHEN NOT t.relhasindex AND EXISTS (SELECT FROM pg_index WHERE indrelid = t.oid)
               THEN 'indexes' END,
               CASE WHEN NOT t.relhastriggers AND EXISTS (SELECT FROM pg_trigger WHERE tgrelid = t.oid)
               THEN 'triggers' END,
               CASE WHEN t.relchecks <> (
                   SELECT count(*) FROM pg_constraint WHERE conrelid = t.oid AND contype = 'c')
               THEN 'checks' END) AS ignored
      FROM pg_class t WHERE {table}
    """,
    """
    SELECT t.relname::text, 'column', a.attname::text,
           format_type(a.atttypid, a.atttypmod) AS type,
           CASE WHEN a.attnotnull THEN 'not null' ELSE 'nullable' END AS "null",
           CASE a.attgenerated WHEN '' THEN pg_get_expr(d.adbin, d.adrelid) END AS "default",
           CASE a.attidentity WHEN 'd' THEN 'by default' WHEN 'a' THEN 'always' END || coalesce((
               SELECT format(', by %s from %s to %s%s', seqincrement, seqmin, seqmax,
                             CASE WHEN seqcycle THEN ', again and again' END)
                 FROM pg_depend JOIN pg_sequence ON seqrelid = objid
                WHERE refclassid = 'pg_class'::regclass AND refobjid = t.oid AND refobjsubid = a.attnum
                  AND classid = 'pg_class'::regclass AND deptype = 'i'
                  AND (seqincrement, seqmin, seqmax, seqcycle) <> (1, 1, 9223372036854775807, false)
           ), '') AS identity,
           CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END AS generated,
           CASE WHEN a.attcollation <> y.typcollation THEN c.collname::text END AS collation
      FROM pg_class t
      JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
      JOIN pg_type y ON y.oid = a.atttypid
      LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum AND a.atthasdef
      LEFT JOIN pg_collation c ON c.oid = a.attcollation
     WHERE {table}
    """,
    """
    SELECT t.relname::text, CASE k.contype WHEN 'c' THEN 'check' WHEN 'f' THEN 'foreign key'
           WHEN 'u' THEN 'unique key' WHEN 'p' THEN 'primary key' WHEN 'n' THEN 'not null' ELSE 'exclusion' END,
           k.conname::text, pg_get_constraintdef(k.oid) AS definition,
           CASE WHEN k.contype = 'f' THEN (
               SELECT count(*)::text FROM pg_trigger WHERE tgconstraint = k.oid AND tgenabled IN ('O', 'A'))
           END AS triggers,
           CASE WHEN NOT i.indisunique AND k.contype IN ('u', 'p') THEN 'not unique'
           WHEN NOT (i.indisvalid AND i.indisready AND i.indislive) AND k.contype <> 'f'
           THEN 'invalid' END AS index
      FROM pg_class t
      JOIN pg_constraint k ON k.conrelid = t.oid
       AND (k.contype IN ('c', 'f', 'u', 'p', 'x') OR k.contype = 'n' AND NOT k.convalidated)
      LEFT JOIN pg_index i ON i.indexrelid = k.conindid
     WHERE {table}
    """,
    # Without the indexes of keys, which the constraints describe.
    """
    SELECT t.relname::text, 'index', x.relname::text,
           CASE WHEN i.indisunique THEN 'unique ' ELSE '' END
           || substring(pg_get_indexdef(i.indexrelid) from ' (USING .*)') AS definition,
           CASE WHEN NOT (i.indisvalid AND i.indisready AND i.indislive) THEN 'invalid' END AS state
      FROM pg_class t
      JOIN pg_index i ON i.indrelid = t.oid
      JOIN pg_class x ON x.oid = i.indexrelid
     WHERE {table}
       AND NOT EXISTS (
           SELECT FROM pg_constraint WHERE conindid = i.indexrelid AND contype <> 'f')
    """,
    # Those of foreign keys are counted above.
    """
    SELECT t.relname::text, 'trigger', g.tgname::text, pg_get_triggerdef(g.oid, true) AS definition,
           CASE g.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'for replicas only' ELSE 'enabled' END AS state
      FROM pg_class t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal
     WHERE {table}
    """,
    """
    SELECT t.relname::text, 'rule', r.rulename::text, pg_get_ruledef(r.oid) AS definition
      FROM pg_class t JOIN pg_rewrite r ON r.ev_class = t.oid
     WHERE {table}
    """,
    """
    SELECT t.relname::text, 'policy', p.polname::text,
           CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
           WHEN 'd' THEN 'DELETE' ELSE 'ALL' END AS command,
           CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END AS permissive,
           (SELECT string_agg(CASE r WHEN 0 THEN 'public' ELSE pg_get_userbyid(r)::text END, ', ' ORDER BY r)
              FROM unnest(p.polroles) AS r) AS roles,
           pg_get_expr(p.polqual, p.polrelid) AS using, pg_get_expr(p.polwithcheck, p.polrelid) AS check
      FROM pg_class t JOIN pg_policy p ON p.polrelid = t.oid
     WHERE {table}
    """,
)
# What changes the work of every table: settings by which triggers do not run or functions of others are taken for
# the server's, and triggers on changes of the schema and on logging in, except those that extensions have in C.
_AROUND: Final = """
SELECT 'setting', format('%s of %s', setting, coalesce(rolname, 'every role')), setting
  FROM pg_db_role_setting LEFT JOIN pg_roles r ON r.oid = setrole, unnest(setconfig) AS setting
 WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
   AND (setting ~ '^session_replication_role=' AND setting <> 'session_replication_role=origin'
        OR setting ~ '^search_path=.*,.*pg_catalog')
UNION ALL
SELECT 'setting', format('session_replication_role=%s of this connection', setting), setting
  FROM pg_settings WHERE name = 'session_replication_role' AND setting <> 'origin'
UNION ALL
SELECT 'setting', format('search_path=%s of this connection', setting), setting
  FROM pg_settings WHERE name = 'search_path' AND setting ~ ',.*pg_catalog'
UNION ALL
SELECT 'event trigger', evtname::text, format('ON %s EXECUTE FUNCTION %s', evtevent, evtfoid::regprocedure)
  FROM pg_event_trigger e JOIN pg_proc ON pg_proc.oid = evtfoid JOIN pg_language l ON l.oid = prolang
 WHERE evtenabled <> 'D' AND NOT (lanname = 'c' AND EXISTS (
    SELECT FROM pg_depend
     WHERE classid = 'pg_event_trigger'::regclass AND objid = e.oid AND deptype = 'e'))
"""


_OPTIONS: Final = re.compile(
    r"\b(?:AUTOINCREMENT|COLLATE\s*[^\s,)]+|ON\s+CONFLICT\s+\w+|WITHOUT\s+ROWID|STRICT\b(?!.*\)))",
    re.I | re.S,
)
_QUOTED: Final = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|\[[^]]*\]|--|/\*""")


def describe_postgresql(
    connection: Connection, namespace: str, tables: Collection[str]
) -> Description:
    """Describe those of the tables that exist in a schema, given as the SQL expression of its oid."""
    found: Description = defaultdict(dict)
    for query in _QUERIES:
        statement = text(query.format(table=_TABLE.format(namespace)))
        result = connection.execute(statement, {"tables": list(tables)})
        facts = list(result.keys())[3:]
        for table, kind, name, *values in result:
            found[table][kind, name] = {
                # A foreign key of a temporary table refers to another by its schema, `pg_temp_3.trades`.
                fact: re.sub(r"\bREFERENCES \S+?\.(?=\w|\")", "REFERENCES ", value)
                for fact, value in zip(facts, values, strict=True)
                if value
            }
    return dict(found)


def describe_surroundings(connection: Connection) -> dict[Item, Facts]:
    """Describe what changes the work of every table of a PostgreSQL database; usually there is nothing."""
    return {
        (kind, name): {"definition": definition}
        for kind, name, definition in connection.execute(text(_AROUND))
    }


def describe_sqlite(connection: Connection, tables: Collection[str]) -> Description:
    """Describe those of the tables that exist in a SQLite database, and what has their names instead."""
    stored = connection.exec_driver_sql(
        "SELECT name, CASE WHEN sql LIKE 'CREATE VIRTUAL%' THEN 'virtual table' ELSE type END AS form "
        "FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
    )
    found: Description = {
        name: {("table", name): {"form": form}} for name, form in stored if name in tables
    }
    for table, items in found.items():
        if items["table", table]["form"] == "table":
            items |= _columns_and_options(connection, table)
            items |= _constraints(connection, table)
            items |= _indexes(connection, table)
            items |= _triggers(connection, table)
    return found


def _columns_and_options(connection: Connection, table: str) -> dict[Item, Facts]:
    found: dict[Item, Facts] = {}
    # Unlike table_info it lists generated columns.
    for column in connection.exec_driver_sql(f'PRAGMA table_xinfo("{table}")'):
        facts = {
            "type": column.type,
            "null": "not null" if column.notnull else "nullable",
            "default": column.dflt_value,
            "generated": "always" if column.hidden else None,
        }
        found["column", column.name] = {fact: value for fact, value in facts.items() if value}
    # No PRAGMA lists these. Constraints are read from the text too, which comments and names could imitate.
    ddl = table_ddl(connection, table)
    options = {" ".join(option.upper().split()) for option in _OPTIONS.findall(ddl)}
    for token in _QUOTED.findall(ddl):
        if token in ("--", "/*"):
            options.add("a comment")
        elif "\n" in token:
            options.add("quoted lines")
    facts = {"form": "table", "options": ", ".join(sorted(options))}
    found["table", table] = {fact: value for fact, value in facts.items() if value}
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


def _triggers(connection: Connection, table: str) -> dict[Item, Facts]:
    stored = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_master WHERE lower(tbl_name) = ? AND type = 'trigger'",
        (table,),
    )
    return {("trigger", name): {"definition": sql} for name, sql in stored}


def _columns(names: Collection[str | None]) -> str:
    return "(" + ", ".join(map(str, names)) + ")"
