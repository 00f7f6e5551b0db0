"""The roles that a database should have (`RoleSpec`), and the roles and guards that it has (`RoleState`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import evolve, field, frozen
from sqlalchemy import Connection, Engine, text

from tradebook.adapters.errors import translated_errors
from tradebook.adapters.orm import metadata
from tradebook.config import Secret
from tradebook.domain.errors import InvalidInput
from tradebook.operations.security.privileges import BACKUP, BACKUP_ATTRIBUTES, KINDS, VERSIONS
from tradebook.operations.security.sql_steps import quote_ident

SECURITY_SCHEMA: Final = "tradebook_security"
"""Schema beside the book's own, for the account bindings and the functions that read the server's log."""
ACCESS_TABLE: Final = f"{SECURITY_SCHEMA}.account_access"
TRIGGER_PREFIX: Final = "keep_booked"
"""Beginning of the name of the trigger on `trades`."""

_ATTRIBUTES: Final = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls")
"""Attributes with which a role would escape the privileges that it is granted."""


@frozen
class RoleSpec:
    """The roles that a database should have, and what they may do.

    Attributes:
        prefix: beginning of the five roles' names: PREFIX_owner, PREFIX_writer, PREFIX_reader,
            PREFIX_auditor, PREFIX_backup.
        logins: kind of each further role that can log in and is a member of the kind's role. One of the
            five, with its own kind, can then log in without a password, by a certificate.
        passwords: passwords of roles, which can then log in.
        rls: whether only the accounts that a role is bound to are visible to it; None leaves this unchanged.
        bindings: pairs of role and account; `*` binds a role to every account.
        log_access: whether the server logs connections, and the statements of these roles.
        log_writes: statements of writers that are logged: none, ddl, mod or all.
    """

    prefix: str = "tradebook"
    logins: Mapping[str, str] = field(factory=dict)
    passwords: Mapping[str, Secret] = field(factory=dict)
    rls: bool | None = None
    bindings: Sequence[tuple[str, str]] = ()
    log_access: bool = False
    log_writes: str = "all"

    @property
    def roles(self) -> dict[str, str]:
        """Name of the role of each kind."""
        return {kind: f"{self.prefix}_{kind}" for kind in KINDS}

    @property
    def kinds(self) -> dict[str, str]:
        """Kind of each role, including the further logins."""
        return {role: kind for kind, role in self.roles.items()} | dict(self.logins)

    def quoted(self, *kinds: str) -> str:
        """List the roles of these kinds, quoted for SQL."""
        return ", ".join(quote_ident(self.roles[kind]) for kind in kinds)


@frozen
class RoleState:
    """The roles that a database has, and what guards its tables.

    Attributes:
        schema: schema of the book's tables; None where the search_path has none.
        user: role of the connection that read the state.
        is_superuser: whether that role is a superuser.
        roles: attributes of each role of the server, of those that escape privileges.
        tables: owner of each of the book's tables that exists.
        secured: tables on which row-level security is enabled.
        policies: pairs of table and policy.
        members: pairs of role and group, except those of `user`.
        triggers: triggers on booked trades, of this version or another.
        has_access_table: whether the table of bindings exists.
        settings: the server's settings, by name.
    """

    database: str
    schema: str
    user: str
    is_superuser: bool
    roles: Mapping[str, Sequence[str]]
    tables: Mapping[str, str]
    secured: frozenset[str]
    policies: frozenset[tuple[str, str]]
    members: Sequence[tuple[str, str]]
    triggers: frozenset[str]
    has_access_table: bool
    settings: Mapping[str, str]

    def quoted_table(self, table: str) -> str:
        """Quote a table's name for SQL, with its schema."""
        return f"{quote_ident(self.schema)}.{quote_ident(table)}"

    def excess_attributes(self, role: str, kind: str) -> list[str]:
        """List a role's attributes that its kind does not need."""
        needed = BACKUP_ATTRIBUTES if kind == BACKUP else ()
        return [attribute for attribute in self.roles.get(role, ()) if attribute not in needed]


def read_role_state(engine: Engine) -> RoleState:
    """Read the roles that a database has, and what guards its tables.

    Raises:
        InvalidInput: it is not a PostgreSQL database.
    """
    if engine.dialect.name != "postgresql":
        raise InvalidInput(
            "database", engine.url.database, "a PostgreSQL database: a file has no roles"
        )
    with translated_errors(), engine.connect() as connection:
        return _read(connection)


def _read(connection: Connection) -> RoleState:
    def rows(statement: str) -> list[Any]:
        return [tuple(row) for row in connection.execute(text(statement))]

    [(database, schema, user, is_superuser)] = rows(
        "SELECT current_database(), current_schema(), current_user, rolsuper "
        "FROM pg_roles WHERE rolname = current_user"
    )
    roles = rows(f"SELECT rolname, {', '.join(_ATTRIBUTES)} FROM pg_roles")  # noqa: S608, names of ours
    tables = {
        table: (owner, is_secured == "true")
        for table, owner, is_secured in rows(
            "SELECT relname, pg_get_userbyid(relowner), relrowsecurity::text FROM pg_class WHERE relkind "
            "IN ('r', 'p') AND relnamespace = to_regnamespace(quote_ident(current_schema()))"
        )
        if table in metadata.tables or table == VERSIONS
    }
    policies = rows(
        "SELECT tablename, policyname FROM pg_policies WHERE schemaname = current_schema()"
    )
    members = rows(
        "SELECT pg_get_userbyid(member), pg_get_userbyid(roleid) FROM pg_auth_members "
        "WHERE member NOT IN (SELECT oid FROM pg_roles WHERE rolname = current_user)"
    )
    triggers = rows(f"SELECT tgname FROM pg_trigger WHERE starts_with(tgname, '{TRIGGER_PREFIX}')")  # noqa: S608, a name of ours
    return RoleState(
        database=database,
        schema=schema,
        user=user,
        is_superuser=bool(is_superuser),
        roles={
            role: [name for name, is_set in zip(_ATTRIBUTES, values, strict=True) if is_set]
            for role, *values in roles
        },
        tables={table: owner for table, (owner, _) in tables.items()},
        secured=frozenset(table for table, (_, is_secured) in tables.items() if is_secured),
        policies=frozenset(policies),
        members=members,
        triggers=frozenset(trigger for (trigger,) in triggers),
        has_access_table=bool(rows(f"SELECT 1 WHERE to_regclass('{ACCESS_TABLE}') IS NOT NULL")),
        settings=dict(rows("SELECT name, setting FROM pg_settings")),
    )


def with_existing_logins(spec: RoleSpec, state: RoleState) -> RoleSpec:
    """Add the logins that exist: members of the five roles without any excess attribute."""
    kinds = {role: kind for kind, role in spec.roles.items()}
    existing = {
        role: kinds[group]
        for role, group in state.members
        if group in kinds and role not in kinds and not state.excess_attributes(role, kinds[group])
    }
    return evolve(spec, logins=existing | dict(spec.logins))
