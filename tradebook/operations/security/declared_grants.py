"""The privileges that each role should have, and the statements that make the catalogue's privileges these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from tradebook.operations.security import access_logging
from tradebook.operations.security.catalogue import default_privileges
from tradebook.operations.security.privileges import (
    AUDITOR,
    BACKUP,
    BACKUP_FUNCTIONS,
    OWNER,
    READER,
    WRITER,
    grants,
    sequence_grants,
)
from tradebook.operations.security.role_state import (
    ACCESS,
    PUBLIC,
    SECURITY_SCHEMA,
    Grant,
    RoleSpec,
    RoleState,
)
from tradebook.operations.security.sql_steps import Step, quote_ident

_ON_SERVER: Final = ("FUNCTION pg_catalog.", 'TABLE "pg_catalog".', "PARAMETER ")
"""Beginnings of objects of the server: only the grants of these roles and of PUBLIC are the book's affair, and only
a superuser may change them."""
_FUNCTION: Final = "FUNCTION "
_LARGE_OBJECTS: Final = "FUNCTION pg_catalog.lo"
_GROUPED: Final = (_LARGE_OBJECTS, "FUNCTION pg_catalog.")
_SECURITY: Final = f'SCHEMA "{SECURITY_SCHEMA}"'


def surplus_steps(spec: RoleSpec, state: RoleState, *, rls: bool) -> Iterator[Step]:
    """Yield the steps that revoke what the catalogue grants and the specification does not."""
    declared = {*_on_places(spec, state), *_on_objects(spec, state, rls=rls)}
    mine = {*spec.kinds, PUBLIC}
    surplus = [grant for grant in state.grants if _is_ours(grant, spec, state, mine)]
    passed_on = [
        grant for grant in surplus if grant in declared and state.grants[grant].can_pass_on
    ]
    for each in _together(grant for grant in surplus if grant not in declared):
        yield _revoke(each, "")
    for each in _together(passed_on):
        yield _revoke(each, "GRANT OPTION FOR ")


def place_steps(spec: RoleSpec, state: RoleState) -> Iterator[Step]:
    """Yield the steps that grant the rights on the database and the schema which a role needs to own a table."""
    yield from _missing_steps(_on_places(spec, state), state)


def object_steps(spec: RoleSpec, state: RoleState, *, rls: bool) -> Iterator[Step]:
    """Yield the steps that grant the rights on tables, sequences and functions, those of later ones too."""
    yield from _missing_steps(_on_objects(spec, state, rls=rls), state)


def _missing_steps(declared: Iterable[Grant], state: RoleState) -> Iterator[Step]:
    missing = (
        grant
        for grant in declared
        if grant not in state.grants
        or not state.grants[grant].by_owner
        # Revoking the same privilege on the whole table takes it from each column.
        or (grant.column and grant._replace(column="") in state.grants)
    )
    for each in _together(missing):
        first = each[0]
        sql = f"GRANT {_privileges(each)} ON {_targets(each)} TO {_role(first.grantee)}"
        why = f"{first.grantee} needs it for its work"
        yield Step(_with_defaults(first, sql), why, may_fail=_is_on_server(first))


def _on_places(spec: RoleSpec, state: RoleState) -> Iterator[Grant]:
    role = spec.roles
    database = f"DATABASE {quote_ident(state.database)}"
    schema = f"SCHEMA {quote_ident(state.schema)}"
    for each in role.values():
        if not each == role[OWNER] == state.database_owner:
            yield Grant(database, "CONNECT", each)
        if not each == role[OWNER] == state.schema_owner:
            yield Grant(schema, "USAGE", each)
    # PostgreSQL rejects COPY into a table with row-level security, so an import copies to a temporary one first.
    yield Grant(database, "TEMPORARY", role[WRITER])
    # `verify --schema` compares with temporary tables.
    yield Grant(database, "TEMPORARY", role[AUDITOR])
    if state.schema_owner != role[OWNER]:
        yield Grant(schema, "CREATE", role[OWNER])


def _on_objects(spec: RoleSpec, state: RoleState, *, rls: bool) -> Iterator[Grant]:
    role = spec.roles
    for kind in (WRITER, READER, AUDITOR, BACKUP):
        yield Grant(_SECURITY, "USAGE", role[kind])
    yield from _on_tables(spec, state)
    for kind in (WRITER, READER, AUDITOR):
        yield Grant(f"TABLE {state.quoted_table(ACCESS)}", "SELECT", role[kind])
    for function in BACKUP_FUNCTIONS:
        yield Grant(f"FUNCTION pg_catalog.{function}", "EXECUTE", role[BACKUP])
    for function in access_logging.readable_functions(state):
        yield Grant(f"FUNCTION {function}", "EXECUTE", role[AUDITOR])
    if not rls:  # under it, tables of later migrations are closed until they have policies
        later = default_privileges(role[OWNER], state.schema)
        for kind in (WRITER, READER, AUDITOR):
            yield Grant("TABLES", "SELECT", role[kind], defaults=later)
        yield Grant("TABLES", "INSERT", role[WRITER], defaults=later)
        yield Grant("SEQUENCES", "USAGE", role[WRITER], defaults=later)


def _on_tables(spec: RoleSpec, state: RoleState) -> Iterator[Grant]:
    role = spec.roles
    for table in sorted(state.tables):
        for privileges, kind in grants(table):
            privilege, _, columns = privileges.rstrip(")").partition(" (")
            for column in columns.split(", "):
                yield Grant(f"TABLE {state.quoted_table(table)}", privilege, role[kind], column)
        ids = f"SEQUENCE {state.quoted_table(f'{table}_id_seq')}"
        for privilege, kind in sequence_grants(table):
            yield Grant(ids, privilege, role[kind])


def _is_ours(grant: Grant, spec: RoleSpec, state: RoleState, mine: set[str]) -> bool:
    """Whether a grant that is not declared takes something from the book's security."""
    if _is_on_server(grant):
        return grant.grantee in mine
    if grant.target.startswith(("TABLE ", "SEQUENCE ", _SECURITY)):
        return grant.grantee != spec.roles[OWNER]  # the steps before make it the owner
    if grant.defaults:
        owner = spec.roles[OWNER]
        every = [default_privileges(owner, each) for each in (None, state.schema, SECURITY_SCHEMA)]
        return grant.defaults in every or grant.grantee in spec.kinds
    outsider = grant.grantee not in spec.kinds
    if grant.target.startswith("DATABASE "):  # monitoring has its own right to connect
        return not (outsider and grant.grantee != PUBLIC and grant.privilege == "CONNECT")
    if grant.target == f"SCHEMA {quote_ident(state.schema)}":
        return not (outsider and grant.privilege == "USAGE")
    return True


def _together(wanted: Iterable[Grant]) -> Iterator[list[Grant]]:
    """Group privileges of one role: on one object, or one privilege on many functions."""

    def key(grant: Grant) -> tuple[str, ...]:
        many = (kind for kind in _GROUPED if grant.target.startswith(kind))
        return grant.defaults, next(many, grant.target), grant.grantee

    for _, each in groupby(sorted(wanted, key=key), key):
        yield sorted(set(each))


def _revoke(each: list[Grant], option: str) -> Step:
    first = each[0]
    privileges, targets = _privileges(each), _targets(each)
    sql = f"REVOKE {option}{privileges} ON {targets} FROM {_role(first.grantee)} CASCADE"
    to = first.grantee or "every role"
    why = f"{to} has {'the right to give it on' if option else 'it'} without need"
    is_default = first.target.startswith(_LARGE_OBJECTS) and first.grantee == PUBLIC
    may_fail = _is_on_server(first)
    return Step(_with_defaults(first, sql), why, may_fail=may_fail, takes_back=not is_default)


def _privileges(each: list[Grant]) -> str:
    shown = []
    for privilege, same in groupby(
        sorted(each, key=lambda grant: grant.privilege), lambda g: g.privilege
    ):
        names = {grant.column for grant in same}
        columns = ", ".join(quote_ident(name) for name in sorted(names - {""}))
        shown += [privilege] if "" in names else []
        shown += [f"{privilege} ({columns})"] if columns else []
    return ", ".join(shown)


def _targets(each: list[Grant]) -> str:
    if not each[0].target.startswith(_FUNCTION):
        return each[0].target
    return _FUNCTION + ", ".join(sorted({grant.target.removeprefix(_FUNCTION) for grant in each}))


def _role(name: str) -> str:
    return quote_ident(name) if name != PUBLIC else "PUBLIC"


def _with_defaults(grant: Grant, sql: str) -> str:
    return f"{grant.defaults} {sql}" if grant.defaults else sql


def _is_on_server(grant: Grant) -> bool:
    return grant.target.startswith(_ON_SERVER)
