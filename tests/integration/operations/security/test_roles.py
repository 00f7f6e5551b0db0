"""Least-privilege roles on a real server: each forbidden statement is sent as the role, without the book."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import psycopg2
import pytest
from attrs import evolve
from sqlalchemy import text

from reliability.calls import BEGIN
from tests.support.command_line import Command
from tests.support.secured_servers import SecuredServer, execute
from tests.support.toured_books import take_tour
from tradebook import (
    AsyncDatabaseManager,
    DatabaseConfig,
    DatabaseManager,
    DatabaseReadOnly,
    NotPermitted,
    SealCheck,
)
from tradebook.operations.backup import Store
from tradebook.operations.security import sql_steps

SECRETS = {
    "writer": "w'r\\ite%r",
    "reader": "read:er",
    "auditor": "audit@r",
    "owner": "own er",
    "backup": "copy",
}


@pytest.fixture(scope="module")
def passwords(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a folder of password files, like mounted secrets."""
    folder = tmp_path_factory.mktemp("secrets")
    for kind, secret in SECRETS.items():
        (folder / f"book_{kind}").write_text(secret + "\n")
    (folder / "of_somebody_else").write_text("other")
    return folder


@pytest.fixture(scope="module")
def admin(secured: SecuredServer, passwords: Path) -> DatabaseConfig:
    """Set up a book with its roles; return the superuser's configuration."""
    config = secured.create("granted")
    command = Command(str(config.url))
    assert command("init").exit_code == 0
    done = command("db", "roles", "--prefix", "book", "--passwords", str(passwords), "--yes")
    assert done.exit_code == 0, done.output
    return config


def as_role(admin: DatabaseConfig, kind: str, **changes: Any) -> DatabaseConfig:
    role = {"username": f"book_{kind}", "password": SECRETS[kind], "pool_size": 3}
    return attrs.evolve(admin, **{**role, **changes})


@pytest.fixture(scope="module")
def writer(admin: DatabaseConfig) -> DatabaseConfig:
    return as_role(admin, "writer")


@pytest.fixture(scope="module")
def toured(writer: DatabaseConfig) -> Iterator[DatabaseManager]:
    """Call every handler as the writer, and check that none is refused."""
    with DatabaseManager(writer, account="toured") as manager:
        take_tour(manager)
        yield manager


def test_the_writer_can_do_everything_that_the_book_does(toured: DatabaseManager) -> None:
    toured.record_trade(symbol="AAPL", action="BUY", quantity=1, price=2, order_id="at-once")
    assert (
        toured.import_trades(
            [
                {
                    "symbol": "I",
                    "action": "BUY",
                    "quantity": 1,
                    "price": n + 1,
                    "order_id": f"i-{n}",
                }
                for n in range(20)
            ]
        ).booked
        == 20
    )
    assert toured.seal().events > 20
    assert toured.check_seals().sound
    assert toured.rebuild() is not None
    assert toured.verify().proven
    assert toured.get_latest_portfolio() is not None
    with toured.get_session() as session:
        from tradebook import Alert

        session.add(Alert(alert_type="by hand", severity="INFO", timestamp=BEGIN))


def test_the_writer_can_do_so_in_asyncio_too(writer: DatabaseConfig) -> None:
    async def book() -> bool:
        async with AsyncDatabaseManager(writer, account="asynchronous") as manager:
            for n in range(3):
                await manager.record_trade(
                    symbol="A", action="BUY", quantity=1, price=2, order_id=f"o-{n}"
                )
            await manager.import_trades(
                [{"symbol": "A", "action": "SELL", "quantity": 1, "price": 3, "order_id": "i-1"}]
            )
            await manager.bust_trade(order_id="o-0", reason="wrong")
            await manager.record_cash_flow("DEPOSIT", 1, reference="wire-1")
            await manager.bust_cash_flow("wire-1", reason="wrong")
            await manager.seal()
            return (await manager.verify()).proven

    assert asyncio.run(book())


FORBIDDEN = {
    "alter the schema": "ALTER TABLE trades ADD COLUMN x int",
    "drop a table": "DROP TABLE alerts",
    "make a table": "CREATE TABLE mine (x int)",
    "drop an index": "DROP INDEX ix_trades_pending",
    "empty a table": "TRUNCATE alerts",
    "take off the guard": "ALTER TABLE trades DISABLE TRIGGER USER",
    "drop the guard": "DROP FUNCTION tradebook_security.keep_booked() CASCADE",
    "delete a trade": "DELETE FROM trades",
    "delete an event": "DELETE FROM events",
    "change an event": "UPDATE events SET actor = 'x'",
    "change a seal": "UPDATE seals SET seal_hash = 'x'",
    "delete a seal": "DELETE FROM seals",
    "delete a cash flow": "DELETE FROM cash_flows",
    "change a cash flow": "UPDATE cash_flows SET amount = 1",
    "change a snapshot": "UPDATE portfolios SET total_value = 1",
    "delete a position": "DELETE FROM positions",
    "change the symbol of a trade": "UPDATE trades SET symbol = 'x'",
    "change the account of a trade": "UPDATE trades SET account = 'x'",
    "change the order of a trade": "UPDATE trades SET order_id = 'x'",
    "change the revision": "UPDATE trades SET revision = 5",
    "change the price of a booked trade": "UPDATE trades SET price = price + 1 WHERE status = 'EXECUTED'",
    "change its quantity": "UPDATE trades SET quantity = 1000 WHERE status = 'EXECUTED'",
    "change its time": "UPDATE trades SET executed_at = now() WHERE status = 'EXECUTED'",
    "change its details": "UPDATE trades SET details = '{\"a\": 1}' WHERE status = 'EXECUTED'",
    "change when it was booked": "UPDATE trades SET booked_at = now() WHERE status = 'EXECUTED'",
    "make it an order again": "UPDATE trades SET status = 'PENDING', sequence = NULL, booked_at = NULL "
    "WHERE status = 'EXECUTED'",
    "take back a bust": "UPDATE trades SET status = 'EXECUTED', bust_sequence = NULL WHERE status = 'BUSTED'",
    "change who busted it": "UPDATE trades SET busted_by = 'nobody' WHERE status = 'BUSTED'",
    "fill a cancelled order": "UPDATE trades SET price = 5 WHERE status = 'CANCELLED'",
    "open a cancelled order again": "UPDATE trades SET status = 'PENDING' WHERE status = 'CANCELLED'",
    "change the version of the schema": "UPDATE alembic_version SET version_num = '0001'",
    "forge a version of the schema": "INSERT INTO alembic_version VALUES ('0009')",
    "take a role": "SET ROLE book_owner",
    "make a role": "CREATE ROLE somebody",
    "read the passwords": "SELECT rolpassword FROM pg_authid",
    "read a file of the server": "SELECT pg_read_file('postgresql.conf')",
    "run a program": "COPY (SELECT 1) TO PROGRAM 'true'",
    "see another account's access": "INSERT INTO tradebook_security.account_access VALUES ('a', 'b')",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_writer_cannot(toured: DatabaseManager, writer: DatabaseConfig, what: str) -> None:
    before = execute(writer, "SELECT * FROM trades ORDER BY id")
    statuses = {row[0] for row in execute(writer, "SELECT DISTINCT status FROM trades")}
    assert statuses >= {"EXECUTED", "BUSTED", "CANCELLED"}
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        execute(writer, FORBIDDEN[what])
    assert execute(writer, "SELECT * FROM trades ORDER BY id") == before


def test_a_refusal_is_an_error_of_the_book_that_says_what_to_do(writer: DatabaseConfig) -> None:
    with DatabaseManager(writer) as manager, pytest.raises(NotPermitted, match="db roles"):  # noqa: SIM117
        with manager.unit_of_work() as uow:
            uow.session.execute(text("DELETE FROM trades"))


def test_the_reader_reads_and_nothing_else(toured: DatabaseManager, admin: DatabaseConfig) -> None:
    reader = as_role(admin, "reader")
    with DatabaseManager(reader, account="toured") as manager:
        assert manager.get_positions()
        assert manager.verify().proven
        assert manager.get_events()
        with pytest.raises(DatabaseReadOnly):
            manager.record_trade(symbol="A", action="BUY", quantity=1, price=1)
    bold = as_role(admin, "reader", parameters={"options": "-c default_transaction_read_only=off"})
    writes = ["INSERT INTO accounts SELECT * FROM accounts", "UPDATE alerts SET message = 'x'"]
    for statement in (*writes, "DELETE FROM alerts"):
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            execute(reader, statement)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            execute(bold, statement)  # grants do not depend on the session's settings


@pytest.mark.parametrize("kind", ["reader", "auditor", "writer"])
def test_nothing_that_roles_set_is_mended(
    toured: DatabaseManager, admin: DatabaseConfig, kind: str
) -> None:
    seen = Command(str(as_role(admin, kind).url)).json("doctor", "--quick", exit_code=1)
    yellow = [f["check"] for f in seen["findings"] if f["level"] == "yellow"]
    assert yellow == ["archive"]  # the tests' server has no WAL archive
    assert [f["check"] for f in seen["findings"] if f["level"] == "red"] == ["fsync"]


def test_the_auditor_reads_seals_and_checks_and_nothing_else(
    toured: DatabaseManager, admin: DatabaseConfig
) -> None:
    auditor = as_role(admin, "auditor")
    toured.record_trade(symbol="AAPL", action="BUY", quantity=1, price=2, order_id="to be sealed")
    with DatabaseManager(auditor, account="toured", actor="auditor") as manager:
        assert manager.seal().seals == 1
        result: SealCheck = manager.check_seals()
        assert result.sound
        assert manager.verify().proven
        assert manager.get_trades()
    for statement in ("UPDATE seals SET actor = 'x'", "DELETE FROM seals", "DELETE FROM alerts"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            execute(auditor, statement)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        execute(auditor, "INSERT INTO events SELECT * FROM events")


@pytest.mark.parametrize("role", ["book_backup", "bot_backup"])
def test_who_backs_up_copies_everything_and_changes_nothing(
    secured: SecuredServer, passwords: Path, tmp_path: Path, role: str
) -> None:
    """Enable row-level security: a dump of the visible rows alone would not be a backup."""
    config = secured.create(f"copied by {role}")
    command, store = Command(str(config.url)), str(tmp_path / "store")
    (passwords / "bot_backup").write_text(SECRETS["backup"])
    options = ("--prefix", "book", "--login", "bot_backup=backup", "--passwords", str(passwords))
    assert command("init").exit_code == 0
    with DatabaseManager(config, account="A") as manager:
        manager.record_trade(symbol="A", action="BUY", quantity=1, price=1)
    for _ in range(2):
        assert command.json("db", "roles", *options, "--rls", "--yes")["skipped"] == []
    backup = as_role(config, "backup", username=role)
    copying = Command(str(backup.url))

    assert copying("backup", "--store", store).exit_code == 0
    done = copying("backup", "--physical", "--store", store)
    assert done.exit_code == 0, done.output
    made = {each.is_physical: each for each in Store(Path(store)).all()}
    assert {each.counts["A"].trades for each in made.values()} == {1}
    emptied = "SELECT pg_logical_emit_message(true, 'a', 'b'), pg_switch_wal() IS NOT NULL"
    assert execute(backup, emptied)[0][1]

    bold = evolve(backup, parameters={"options": "-c default_transaction_read_only=off"})
    for statement in ("UPDATE alerts SET message = 'x'", "DELETE FROM events", "DROP TABLE alerts"):
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            execute(backup, statement)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            execute(bold, statement)


def test_the_owner_migrates_and_later_tables_can_be_used_at_once(
    secured: SecuredServer, passwords: Path
) -> None:
    empty = secured.create("empty")
    arguments = ("db", "roles", "--prefix", "book", "--passwords", str(passwords), "--yes")
    told = Command(str(empty.url))(*arguments)
    assert "there are no tables yet: run `tradebook init` as book_owner" in told.output
    assert Command(str(as_role(empty, "owner").url))("init").exit_code == 0
    execute(
        as_role(empty, "owner"), "CREATE TABLE later (id bigint GENERATED BY DEFAULT AS IDENTITY)"
    )
    execute(as_role(empty, "writer"), "INSERT INTO later DEFAULT VALUES")
    assert execute(as_role(empty, "reader"), "SELECT count(*) FROM later") == [(1,)]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        execute(as_role(empty, "writer"), "DELETE FROM later")
    assert Command(str(empty.url))(*arguments).exit_code == 0
    with DatabaseManager(as_role(empty, "writer")) as manager:
        manager.record_trade(symbol="A", action="BUY", quantity=1, price=1)


def test_twice_changes_nothing_and_takes_back_what_was_granted_besides(
    secured: SecuredServer, admin: DatabaseConfig, writer: DatabaseConfig
) -> None:
    grants = (
        "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace "
        "UNION ALL SELECT attrelid::regclass || attname, attacl::text FROM pg_attribute "
        "WHERE attacl IS NOT NULL UNION ALL SELECT tgname, tgrelid::text FROM pg_trigger "
        "UNION ALL SELECT rolname, rolcanlogin::text FROM pg_roles ORDER BY 1, 2"
    )
    before = execute(admin, grants)
    execute(admin, "GRANT DELETE ON events TO book_writer, PUBLIC")
    execute(admin, "GRANT UPDATE (payload) ON events TO book_writer")
    document = Command(str(admin.url)).json("db", "roles", "--prefix", "book", "--yes")
    assert document["skipped"] == []
    assert execute(admin, grants) == before
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        execute(writer, "DELETE FROM events")


def test_a_restore_over_it_says_that_the_owner_lost_the_tables_and_roles_give_them_back(
    secured: SecuredServer, tmp_path: Path
) -> None:
    config = secured.create("restored")
    command, store = Command(str(config.url)), str(tmp_path / "store")
    roles = ("db", "roles", "--prefix", "restored", "--rls", "--yes")
    owners = (
        "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class JOIN pg_namespace AS held "
        "ON held.oid = relnamespace WHERE relkind = 'r' AND nspname IN ('public', 'tradebook_security') "
        "UNION SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'tradebook_security'"
    )

    def doctor() -> dict[str, Any]:
        found = command.json("doctor", "--quick", exit_code=1)["findings"]  # no fsync: red
        return {each["check"]: each for each in found}

    assert command("init").exit_code == 0
    assert command(*roles).exit_code == 0
    assert "ownership" not in doctor()
    made = command("backup", "--verify", "--store", store)  # a scratch server has none of the roles
    assert made.exit_code == 0, made.output

    restored = command("restore", "--store", store, "--overwrite", "--yes")

    assert restored.exit_code == 0, restored.output
    say = (
        "the tables are no longer restored_owner's: run `tradebook db roles --prefix restored` now"
    )
    assert say in restored.stdout
    assert doctor()["ownership"]["level"] == "yellow"
    assert command(*roles).exit_code == 0
    assert execute(config, owners) == [("restored_owner",)]
    assert "ownership" not in doctor()


def test_a_guard_of_another_version_is_replaced(admin: DatabaseConfig) -> None:
    guards = "SELECT tgname FROM pg_trigger WHERE tgname LIKE 'keep_booked%'"
    [(now,)] = execute(admin, guards)
    execute(admin, f"ALTER TRIGGER {now} ON trades RENAME TO keep_booked_before")
    assert Command(str(admin.url))("db", "roles", "--prefix", "book", "--yes").exit_code == 0
    assert execute(admin, guards) == [(now,)]


def test_passwords_of_all_who_log_in_are_rotated_by_running_it_again(
    admin: DatabaseConfig, tmp_path: Path
) -> None:
    command, file = Command(str(admin.url)), tmp_path / "bot_c"
    again = ("db", "roles", "--prefix", "book", "--passwords", str(tmp_path), "--yes")
    file.write_text("first")
    assert command(*again, "--login", "bot_c=reader").exit_code == 0
    file.write_text("second")
    assert command.json(*again)["roles"]["bot_c"] == "reader"
    bot = as_role(admin, "reader", username="bot_c", password="second")
    assert execute(bot, "SHOW default_transaction_read_only") == [("on",)]
    with pytest.raises(psycopg2.OperationalError):
        execute(as_role(admin, "reader", username="bot_c", password="first"), "SELECT 1")


def test_a_dry_run_shows_the_sql_without_a_password_and_changes_nothing(
    secured: SecuredServer, admin: DatabaseConfig, passwords: Path
) -> None:
    options = ("--prefix", "book", "--passwords", str(passwords), "--login", "bot_dry=writer")
    shown = Command(str(admin.url))("db", "roles", "--dry-run", *options)
    assert shown.exit_code == 0
    assert "ALTER ROLE \"book_writer\" LOGIN PASSWORD '***'" in shown.stdout
    assert 'GRANT "book_writer" TO "bot_dry"' in shown.stdout
    assert not any(secret in shown.stdout for secret in SECRETS.values())
    steps = Command(str(admin.url)).json("db", "roles", "--dry-run", *options)["steps"]
    assert {"sql": 'GRANT "book_writer" TO "bot_dry"', "why": "bot_dry is a writer"} in steps
    assert secured.execute("SELECT count(*) FROM pg_roles WHERE rolname = 'bot_dry'") == [(0,)]


def test_a_table_that_somebody_holds_is_not_waited_for_and_nothing_was_changed(
    secured: SecuredServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = secured.create("held")
    with DatabaseManager(config) as manager:
        manager.upgrade()
        monkeypatch.setattr(sql_steps, "_LOCK_TIMEOUT", "50ms")
        with manager.unit_of_work() as uow:
            uow.session.execute(text("LOCK TABLE trades"))
            refused = Command(str(config.url)).refused("db", "roles", "--prefix", "held", "--yes")
    assert "lock not available" in refused
    assert execute(config, "SELECT count(*) FROM pg_roles WHERE rolname = 'held_owner'") == [(0,)]


def test_it_asks_first(admin: DatabaseConfig) -> None:
    asked = Command(str(admin.url))("db", "roles", "--prefix", "asked", stdin="n\n")
    assert asked.exit_code == 1
    assert "the book's tables become asked_owner's: they are book_owner's now" in asked.stderr
    unanswered = Command(str(admin.url)).refused("db", "roles", "--prefix", "asked", "--json")
    assert "nothing was changed: say --yes" in unanswered
    assert execute(admin, "SELECT count(*) FROM pg_roles WHERE rolname = 'asked_owner'") == [(0,)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--login", "bot=chief"], "one of owner, writer, reader, auditor, backup"),
        (["--login", "admin=writer"], "a role without rolsuper"),
        (["--login", "book_reader=writer"], "its own kind"),
        (["--bind", "book_writer=A"], "nothing without row-level security"),
        (["--bind", "stranger=A", "--rls"], "one of book_owner"),
    ],
)
def test_what_cannot_be_is_refused(admin: DatabaseConfig, arguments: list[str], says: str) -> None:
    message = Command(str(admin.url)).refused(
        "db", "roles", "--prefix", "book", "--yes", *arguments
    )
    assert says in message


def test_a_file_has_no_roles(sqlite_url: str) -> None:
    assert "a file has no roles" in Command(sqlite_url).refused("db", "roles", "--yes")


def test_one_who_only_owns_the_database_can_set_it_up(
    secured: SecuredServer, tmp_path: Path
) -> None:
    secured.execute("CREATE ROLE landlord LOGIN CREATEROLE PASSWORD 'landlord'")
    secured.execute("CREATE DATABASE rented OWNER landlord")
    landlord = secured.config("rented", "landlord", password="landlord")
    command = Command(str(landlord.url))
    assert command("init").exit_code == 0
    (tmp_path / "rented_writer").write_text("tenant")
    options = ("--prefix", "rented", "--passwords", str(tmp_path), "--yes", "--log-access")
    document = command.json("db", "roles", *options)
    assert document["skipped"]
    assert all(
        each["reason"].startswith("permission denied") or "does not exist" in each["reason"]
        for each in document["skipped"]
    )
    told = command("db", "roles", *options).stdout
    # Another test on the same server may have changed the server's settings already.
    assert "left out: ALTER ROLE \"rented_auditor\" SET log_statement = 'all'" in told
    tenant = secured.config("rented", "rented_writer", password="tenant")
    with DatabaseManager(tenant) as manager:
        manager.record_trade(symbol="A", action="BUY", quantity=1, price=1)
        _ = manager.verify()
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        execute(tenant, "DELETE FROM events")
