"""Comparison of a database's schema with what the migrations and `tradebook db roles` make of it."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve
from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from tradebook.adapters.errors import translated_errors
from tradebook.adapters.migrations.catalog import DATABASE, Facts, Item
from tradebook.adapters.migrations.drift import (
    TEMPORARY,
    Difference,
    as_found,
    compare,
    found_and_expected,
)
from tradebook.adapters.migrations.schema_state import INCOMPLETE, schema_state
from tradebook.operations.security import access_logging, guards, row_security
from tradebook.operations.security.catalogue import role_state
from tradebook.operations.security.privileges import (
    AUDITOR,
    READER,
    WRITER,
    displaced_owner,
    prefix_of_roles,
)
from tradebook.operations.security.role_state import (
    ACCESS,
    SAFE_PATH,
    SECURITY_SCHEMA,
    RoleSpec,
    RoleState,
)


def check_schema(engine: Engine) -> tuple[Difference, ...]:
    """Compare a book's schema with what the migrations and `tradebook db roles` make, changing nothing.

    Raises:
        SchemaNotReady: the database holds no book, or one of another revision.
        NotPermitted: on PostgreSQL, the role may not make temporary tables.
    """
    with translated_errors(), engine.connect() as connection:
        return _checked(connection)


async def check_schema_async(engine: AsyncEngine) -> tuple[Difference, ...]:
    """Compare a book's schema, as `check_schema` does, on asyncio."""
    with translated_errors():
        async with engine.connect() as connection:
            return await connection.run_sync(_checked)


def _checked(connection: Connection) -> tuple[Difference, ...]:
    state = schema_state(connection)
    if state.name != INCOMPLETE:  # the tables that are missing are differences
        state.require()
    return find_drift(connection)


def find_drift(connection: Connection) -> tuple[Difference, ...]:
    """Compare a schema of any revision with what this version makes, ignoring other programs' tables.

    Where `tradebook db roles` was never run, every trigger and every policy on the book's tables is a difference.
    """
    if connection.dialect.name == "sqlite":
        return tuple(compare(*found_and_expected(connection)))
    roles = role_state(connection)
    additions = [*_guards(connection, roles)]
    found, expected = found_and_expected(connection, additions, [ACCESS], SECURITY_SCHEMA)
    if roles.security_owner is not None:
        expected.setdefault(ACCESS, as_found(ACCESS, found))
        _add_functions(roles, found[DATABASE], expected[DATABASE])
    return tuple(compare(found, expected))


def _guards(connection: Connection, state: RoleState) -> Iterator[str]:
    """Yield the statements by which temporary tables get what `tradebook db roles` makes, as far as it was run."""
    empty = evolve(state, schema=TEMPORARY, policies={}, secured=(), forced=())
    if guards.NAME in state.functions:
        yield guards.trigger_sql(empty)
    owner = displaced_owner(connection)
    prefix = prefix_of_roles(connection) if owner is None else owner.removesuffix("_owner")
    spec = RoleSpec(prefix or "")
    known = {spec.roles[kind] for kind in (WRITER, READER, AUDITOR)} <= state.roles.keys()
    if not state.access_columns or not known:
        return
    yield f"CREATE TABLE {TEMPORARY}.{ACCESS} {row_security.BINDINGS}"
    for step in row_security.policy_steps(spec, empty, enabled=state.has_row_security):
        yield step.sql.replace(empty.quoted_table(ACCESS), f"{TEMPORARY}.{ACCESS}")


def _add_functions(state: RoleState, found: dict[Item, Facts], expected: dict[Item, Facts]) -> None:
    for name, function in state.functions.items():
        found["function", f"{SECURITY_SCHEMA}.{name}"] = _function(
            function.source, is_definer=function.is_definer, settings=", ".join(function.settings)
        )
    expected["function", f"{SECURITY_SCHEMA}.{guards.NAME}"] = _function(
        guards.BODY, is_definer=False
    )
    for name, (_, body) in access_logging.FUNCTIONS.items():
        if ("function", name) in found:
            expected["function", name] = _function(body, is_definer=True)


def _function(source: str, *, is_definer: bool, settings: str = SAFE_PATH) -> Facts:
    return {
        "definition": source,
        "rights": "its owner's" if is_definer else "its caller's",
        "settings": settings,
    }
