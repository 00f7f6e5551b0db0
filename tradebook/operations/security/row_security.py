"""Row-level security by account: a role reads and writes only the accounts that `account_access` binds it to.

The policies compare with `session_user`, the role that logged in. A setting such as `tradebook.account` could be
changed by any session with SET, and `current_user` by SET ROLE; neither changes `session_user`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Engine, text

from tradebook.adapters.errors import translated_errors
from tradebook.adapters.orm import metadata
from tradebook.operations.security.privileges import AUDITOR, OWNER, READER, WRITER
from tradebook.operations.security.role_state import ACCESS_TABLE, RoleSpec, RoleState
from tradebook.operations.security.sql_steps import Step, quote_literal

_OWN: Final = "own_accounts"
_ALL: Final = "every_account"
_SEALING: Final = "sealing"
# The subqueries depend on no column, so PostgreSQL evaluates them once for a statement and not for each row.
_OWN_ROWS: Final = (
    f"account = ANY (ARRAY(SELECT a.account FROM {ACCESS_TABLE} AS a "  # noqa: S608, a name of ours
    f"WHERE a.role = session_user)) OR EXISTS (SELECT FROM {ACCESS_TABLE} AS a "
    "WHERE a.role = session_user AND a.account IS NULL)"
)
_UNBOUND: Final = (
    "SELECT rolname FROM pg_roles WHERE rolcanlogin AND NOT rolsuper AND EXISTS ("  # noqa: S608, a name of ours
    "SELECT FROM unnest(CAST(:groups AS text[])) AS wide (role) "
    "JOIN pg_roles AS known ON known.rolname = wide.role "
    "WHERE pg_has_role(pg_roles.oid, known.oid, 'USAGE')) "
    f"AND rolname NOT IN (SELECT role FROM {ACCESS_TABLE}) ORDER BY rolname"
)


def steps(spec: RoleSpec, state: RoleState, *, enabled: bool) -> Iterator[Step]:
    """Yield the steps that bind roles to accounts, and enable or disable row-level security on each table."""
    if not state.has_access_table:
        yield Step(
            f"CREATE TABLE {ACCESS_TABLE} (role text NOT NULL, account text, "
            "UNIQUE NULLS NOT DISTINCT (role, account))",
            "binds roles to accounts; NULL stands for every account",
        )
        readers = spec.quoted(WRITER, READER, AUDITOR)
        yield Step(f"GRANT SELECT ON TABLE {ACCESS_TABLE} TO {readers}", "policies read it")
        own = "each role reads its own bindings"
        yield Step(f"ALTER TABLE {ACCESS_TABLE} ENABLE ROW LEVEL SECURITY", own)
        yield Step(
            f"CREATE POLICY {_OWN} ON {ACCESS_TABLE} FOR SELECT USING (role = session_user)", own
        )
    yield Step(
        f"ALTER TABLE {ACCESS_TABLE} OWNER TO {spec.quoted(OWNER)}",
        "only the owner changes bindings",
    )
    for role, account in spec.bindings:
        value = "NULL" if account == "*" else quote_literal(account)
        yield Step(
            f"INSERT INTO {ACCESS_TABLE} (role, account) VALUES ({quote_literal(role)}, {value}) "  # noqa: S608, quoted
            "ON CONFLICT DO NOTHING",
            f"bind {role} to {'every account' if value == 'NULL' else account}",
        )
    for table in metadata.sorted_tables:
        if table.name in state.tables:
            yield from (_enable if enabled else _disable)(table.name, spec, state)


def _enable(table: str, spec: RoleSpec, state: RoleState) -> Iterator[Step]:
    quoted, auditor = state.quoted_table(table), spec.quoted(AUDITOR)
    bound = spec.quoted(WRITER, READER)
    policies = {
        _OWN: f"TO {bound} USING ({_OWN_ROWS}) WITH CHECK ({_OWN_ROWS})",
        _ALL: f"FOR SELECT TO {auditor} USING (true)",
    }
    if table == "seals":
        policies[_SEALING] = f"FOR INSERT TO {auditor} WITH CHECK (true)"
    for policy, rule in policies.items():
        if (table, policy) not in state.policies:
            yield Step(f"CREATE POLICY {policy} ON {quoted} {rule}", f"{table}: visible rows")
    if table not in state.secured:
        yield Step(f"ALTER TABLE {quoted} ENABLE ROW LEVEL SECURITY", f"{table}: apply policies")


def _disable(table: str, _spec: RoleSpec, state: RoleState) -> Iterator[Step]:
    quoted, why = state.quoted_table(table), f"{table}: every row is visible"
    if table in state.secured:
        yield Step(f"ALTER TABLE {quoted} DISABLE ROW LEVEL SECURITY", why)
    for policy in (_OWN, _ALL, _SEALING):
        if (table, policy) in state.policies:
            yield Step(f"DROP POLICY {policy} ON {quoted}", why)


def unbound_roles(spec: RoleSpec, engine: Engine) -> list[str]:
    """List the roles that log in as writer or reader and are bound to no account, so that every row is hidden."""
    groups = {"groups": [spec.roles[WRITER], spec.roles[READER]]}
    with translated_errors(), engine.connect() as connection:
        return [str(role) for role in connection.execute(text(_UNBOUND), groups).scalars()]
