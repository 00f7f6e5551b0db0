"""The roles themselves, their memberships in one another, and their settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

from tradebook.operations.security.privileges import (
    AUDITOR,
    BACKUP,
    BACKUP_ATTRIBUTES,
    MEMBERSHIPS,
    OWNER,
    READER,
    WRITER,
)
from tradebook.operations.security.role_state import LOGINS_REMARK, Member, RoleSpec, RoleState
from tradebook.operations.security.sql_steps import Step, quote_ident, quote_literal

_HARMLESS: Final = (
    "pg_monitor",
    "pg_read_all_settings",
    "pg_read_all_stats",
    "pg_stat_scan_tables",
    "pg_use_reserved_connections",
)
"""Predefined roles that show a server's activity and give no right on its tables."""
_BOOKING: Final = (WRITER, READER, AUDITOR)
"""Kinds of roles with which programs work on the book."""
_READ_ONLY: Final = "default_transaction_read_only"
_NO_TRIGGERS: Final = "session_replication_role"
"""Setting that switches off triggers and foreign keys; a superuser can set it for another role."""
_GRANTORS_SINCE: Final = 160_000


def role_steps(spec: RoleSpec, state: RoleState) -> Iterator[Step]:
    """Yield the steps that create roles, let them log in, and make each login a member of its kind's role."""
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
        elif role in spec.logins and role not in state.logging_in:
            yield Step(f"ALTER ROLE {quoted} LOGIN", f"{role} can log in")
        group = spec.roles[kind]
        if role != group and not _is_member(state, role, group):
            yield Step(f"GRANT {quote_ident(group)} TO {quoted}", f"{role} is a {kind}")


def membership_steps(spec: RoleSpec, state: RoleState) -> Iterator[Step]:
    """Yield the steps that make roles members of predefined ones, take other memberships back, and record logins."""
    for kind, group in MEMBERSHIPS.items():
        role = spec.roles[kind]
        if not _is_member(state, role, group):
            why = f"the work of {role} needs it"
            yield Step(f"GRANT {group} TO {quote_ident(role)}", why, may_fail=True)
    if not state.is_superuser:
        # Only a member of a role may make it the owner of something.
        yield Step(f"GRANT {spec.quoted(OWNER)} TO CURRENT_USER", "needed to transfer ownership")
    yield from _surplus_memberships(spec, state)
    for kind, group in spec.roles.items():
        logins = sorted(role for role, of in spec.further.items() if of == kind)
        remark = LOGINS_REMARK + json.dumps(logins)
        if state.remarks.get(group) != remark:
            sql = f"COMMENT ON ROLE {quote_ident(group)} IS {quote_literal(remark)}"
            yield Step(sql, "shows later which of its members were declared")


def _is_member(state: RoleState, role: str, group: str) -> bool:
    return any((each.role, each.group) == (role, group) for each in state.members)


def _surplus_memberships(spec: RoleSpec, state: RoleState) -> Iterator[Step]:
    """Revoke memberships that give a role of the book more, or another role what is the book's."""
    declared = {(role, spec.roles[kind]) for role, kind in spec.further.items()}
    declared |= {(spec.roles[kind], group) for kind, group in MEMBERSHIPS.items()}
    for each in state.members:
        is_declared = (each.role, each.group) in declared
        if is_declared:
            is_surplus = each.is_admin
        elif each.role in spec.kinds:
            is_surplus = _gives_more(spec, state, each.group, set())
        else:
            is_surplus = each.group in spec.kinds and not state.administers(each.role)
        if is_surplus:
            yield _revoke(state, each, "ADMIN OPTION FOR " if is_declared else "")


def _gives_more(spec: RoleSpec, state: RoleState, group: str, seen: set[str]) -> bool:
    """Whether a member of a group gets a role of the book, or a right on the whole server."""
    is_predefined = group.startswith("pg_") and group not in _HARMLESS
    if group in spec.kinds or is_predefined or state.roles.get(group):
        return True
    seen.add(group)
    wider = [each.group for each in state.members if each.role == group and each.group not in seen]
    return any(_gives_more(spec, state, each, seen) for each in wider)


def _revoke(state: RoleState, member: Member, option: str) -> Step:
    keeps_grantors = int(state.settings.get("server_version_num", 0)) >= _GRANTORS_SINCE
    grantor = f" GRANTED BY {quote_ident(member.grantor)}" if keeps_grantors else ""
    group, role = quote_ident(member.group), quote_ident(member.role)
    what = "may make others members of" if option else "is a member of"
    return Step(
        f"REVOKE {option}{group} FROM {role}{grantor} CASCADE",
        f"{member.role} {what} {member.group} without need",
        may_fail=not state.is_superuser,
        takes_back=True,
    )


def _limit_steps(spec: RoleSpec, role: str, settings: Sequence[str]) -> Iterator[Step]:
    for name, limit in spec.limits.items():
        if f"{name}={limit}" not in settings:
            sql = f"ALTER ROLE {quote_ident(role)} SET {name} = {quote_literal(limit)}"
            yield Step(sql, f"sessions of {role} have it by themselves, through a pooler too")


def setting_steps(spec: RoleSpec, state: RoleState) -> Iterator[Step]:
    """Yield the steps that set each role's attributes and settings."""
    for role, kind in spec.kinds.items():
        quoted, settings = quote_ident(role), state.role_settings.get(role, ())
        if kind == BACKUP and set(BACKUP_ATTRIBUTES) - set(state.roles.get(role, ())):
            # Set on every login, since members of a role do not inherit its attributes.
            yield Step(
                f"ALTER ROLE {quoted} REPLICATION BYPASSRLS",
                f"{role} copies the server, and dumps every account",
                may_fail=True,
            )
        if kind in (READER, BACKUP):
            database = quote_ident(state.database)
            if f"{_READ_ONLY}=off" in settings:
                reset = f"ALTER ROLE {quoted} IN DATABASE {database} RESET {_READ_ONLY}"
                yield Step(reset, f"{role} only reads", takes_back=True)
            if f"{_READ_ONLY}=on" not in settings or f"{_READ_ONLY}=off" in settings:
                sql = f"ALTER ROLE {quoted} SET {_READ_ONLY} = on"
                yield Step(sql, f"{role} only reads", takes_back=True)
        if kind in _BOOKING:
            yield from _limit_steps(spec, role, settings)
    for role in (*spec.kinds, ""):
        if any(each.startswith(_NO_TRIGGERS) for each in state.role_settings.get(role, ())):
            name = f"ROLE {quote_ident(role)}" if role else "ROLE ALL"
            for place in (name, f"{name} IN DATABASE {quote_ident(state.database)}"):
                sql = f"ALTER {place} RESET {_NO_TRIGGERS}"
                why = f"triggers run for {role or 'every role'}"
                yield Step(sql, why, may_fail=True, takes_back=True)
