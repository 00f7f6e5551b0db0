"""Bindings of roles to accounts: added, taken back, and lost with the role; and large objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import psycopg2
import pytest

from tests.support.command_line import Command
from tests.support.secured_servers import SecuredServer, execute
from tradebook import DatabaseConfig, DatabaseManager

PREFIX = ("db", "roles", "--prefix", "bound", "--yes")


@pytest.fixture(scope="module")
def admin(secured: SecuredServer, tmp_path_factory: pytest.TempPathFactory) -> DatabaseConfig:
    """Set up a book of two accounts, with a bot for the first; return the superuser's configuration."""
    config = secured.create("bound")
    folder: Path = tmp_path_factory.mktemp("secrets")
    for role in ("bound_bot", "bound_reader", "bound_auditor", "bound_backup"):
        (folder / role).write_text("word")
    command = Command(str(config.url))
    assert command("init").exit_code == 0
    for account in "AB":
        with DatabaseManager(config, account=account) as manager:
            manager.record_trade(symbol="A", action="BUY", quantity=1, price=1)
    options = ("--rls", "--login=bound_bot=writer", f"--passwords={folder}", "--bind=bound_bot=A")
    assert command.json(*PREFIX, *options)["bindings"] == {"bound_bot": ["A"]}
    return config


def as_role(admin: DatabaseConfig, role: str, **changes: Any) -> DatabaseConfig:
    return attrs.evolve(admin, username=role, password="word", pool_size=3, **changes)


def seen(admin: DatabaseConfig) -> list[str]:
    rows = execute(as_role(admin, "bound_bot"), "SELECT account FROM trades ORDER BY account")
    return [account for (account,) in rows]


def run(admin: DatabaseConfig, *options: str) -> dict[str, Any]:
    return Command(str(admin.url)).json(*PREFIX, *options)


def test_bind_adds_and_unbind_takes_back(admin: DatabaseConfig) -> None:
    assert run(admin, "--bind=bound_bot=B")["bindings"] == {"bound_bot": ["A", "B"]}
    assert seen(admin) == ["A", "B"]
    assert run(admin, "--unbind=bound_bot=A")["bindings"] == {"bound_bot": ["B"]}
    assert seen(admin) == ["B"]
    moved = run(admin, "--unbind=bound_bot=B", "--bind=bound_bot=*")
    assert (moved["bindings"], seen(admin)) == ({"bound_bot": ["*"]}, ["A", "B"])
    assert run(admin, "--unbind=bound_bot=*", "--bind=bound_bot=A")["unbound"] == ["bound_reader"]
    assert seen(admin) == ["A"]
    refused = Command(str(admin.url)).refused(*PREFIX, "--unbind=bound_bot=B")
    assert "expected one of bound_bot=A" in refused


def test_a_role_made_again_does_not_inherit_the_bindings(admin: DatabaseConfig) -> None:
    execute(admin, "DROP ROLE bound_bot")
    execute(admin, "CREATE ROLE bound_bot LOGIN PASSWORD 'word'; GRANT bound_writer TO bound_bot")
    assert seen(admin) == []
    command = Command(str(as_role(admin, "bound_auditor").url))
    found = command.json("doctor", "--quick", exit_code=1)["findings"]  # a server without fsync
    [told] = [each for each in found if each["check"] == "privileges"]
    assert told["what"].startswith("bound_bot was dropped since it was bound to A")
    again = run(admin)
    assert (again["bindings"], again["unbound"]) == ({}, ["bound_bot", "bound_reader"])
    assert run(admin, "--bind=bound_bot=A")["bindings"] == {"bound_bot": ["A"]}
    assert seen(admin) == ["A"]


def test_bindings_and_logins_of_an_earlier_version_are_kept(admin: DatabaseConfig) -> None:
    execute(
        admin,
        "DROP POLICY own_accounts ON tradebook_security.account_access; "
        "DROP POLICY every_account ON tradebook_security.account_access; "
        "ALTER TABLE tradebook_security.account_access DROP COLUMN role_oid, DROP COLUMN server; "
        "CREATE POLICY own_accounts ON tradebook_security.account_access FOR SELECT "
        "USING (role = session_user); "
        + "".join(
            f"COMMENT ON ROLE bound_{kind} IS NULL; "
            for kind in ("owner", "writer", "reader", "auditor", "backup")
        ),
    )
    assert seen(admin) == ["A"]
    again = run(admin)
    assert again["roles"]["bound_bot"] == "writer"
    assert again["bindings"] == {"bound_bot": ["A"]}
    assert seen(admin) == ["A"]
    assert run(admin)["steps"] == 0


def test_bindings_of_another_server_are_renewed(admin: DatabaseConfig) -> None:
    """A dump keeps names and oids of roles, but on another server the names have other oids."""
    execute(admin, "UPDATE tradebook_security.account_access SET role_oid = 1, server = 'another'")
    assert seen(admin) == []
    assert run(admin)["bindings"] == {"bound_bot": ["A"]}
    assert seen(admin) == ["A"]


LARGE_OBJECTS = {
    "make one": "SELECT lo_create(0)",
    "make one of bytes": "SELECT lo_from_bytea(0, 'x')",
    "make one by its mode": "SELECT lo_creat(-1)",
    "write one": "SELECT lowrite(lo_open(1, 131072), 'x')",
}


@pytest.mark.parametrize("what", LARGE_OBJECTS)
@pytest.mark.parametrize("role", ["bound_reader", "bound_auditor", "bound_bot", "bound_backup"])
def test_no_role_writes_large_objects(admin: DatabaseConfig, role: str, what: str) -> None:
    config = as_role(admin, role, parameters={"options": "-c default_transaction_read_only=off"})
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="function lo"):
        execute(config, LARGE_OBJECTS[what])


def test_large_objects_that_it_may_read_are_backed_up(
    admin: DatabaseConfig, tmp_path: Path
) -> None:
    [(id_,)] = execute(admin, "SELECT lo_from_bytea(0, 'kept')")
    execute(admin, f"GRANT SELECT ON LARGE OBJECT {id_} TO bound_backup")
    copying = Command(str(as_role(admin, "bound_backup").url))
    done = copying("backup", "--store", str(tmp_path / "store"))
    assert done.exit_code == 0, done.output


def test_the_auditor_seals_past_an_id_that_a_writer_made_up(admin: DatabaseConfig) -> None:
    forge = (
        "INSERT INTO events SELECT (jsonb_populate_record(e, '{\"id\": 4000000000000000000}')).* "
        "FROM events AS e ORDER BY id LIMIT 1"
    )
    execute(as_role(admin, "bound_bot"), forge)
    with (
        DatabaseManager(as_role(admin, "bound_bot"), account="A") as writer,
        DatabaseManager(as_role(admin, "bound_auditor"), account="A") as auditor,
    ):
        for _ in range(2):
            writer.raise_alert("honest", "INFO")
            assert auditor.seal().events > 0
            [found] = auditor.check_seals().findings
            assert (found.key, found.what) == ("4000000000000000000", "inserted")
