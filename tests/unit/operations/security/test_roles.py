"""Plans of `db roles` from a given state; tests/integration/operations/security/test_roles.py has real servers."""

from __future__ import annotations

import re
from typing import Any

import attrs
import pytest

from tradebook import InvalidInput
from tradebook.adapters.orm import metadata
from tradebook.operations.security.privileges import DELETABLE, UPDATABLE
from tradebook.operations.security.role_state import (
    LOGINS_REMARK,
    Binding,
    Member,
    RoleSpec,
    RoleState,
    with_existing_logins,
)
from tradebook.operations.security.roles import plan
from tradebook.operations.security.row_security import live_bindings
from tradebook.operations.security.sql_steps import quote_ident, quote_literal

TABLES = metadata.tables
NOTHING = RoleState(
    database="book",
    schema="public",
    user="postgres",
    is_superuser=True,
    roles={"postgres": ["rolsuper"]},
    tables={},
    settings={"logging_collector": "off", "log_connections": "", "log_destination": "stderr"},
)


def sent(wanted: RoleSpec, **found: Any) -> list[str]:
    return [step.sql for step in plan(wanted, attrs.evolve(NOTHING, **found))]


def test_what_may_be_changed_or_removed_are_columns_and_tables_that_there_are() -> None:
    for table, columns in UPDATABLE.items():
        assert set(columns) <= set(TABLES[table].columns.keys())
    assert set(DELETABLE) <= set(TABLES)
    kept = {"trades", "events", "seals", "positions", "cash_flows", "portfolios", "accounts"}
    assert not kept & set(DELETABLE)


def test_a_server_that_logs_nothing_is_told_to_and_each_setting_alone() -> None:
    steps = plan(RoleSpec(log_access=True), NOTHING)
    system = [step for step in steps if step.sql.startswith("ALTER SYSTEM")]
    assert [step.sql for step in system] == [
        "ALTER SYSTEM SET logging_collector = 'on'",
        "ALTER SYSTEM SET log_connections = 'on'",
        "ALTER SYSTEM SET log_disconnections = 'on'",
        "ALTER SYSTEM SET log_timezone = 'UTC'",
        "ALTER SYSTEM SET log_destination = 'stderr, jsonlog'",
    ]
    assert all(step.autocommit and step.may_fail for step in system)
    assert steps[-1].sql == "SELECT pg_reload_conf()"


def test_a_server_that_logs_all_of_it_is_left_as_it_is() -> None:
    settings = {
        "logging_collector": "on",
        "log_connections": "all",
        "log_disconnections": "on",
        "log_timezone": "UTC",
        "log_destination": "jsonlog",
    }
    statements = sent(RoleSpec(log_access=True), settings=settings)
    assert not any("ALTER SYSTEM" in sql or "pg_reload_conf" in sql for sql in statements)


def test_pgaudit_is_set_up_where_it_is_loaded() -> None:
    loaded = {**NOTHING.settings, "shared_preload_libraries": "pg_stat_statements,pgaudit"}
    statements = sent(RoleSpec(log_access=True), settings=loaded)
    assert "CREATE EXTENSION IF NOT EXISTS pgaudit" in statements
    assert (
        "ALTER ROLE \"tradebook_writer\" SET pgaudit.log = 'read, write, ddl, role'" in statements
    )
    assert not any("pgaudit" in sql for sql in sent(RoleSpec(log_access=True)))


def test_the_log_of_writers_is_as_wished_and_that_of_others_whole() -> None:
    statements = sent(RoleSpec(log_access=True, log_writes="ddl"))
    assert "ALTER ROLE \"tradebook_writer\" SET log_statement = 'ddl'" in statements
    assert "ALTER ROLE \"tradebook_owner\" SET log_statement = 'all'" in statements
    with pytest.raises(InvalidInput, match="log_writes"):
        sent(RoleSpec(log_access=True, log_writes="some"))


def test_only_what_is_known_to_be_harmless_counts_as_a_login_that_was_there() -> None:
    found = attrs.evolve(
        NOTHING,
        roles={"postgres": ["rolsuper"], "bot": [], "chief": ["rolcreaterole"], "other": []},
        members=[
            Member("bot", "tradebook_writer"),
            Member("chief", "tradebook_owner"),
            Member("other", "pg_monitor"),
        ],
    )
    assert with_existing_logins(RoleSpec(), found).existing == {"bot": "writer"}
    asked = with_existing_logins(RoleSpec(logins={"bot": "reader"}), found)
    assert asked.further == {"bot": "reader"}
    assert 'REVOKE "tradebook_owner" FROM "chief" CASCADE' in sent(asked, **members_of(found))


def test_members_that_no_run_recorded_are_no_logins() -> None:
    recorded = {"tradebook_writer": LOGINS_REMARK + '["bot"]', "tradebook_owner": "not json"}
    members = [Member("bot", "tradebook_writer"), Member("other", "tradebook_writer")]
    found = attrs.evolve(NOTHING, roles={"bot": [], "other": []}, members=members, remarks=recorded)
    assert with_existing_logins(RoleSpec(), found).existing == {"bot": "writer"}
    damaged = {"tradebook_writer": LOGINS_REMARK + "not json"}
    adopted = with_existing_logins(RoleSpec(), attrs.evolve(found, remarks=damaged))
    assert adopted.existing == {"bot": "writer", "other": "writer"}


def test_a_member_of_two_kinds_must_be_declared() -> None:
    members = [Member("bot", "tradebook_writer"), Member("bot", "tradebook_owner")]
    found = attrs.evolve(NOTHING, roles={"bot": []}, members=members)
    with pytest.raises(InvalidInput, match="say --login bot=KIND"):
        with_existing_logins(RoleSpec(), found)
    asked = with_existing_logins(RoleSpec(logins={"bot": "writer"}), found)
    assert 'REVOKE "tradebook_owner" FROM "bot" CASCADE' in sent(asked, **members_of(found))


def members_of(found: RoleState) -> dict[str, Any]:
    return {"roles": found.roles, "members": found.members}


HERE, GONE, MOVED = (
    Binding("a", "A", 7, "here"),
    Binding("b", None, 8, "here"),
    Binding("a", "B", 3, "there"),
)


def test_bindings_of_roles_made_again_end_and_those_of_another_server_are_renewed() -> None:
    bound = {
        "bindings": [HERE, GONE, MOVED],
        "roles": {"a": [], "b": []},
        "role_ids": {"a": 7, "b": 9},
        "server": "here",
        "access_columns": {"role", "account", "role_oid", "server"},
    }
    statements = sent(RoleSpec(rls=True), **bound)
    access = "tradebook_security.account_access"
    assert f"DELETE FROM {access} WHERE role = 'b' AND account IS NULL" in statements
    renewed = (
        f"UPDATE {access} SET role_oid = 7, server = 'here' WHERE role = 'a' AND account = 'B'"
    )
    assert renewed in statements
    assert not any("account = 'A'" in sql for sql in statements)
    assert live_bindings(attrs.evolve(NOTHING, **bound)) == {"a": ["A", "B"]}


def test_a_table_of_bindings_of_an_earlier_version_keeps_them() -> None:
    old = {"access_columns": {"role", "account"}, "roles": {"a": []}, "role_ids": {"a": 7}}
    bindings = [Binding("a", "A", None, None), Binding("gone", "A", None, None)]
    statements = sent(RoleSpec(), bindings=bindings, **old)
    assert any(
        sql.startswith("ALTER TABLE tradebook_security.account_access ADD") for sql in statements
    )
    [deleted] = [sql for sql in statements if sql.startswith("DELETE")]
    assert "'gone'" in deleted


@pytest.mark.parametrize(
    ("pair", "added", "says"),
    [("a=B", [], "one of a=A, b=*"), ("a=A", [("a", "A")], "that --bind does not add")],
)
def test_only_bindings_that_there_are_can_be_taken_back(
    pair: str, added: list[tuple[str, str]], says: str
) -> None:
    role, _, account = pair.partition("=")
    spec = RoleSpec(rls=True, logins={"a": "writer"}, unbindings=[(role, account)], bindings=added)
    with pytest.raises(InvalidInput, match=re.escape(says)):
        sent(spec, bindings=[HERE, GONE], roles={"a": [], "b": []})


def test_without_a_schema_there_is_nowhere_to_look() -> None:
    with pytest.raises(InvalidInput, match="search_path"):
        sent(RoleSpec(), schema=None)


def test_names_and_texts_are_quoted_whatever_they_hold() -> None:
    assert quote_ident('a"; DROP ROLE x') == '"a""; DROP ROLE x"'
    assert quote_literal("it's \\ here") == "'it''s \\ here'"
    for nothing in ("", "a\x00b"):
        with pytest.raises(InvalidInput):
            quote_ident(nothing)
    statements = sent(RoleSpec(prefix='x"y', rls=True, bindings=[('x"y_writer', "O'Neil")]))
    assert 'CREATE ROLE "x""y_writer" NOLOGIN NOSUPERUSER' in "\n".join(statements)
    assert any("SELECT rolname, 'O''Neil'" in sql for sql in statements)
    assert any("""WHERE rolname = 'x"y_writer'""" in sql for sql in statements)
