"""The roles that a database should have (`RoleSpec`), and what its catalogue says of them (`RoleState`)."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from attrs import evolve, field, frozen

from tradebook.config import Secret
from tradebook.domain.errors import InvalidInput
from tradebook.operations.security.privileges import BACKUP, BACKUP_ATTRIBUTES, KINDS
from tradebook.operations.security.sql_steps import quote_ident

SECURITY_SCHEMA: Final = "tradebook_security"
"""Schema beside the book's own, for the account bindings and the functions that read the server's log."""
ACCESS: Final = "account_access"
ACCESS_TABLE: Final = f"{SECURITY_SCHEMA}.{ACCESS}"
TRIGGER_PREFIX: Final = "keep_booked"
"""Beginning of the name of the trigger on `trades`."""
PUBLIC: Final = ""
"""The grantee that stands for every role."""
ROW_SECURITY: Final = {True: "row-level security: on", False: "row-level security: off"}
"""Comment on the table of bindings."""
LOGINS_REMARK: Final = "logins made by tradebook db roles: "
"""Beginning of the comment on a kind's role; a JSON list of names follows."""

SAFE_PATH: Final = "search_path=pg_catalog, pg_temp"
"""Setting of each function in the security schema."""

ATTRIBUTES: Final = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls")
"""Attributes with which a role would escape the privileges that it is granted."""


@frozen
class RoleSpec:
    """The roles that a database should have, and what they may do.

    Attributes:
        prefix: beginning of the five roles' names: PREFIX_owner, PREFIX_writer, PREFIX_reader,
            PREFIX_auditor, PREFIX_backup.
        logins: kind of each further role that can log in and is a member of the kind's role. One of the
            five, with its own kind, can then log in without a password, by a certificate.
        existing: kind of each further login that an earlier run made.
        passwords: passwords of roles, which can then log in.
        rls: whether only the accounts that a role is bound to are visible to it; None leaves this unchanged.
        bindings: pairs of role and account to add; `*` binds a role to every account.
        unbindings: pairs of role and account to remove.
        limits: timeouts that the sessions of writers, readers and auditors have by themselves.
        log_access: whether the server logs connections, and the statements of these roles.
        log_writes: statements of writers that are logged: none, ddl, mod or all.
    """

    prefix: str = "tradebook"
    logins: Mapping[str, str] = field(factory=dict)
    existing: Mapping[str, str] = field(factory=dict)
    passwords: Mapping[str, Secret] = field(factory=dict)
    rls: bool | None = None
    bindings: Sequence[tuple[str, str]] = ()
    unbindings: Sequence[tuple[str, str]] = ()
    limits: Mapping[str, str] = field(factory=dict)
    log_access: bool = False
    log_writes: str = "all"

    @property
    def roles(self) -> dict[str, str]:
        """Name of the role of each kind."""
        return {kind: f"{self.prefix}_{kind}" for kind in KINDS}

    @property
    def further(self) -> dict[str, str]:
        """Kind of each further login, made before or now."""
        known = {**self.existing, **self.logins}
        return {role: kind for role, kind in known.items() if role not in self.roles.values()}

    @property
    def kinds(self) -> dict[str, str]:
        """Kind of each role, including the further logins."""
        five = {role: kind for kind, role in self.roles.items()}
        return {**five, **self.existing, **self.logins}

    def quoted(self, *kinds: str) -> str:
        """List the roles of these kinds, quoted for SQL."""
        return ", ".join(quote_ident(self.roles[kind]) for kind in kinds)


class Grant(NamedTuple):
    """One privilege of one role, on an object or as a default for later ones."""

    target: str
    """The object as GRANT names it, such as `TABLE "public"."trades"`."""
    privilege: str
    grantee: str
    column: str = ""
    defaults: str = ""
    """`ALTER DEFAULT PRIVILEGES ...` for the privileges on later objects."""


class Granted(NamedTuple):
    """How a grant was given: with the right to give it on, and by the owner of the object."""

    can_pass_on: bool = False
    by_owner: bool = True


class Member(NamedTuple):
    """The membership of a role in another one."""

    role: str
    group: str
    grantor: str = ""
    is_admin: bool = False


class Policy(NamedTuple):
    """A row-level security policy as the catalogue shows it."""

    command: str
    roles: Collection[str]
    using: str | None
    check: str | None
    permissive: str = "PERMISSIVE"


class Trigger(NamedTuple):
    """A trigger on one of the book's tables, without those of foreign keys that are enabled."""

    table: str
    name: str
    definition: str
    is_enabled: bool
    is_internal: bool


class Function(NamedTuple):
    """A function in the security schema, by its name and the types of its arguments."""

    owner: str
    source: str
    is_definer: bool
    settings: Sequence[str]

    def does(self, source: str, *, is_definer: bool) -> bool:
        """Whether it is the function with this source that `tradebook db roles` makes."""
        found = self.source, self.is_definer, list(self.settings)
        return found == (source, is_definer, [SAFE_PATH])


class Binding(NamedTuple):
    """A row of the bindings; the account is None for every account."""

    role: str
    account: str | None
    role_id: int | None
    server: str | None


class UserObject(NamedTuple):
    """An object that users made, and that may give the rights of its owner to others."""

    kind: str
    name: str
    owner: str
    users: Collection[str]
    """Other roles that may use it."""


@frozen
class RoleState:
    """What the catalogue of a database says of its roles, and of what guards its tables.

    Attributes:
        database: its name.
        database_owner: its owner.
        schema_owner: owner of the schema.
        server: the system identifier of the server.
        schema: schema of the book's tables; None where the search_path has none.
        user: role of the connection that read the state.
        is_superuser: whether that role is a superuser.
        roles: attributes of each role of the server, of those that escape privileges.
        role_ids: the oid of each role of the server.
        logging_in: roles that can log in.
        tables: owner of each of the book's tables that exists.
        secured: tables on which row-level security is enabled.
        forced: tables whose owner it holds for, too.
        policies: policies of the book's tables, by table and name.
        members: memberships of all roles of the server.
        remarks: comment on each role that has one.
        role_settings: settings of roles in any database, by role.
        grants: privileges of roles other than the owner of each object.
        triggers: triggers of the book's tables.
        functions: functions in the security schema.
        user_objects: views, rules and functions that may give rights on the tables to others.
        security_owner: owner of the security schema; None where it does not exist.
        access_columns: columns of the table of bindings; none where it does not exist.
        access_owner: owner of that table.
        access_remark: comment on that table, which keeps whether row-level security is on.
        bindings: rows of that table that the connected role may read.
        settings: the server's settings, by name.
    """

    database: str
    schema: str
    user: str
    is_superuser: bool
    roles: Mapping[str, Sequence[str]]
    tables: Mapping[str, str]
    database_owner: str = ""
    schema_owner: str = ""
    server: str = ""
    role_ids: Mapping[str, int] = field(factory=dict)
    logging_in: Collection[str] = frozenset()
    secured: Collection[str] = frozenset()
    forced: Collection[str] = frozenset()
    policies: Mapping[tuple[str, str], Policy] = field(factory=dict)
    members: Sequence[Member] = ()
    remarks: Mapping[str, str] = field(factory=dict)
    role_settings: Mapping[str, Sequence[str]] = field(factory=dict)
    grants: Mapping[Grant, Granted] = field(factory=dict)
    triggers: Sequence[Trigger] = ()
    functions: Mapping[str, Function] = field(factory=dict)
    user_objects: Sequence[UserObject] = ()
    security_owner: str | None = None
    access_columns: Collection[str] = frozenset()
    access_owner: str = ""
    access_remark: str | None = None
    bindings: Sequence[Binding] = ()
    settings: Mapping[str, str] = field(factory=dict)

    def quoted_table(self, table: str) -> str:
        """Quote a table's name for SQL, with its schema."""
        schema = SECURITY_SCHEMA if table == ACCESS else self.schema
        return f"{quote_ident(schema)}.{quote_ident(table)}"

    def excess_attributes(self, role: str, kind: str) -> list[str]:
        """List a role's attributes that its kind does not need."""
        needed = BACKUP_ATTRIBUTES if kind == BACKUP else ()
        return [attribute for attribute in self.roles.get(role, ()) if attribute not in needed]

    def administers(self, role: str) -> bool:
        """Whether a role sets up the database: a superuser, its owner, or the role that is connected to do so."""
        attributes = self.roles.get(role, ())
        connected = role == self.user and "rolcreaterole" in attributes
        return "rolsuper" in attributes or role == self.database_owner or connected

    @property
    def has_row_security(self) -> bool:
        """Whether row-level security was set up, which earlier versions recorded nowhere."""
        if self.access_remark in ROW_SECURITY.values():
            return self.access_remark == ROW_SECURITY[True]
        guarded = {*self.secured, *(table for table, _ in self.policies)}
        return bool(guarded - {ACCESS})

    def recorded_logins(self, group: str) -> list[Any] | None:
        """Return the logins that runs before recorded as members of a kind's role; None where none did."""
        remark = self.remarks.get(group, "")
        if not remark.startswith(LOGINS_REMARK):
            return None
        try:
            return list(json.loads(remark.removeprefix(LOGINS_REMARK)))
        except ValueError:
            return None


def with_existing_logins(spec: RoleSpec, state: RoleState) -> RoleSpec:
    """Add the logins that exist: those that an earlier run recorded and that are members still.

    Runs of earlier versions recorded none; then every member of one of the five roles counts that has no excess
    attribute.

    Raises:
        InvalidInput: such a member belongs to several kinds.
    """
    kinds = {role: kind for kind, role in spec.roles.items()}
    existing: dict[str, str] = {}
    for role, group, *_ in state.members:
        if group not in kinds or role in {*kinds, *spec.logins}:
            continue
        kind, recorded = kinds[group], state.recorded_logins(group)
        if recorded is None:
            is_known = not state.administers(role) and not state.excess_attributes(role, kind)
        else:
            is_known = role in recorded
        if is_known and existing.setdefault(role, kind) != kind:
            several = f"a login of one kind, not both {existing[role]} and {kind}"
            raise InvalidInput(f"login {role}", kind, f"{several}: say --login {role}=KIND")
    return evolve(spec, existing=existing)
