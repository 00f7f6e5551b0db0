"""What `tradebook db roles` makes is no difference from what should be there; whatever alters it is named."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen
from sqlalchemy import URL, Engine, text

from tests.support.command_line import Command
from tests.support.servers import configured, create_database
from tradebook import AsyncDatabaseManager, DatabaseManager, SchemaNotReady
from tradebook.adapters.engine.factory import make_engine
from tradebook.operations.schema_check import check_schema, find_drift
from tradebook.operations.security.privileges import forbidden_change

ROLES = ("db", "roles", "--prefix", "checked", "--yes")
REGROUPED = forbidden_change().replace("AND (", "AND ", 1)[:-1]
ALTERED = {
    "DROP TRIGGER {guard} ON trades; CREATE TRIGGER {guard} BEFORE UPDATE ON trades FOR EACH ROW "
    f"WHEN ({REGROUPED}) EXECUTE FUNCTION tradebook_security.keep_booked()": "trades: trigger {guard}: definition is ",
    "ALTER TABLE trades DISABLE TRIGGER {guard}": "trades: trigger {guard}: state is disabled, expected enabled",
    "CREATE OR REPLACE FUNCTION tradebook_security.keep_booked() RETURNS trigger LANGUAGE plpgsql "
    "SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NEW; END'": "database: function "
    "tradebook_security.keep_booked(): definition is BEGIN RETURN NEW; END, expected  BEGIN RAISE",
    "CREATE FUNCTION tradebook_security.more() RETURNS int LANGUAGE sql AS 'SELECT 1'": "database: function "
    "tradebook_security.more() is unexpected",
    "ALTER POLICY own_accounts ON events USING (account = 'A')": "events: policy own_accounts: using is (account = 'A'",
    "ALTER POLICY every_account ON events TO PUBLIC": "events: policy every_account: roles is public, "
    "expected checked_auditor",
    "CREATE POLICY hide ON positions AS RESTRICTIVE USING (symbol <> 'X')": "positions: policy hide is unexpected",
    "DROP POLICY sealing ON seals": "seals: policy sealing is missing",
    "ALTER TABLE alerts DISABLE ROW LEVEL SECURITY": "alerts: table alerts: row security is none, expected on",
    "ALTER TABLE signals FORCE ROW LEVEL SECURITY": "signals: table signals: row security of its owner is on, "
    "expected none",
    "ALTER TABLE tradebook_security.account_access DISABLE ROW LEVEL SECURITY": "account_access: table account_access: "
    "row security is none, expected on",
    "CREATE RULE hide AS ON INSERT TO tradebook_security.account_access DO INSTEAD NOTHING": "account_access: rule "
    "hide is unexpected",
}


@frozen
class Guarded:
    """A book with the roles of `db roles`, and row-level security."""

    url: URL
    engine: Engine
    guard: str


@pytest.fixture(scope="module")
def guarded(postgresql: URL, migrated_database: str) -> Iterator[Guarded]:
    url = create_database(postgresql, "checked", migrated_database)
    engine = make_engine(configured(url))
    command = Command(url.render_as_string(hide_password=False))
    assert command(*ROLES, "--login=checked_bot=writer").exit_code == 0
    assert check_schema(engine) == ()
    assert command(*ROLES, "--rls", "--bind=checked_bot=A", "--log-access").exit_code == 0
    with engine.connect() as connection:
        query = "SELECT tgname FROM pg_trigger WHERE tgname LIKE 'keep_booked%'"
        guard = connection.scalar(text(query))
    yield Guarded(url, engine, str(guard))
    engine.dispose()


async def on_asyncio(url: str | URL) -> tuple[object, ...]:
    async with AsyncDatabaseManager(url) as book:
        return await book.check_schema()


def test_what_the_command_makes_is_no_difference(guarded: Guarded) -> None:
    assert check_schema(guarded.engine) == ()


def test_the_auditor_may_compare(guarded: Guarded) -> None:
    with guarded.engine.begin() as connection:
        connection.execute(text("ALTER ROLE checked_auditor LOGIN"))
    auditor = guarded.url.set(username="checked_auditor")
    with DatabaseManager(auditor) as book:
        assert book.check_schema() == asyncio.run(on_asyncio(auditor)) == ()


@pytest.mark.parametrize("step", [0, 1])
def test_what_alters_the_guards_is_named(guarded: Guarded, step: int) -> None:
    altered = [*ALTERED.items()][step::2]
    with guarded.engine.connect() as connection:
        for statements, _ in altered:
            connection.execute(text(statements.format(guard=guarded.guard)))
        found = [f"{each}" for each in find_drift(connection)]
        fixes = {each.fix for each in find_drift(connection)}
    expected = [line.format(guard=guarded.guard) for _, line in altered]
    assert [line for line in expected if not any(each.startswith(line) for each in found)] == []
    assert len(found) == len(expected), found
    assert "`tradebook db roles` makes it again" in fixes


def test_a_guard_is_missed_though_the_owner_was_changed(guarded: Guarded) -> None:
    with guarded.engine.connect() as connection:
        connection.execute(
            text(
                "ALTER TABLE trades OWNER TO CURRENT_USER; ALTER ROLE checked_owner RENAME TO other"
            )
        )
        connection.execute(text(f"DROP TRIGGER {guarded.guard} ON trades"))
        found = map(str, find_drift(connection))
        assert f"trades: trigger {guarded.guard} is missing" in found


def altered_file(url: str) -> None:
    with sqlite3.connect(Path(url.removeprefix("sqlite:///"))) as file:
        file.execute("CREATE TRIGGER hide BEFORE INSERT ON trades BEGIN SELECT RAISE(IGNORE); END")
    file.close()


def test_verify_compares_the_schema_where_it_is_asked_to(sqlite_book: str) -> None:
    command = Command(sqlite_book)
    assert command.json("verify", "--schema")["schema"] == {"sound": True, "differences": []}
    assert (
        "every table is as it should be\nthe book is proven" in command("verify", "--schema").stdout
    )
    altered_file(sqlite_book)
    assert "schema" not in command.json("verify")
    document = command.json("verify", "--schema", exit_code=1)
    [difference] = document["schema"]["differences"]
    assert document["proven"] is True
    assert document["schema"]["sound"] is False
    assert difference == {
        "table": "trades",
        "kind": "trigger",
        "name": "hide",
        "about": "",
        "found": "CREATE TRIGGER hide BEFORE INSERT ON trades BEGIN SELECT RAISE(IGNORE); END",
        "expected": None,
        "fix": "find out who made it, and take it back",
    }
    assert command("verify", "--schema").exit_code == 1
    assert "trigger hide is unexpected (find out who" in command("db", "check").stdout
    findings = command.json("doctor", "--quick", exit_code=1)["findings"]
    [named] = [each for each in findings if each["check"] == "tables"]
    assert (named["level"], named["what"]) == ("red", "trades: trigger hide is unexpected")


def test_managers_compare_it_too(sqlite_book: str) -> None:
    altered_file(sqlite_book)
    with DatabaseManager(sqlite_book) as book:
        [difference] = book.check_schema()
    assert asyncio.run(on_asyncio(sqlite_book)) == (difference,)


def test_a_database_without_a_book_is_refused(sqlite_url: str) -> None:
    with DatabaseManager(sqlite_url) as book, pytest.raises(SchemaNotReady, match="db upgrade"):
        book.check_schema()
