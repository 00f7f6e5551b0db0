"""Row-level security by account: which role sees which account, said by a table that no session can change.

A setting of the session would not do: whoever can send SQL can set it. Policies ask `session_user`, who
logged in, which neither SET nor SET ROLE changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tradebook.adapters.orm import metadata
from tradebook.operations.security.privileges import AUDITOR, OWNER, READER, WRITER
from tradebook.operations.security.role_state import Found
from tradebook.operations.security.sql_steps import Step, literal, name

EVERY_ACCOUNT: Final = "*"
_TABLE: Final = "account_access"
_OWN: Final = "own_accounts"
_ALL: Final = "every_account"
_SEALING: Final = "sealing"

UNBOUND: Final = (
    "SELECT rolname FROM pg_roles WHERE rolcanlogin AND NOT rolsuper AND EXISTS ("
    "SELECT FROM unnest(CAST(:groups AS text[])) AS wide (role) "
    "JOIN pg_roles AS known ON known.rolname = wide.role "
    "WHERE pg_has_role(pg_roles.oid, known.oid, 'USAGE')) "
    "AND rolname NOT IN (SELECT role FROM {schema}.account_access) ORDER BY rolname"
)


def steps(
    on: bool,
    bindings: Sequence[tuple[str, str]],
    roles: Mapping[str, str],
    found: Found,
    schema: str,
) -> Iterator[Step]:
    """Who sees what; then each table's policies, where row security is wanted."""
    if not found.has_access:
        yield from _access(roles, schema)
    owned = f"ALTER TABLE {name(schema)}.{_TABLE} OWNER TO {name(roles[OWNER])}"
    yield Step(owned, "the owner says who sees what")
    for role, account in bindings:
        bound = "NULL" if account == EVERY_ACCOUNT else literal(account)
        yield Step(
            f"INSERT INTO {name(schema)}.{_TABLE} (role, account) VALUES ({literal(role)}, {bound}) "  # noqa: S608, quoted
            "ON CONFLICT DO NOTHING",
            f"{role} sees {'every account' if bound == 'NULL' else account}",
        )
    for table in metadata.sorted_tables:
        if table.name in found.tables:
            yield from (_secured if on else _open)(table.name, roles, found, schema)


def _access(roles: Mapping[str, str], schema: str) -> Iterator[Step]:
    place = f"{name(schema)}.{_TABLE}"
    yield Step(
        f"CREATE TABLE {place} (role text NOT NULL, account text, "
        "UNIQUE NULLS NOT DISTINCT (role, account))",
        "which role sees which account; NULL is every one",
    )
    readers = ", ".join(name(roles[kind]) for kind in (WRITER, READER, AUDITOR))
    yield Step(f"GRANT SELECT ON TABLE {place} TO {readers}", "policies look there")
    yield Step(f"ALTER TABLE {place} ENABLE ROW LEVEL SECURITY", "everybody sees their own")
    yield Step(
        f"CREATE POLICY {_OWN} ON {place} FOR SELECT USING (role = session_user)",
        "everybody sees their own",
    )


def _secured(table: str, roles: Mapping[str, str], found: Found, schema: str) -> Iterator[Step]:
    place, access = f"{name(found.schema)}.{name(table)}", f"{name(schema)}.{_TABLE}"
    writer, reader, auditor = (name(roles[kind]) for kind in (WRITER, READER, AUDITOR))
    # Uncorrelated: the server looks once for a statement, not for each row.
    own = (
        f"account = ANY (ARRAY(SELECT a.account FROM {access} AS a WHERE a.role = session_user)) "  # noqa: S608, quoted
        f"OR EXISTS (SELECT FROM {access} AS a WHERE a.role = session_user AND a.account IS NULL)"
    )
    policies = {
        _OWN: f"TO {writer}, {reader} USING ({own}) WITH CHECK ({own})",
        _ALL: f"FOR SELECT TO {auditor} USING (true)",
    }
    if table == "seals":
        policies[_SEALING] = f"FOR INSERT TO {auditor} WITH CHECK (true)"
    for policy, rule in policies.items():
        if (table, policy) not in found.policies:
            yield Step(f"CREATE POLICY {policy} ON {place} {rule}", f"{table}: whose rows")
    if table not in found.secured:
        yield Step(f"ALTER TABLE {place} ENABLE ROW LEVEL SECURITY", f"{table}: from now on")


def _open(table: str, _roles: object, found: Found, _schema: object) -> Iterator[Step]:
    place = f"{name(found.schema)}.{name(table)}"
    if table in found.secured:
        yield Step(f"ALTER TABLE {place} DISABLE ROW LEVEL SECURITY", f"{table}: all see all")
    for policy in (_OWN, _ALL, _SEALING):
        if (table, policy) in found.policies:
            yield Step(f"DROP POLICY {policy} ON {place}", f"{table}: all see all")
