"""Plan of the least-privilege roles on PostgreSQL: owner, writer, reader, auditor and backup.

The plan is the difference between what a specification declares and what the catalogue says. It lists every statement
before one is executed, and an empty plan means that nothing was granted or changed besides.
"""

from __future__ import annotations

from collections.abc import Iterator

from tradebook.domain.errors import InvalidInput
from tradebook.operations.security import access_logging, guards, memberships, row_security
from tradebook.operations.security.declared_grants import object_steps, place_steps, surplus_steps
from tradebook.operations.security.privileges import KINDS, OWNER
from tradebook.operations.security.role_state import (
    SECURITY_SCHEMA,
    RoleSpec,
    RoleState,
)
from tradebook.operations.security.sql_steps import Step, quote_ident


def plan(spec: RoleSpec, state: RoleState) -> list[Step]:
    """Validate a specification, and plan the statements that bring a database from its state to it."""
    rls = state.has_row_security if spec.rls is None else spec.rls
    _validate(spec, state, rls=rls)
    return [
        *memberships.role_steps(spec, state),
        *memberships.membership_steps(spec, state),
        *_place_owner_steps(spec, state),
        *place_steps(spec, state),
        *_ownership_steps(spec, state),
        *row_security.access_steps(spec, state, enabled=rls),
        *access_logging.function_steps(spec, state),
        *surplus_steps(spec, state, rls=rls),
        *object_steps(spec, state, rls=rls),
        *guards.guard_steps(state),
        *row_security.steps(spec, state, enabled=rls),
        *memberships.setting_steps(spec, state),
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
    _validate_unbindings(spec, state)
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


def _validate_unbindings(spec: RoleSpec, state: RoleState) -> None:
    bound = [f"{each.role}={each.account or '*'}" for each in state.bindings]
    for role, account in spec.unbindings:
        pair = f"{role}={account}"
        if (role, account) in spec.bindings:
            raise InvalidInput("unbind", pair, "a binding that --bind does not add")
        if pair not in bound:
            raise InvalidInput("unbind", pair, "one of " + (", ".join(bound) or "none"))


def _place_owner_steps(spec: RoleSpec, state: RoleState) -> Iterator[Step]:
    """Take the database, the schema and the functions from a role that trades: owners grant themselves anything."""
    places = {
        f"DATABASE {quote_ident(state.database)}": state.database_owner,
        f"SCHEMA {quote_ident(state.schema)}": state.schema_owner,
        **{
            f"FUNCTION {SECURITY_SCHEMA}.{name}": function.owner
            for name, function in state.functions.items()
        },
    }
    for place, owner in places.items():
        if owner in spec.kinds and owner != spec.roles[OWNER]:
            sql = f"ALTER {place} OWNER TO CURRENT_USER"
            yield Step(sql, f"it belongs to {owner}", takes_back=True)


def _ownership_steps(spec: RoleSpec, state: RoleState) -> Iterator[Step]:
    owner, security = spec.quoted(OWNER), f"SCHEMA {SECURITY_SCHEMA}"
    if state.security_owner is None:
        yield Step(
            f"CREATE {security} AUTHORIZATION {owner}",
            "holds the account bindings and the functions of the log",
        )
    elif state.security_owner != spec.roles[OWNER]:
        yield Step(f"ALTER {security} OWNER TO {owner}", "a restore gives it to another role")
    for table, current in sorted(state.tables.items()):
        # An owner may do anything with its table, so no role that trades may own one.
        if current != spec.roles[OWNER]:
            sql = f"ALTER TABLE {state.quoted_table(table)} OWNER TO {owner}"
            yield Step(sql, f"{table} belongs to {current}", takes_back=current in spec.kinds)
