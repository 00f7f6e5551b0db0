"""Read from PostgreSQL's catalogue what it says of the roles, and of what guards the book's tables.

Every role may read all of it, but for bindings of other roles, which the owner, the auditor and superusers see.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from attrs import define
from sqlalchemy import Connection, Engine, text

from tradebook.adapters.errors import translated_errors
from tradebook.adapters.migrations.schema_state import VERSIONS
from tradebook.adapters.orm import metadata
from tradebook.domain.errors import InvalidInput
from tradebook.operations.security.role_state import (
    ACCESS,
    ATTRIBUTES,
    SECURITY_SCHEMA,
    Binding,
    Function,
    Grant,
    Granted,
    Member,
    Policy,
    RoleState,
    Trigger,
    UserObject,
)
from tradebook.operations.security.sql_steps import quote_ident

_TABLES: Final = [*metadata.tables, VERSIONS]
_NAMES: Final = {
    "security": SECURITY_SCHEMA,
    "tables": _TABLES,
    "relations": [*_TABLES, *(f"{name}_id_seq" for name in metadata.tables)],
    "access": ACCESS,
}
_BOOK: Final = (
    "relnamespace = to_regnamespace(quote_ident(current_schema())) AND relname = ANY(:tables) "
    "AND relkind IN ('r', 'p')"
)
_GUARDED: Final = (
    f"({_BOOK} OR relname = :access AND relnamespace = to_regnamespace(quote_ident(:security)))"
)

_DATABASE: Final = """
SELECT current_database() AS name, pg_get_userbyid(datdba) AS owner, current_schema() AS schema,
       current_user AS role, rolsuper AS is_superuser,
       (SELECT system_identifier::text FROM pg_control_system()) AS server,
       (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = current_schema()) AS schema_owner,
       (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = :security) AS security_owner
FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()
"""
_ROLES: Final = f"SELECT rolname, oid, rolcanlogin, {', '.join(ATTRIBUTES)} FROM pg_roles"  # noqa: S608, names of ours
_REMARKS: Final = (
    "SELECT rolname, description FROM pg_shdescription JOIN pg_roles ON oid = objoid "
    "WHERE classoid = 'pg_authid'::regclass"
)
_ROLE_SETTINGS: Final = (
    "SELECT coalesce(rolname, '') AS role, setting FROM pg_db_role_setting "
    "LEFT JOIN pg_roles ON pg_roles.oid = setrole, unnest(setconfig) AS setting "
    "WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))"
)
_MEMBERS: Final = (
    "SELECT pg_get_userbyid(member), pg_get_userbyid(roleid), pg_get_userbyid(grantor), admin_option "
    "FROM pg_auth_members"
)
_RELATIONS: Final = f"""
SELECT relname AS name, pg_get_userbyid(relowner) AS owner, relrowsecurity AS secured,
       relforcerowsecurity AS forced, obj_description(oid, 'pg_class') AS remark,
       relnamespace = to_regnamespace(quote_ident(:security)) AS is_access
FROM pg_class WHERE {_GUARDED}
"""  # noqa: S608, names of ours
_POLICIES: Final = """
SELECT tablename, policyname, cmd, roles::text[] AS roles, qual, with_check, permissive FROM pg_policies
WHERE schemaname = current_schema() AND tablename = ANY(:tables)
OR schemaname = :security AND tablename = :access
"""
_ACCESS_COLUMNS: Final = (
    "SELECT attname FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped "
    "AND attrelid = to_regclass(quote_ident(:security) || '.' || quote_ident(:access))"
)
_TRIGGERS: Final = f"""
SELECT relname, tgname, pg_get_triggerdef(trigger.oid), tgenabled IN ('O', 'A'), tgisinternal
FROM pg_trigger AS trigger JOIN pg_class ON pg_class.oid = tgrelid
WHERE {_GUARDED} AND NOT (tgisinternal AND tgenabled = 'O') ORDER BY relname, tgname
"""  # noqa: S608, names of ours
_FUNCTIONS: Final = """
SELECT proname || '(' || oidvectortypes(proargtypes) || ')', pg_get_userbyid(proowner), prosrc, prosecdef,
       coalesce(proconfig, '{}')
FROM pg_proc WHERE pronamespace = to_regnamespace(quote_ident(:security))
"""

# Each row is one privilege of one role other than the owner: kind of object, schema, name, column, privilege,
# grantee (null for PUBLIC), whether it may be given on, whether the owner gave it.
_GRANTEE: Final = "CASE grantee WHEN 0 THEN '' ELSE pg_get_userbyid(grantee)::text END"
_GRANTED: Final = f"privilege_type, {_GRANTEE}, is_grantable"
_GRANTS: Final = (
    f"""
    SELECT 'DATABASE', NULL, datname::text, '', {_GRANTED}, grantor = datdba
    FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
    WHERE datname = current_database() AND grantee <> datdba
    """,  # noqa: S608, names of ours
    f"""
    SELECT 'SCHEMA', NULL, nspname::text, '', {_GRANTED}, grantor = nspowner
    FROM pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner)))
    WHERE nspname IN (current_schema(), :security) AND grantee <> nspowner
    """,  # noqa: S608, names of ours
    f"""
    SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, nspname::text, relname::text, '', {_GRANTED},
           grantor = relowner
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace, aclexplode(relacl)
    WHERE grantee <> relowner AND (
        nspname = current_schema() AND relname = ANY(:relations) OR nspname = :security
        OR nspname = 'pg_catalog' AND grantee >= 16384)
    """,  # noqa: S608, names of ours
    f"""
    SELECT 'TABLE', nspname::text, relname::text, attname::text, {_GRANTED}, grantor = relowner
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    JOIN pg_namespace ON pg_namespace.oid = relnamespace, aclexplode(attacl)
    WHERE grantee <> relowner AND (
        nspname = current_schema() AND relname = ANY(:relations) OR nspname = :security
        OR nspname = 'pg_catalog' AND grantee >= 16384)
    """,  # noqa: S608, names of ours
    # PUBLIC may execute most functions; of those that it may not since the server was made, it is a change.
    f"""
    SELECT 'FUNCTION', NULL, format('%I.%I(%s)', nspname, proname, oidvectortypes(proargtypes)), '', {_GRANTED},
           grantor = proowner
    FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace,
         aclexplode(coalesce(proacl, acldefault('f', proowner)))
    WHERE grantee <> proowner AND (
        nspname = :security AND prosecdef
        OR nspname = 'pg_catalog' AND (
            grantee >= 16384 OR grantee = 0 AND (
                proname ~ '^(lo_.*|loread|lowrite)$' OR EXISTS (
                    SELECT FROM pg_init_privs WHERE objoid = pg_proc.oid AND classoid = 'pg_proc'::regclass
                    AND NOT EXISTS (SELECT FROM aclexplode(initprivs) AS first WHERE first.grantee = 0)))))
    """,  # noqa: S608, names of ours
    f"SELECT 'PARAMETER', NULL, parname, '', {_GRANTED}, true FROM pg_parameter_acl, aclexplode(paracl)",  # noqa: S608, names of ours
)
_DEFAULTS: Final = f"""
SELECT pg_get_userbyid(defaclrole) AS role, nspname AS schema, defaclobjtype::text AS kind, {_GRANTED},
       grantor = defaclrole
FROM pg_default_acl LEFT JOIN pg_namespace ON pg_namespace.oid = defaclnamespace, aclexplode(defaclacl)
WHERE grantee <> defaclrole AND (nspname IN (current_schema(), :security) OR defaclnamespace = 0)
AND NOT (defaclnamespace = 0 AND grantee = 0 AND defaclobjtype IN ('f', 'T'))
"""  # noqa: S608, names of ours
_KINDS_OF_DEFAULTS: Final = {
    "r": "TABLES",
    "S": "SEQUENCES",
    "f": "FUNCTIONS",
    "T": "TYPES",
    "n": "SCHEMAS",
    "L": "LARGE OBJECTS",
}

# Views read tables with their owner's rights unless they say security_invoker; a materialized view always does.
_VIEWS: Final = f"""
WITH RECURSIVE readers (oid) AS (
    SELECT oid FROM pg_class WHERE {_GUARDED}
    UNION SELECT ev_class FROM readers JOIN pg_depend ON refclassid = 'pg_class'::regclass
        AND refobjid = readers.oid AND classid = 'pg_rewrite'::regclass JOIN pg_rewrite ON pg_rewrite.oid = objid
)
SELECT CASE relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END, format('%I.%I', nspname, relname),
       pg_get_userbyid(relowner), ARRAY(SELECT {_GRANTEE} FROM aclexplode(relacl) WHERE grantee <> relowner)
FROM readers JOIN pg_class USING (oid) JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'm' OR relkind = 'v' AND NOT EXISTS (
    SELECT FROM pg_options_to_table(reloptions)
    WHERE option_name = 'security_invoker' AND option_value::boolean)
"""  # noqa: S608, names of ours
_RULES: Final = f"""
SELECT 'rule', format('%I ON %I', rulename, relname), pg_get_userbyid(relowner), ARRAY[]::text[]
FROM pg_rewrite JOIN pg_class ON pg_class.oid = ev_class WHERE {_GUARDED}
"""  # noqa: S608, names of ours
_DEFINERS: Final = f"""
SELECT 'SECURITY DEFINER function', format('%I.%I(%s)', nspname, proname, oidvectortypes(proargtypes)),
       pg_get_userbyid(proowner),
       ARRAY(SELECT {_GRANTEE} FROM aclexplode(coalesce(proacl, acldefault('f', proowner)))
             WHERE grantee <> proowner)
FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace
WHERE prosecdef AND pg_proc.oid >= 16384 AND nspname <> :security AND NOT EXISTS (
    SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e')
"""  # noqa: S608, names of ours


def read_role_state(engine: Engine) -> RoleState:
    """Read the roles that a PostgreSQL database has, and what guards its tables."""
    if engine.dialect.name != "postgresql":
        raise InvalidInput(
            "database", engine.url.database, "a PostgreSQL database: a file has no roles"
        )
    with translated_errors(), engine.connect() as connection:
        return role_state(connection)


def role_state(connection: Connection) -> RoleState:
    """Read the same on a connection to a PostgreSQL database."""
    read = _Reader(connection)
    [database] = read.rows(_DATABASE)
    roles, relations = read.rows(_ROLES), read.rows(_RELATIONS)
    access = [each for each in relations if each.is_access]
    return RoleState(
        database=database.name,
        schema=database.schema,
        user=database.role,
        is_superuser=bool(database.is_superuser),
        database_owner=database.owner,
        schema_owner=database.schema_owner,
        server=database.server,
        security_owner=database.security_owner,
        roles={row.rolname: [name for name in ATTRIBUTES if getattr(row, name)] for row in roles},
        role_ids={row.rolname: row.oid for row in roles},
        logging_in=frozenset(row.rolname for row in roles if row.rolcanlogin),
        tables={each.name: each.owner for each in relations if not each.is_access},
        secured=frozenset(each.name for each in relations if each.secured),
        forced=frozenset(each.name for each in relations if each.forced),
        policies={(table, name): Policy(*values) for table, name, *values in read.rows(_POLICIES)},
        members=[Member(*row) for row in read.rows(_MEMBERS)],
        remarks=dict(map(tuple, read.rows(_REMARKS))),
        role_settings=read.grouped(_ROLE_SETTINGS),
        grants=read.grants(),
        triggers=[Trigger(*row) for row in read.rows(_TRIGGERS)],
        functions={name: Function(*values) for name, *values in read.rows(_FUNCTIONS)},
        user_objects=[
            UserObject(*row) for query in (_VIEWS, _RULES, _DEFINERS) for row in read.rows(query)
        ],
        access_columns=frozenset(name for (name,) in read.rows(_ACCESS_COLUMNS)),
        access_owner=access[0].owner if access else "",
        access_remark=access[0].remark if access else None,
        bindings=list(read.bindings()) if access else [],
        settings=dict(map(tuple, read.rows("SELECT name, setting FROM pg_settings"))),
    )


@define
class _Reader:
    connection: Connection

    def rows(self, query: str) -> list[Any]:
        return list(self.connection.execute(text(query), _NAMES))

    def grouped(self, query: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, value in self.rows(query):
            found.setdefault(name, []).append(value)
        return found

    def grants(self) -> dict[Grant, Granted]:
        found: dict[Grant, Granted] = {}
        for grant, how in self._each_grant():
            other = found.get(grant, Granted(can_pass_on=False, by_owner=False))
            found[grant] = Granted(*map(any, zip(how, other, strict=True)))
        return found

    def _each_grant(self) -> Iterator[tuple[Grant, Granted]]:
        for kind, schema, name, column, privilege, grantee, *how in self.rows(
            " UNION ALL ".join(_GRANTS)
        ):
            quoted = name if kind in ("FUNCTION", "PARAMETER") else quote_ident(name)
            target = (
                f"{kind} {quoted}" if schema is None else f"{kind} {quote_ident(schema)}.{quoted}"
            )
            yield Grant(target, privilege, grantee, column), Granted(*how)
        for role, schema, kind, privilege, grantee, *how in self.rows(_DEFAULTS):
            where = default_privileges(role, schema)
            target = _KINDS_OF_DEFAULTS[kind]
            yield Grant(target, privilege, grantee, defaults=where), Granted(*how)

    def bindings(self) -> Iterator[Binding]:
        allowed = (
            f"SELECT has_schema_privilege('{SECURITY_SCHEMA}', 'USAGE') "
            f"AND has_table_privilege(to_regclass('{SECURITY_SCHEMA}.{ACCESS}'), 'SELECT')"
        )
        if not self.connection.scalar(text(allowed)):
            return
        # As JSON, since earlier versions made the table without the last two columns.
        for [row] in self.rows(f"SELECT to_jsonb(a) FROM {SECURITY_SCHEMA}.{ACCESS} AS a"):  # noqa: S608, a name of ours
            id_ = row.get("role_oid")
            yield Binding(
                row["role"], row["account"], None if id_ is None else int(id_), row.get("server")
            )


def default_privileges(role: str, schema: str | None) -> str:
    """Return the beginning of a statement on the privileges of later objects that a role makes."""
    within = "" if schema is None else f" IN SCHEMA {quote_ident(schema)}"
    return f"ALTER DEFAULT PRIVILEGES FOR ROLE {quote_ident(role)}{within}"
