"""Plan of the least-privilege roles on PostgreSQL: owner, writer, reader, auditor and backup.

The plan lists every statement before one is executed, and repeating it changes nothing. Privileges on the book's
tables that the plan does not grant are revoked from these roles.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from zlib import crc32

from tradebook.domain.errors import InvalidInput
from tradebook.operations.security import access_logging, row_security
from tradebook.operations.security.privileges import (
    AUDITOR,
    BACKUP,
    BACKUP_GRANTS,
    KINDS,
    OWNER,
    READER,
    VERSIONS,
    WRITER,
    forbidden_change,
    grants,
)
from tradebook.operations.security.role_state import (
    SECURITY_SCHEMA,
    TRIGGER_PREFIX,
    RoleSpec,
    RoleState,
)
from tradebook.operations.security.sql_steps import Step, quote_ident

_FUNCTION: Final = f"{SECURITY_SCHEMA}.{TRIGGER_PREFIX}"
# The checksum of the condition in the name shows that another version's trigger must be replaced.
_TRIGGER: Final = f"{TRIGGER_PREFIX}_{crc32(forbidden_change().encode()):08x}"


def plan(spec: RoleSpec, state: RoleState) -> list[Step]:
    """Validate a specification, and plan the statements that bring a database from its state to it."""
    rls = bool(state.secured) if spec.rls is None else spec.rls
    _validate(spec, state, rls=rls)
    return [
        *_role_steps(spec, state),
        *_schema_steps(spec, state),
        *_table_steps(spec, state),
        *_default_privileges(spec, state, rls=rls),
        *_trigger_steps(state),
        *row_security.steps(spec, state, enabled=rls),
        *_setting_steps(spec),
        *(access_logging.steps(spec, state) if spec.log_access else ()),
    ]


def _validate(spec: RoleSpec, state: RoleState, *, rls: bool) -> None:
    if state.schema is None:
        raise InvalidInput("schema", None, "a schema on the search_path, such as public")
    if spec.log_writes not in access_logging.LEVELS:
        raise InvalidInput(
            "log_writes", spec.log_writes, "one of " + ", ".join(access_logging.LEVELS)
        )
    if spec.bindings and not rls:
        raise InvalidInput(
            "bind", spec.bindings[0][0], "nothing without row-level security (--rls)"
        )
    _validate_logins(spec)
    for role in (*spec.passwords, *(role for role, _ in spec.bindings)):
        if role not in spec.kinds:
            raise InvalidInput("role", role, "one of " + ", ".join(spec.kinds))
    for role, kind in spec.kinds.items():
        excess = ", ".join(state.excess_attributes(role, kind))
        if excess:
            raise InvalidInput(
                "role", role, f"a role without {excess}: it would bypass every grant"
            )


def _validate_logins(spec: RoleSpec) -> None:
    for role, kind in spec.logins.items():
        if kind not in KINDS:
            raise InvalidInput(f"login {role}", kind, "one of " + ", ".join(KINDS))
        if spec.roles[kind] != role and role in spec.roles.values():
            own = "its own kind, since it is one of the five roles"
            raise InvalidInput(f"login {role}", kind, own)


def _role_steps(spec: RoleSpec, state: RoleState) -> Iterator[Step]:
    for role, kind in spec.kinds.items():
        quoted = quote_ident(role)
        if role not in state.roles:
            yield Step(
                f"CREATE ROLE {quoted} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION "
                "NOBYPASSRLS",
                f"the role {role}",
            )
        if role in spec.passwords:
            yield Step(
                f"ALTER ROLE {quoted} LOGIN PASSWORD {{verifier}}",
                f"the password of {role}",
                role=role,
                password=spec.passwords[role],
            )
        elif role in spec.logins:
            yield Step(f"ALTER ROLE {quoted} LOGIN", f"{role} can log in")
        if role not in spec.roles.values():
            yield Step(f"GRANT {spec.quoted(kind)} TO {quoted}", f"{role} is a {kind}")
    if not state.is_superuser:
        # Only a member of a role may make it the owner of something.
        yield Step(f"GRANT {spec.quoted(OWNER)} TO CURRENT_USER", "needed to transfer ownership")


def _schema_steps(spec: RoleSpec, state: RoleState) -> Iterator[Step]:
    database = f"DATABASE {quote_ident(state.database)}"
    schema, security = f"SCHEMA {quote_ident(state.schema)}", f"SCHEMA {SECURITY_SCHEMA}"
    five_roles, owner = spec.quoted(*KINDS), spec.quoted(OWNER)
    yield Step(f"REVOKE ALL ON {database} FROM PUBLIC", "other roles cannot connect")
    yield Step(f"GRANT CONNECT ON {database} TO {five_roles}", "these roles can connect")
    # PostgreSQL rejects COPY into a table with row-level security, so an import copies to a temporary one first.
    temporary = f"GRANT TEMPORARY ON {database} TO {spec.quoted(WRITER)}"
    yield Step(temporary, "imports under row-level security use a temporary table")
    yield Step(f"REVOKE CREATE ON {schema} FROM PUBLIC", "other roles cannot create tables")
    yield Step(f"GRANT USAGE ON {schema} TO {five_roles}", "access to the tables")
    yield Step(f"GRANT CREATE ON {schema} TO {owner}", "the owner migrates")
    yield Step(
        f"CREATE SCHEMA IF NOT EXISTS {SECURITY_SCHEMA} AUTHORIZATION {owner}",
        "holds the account bindings and the functions of the log",
    )
    yield Step(f"ALTER {security} OWNER TO {owner}", "a restore gives it to another role")
    yield Step(f"GRANT USAGE ON {security} TO {five_roles}", "policies read the bindings there")


def _table_steps(spec: RoleSpec, state: RoleState) -> Iterator[Step]:
    others = spec.quoted(WRITER, READER, AUDITOR, BACKUP)
    for table, owner in sorted(state.tables.items()):
        quoted = state.quoted_table(table)
        # An owner may do anything with its table, so no role that trades may own one.
        if owner != spec.roles[OWNER]:
            sql = f"ALTER TABLE {quoted} OWNER TO {spec.quoted(OWNER)}"
            yield Step(sql, f"{table} belongs to {owner}")
        yield Step(
            f"REVOKE ALL ON TABLE {quoted} FROM PUBLIC, {others}",
            f"{table}: revoke privileges that are not granted next",
        )
        for privileges, kind in grants(table):
            yield Step(
                f"GRANT {privileges} ON TABLE {quoted} TO {spec.quoted(kind)}",
                f"{table}: {privileges.partition(' ')[0]} for {spec.roles[kind]}",
            )
        if table not in (VERSIONS, "decision_signals"):
            ids = state.quoted_table(f"{table}_id_seq")
            users = spec.quoted(WRITER, *([AUDITOR] if table == "seals" else []))
            yield Step(f"GRANT USAGE ON SEQUENCE {ids} TO {users}", f"{table}: ids")


def _default_privileges(spec: RoleSpec, state: RoleState, *, rls: bool) -> Iterator[Step]:
    """Grant on tables of later migrations; under row-level security revoke, since they have no policy yet."""
    role, schema = spec.quoted(OWNER), quote_ident(state.schema)
    default = f"ALTER DEFAULT PRIVILEGES FOR ROLE {role} IN SCHEMA {schema}"
    verb, to = ("REVOKE", "FROM") if rls else ("GRANT", "TO")
    why = "tables of later migrations" + (", closed until they have policies" if rls else "")
    readers, writer = spec.quoted(WRITER, READER, AUDITOR), spec.quoted(WRITER)
    yield Step(f"{default} {verb} SELECT ON TABLES {to} {readers}", why)
    yield Step(f"{default} {verb} INSERT ON TABLES {to} {writer}", why)
    yield Step(f"{default} {verb} USAGE ON SEQUENCES {to} {writer}", why)


def _trigger_steps(state: RoleState) -> Iterator[Step]:
    """Guard booked trades by a trigger: a grant on a column holds for pending orders and booked trades alike."""
    if "trades" not in state.tables or _TRIGGER in state.triggers:
        return
    trades = state.quoted_table("trades")
    yield Step(
        f"CREATE OR REPLACE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql "
        "SET search_path = pg_catalog, pg_temp AS $$ BEGIN RAISE EXCEPTION "
        "'trade % is %: what was booked does not change', OLD.id, OLD.status "
        "USING ERRCODE = 'insufficient_privilege'; END $$",
        "rejects changes of booked trades",
    )
    for other in sorted(state.triggers):
        yield Step(f"DROP TRIGGER IF EXISTS {quote_ident(other)} ON {trades}", "another version's")
    yield Step(
        f"CREATE TRIGGER {_TRIGGER} BEFORE UPDATE ON {trades} FOR EACH ROW "
        f"WHEN ({forbidden_change()}) EXECUTE FUNCTION {_FUNCTION}()",
        "runs when a booked trade is updated",
    )


def _setting_steps(spec: RoleSpec) -> Iterator[Step]:
    auditor, backup = spec.quoted(AUDITOR), spec.quoted(BACKUP)
    # A seal covers all events below the oldest running transaction, which may be another role's.
    sealing = "sealing needs the other roles' running transactions"
    yield Step(f"GRANT pg_read_all_stats TO {auditor}", sealing, may_fail=True)
    for grant, why in BACKUP_GRANTS.items():
        yield Step(f"GRANT {grant} TO {backup}", why, may_fail=True)
    for role, kind in spec.kinds.items():
        quoted = quote_ident(role)
        if kind == BACKUP:
            # Set on every login, since members of a role do not inherit its attributes.
            yield Step(
                f"ALTER ROLE {quoted} REPLICATION BYPASSRLS",
                f"{role} copies the server, and dumps every account",
                may_fail=True,
            )
        if kind in (READER, BACKUP):
            read_only = f"ALTER ROLE {quoted} SET default_transaction_read_only = on"
            yield Step(read_only, f"{role} only reads")
