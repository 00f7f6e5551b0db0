"""Comparison of a database's schema with what the migrations and `tradebook db roles` make of it."""

from __future__ import annotations

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from tradebook.adapters.errors import translated_errors
from tradebook.adapters.migrations.catalog import DATABASE, Description, Facts, describe_postgresql
from tradebook.adapters.migrations.drift import Difference, as_found, compare, found_and_expected
from tradebook.adapters.migrations.schema_state import INCOMPLETE, schema_state
from tradebook.operations.security import access_logging, guards, row_security
from tradebook.operations.security.catalogue import role_state
from tradebook.operations.security.privileges import displaced_owner, prefix_of_roles
from tradebook.operations.security.role_state import (
    ACCESS,
    SAFE_PATH,
    SECURITY_SCHEMA,
    Policy,
    RoleSpec,
    RoleState,
)


def find_drift(engine: Engine) -> tuple[Difference, ...]:
    """Compare a database's schema with what this version makes; see `schema_differences`."""
    with translated_errors(), engine.connect() as connection:
        return schema_differences(connection)


async def find_async_drift(engine: AsyncEngine) -> tuple[Difference, ...]:
    """Compare a database's schema with what this version makes, on asyncio."""
    with translated_errors():
        async with engine.connect() as connection:
            return await connection.run_sync(schema_differences)


def schema_differences(connection: Connection) -> tuple[Difference, ...]:
    """Compare a database's schema with what the migrations and `tradebook db roles` make, changing nothing.

    Where `tradebook db roles` was never run, it makes nothing: every trigger and every policy is a difference.
    Tables of other programs are ignored.

    Raises:
        SchemaNotReady: the database holds no book, or one of another revision.
        NotPermitted: on PostgreSQL, the role may not make temporary tables.
    """
    state = schema_state(connection)
    if state.name != INCOMPLETE:  # the tables that are missing are differences
        state.require()
    found, expected = found_and_expected(connection)
    if connection.dialect.name != "sqlite":
        _add_guards(connection, found, expected)
    return tuple(compare(found, expected))


def _add_guards(connection: Connection, found: Description, expected: Description) -> None:
    """Add to both what `tradebook db roles` makes."""
    prefix, state = _prefix(connection), role_state(connection)
    was_run = prefix is not None or state.security_owner is not None
    if not was_run:
        return
    namespace = f"to_regnamespace('{SECURITY_SCHEMA}')"
    found |= describe_postgresql(connection, namespace, [ACCESS])
    expected[ACCESS] = as_found(ACCESS, found)
    _add_trigger(state, found, expected)
    _add_functions(state, found, expected)
    if prefix is None:
        return
    declared = row_security.declared_policies(
        RoleSpec(prefix), state, enabled=state.has_row_security
    )
    for table, policies in declared.items():
        if policies:
            expected[table]["table", table]["row security"] = "on"
        for name, policy in policies.items():
            item = "policy", name
            existing = state.policies.get((table, name))
            is_right = existing is not None and row_security.are_same(existing, policy)
            expected[table][item] = found[table][item] if is_right else _facts_of(policy)


def _prefix(connection: Connection) -> str | None:
    owner = displaced_owner(connection)
    return prefix_of_roles(connection) if owner is None else owner.removesuffix("_owner")


def _add_trigger(state: RoleState, found: Description, expected: Description) -> None:
    item, sql = ("trigger", guards.TRIGGER), guards.trigger_sql(state)
    existing = found.get("trades", {}).get(item, {}).get("definition", "")
    is_right = guards.normalized(existing) == guards.normalized(sql)
    expected["trades"][item] = {"definition": existing if is_right else sql, "state": "enabled"}


def _add_functions(state: RoleState, found: Description, expected: Description) -> None:
    for name, function in state.functions.items():
        found[DATABASE]["function", f"{SECURITY_SCHEMA}.{name}"] = _function(
            function.source, is_definer=function.is_definer, settings=", ".join(function.settings)
        )
    trigger = "function", f"{SECURITY_SCHEMA}.{guards.NAME}"
    expected[DATABASE][trigger] = _function(guards.BODY, is_definer=False)
    for name, (_, body) in access_logging.FUNCTIONS.items():
        if ("function", name) in found[DATABASE]:
            expected[DATABASE]["function", name] = _function(body, is_definer=True)


def _function(source: str, *, is_definer: bool, settings: str = SAFE_PATH) -> Facts:
    return {
        "definition": source,
        "rights": "its owner's" if is_definer else "its caller's",
        "settings": settings,
    }


def _facts_of(policy: Policy) -> Facts:
    facts = {
        "command": policy.command,
        "permissive": policy.permissive,
        "roles": ", ".join(sorted(policy.roles)),
        "using": policy.using,
        "check": policy.check,
    }
    return {fact: value for fact, value in facts.items() if value}
