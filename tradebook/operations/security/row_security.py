"""Row-level security by account: a role reads and writes only the accounts that `account_access` binds it to.

The policies compare with `session_user`, the role that logged in. A setting such as `tradebook.account` could be
changed by any session with SET, and `current_user` by SET ROLE; neither changes `session_user`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from sqlalchemy import Engine, text

from tradebook.adapters.errors import translated_errors
from tradebook.adapters.orm import metadata
from tradebook.operations.security.guards import normalized
from tradebook.operations.security.privileges import AUDITOR, OWNER, READER, WRITER
from tradebook.operations.security.role_state import (
    ACCESS,
    ACCESS_TABLE,
    ROW_SECURITY,
    Policy,
    RoleSpec,
    RoleState,
)
from tradebook.operations.security.sql_steps import Step, quote_ident, quote_literal

BINDINGS: Final = (
    "(role text NOT NULL, account text, role_oid oid, server text, "
    "UNIQUE NULLS NOT DISTINCT (role, account))"
)
"""Columns of the table of bindings."""
_OWN: Final = "own_accounts"
_ALL: Final = "every_account"
_SEALING: Final = "sealing"
# The subqueries depend on no column, so PostgreSQL evaluates them once for a statement and not for each row.
_OWN_ROWS: Final = (
    f"account = ANY (ARRAY(SELECT a.account FROM {ACCESS_TABLE} AS a "  # noqa: S608, a name of ours
    f"WHERE a.role = SESSION_USER)) OR EXISTS (SELECT FROM {ACCESS_TABLE} AS a "
    "WHERE a.role = SESSION_USER AND a.account IS NULL)"
)
# A role that is dropped and made again has another oid, and so none of the bindings of the one before.
_OWN_BINDINGS: Final = (
    "role = SESSION_USER AND role_oid = to_regrole(quote_ident(SESSION_USER))::oid"
)
_SERVER: Final = "SELECT system_identifier::text FROM pg_control_system()"
_UNBOUND: Final = (
    "SELECT rolname FROM pg_roles WHERE rolcanlogin AND NOT rolsuper AND EXISTS ("  # noqa: S608, a name of ours
    "SELECT FROM unnest(CAST(:groups AS text[])) AS wide (role) "
    "JOIN pg_roles AS known ON known.rolname = wide.role "
    "WHERE pg_has_role(pg_roles.oid, known.oid, 'USAGE')) "
    f"AND oid NOT IN (SELECT role_oid FROM {ACCESS_TABLE} WHERE role_oid IS NOT NULL) ORDER BY rolname"
)


def access_steps(spec: RoleSpec, state: RoleState, *, enabled: bool) -> Iterator[Step]:
    """Yield the steps that create the table of bindings, or bring that of an earlier version to this one."""
    if not state.access_columns:
        yield Step(
            f"CREATE TABLE {ACCESS_TABLE} {BINDINGS}",
            "binds roles to accounts; NULL stands for every account",
        )
    elif "role_oid" not in state.access_columns:
        columns = "ADD COLUMN role_oid oid, ADD COLUMN server text"
        yield Step(f"ALTER TABLE {ACCESS_TABLE} {columns}", "binds roles, not their names")
        yield Step(
            f"UPDATE {ACCESS_TABLE} AS a SET role_oid = oid, server = ({_SERVER}) "  # noqa: S608, names of ours
            "FROM pg_roles WHERE rolname = a.role",
            "those that there are stay bound",
        )
    if state.access_owner != spec.roles[OWNER]:
        yield Step(
            f"ALTER TABLE {ACCESS_TABLE} OWNER TO {spec.quoted(OWNER)}",
            "only the owner changes bindings",
        )
    if state.access_remark != ROW_SECURITY[enabled]:
        remark = quote_literal(ROW_SECURITY[enabled])
        yield Step(f"COMMENT ON TABLE {ACCESS_TABLE} IS {remark}", "later runs leave it so")


def steps(spec: RoleSpec, state: RoleState, *, enabled: bool) -> Iterator[Step]:
    """Yield the steps that bind roles to accounts, and enable or disable row-level security on each table."""
    yield from _binding_steps(spec, state)
    yield from policy_steps(spec, state, enabled=enabled)


def policy_steps(spec: RoleSpec, state: RoleState, *, enabled: bool) -> Iterator[Step]:
    """Yield the steps that enable row-level security on each table with its policies, or disable it."""
    declared = {ACCESS: {_OWN: Policy("SELECT", ["public"], _OWN_BINDINGS, None)}}
    declared[ACCESS][_ALL] = Policy("SELECT", [spec.roles[AUDITOR]], "true", None)
    for table in metadata.sorted_tables:
        if table.name in state.tables:
            declared[table.name] = dict(_policies(table.name, spec)) if enabled else {}
    for name, policies in declared.items():
        yield from _table_steps(name, policies, state)


def _policies(table: str, spec: RoleSpec) -> Iterator[tuple[str, Policy]]:
    bound, auditor = [spec.roles[WRITER], spec.roles[READER]], [spec.roles[AUDITOR]]
    yield _OWN, Policy("ALL", bound, _OWN_ROWS, _OWN_ROWS)
    yield _ALL, Policy("SELECT", auditor, "true", None)
    if table == "seals":
        yield _SEALING, Policy("INSERT", auditor, None, "true")


def _table_steps(table: str, declared: Mapping[str, Policy], state: RoleState) -> Iterator[Step]:
    """Make a table's policies, and whether they hold, what is declared: none where there are no policies."""
    quoted = state.quoted_table(table)
    found = {name: policy for (of, name), policy in state.policies.items() if of == table}
    was_on = state.access_remark == ROW_SECURITY[True] or (table == ACCESS and state.access_remark)
    step = partial(Step, takes_back=bool(was_on))
    for name, policy in found.items():
        if not _are_same(policy, declared.get(name)):
            why = f"{table}: it is not the policy that belongs there"
            yield step(f"DROP POLICY {quote_ident(name)} ON {quoted}", why)
    for name, policy in declared.items():
        if not _are_same(policy, found.get(name)):
            sql = f"CREATE POLICY {name} ON {quoted} {_rule(policy)}"
            yield step(sql, f"{table}: visible rows")
    if (table in state.secured) != bool(declared):
        verb, why = (
            ("ENABLE", "apply policies") if declared else ("DISABLE", "every row is visible")
        )
        sql = f"ALTER TABLE {quoted} {verb} ROW LEVEL SECURITY"
        yield step(sql, f"{table}: {why}")
    if table in state.forced:
        sql = f"ALTER TABLE {quoted} NO FORCE ROW LEVEL SECURITY"
        yield step(sql, f"{table}: its owner migrates every row")


def _rule(policy: Policy) -> str:
    roles = ", ".join("PUBLIC" if role == "public" else quote_ident(role) for role in policy.roles)
    using = f" USING ({policy.using})" if policy.using else ""
    check = f" WITH CHECK ({policy.check})" if policy.check else ""
    return f"FOR {policy.command} TO {roles}{using}{check}"


def _are_same(one: Policy, other: Policy | None) -> bool:
    def compared(policy: Policy) -> tuple[object, ...]:
        texts = normalized(policy.using), normalized(policy.check)
        return policy.command, sorted(policy.roles), *texts, policy.permissive

    return other is not None and compared(one) == compared(other)


def _binding_steps(spec: RoleSpec, state: RoleState) -> Iterator[Step]:
    has_ids = "role_oid" in state.access_columns
    for each in state.bindings:
        is_here = each.server == state.server
        id_ = state.role_ids.get(each.role)
        if has_ids and id_ is not None and not is_here:
            # Restored from another server, where the role of that name had another oid.
            yield Step(
                f"UPDATE {ACCESS_TABLE} SET role_oid = {id_}, server = {quote_literal(state.server)} "  # noqa: S608, quoted
                f"WHERE {_row(each.role, each.account)}",
                f"{each.role} was bound to {_shown(each.account)} on another server",
            )
        elif id_ is None or (has_ids and each.role_id != id_):
            yield Step(
                f"DELETE FROM {ACCESS_TABLE} WHERE {_row(each.role, each.account)}",  # noqa: S608, quoted
                f"{each.role} was dropped since it was bound to {_shown(each.account)}",
                takes_back=True,
            )
    for role, given in spec.unbindings:
        account = _row_account(given)
        yield Step(
            f"DELETE FROM {ACCESS_TABLE} WHERE {_row(role, account)}",  # noqa: S608, quoted
            f"unbind {role} from {_shown(account)}",
        )
    bound = live_bindings(state)
    for role, given in spec.bindings:
        account = _row_account(given)
        if account not in bound.get(role, ()):
            value = "NULL" if account is None else quote_literal(account)
            yield Step(
                f"INSERT INTO {ACCESS_TABLE} (role, account, role_oid, server) "  # noqa: S608, quoted
                f"SELECT rolname, {value}, oid, ({_SERVER}) FROM pg_roles "
                f"WHERE rolname = {quote_literal(role)}",
                f"bind {role} to {_shown(account)}",
            )


def live_bindings(state: RoleState) -> dict[str, list[str | None]]:
    """Map each role to the accounts that it is bound to; None stands for every account."""
    has_ids = "role_oid" in state.access_columns
    bound: dict[str, list[str | None]] = {}
    for each in state.bindings:
        id_ = state.role_ids.get(each.role)
        if id_ is not None and not (
            has_ids and each.server == state.server and each.role_id != id_
        ):
            bound.setdefault(each.role, []).append(each.account)
    return bound


def _row_account(name: str) -> str | None:
    return None if name == "*" else name


def _row(role: str, account: str | None) -> str:
    is_account = "account IS NULL" if account is None else f"account = {quote_literal(account)}"
    return f"role = {quote_literal(role)} AND {is_account}"


def _shown(account: str | None) -> str:
    return "every account" if account is None else account


def unbound_roles(spec: RoleSpec, engine: Engine) -> list[str]:
    """List the roles that log in as writer or reader and are bound to no account, so that every row is hidden."""
    groups = {"groups": [spec.roles[WRITER], spec.roles[READER]]}
    with translated_errors(), engine.connect() as connection:
        return [str(role) for role in connection.execute(text(_UNBOUND), groups).scalars()]
