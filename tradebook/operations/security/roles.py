"""Least-privilege roles on PostgreSQL: owner, writer, reader, auditor and backup, made and granted again and again.

The plan says every statement before one is sent. Done twice, it does nothing new; what somebody granted to
these roles besides is taken back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from zlib import crc32

from attrs import evolve, field, frozen
from sqlalchemy import Connection, Engine, text

from tradebook.adapters.errors import translated_errors
from tradebook.adapters.orm import metadata
from tradebook.config import Secret
from tradebook.domain.errors import InvalidInput
from tradebook.operations.security import access_logging, row_security
from tradebook.operations.security.privileges import (
    AUDITOR,
    BACKUP,
    COPIES,
    COPYING,
    KINDS,
    OWNER,
    READER,
    VERSIONS,
    WRITER,
    forbidden_change,
    grants,
)
from tradebook.operations.security.role_state import Found
from tradebook.operations.security.sql_steps import Step, name

SCHEMA: Final = "tradebook_security"
"""Holds what is not the book's own: who sees which account, and what reads the server's log."""

_UNSAFE: Final = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls")
_GUARD: Final = "keep_booked"
_TRIGGER: Final = f"{_GUARD}_{crc32(forbidden_change().encode()):08x}"
"""Named after what it refuses: another version's is replaced."""


@frozen
class Wanted:
    """What shall be.

    Attributes:
        prefix: of the five roles: PREFIX_owner, PREFIX_writer, PREFIX_reader, PREFIX_auditor, PREFIX_backup.
        logins: further roles that can log in, each with the kind of role that it is a member of; one
            of the five itself, with its own kind, can log in without a password (by a certificate).
        passwords: of roles; each of them can log in.
        rls: whether every role sees the accounts that it is bound to only; None leaves it as it is.
        bindings: (role, account) that it may see and write; `*` is every account.
        log_access: let the server log connections, and the statements of these roles.
        log_writes: which statements of writers: none, ddl, mod or all.
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
        """The name of the role of each kind."""
        return {kind: f"{self.prefix}_{kind}" for kind in KINDS}

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of each role, logins too."""
        return {role: kind for kind, role in self.roles.items()} | dict(self.logins)


def find(engine: Engine) -> Found:
    """Ask the database what there is.

    Raises:
        InvalidInput: it is no PostgreSQL: a file knows no roles.
    """
    if engine.dialect.name != "postgresql":
        raise InvalidInput(
            "database", engine.url.database, "a PostgreSQL database: a file has no roles"
        )
    with translated_errors(), engine.connect() as connection:
        return _found(connection)


def _found(connection: Connection) -> Found:
    def rows(statement: str) -> list[tuple[str, ...]]:
        return [tuple(row) for row in connection.execute(text(statement))]

    [(database, schema, user, is_superuser)] = rows(
        "SELECT current_database(), current_schema(), current_user, rolsuper "
        "FROM pg_roles WHERE rolname = current_user"
    )
    unsafe = ", ".join(_UNSAFE)
    tables = rows(
        "SELECT relname, pg_get_userbyid(relowner), relrowsecurity::text FROM pg_class "
        "WHERE relkind IN ('r', 'p') AND relnamespace = to_regnamespace(quote_ident(current_schema()))"
    )
    ours = {*metadata.tables, VERSIONS}
    return Found(
        database=database,
        schema=schema,
        user=user,
        is_superuser=bool(is_superuser),
        roles={
            role: [n for n, has in zip(_UNSAFE, attributes, strict=True) if has]
            for role, *attributes in rows(f"SELECT rolname, {unsafe} FROM pg_roles")  # noqa: S608, names of ours
        },
        tables={table: owner for table, owner, _ in tables if table in ours},
        secured=frozenset(t for t, _, secured in tables if t in ours and secured == "true"),
        policies=frozenset(
            (table, policy)
            for table, policy in rows(
                "SELECT tablename, policyname FROM pg_policies WHERE schemaname = current_schema()"
            )
        ),
        members=[
            (role, group)
            for role, group in rows(
                "SELECT pg_get_userbyid(member), pg_get_userbyid(roleid) FROM pg_auth_members "
                "WHERE member NOT IN (SELECT oid FROM pg_roles WHERE rolname = current_user)"
            )
        ],
        triggers=frozenset(
            str(row[0])
            for row in rows(f"SELECT tgname FROM pg_trigger WHERE starts_with(tgname, '{_GUARD}')")  # noqa: S608, a name of ours
        ),
        has_access=bool(rows(f"SELECT 1 WHERE to_regclass('{SCHEMA}.account_access') IS NOT NULL")),
        settings=dict(rows("SELECT name, setting FROM pg_settings")),  # type: ignore[arg-type]
    )


def completed(wanted: Wanted, found: Found) -> Wanted:
    """With the logins that there are already: members of the five roles that have no power besides."""
    kinds = {role: kind for kind, role in wanted.roles.items()}
    there = {
        role: kinds[group]
        for role, group in found.members
        if group in kinds and role not in kinds and not _powers(role, kinds[group], found)
    }
    return evolve(wanted, logins=there | dict(wanted.logins))


def _powers(role: str, kind: str, found: Found) -> list[str]:
    """What a role may besides what its kind is for."""
    needed = COPYING if kind == BACKUP else ()
    return [power for power in found.roles.get(role, ()) if power not in needed]


def plan(wanted: Wanted, found: Found) -> list[Step]:
    """The statements that make what is wanted of what was found.

    Raises:
        InvalidInput: a role is unknown, or is one that may do anything already.
    """
    rls = bool(found.secured) if wanted.rls is None else wanted.rls
    _check(wanted, found, rls=rls)
    return [
        *_roles(wanted, found),
        *_places(wanted, found),
        *_ownership(wanted, found),
        *_privileges(wanted, found),
        *_later_tables(wanted, found, is_open=not rls),
        *_booked_trades(found),
        *row_security.steps(rls, wanted.bindings, wanted.roles, found, SCHEMA),
        *_settings(wanted),
        *(
            access_logging.steps(
                wanted.kinds, wanted.log_writes, found, SCHEMA, wanted.roles[AUDITOR]
            )
            if wanted.log_access
            else ()
        ),
    ]


def _check(wanted: Wanted, found: Found, *, rls: bool) -> None:
    if found.schema is None:
        raise InvalidInput("schema", None, "a schema on the search_path, such as public")
    if wanted.log_writes not in access_logging.LEVELS:
        raise InvalidInput(
            "log_writes", wanted.log_writes, "one of " + ", ".join(access_logging.LEVELS)
        )
    if wanted.bindings and not rls:
        raise InvalidInput("bind", wanted.bindings[0][0], "nothing without row security (--rls)")
    _check_logins(wanted)
    for role in (*wanted.passwords, *(role for role, _ in wanted.bindings)):
        if role not in wanted.kinds:
            raise InvalidInput("role", role, "one of " + ", ".join(wanted.kinds))
    for role, kind in wanted.kinds.items():
        powers = ", ".join(_powers(role, kind, found))
        if powers:
            raise InvalidInput(
                "role", role, f"a role without {powers}: it would pass by everything"
            )


def _check_logins(wanted: Wanted) -> None:
    for role, kind in wanted.logins.items():
        if kind not in KINDS:
            raise InvalidInput(f"login {role}", kind, "one of " + ", ".join(KINDS))
        if wanted.roles[kind] != role and role in wanted.roles.values():
            raise InvalidInput(
                f"login {role}", kind, f"its own kind: it is one of {wanted.prefix}'s"
            )


def _roles(wanted: Wanted, found: Found) -> Iterator[Step]:
    for role, kind in wanted.kinds.items():
        if role not in found.roles:
            yield Step(
                f"CREATE ROLE {name(role)} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE "
                "NOREPLICATION NOBYPASSRLS",
                f"the role {role}",
            )
        if role in wanted.passwords:
            yield Step(
                f"ALTER ROLE {name(role)} LOGIN PASSWORD {{verifier}}",
                f"the password of {role}",
                role=role,
                password=wanted.passwords[role],
            )
        elif role in wanted.logins:
            yield Step(f"ALTER ROLE {name(role)} LOGIN", f"{role} can log in")
        if role not in wanted.roles.values():
            group = name(wanted.roles[kind])
            yield Step(f"GRANT {group} TO {name(role)}", f"{role} is a {kind}")
    if not found.is_superuser:
        owner = name(wanted.roles[OWNER])
        yield Step(f"GRANT {owner} TO CURRENT_USER", "to hand the tables over")


def _places(wanted: Wanted, found: Found) -> Iterator[Step]:
    """The database and the schemas."""
    database, schema, held = name(found.database), name(found.schema), name(SCHEMA)
    roles = wanted.roles
    everybody = ", ".join(name(role) for role in roles.values())
    yield Step(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC", "nobody else connects")
    yield Step(f"GRANT CONNECT ON DATABASE {database} TO {everybody}", "these do")
    writer = name(roles[WRITER])
    yield Step(
        f"GRANT TEMPORARY ON DATABASE {database} TO {writer}", "imports under row security need it"
    )
    yield Step(f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC", "nobody else makes tables")
    yield Step(f"GRANT USAGE ON SCHEMA {schema} TO {everybody}", "all see the tables")
    owner = name(roles[OWNER])
    yield Step(f"GRANT CREATE ON SCHEMA {schema} TO {owner}", "the owner migrates")
    yield Step(
        f"CREATE SCHEMA IF NOT EXISTS {held} AUTHORIZATION {owner}", "a place beside the book"
    )
    yield Step(f"ALTER SCHEMA {held} OWNER TO {owner}", "after a restore it is another's")
    yield Step(f"GRANT USAGE ON SCHEMA {held} TO {everybody}", "policies look there")


def _ownership(wanted: Wanted, found: Found) -> Iterator[Step]:
    """An owner may do anything with a table: nobody who trades owns one."""
    owner = wanted.roles[OWNER]
    for table, current in sorted(found.tables.items()):
        if current != owner:
            yield Step(
                f"ALTER TABLE {_in(found, table)} OWNER TO {name(owner)}",
                f"{table} was {current}'s",
            )


def _privileges(wanted: Wanted, found: Found) -> Iterator[Step]:
    """Everything is taken back first: what is not said here is not granted."""
    others = [wanted.roles[kind] for kind in (WRITER, READER, AUDITOR, BACKUP)]
    to_others = ", ".join(["PUBLIC", *map(name, others)])
    for table in sorted(found.tables):
        place = _in(found, table)
        yield Step(f"REVOKE ALL ON TABLE {place} FROM {to_others}", f"{table}: nothing, but")
        for privileges, role in grants(table, wanted.roles):
            yield Step(
                f"GRANT {privileges} ON TABLE {place} TO {name(role)}",
                f"{table}: {privileges.partition(' ')[0]} for {role}",
            )
        if table not in (VERSIONS, "decision_signals"):
            users = [wanted.roles[WRITER], *([wanted.roles[AUDITOR]] if table == "seals" else [])]
            ids = name(f"{table}_id_seq")
            yield Step(
                f"GRANT USAGE ON SEQUENCE {name(found.schema)}.{ids} TO "
                + ", ".join(map(name, users)),
                f"{table}: ids",
            )


def _later_tables(wanted: Wanted, found: Found, *, is_open: bool) -> Iterator[Step]:
    """Tables that a migration makes can be used at once; under row security only after the next plan."""
    roles = wanted.roles
    everybody = ", ".join(name(roles[kind]) for kind in (WRITER, READER, AUDITOR))
    writer = name(roles[WRITER])
    verb, to = ("GRANT", "TO") if is_open else ("REVOKE", "FROM")
    later = f"ALTER DEFAULT PRIVILEGES FOR ROLE {name(roles[OWNER])} IN SCHEMA {name(found.schema)} {verb}"
    why = "tables of later migrations" if is_open else "closed until their accounts are told apart"
    yield Step(f"{later} SELECT ON TABLES {to} {everybody}", why)
    yield Step(f"{later} INSERT ON TABLES {to} {writer}", why)
    yield Step(f"{later} USAGE ON SEQUENCES {to} {writer}", why)


def _booked_trades(found: Found) -> Iterator[Step]:
    """Column grants cannot tell an order that waits from a trade that is booked."""
    if "trades" not in found.tables or _TRIGGER in found.triggers:
        return
    function, trades = f"{name(SCHEMA)}.{name(_GUARD)}", _in(found, "trades")
    yield Step(
        f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql "
        "SET search_path = pg_catalog, pg_temp AS $$ BEGIN RAISE EXCEPTION "
        "'trade % is %: what was booked does not change', OLD.id, OLD.status "
        "USING ERRCODE = 'insufficient_privilege'; END $$",
        "what refuses to change a booked trade",
    )
    for other in sorted(found.triggers):
        yield Step(f"DROP TRIGGER IF EXISTS {name(other)} ON {trades}", "another version's")
    yield Step(
        f"CREATE TRIGGER {name(_TRIGGER)} BEFORE UPDATE ON {trades} FOR EACH ROW "
        f"WHEN ({forbidden_change()}) EXECUTE FUNCTION {function}()",
        "asked whenever a trade changes",
    )


def _settings(wanted: Wanted) -> Iterator[Step]:
    auditor = name(wanted.roles[AUDITOR])
    yield Step(
        f"GRANT pg_read_all_stats TO {auditor}",
        "who seals must see what others are writing",
        may_fail=True,
    )
    yield from _copying(wanted)
    for role, kind in wanted.kinds.items():
        if kind in (READER, BACKUP):
            yield Step(
                f"ALTER ROLE {name(role)} SET default_transaction_read_only = on",
                f"{role} only reads",
            )


def _copying(wanted: Wanted) -> Iterator[Step]:
    """Only a superuser may give these; a member of a role does not get its attributes."""
    for grant, why in COPIES.items():
        yield Step(f"GRANT {grant} TO {name(wanted.roles[BACKUP])}", why, may_fail=True)
    for role, kind in wanted.kinds.items():
        if kind == BACKUP:
            yield Step(
                f"ALTER ROLE {name(role)} REPLICATION BYPASSRLS",
                f"{role} copies the server, and dumps every account",
                may_fail=True,
            )


def _in(found: Found, table: str) -> str:
    return f"{name(found.schema)}.{name(table)}"


def unbound(wanted: Wanted, engine: Engine) -> list[str]:
    """The roles that can log in and write or read, but see no account: under row security only."""
    with translated_errors(), engine.connect() as connection:
        found = connection.execute(
            text(row_security.UNBOUND.format(schema=name(SCHEMA))),
            {"groups": [wanted.roles[WRITER], wanted.roles[READER]]},
        )
        return [str(role) for role in found.scalars()]
