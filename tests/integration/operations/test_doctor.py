"""`tradebook doctor`: every kind of trouble, made for real, is found and named with its fix."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from attrs import evolve
from sqlalchemy import URL, text

from tests.support.command_line import Command
from tests.support.servers import configured
from tradebook import DatabaseConfig, DatabaseManager
from tradebook.adapters.engine.factory import make_engine
from tradebook.operations.doctor import (
    Diagnosis,
    Finding,
    Level,
    any_database,
    examine,
    tables,
)
from tradebook.operations.doctor.checks import CheckTarget


def diagnosis(config: DatabaseConfig, *, thorough: bool = False) -> Diagnosis:
    engine = make_engine(config)
    try:
        with DatabaseManager(config) as book:
            return examine(book, engine, config, "main", thorough=thorough)
    finally:
        engine.dispose()


def bad(found: Diagnosis) -> dict[str, Finding]:
    """Findings that are not green, by the name of the check."""
    return {finding.check: finding for finding in found.findings if finding.level != Level.GREEN}


def raw(url: URL) -> Any:
    connection = psycopg2.connect(url.set(drivername="postgresql").render_as_string(False))
    connection.autocommit = True
    return connection


def execute(url: URL, *statements: str) -> list[Any]:
    """Run statements; gives the rows of the last, where it has any."""
    connection = raw(url)
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else []
    connection.close()
    return rows


@pytest.fixture
def server(own_postgresql_book: URL) -> URL:
    """A sealed book on PostgreSQL without any trouble."""
    url = own_postgresql_book
    with DatabaseManager(url) as book:
        book.record_trade(symbol="AAPL", action="BUY", quantity=1, price=10, order_id="o-1")
        book.seal()
    return url


@pytest.fixture
def safe_server(server: URL) -> Iterator[URL]:
    """The same, where the server has fsync, which that of the tests has not."""
    set_fsync(server, "on")
    yield server
    set_fsync(server, "off")


def set_fsync(server: URL, value: str) -> None:
    execute(server, f"ALTER SYSTEM SET fsync = {value}", "SELECT pg_reload_conf()")
    while execute(server, "SHOW fsync") != [(value,)]:
        pass


@pytest.fixture
def file(tmp_path: Path) -> DatabaseConfig:
    """The same in a file."""
    config = DatabaseConfig(path=tmp_path / "book.db", seal_witness=tmp_path / "w.jsonl")
    with DatabaseManager(config) as book:
        book.record_trade(symbol="AAPL", action="BUY", quantity=1, price=10, order_id="o-1")
        book.seal()
    (tmp_path / "book.db").chmod(0o600)
    return config


def test_a_sound_file_is_all_green(file: DatabaseConfig) -> None:
    found = diagnosis(file, thorough=True)
    assert (bad(found), found.level) == ({}, Level.GREEN)
    assert {"verify", "audit trail", "migrations", "tables", "free disk"} <= {
        finding.check for finding in found.findings
    }


def test_a_sound_server_lacks_nothing_but_a_role_for_applications_and_an_archive(
    safe_server: URL,
) -> None:
    found = diagnosis(configured(safe_server), thorough=True)
    assert bad(found).keys() == {"roles", "archive", "seal witness"}
    assert found.level is Level.YELLOW
    assert "tradebook db roles" in bad(found)["roles"].fix
    assert "tradebook backup archive" in bad(found)["archive"].fix


def test_seals_without_a_witness_or_one_that_is_behind_or_stale_are_yellow(
    file: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(config: DatabaseConfig = file) -> Finding:
        [finding] = [
            f for f in diagnosis(config, thorough=True).findings if f.check == "seal witness"
        ]
        return finding

    witness = tmp_path / "w.jsonl"
    assert (found().level, found().what) == (Level.GREEN, f"{witness} has all 1 seals")
    without = found(evolve(file, seal_witness=None))
    assert without.level is Level.YELLOW
    assert "TRADEBOOK_SEAL_WITNESS" in without.fix
    lines = witness.read_text()
    old = (datetime.now(UTC) - timedelta(hours=25)).isoformat()
    witness.write_text(re.sub(r'"witnessed_at": "[^"]+"', f'"witnessed_at": "{old}"', lines))
    assert (found().level, "got the last seal at 20" in found().what) == (Level.YELLOW, True)
    witness.write_text("")
    assert (found().level, found().what) == (Level.YELLOW, f"{witness} has 0 of 1 seals")
    witness.unlink()
    witness.mkdir()
    assert (found().level, "Is a directory" in found().what) == (Level.YELLOW, True)
    with DatabaseManager(tmp_path / "empty.db") as book:
        book.raise_alert("a", "INFO")
    empty = diagnosis(DatabaseConfig(path=tmp_path / "empty.db"), thorough=True)
    assert "seal witness" not in bad(empty)


TROUBLES: dict[str, tuple[str, str, Level]] = {
    "an index is missing": ("DROP INDEX ix_trades_pending", "indexes", Level.RED),
    "an index that no query reads": (
        "CREATE INDEX mine ON trades (strategy)",
        "indexes",
        Level.YELLOW,
    ),
    "an index is not finished": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_trades_pending'::regclass",
        "indexes",
        Level.RED,
    ),
    "a table without autovacuum": (
        "ALTER TABLE trades SET (autovacuum_enabled = off)",
        "autovacuum",
        Level.YELLOW,
    ),
    "a column that no migration made": (
        "ALTER TABLE trades ADD COLUMN mine text",
        "tables",
        Level.YELLOW,
    ),
    "commits are not waited for": (
        "ALTER DATABASE {name} SET synchronous_commit = off",
        "synchronous_commit",
        Level.RED,
    ),
    "another isolation": (
        "ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'",
        "isolation",
        Level.YELLOW,
    ),
    "no writes": (
        "ALTER DATABASE {name} SET default_transaction_read_only = on",
        "writes",
        Level.YELLOW,
    ),
    "a clock that is ahead": (
        "UPDATE events SET occurred_at = now() + interval '1 hour'",
        "clock of writers",
        Level.RED,
    ),
    "an event was changed": ("UPDATE events SET actor = 'nobody'", "audit trail", Level.RED),
    "a position was changed": ("UPDATE positions SET fees = 5", "verify", Level.RED),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_on_a_server_is_found(server: URL, trouble: str) -> None:
    statement, check, level = TROUBLES[trouble]
    execute(server, statement.format(name=server.database))
    found = diagnosis(configured(server), thorough=level is Level.RED)
    assert bad(found)[check].level is level
    assert bad(found)[check].fix


def test_with_a_schema_that_is_behind_only_the_server_is_checked(safe_server: URL) -> None:
    execute(
        safe_server,
        "UPDATE alembic_version SET version_num = '0001'",
        f"ALTER DATABASE {safe_server.database} SET synchronous_commit = off",
    )
    found = diagnosis(configured(safe_server), thorough=True)
    assert bad(found).keys() == {"migrations", "synchronous_commit", "archive"}
    assert "db upgrade" in bad(found)["migrations"].fix
    checks = {finding.check for finding in found.findings}
    assert {"fsync", "free disk", "connections", "clock", "autovacuum"} <= checks
    assert not {"roles", "indexes", "tables", "verify", "audit trail"} & checks


def test_an_empty_file_is_checked_too(tmp_path: Path) -> None:
    (tmp_path / "book.db").touch(0o622)
    (tmp_path / "book.db").chmod(0o622)
    found = diagnosis(DatabaseConfig(path=tmp_path / "book.db"), thorough=True)
    assert {check for check, finding in bad(found).items() if finding.level is Level.RED} == {
        "migrations",
        "file",
    }
    assert {finding.level for finding in found.findings if finding.check == "free disk"}


def test_a_file_that_is_missing_is_red_and_not_made(tmp_path: Path) -> None:
    found = diagnosis(DatabaseConfig(path=tmp_path / "typo.db"), thorough=True)
    assert [finding.check for finding in found.findings] == ["connection"]
    assert "typo.db; check --database" in bad(found)["connection"].what
    assert not (tmp_path / "typo.db").exists()


def test_a_server_that_does_not_answer_is_red(server: URL) -> None:
    gone = configured(server.set(database="gone"))
    found = diagnosis(gone)
    assert [finding.check for finding in found.findings] == ["connection"]
    assert found.level is Level.RED
    assert "createdb" in bad(found)["connection"].what
    assert "start the server" not in bad(found)["connection"].fix


@pytest.mark.parametrize(("granted", "level"), [("SELECT", None), ("SELECT, INSERT", Level.YELLOW)])
def test_read_only_by_default_is_right_for_a_role_that_only_reads(
    server: URL, granted: str, level: Level | None
) -> None:
    role = f"{server.database}_reader"
    execute(
        server,
        f"CREATE ROLE {role} LOGIN",
        f"GRANT {granted} ON ALL TABLES IN SCHEMA public TO {role}",
        f"ALTER ROLE {role} SET default_transaction_read_only = on",
    )
    found = bad(diagnosis(configured(server.set(username=role))))
    assert (found["writes"].level if "writes" in found else None) is level


def test_a_role_that_owns_nothing_and_removes_nothing_is_green(server: URL) -> None:
    execute(
        server,
        f"CREATE ROLE {server.database}_app LOGIN",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {server.database}_app",
    )
    found = diagnosis(configured(server.set(username=f"{server.database}_app")))
    assert "roles" not in bad(found)


def test_more_connections_than_the_server_has_are_red(server: URL) -> None:
    config = DatabaseConfig.from_url(
        server.update_query_dict({"application_name": "doctor"}).render_as_string(False)
    )
    too_many = DatabaseConfig(
        host=config.host, port=config.port, database=config.database, pool_size=500,
        username=config.username,
    )  # fmt: skip
    assert bad(diagnosis(too_many))["connections"].level is Level.RED


@contextmanager
def an_open_transaction(url: URL) -> Iterator[None]:
    connection = raw(url)
    connection.autocommit = False
    connection.cursor().execute("SELECT 1")
    yield
    connection.close()


def test_a_long_transaction_is_named_with_its_process(
    server: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_LONG", 0)
    with an_open_transaction(server):
        found = bad(diagnosis(configured(server)))["long transactions"]
    assert "idle in transaction" in found.what
    assert "pg_terminate_backend" in found.fix


def test_dead_rows_and_updates_that_are_not_hot_are_found(
    server: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_MANY_DEAD", 10)
    monkeypatch.setattr(tables, "_UPDATES", 10)
    execute(
        server,
        "CREATE INDEX mine ON positions (fees)",
        *(f"UPDATE positions SET fees = {number}" for number in range(50)),
        "SELECT pg_stat_force_next_flush()",
    )
    found = bad(diagnosis(configured(server)))
    assert "dead rows" in found["bloat"].what
    assert "HOT" in found["positions"].what


@pytest.mark.parametrize(
    ("setting", "check"), [("fsync", "fsync"), ("full_page_writes", "full_page_writes"),
                           ("autovacuum", "autovacuum")]
)  # fmt: skip
def test_what_makes_a_server_unsafe_is_red(
    server: URL, setting: str, check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_settings = CheckTarget.settings
    monkeypatch.setattr(
        CheckTarget,
        "settings",
        lambda self, *names: {
            name: "off" if name == setting else value
            for name, value in read_settings(self, *names).items()
        },
    )
    assert bad(diagnosis(configured(server)))[check].level is Level.RED


def test_a_server_elsewhere_without_tls_is_red(
    server: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CheckTarget, "is_local", False)
    found = bad(diagnosis(configured(server)))
    assert found["TLS"].level is Level.RED
    assert found["free disk"].level is Level.UNKNOWN


def test_a_check_that_is_refused_does_not_keep_the_others_from_running(
    server: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(target: CheckTarget, *_names: str) -> dict[str, str]:
        target.connection.execute(text("SELECT 1/0"))
        return {}

    monkeypatch.setattr(CheckTarget, "settings", refuse)
    found = diagnosis(configured(server))
    assert bad(found)["durability"].level is Level.UNKNOWN
    assert "verify" not in bad(found)
    assert found.findings[-1].check == "tables"


def test_clocks_that_differ_are_yellow_and_then_red() -> None:
    seconds = any_database.timedelta(seconds=1)
    levels = [
        any_database._compared("clock", "its", ahead * seconds).level for ahead in (0, -3, 60)
    ]
    assert levels == [Level.GREEN, Level.YELLOW, Level.RED]
    assert "behind" in any_database._compared("clock", "its", -3 * seconds).what


@pytest.mark.parametrize(("mode", "level"), [(0o644, Level.YELLOW), (0o666, Level.RED)])
def test_a_file_that_others_can_open_is_found(
    file: DatabaseConfig, mode: int, level: Level
) -> None:
    Path(str(file.path)).chmod(mode)
    assert bad(diagnosis(file))["file"].level is level


def test_a_damaged_file_is_red(file: DatabaseConfig) -> None:
    with sqlite3.connect(str(file.path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET rootpage = "
            "(SELECT rootpage FROM sqlite_schema WHERE name = 'trades') WHERE name = 'alerts'"
        )
    connection.close()
    assert diagnosis(file).level is Level.RED


def test_no_output_of_the_command_is_cut(
    tradebook: Command, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with DatabaseManager(sqlite_url) as book:
        book.upgrade()
    Path(sqlite_url.removeprefix("sqlite:///")).chmod(0o644)
    shown = tradebook("doctor", "--quick").stdout
    assert "chmod" in shown
    assert "…" not in shown


def test_the_command_exits_with_1_when_something_is_red(
    tradebook: Command, sqlite_url: str
) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    with DatabaseManager(sqlite_url) as book:
        book.record_trade(symbol="AAPL", action="BUY", quantity=1, price=10)
    path.chmod(0o600)
    assert tradebook("doctor", "--quick").exit_code == 0
    unsealed = tradebook("doctor", "--strict")
    assert unsealed.exit_code == 1
    assert "tradebook audit seal" in unsealed.stdout
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE positions SET fees = '5'")
    connection.close()
    answer = tradebook.json("doctor", exit_code=1)
    assert answer["level"] == "red"
    assert [f["check"] for f in answer["findings"] if f["level"] == "red"] == ["verify"]
