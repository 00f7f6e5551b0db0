"""Description of a database's tables, from its own catalog, in a form that can be compared.

Two descriptions are compared as text that one database wrote. So a CHECK, a default or an index condition
compares equal however its author spelled it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, inspect, text

from tradebook.adapters.migrations.sqlite_rebuild import table_ddl

Item: TypeAlias = tuple[str, str]
"""Kind (as `drift.Difference` lists them) and name of a part of a table, or of what is around the tables."""
Facts: TypeAlias = dict[str, str]
"""Properties of an item, by name: `{"type": "text", "null": "not null"}`."""
Description: TypeAlias = dict[str, dict[Item, Facts]]
"""Items of each table, by the table's name; those of no table by the name `DATABASE`."""

DATABASE: Final = "database"

_TABLES: Final = """
      pg_namespace n JOIN pg_class t ON n.nspname = :schema AND t.relnamespace = n.oid
       AND t.relname = ANY(:tables) AND t.relkind IN ('r', 'p', 'v', 'm', 'f')"""

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
           (SELECT format('pg_catalog.%s', h.relname) FROM pg_class h
             WHERE h.relname = t.relname AND h.relnamespace = 'pg_catalog'::regnamespace
               AND t.relpersistence <> 't') AS "hidden by",
           concat_ws(', ',
               CASE WHEN NOT t.relhasindex AND EXISTS (SELECT FROM pg_index WHERE indrelid = t.oid)
               THEN 'indexes' END,
               CASE WHEN NOT t.relhastriggers AND EXISTS (SELECT FROM pg_trigger WHERE tgrelid = t.oid)
               THEN 'triggers' END,
               CASE WHEN t.relchecks <> (
                   SELECT count(*) FROM pg_constraint WHERE conrelid = t.oid AND contype = 'c')
               THEN 'checks' END) AS ignored
      FROM {tables}
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
      FROM {tables}
      JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
      JOIN pg_type y ON y.oid = a.atttypid
      LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum AND a.atthasdef
      LEFT JOIN pg_collation c ON c.oid = a.attcollation
    """,
    """
    SELECT t.relname::text, CASE k.contype WHEN 'c' THEN 'check' WHEN 'f' THEN 'foreign key'
           WHEN 'u' THEN 'unique key' WHEN 'p' THEN 'primary key' WHEN 'n' THEN 'not null' ELSE 'exclusion' END,
           k.conname::text, replace(
               pg_get_constraintdef(k.oid), format('REFERENCES %I.', n.nspname), 'REFERENCES ') AS definition,
           CASE WHEN k.contype = 'f' THEN (
               SELECT count(*)::text FROM pg_trigger WHERE tgconstraint = k.oid AND tgenabled IN ('O', 'A'))
           END AS triggers,
           CASE WHEN NOT i.indisunique AND k.contype IN ('u', 'p') THEN 'not unique'
           WHEN NOT (i.indisvalid AND i.indisready AND i.indislive) AND k.contype <> 'f'
           THEN 'invalid' END AS index
      FROM {tables}
      JOIN pg_constraint k ON k.conrelid = t.oid
       AND (k.contype IN ('c', 'f', 'u', 'p', 'x') OR k.contype = 'n' AND NOT k.convalidated)
      LEFT JOIN pg_index i ON i.indexrelid = k.conindid
    """,
    # Without the indexes of keys, which the constraints describe.
    """
    SELECT t.relname::text, 'index', x.relname::text,
           CASE WHEN i.indisunique THEN 'unique ' ELSE '' END
           || substring(pg_get_indexdef(i.indexrelid) from ' (USING .*)') AS definition,
           CASE WHEN NOT (i.indisvalid AND i.indisready AND i.indislive) THEN 'invalid' END AS state
      FROM {tables}
      JOIN pg_index i ON i.indrelid = t.oid
      JOIN pg_class x ON x.oid = i.indexrelid
     WHERE NOT EXISTS (
           SELECT FROM pg_constraint WHERE conindid = i.indexrelid AND contype <> 'f')
    """,
    # Those of foreign keys are counted above.
    """
    SELECT t.relname::text, 'trigger', g.tgname::text,
           replace(pg_get_triggerdef(g.oid, true), format(' ON %I.', n.nspname), ' ON ') AS definition,
           CASE g.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'for replicas only' ELSE 'enabled' END AS state
      FROM {tables} JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal
    """,
    """
    SELECT t.relname::text, 'rule', r.rulename::text, pg_get_ruledef(r.oid) AS definition
      FROM {tables} JOIN pg_rewrite r ON r.ev_class = t.oid
    """,
    """
    SELECT t.relname::text, 'policy', p.polname::text,
           CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
           WHEN 'd' THEN 'DELETE' ELSE 'ALL' END AS command,
           CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END AS permissive,
           (SELECT string_agg(CASE r WHEN 0 THEN 'public' ELSE pg_get_userbyid(r)::text END, ', ' ORDER BY r)
              FROM unnest(p.polroles) AS r) AS roles,
           pg_get_expr(p.polqual, p.polrelid) AS using, pg_get_expr(p.polwithcheck, p.polrelid) AS check
      FROM {tables} JOIN pg_policy p ON p.polrelid = t.oid
    """,
)
_OF_EXTENSION: Final = (
    "EXISTS (SELECT FROM pg_depend JOIN pg_extension x ON x.oid = refobjid "
    "WHERE classid = '{0}'::regclass AND objid = {0}.oid AND deptype = 'e' AND extname <> 'plpgsql')"
)
# What changes the work of every table, but for what extensions brought: settings by which triggers do not run,
# functions and operators that PostgreSQL may take for its own, and triggers on changes of the schema or on logins.
_AROUND: Final = f"""
SELECT 'setting', format('%s of %s', setting, coalesce(rolname, 'every role')), setting
  FROM pg_db_role_setting LEFT JOIN pg_roles r ON r.oid = setrole, unnest(setconfig) AS setting
 WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
   AND (setting ~ '^session_replication_role=' AND setting <> 'session_replication_role=origin'
        OR setting ~ '^search_path=.*,.*pg_catalog')
UNION ALL
SELECT 'setting', format('%s of this connection', setting), setting
  FROM unnest(CAST(:settings AS text[])) AS setting
 WHERE setting ~ '^session_replication_role=(local|replica)|^search_path=.*,.*pg_catalog'
UNION ALL
SELECT 'overload', pg_operator.oid::regoperator::text, oprcode::text
  FROM pg_operator JOIN pg_namespace n ON n.oid = oprnamespace
 WHERE pg_operator.oid >= 16384 AND nspname = ANY(:path) AND NOT {_OF_EXTENSION.format("pg_operator")}
   AND oprname IN (SELECT oprname FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace)
UNION ALL
SELECT 'overload', pg_proc.oid::regprocedure::text, prosrc
  FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace
 WHERE pg_proc.oid >= 16384 AND nspname = ANY(:path) AND NOT {_OF_EXTENSION.format("pg_proc")}
   AND proname IN (SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace)
UNION ALL
SELECT 'event trigger', evtname::text, format('ON %s EXECUTE FUNCTION %s', evtevent, evtfoid::regprocedure)
  FROM pg_event_trigger WHERE evtenabled <> 'D' AND NOT {_OF_EXTENSION.format("pg_event_trigger")}
"""  # noqa: S608, names of ours


_OPTIONS: Final = re.compile(
    r"\b(?:AUTOINCREMENT|COLLATE\s*[^\s,)]+|ON\s+CONFLICT\s+\w+|WITHOUT\s+ROWID|STRICT\b(?!.*\)))",
    re.I | re.S,
)
_QUOTED: Final = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|\[[^]]*\]|--|/\*""")


@contextmanager
def names_of_server(connection: Connection) -> Iterator[dict[str, Any]]:
    """Find functions and operators in the server's own schema for a while, and undo what is done meanwhile.

    With another path, a function of a user with arguments that fit better would answer in place of the server's.

    Yields:
        schema, path and settings of the connection as they were.
    """
    query = (
        "SELECT current_schema() AS schema, current_schemas(true) AS path, ARRAY["
        "'session_replication_role=' || current_setting('session_replication_role'), "
        "'search_path=' || current_setting('search_path')] AS settings"
    )
    found = connection.execute(text(query)).mappings().one()
    with connection.begin_nested() as savepoint:
        connection.execute(text("SET LOCAL search_path = pg_catalog"))
        yield dict(found)
        savepoint.rollback()


def describe_postgresql(
    connection: Connection, schema: str, tables: Collection[str]
) -> Description:
    """Describe those of the tables that exist in a schema."""
    found: Description = defaultdict(dict)
    for query in _QUERIES:
        result = connection.execute(
            text(query.format(tables=_TABLES)), {"schema": schema, "tables": list(tables)}
        )
        facts = list(result.keys())[3:]
        for table, kind, name, *values in result:
            found[table][kind, name] = {
                fact: value for fact, value in zip(facts, values, strict=True) if value
            }
    return dict(found)


def describe_surroundings(
    connection: Connection, path: Sequence[str], settings: Sequence[str]
) -> dict[Item, Facts]:
    """Describe what changes the work of every table of a PostgreSQL database; usually there is nothing."""
    found = connection.execute(text(_AROUND), {"path": list(path), "settings": list(settings)})
    return {(kind, name): {"definition": definition} for kind, name, definition in found}


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
