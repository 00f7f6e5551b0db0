"""Backing up one database of a server that others write into, and loading it elsewhere."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg2
import pytest
from attrs import evolve
from sqlalchemy import URL

from tests.support.backups import Writers, age_tool, orders_in
from tests.support.command_line import Command
from tests.support.servers import configured
from tradebook import (
    BackupDamaged,
    DatabaseConfig,
    DatabaseManager,
    InvalidInput,
    OperationFailed,
    ProgramMissing,
    SchemaNotReady,
    WouldOverwrite,
)
from tradebook.adapters.engine.factory import make_engine
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.operations.backup import Encryption, Store, back_up, restore_book, verify_backup
from tradebook.operations.backup.manifest import sha256_of
from tradebook.operations.backup.wal_archive import archive_log
from tradebook.operations.server.admin_connection import open_admin_connection
from tradebook.operations.server.programs import (
    connection_environment,
    find_program,
    major_version,
    wheel_programs,
)


@pytest.fixture
def config(own_postgresql_book: URL) -> DatabaseConfig:
    """A book with a trade."""
    config = configured(own_postgresql_book)
    with DatabaseManager(config) as book:
        book.record_trade(symbol="AAPL", action="BUY", quantity=1, price=2, order_id="first")
    return config


@pytest.fixture
def elsewhere(new_database: Callable[[], URL]) -> DatabaseConfig:
    """An empty database."""
    return configured(new_database())


@pytest.fixture
def archive(elsewhere: DatabaseConfig) -> Iterator[Path]:
    """The path of an archive that is not made yet; the server's settings are reset afterwards."""
    home = Path(tempfile.mkdtemp(prefix="tradebook-archive-"))
    home.chmod(0o711)
    yield home / "wal"
    shutil.rmtree(home)
    with open_admin_connection(elsewhere) as admin:
        for (name,) in admin.rows(
            "SELECT name FROM pg_file_settings WHERE sourcefile LIKE '%postgresql.auto.conf'"
        ):
            admin.rows(f"ALTER SYSTEM RESET {name}")
        admin.rows("SELECT pg_reload_conf()")


def test_a_dump_while_others_write_is_of_one_instant_and_counts_exactly(
    config: DatabaseConfig, store: Store, elsewhere: DatabaseConfig
) -> None:
    with Writers(config) as writers:
        writers.go_on()
        before = datetime.now(UTC)
        made = back_up(config, store, report=lambda _done, _total: writers.go_on(2))
        after = datetime.now(UTC)
        writers.go_on()

    restore_book(store, made, elsewhere)

    restored = orders_in(elsewhere)
    assert writers.acknowledged_before(before) <= restored
    assert not writers.sent_after(after) & restored
    assert made.counts["main"].trades == len(restored)


def test_a_dump_by_several_jobs_is_restored_in_a_scratch_server_and_proven(
    config: DatabaseConfig, store: Store, elsewhere: DatabaseConfig
) -> None:
    made = back_up(config, store, jobs=2)
    assert len(made.files) > 2

    proof = verify_backup(store, made)
    restore_book(store, made, elsewhere, jobs=2)

    [account] = proof.accounts
    assert proof.proven
    assert (account.found, account.verification.trades) == (made.counts["main"], 1)
    assert orders_in(elsewhere) == {"first"}
    with pytest.raises(InvalidInput, match="in the clear"):
        back_up(config, store, jobs=2, encryption=Encryption("gpg", ("ann",)))


def test_an_encrypted_dump_is_restored_with_its_key(
    config: DatabaseConfig,
    store: Store,
    elsewhere: DatabaseConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    public, secret = age_tool(tmp_path)

    made = back_up(config, store, encryption=Encryption("age", (public,)))

    [file] = made.files
    assert file.path == "book.dump.age"
    assert b"PGDMP" not in (store.folder / made.name / file.path).read_bytes()
    with pytest.raises(InvalidInput, match="--identity"):
        restore_book(store, made, elsewhere)
    restore_book(store, made, elsewhere, identity=secret)
    assert orders_in(elsewhere) == {"first"}


def test_a_backup_from_before_an_upgrade_is_proven_by_this_version(
    config: DatabaseConfig, store: Store, elsewhere: DatabaseConfig
) -> None:
    engine = make_engine(config)
    migrations.downgrade(engine, "0001")
    engine.dispose()
    made = back_up(config, store)
    tradebook, where = Command(str(elsewhere.url)), ("--store", str(store.folder))

    assert made.revision == "0001"
    assert verify_backup(store, made).proven
    restored = tradebook("restore", *where)
    assert restored.exit_code == 0
    assert "not proven yet: " in restored.stdout
    assert "tradebook db upgrade" in restored.stdout
    assert tradebook("init").exit_code == 0
    assert tradebook("verify").exit_code == 0


def test_a_live_book_is_not_restored_over(config: DatabaseConfig, store: Store) -> None:
    made = back_up(config, store)
    with DatabaseManager(config) as book:
        book.record_trade(symbol="MSFT", action="BUY", quantity=1, price=2, order_id="later")
        with pytest.raises(WouldOverwrite, match="--overwrite"):
            restore_book(store, made, config)
        with pytest.raises(WouldOverwrite, match=r"in use \(1 connected\)"):
            restore_book(store, made, config, overwrite=True)
    assert orders_in(config) == {"first", "later"}

    restore_book(store, made, config, overwrite=True)

    assert orders_in(config) == {"first"}


def test_a_restore_that_fails_leaves_the_book_that_was_there(
    config: DatabaseConfig, store: Store
) -> None:
    made = back_up(config, store)
    constraints = _run(config, "SELECT count(*) FROM pg_constraint")
    [file] = made.files
    path = store.folder / made.name / file.path
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(BackupDamaged, match=r"book\.dump is not what was written"):
        restore_book(store, made, config, overwrite=True)
    shorter = evolve(made, files=(evolve(file, size=path.stat().st_size, sha256=sha256_of(path)),))
    with pytest.raises(OperationFailed, match="pg_restore failed"):
        restore_book(store, shorter, config, overwrite=True)
    assert _run(config, "SELECT count(*) FROM pg_constraint") == constraints
    assert orders_in(config) == {"first"}


def test_an_empty_database_is_not_backed_up_and_no_dump_goes_into_a_file(
    config: DatabaseConfig, store: Store, elsewhere: DatabaseConfig, sqlite_url: str
) -> None:
    with pytest.raises(SchemaNotReady):
        back_up(elsewhere, store)
    assert not store.folder.exists()
    with pytest.raises(InvalidInput, match="logical backup"):
        restore_book(store, back_up(config, store), configured(sqlite_url))


def test_an_interrupted_dump_leaves_no_file_and_no_program(
    config: DatabaseConfig, store: Store
) -> None:
    def interrupt(_done: int, _total: int) -> None:
        names = [child.name() for child in psutil.Process().children()]
        assert "pg_dump" in names
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(config, store, report=interrupt)

    assert not store.folder.exists()
    assert "pg_dump" not in [child.name() for child in psutil.Process().children()]


def test_a_program_older_than_the_server_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 12.1'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    assert major_version(old) == 12
    assert find_program("pg_dump", 12) == old
    assert find_program("pg_dump", 18) == wheel_programs() / "pg_dump"
    with pytest.raises(ProgramMissing, match=f"99 or newer is needed, and {old} is 12, .* is 18"):
        find_program("pg_dump", 99)
    with pytest.raises(ProgramMissing, match="of PostgreSQL 11 is needed"):
        find_program("pg_dump", 11, exactly=True)


def test_the_password_goes_to_programs_through_a_file_that_is_gone_afterwards() -> None:
    config = DatabaseConfig(host="db", username="ann", password="a:b\\c", sslmode="verify-full")

    with connection_environment(config) as environment:
        file = Path(environment["PGPASSFILE"])
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_text() == "*:*:*:*:a\\:b\\\\c\n"
        assert environment["PGSSLMODE"] == "verify-full"
        assert "a:b\\c" not in environment.values()
    assert not file.parent.exists()


def test_grants_are_restored_where_the_roles_are(
    config: DatabaseConfig, store: Store, elsewhere: DatabaseConfig
) -> None:
    role = f"reader_{config.database}"
    _run(config, f'CREATE ROLE "{role}"', f'GRANT SELECT ON trades TO "{role}"')
    made = back_up(config, store)
    may_read = f"SELECT has_table_privilege('{role}', 'trades', 'SELECT')"

    restore_book(store, made, elsewhere)
    assert _run(elsewhere, may_read) is True
    restore_book(store, made, elsewhere, overwrite=True, privileges=False)
    assert _run(elsewhere, may_read) is False


def test_dropping_the_stream_lets_the_server_remove_its_log(config: DatabaseConfig) -> None:
    tradebook = Command(str(config.url))
    _run(config, "SELECT pg_create_physical_replication_slot('tradebook_stream', true)")

    for _ in range(2):  # the second time there is nothing to drop
        assert tradebook("backup", "stream", "--drop").exit_code == 0

    assert _run(config, "SELECT count(*) FROM pg_replication_slots") == 0


def _run(config: DatabaseConfig, *statements: str) -> object:
    connection = psycopg2.connect(str(config.url).replace("+psycopg2", ""))
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        found = cursor.fetchone() if cursor.description else None
    connection.close()
    return found[0] if found else None


def test_an_archive_command_of_another_tool_is_replaced_only_when_confirmed(
    elsewhere: DatabaseConfig, archive: Path
) -> None:
    others = "pgbackrest --stanza=main archive-push %p"
    in_file = "SELECT setting FROM pg_file_settings WHERE name = 'archive_command'"
    tradebook = Command(str(elsewhere.url))
    where = ("backup", "archive", "--apply", "--wal", str(archive))
    with open_admin_connection(elsewhere) as admin:
        assert admin.value(in_file) is None
        admin.rows(f"ALTER SYSTEM SET archive_command = '{others}'")
        admin.rows("SELECT pg_reload_conf()")
        assert admin.value("SHOW archive_command") == "(disabled)"  # archive_mode is off

        with pytest.raises(WouldOverwrite, match=r"pgbackrest.*--yes"):
            archive_log(elsewhere, archive, None)
        refused = tradebook(*where, stdin="n\n")

        assert (refused.exit_code, others in refused.stderr) == (1, True)
        assert admin.value(in_file) == others
        assert not archive.exists()
        assert "Replace it?" in tradebook(*where, stdin="y\n").stderr
        assert f"sh {archive}/archive-wal" in admin.value(in_file)
        again = tradebook(*where)  # ours
        assert (again.exit_code, again.stderr) == (0, "")
        elsewhere_yet = ("backup", "archive", "--apply", "--wal", f"{archive}2")
        assert f"sh {archive}/archive-wal" in tradebook(*elsewhere_yet, stdin="n\n").stderr
        assert tradebook(*elsewhere_yet, "--yes").exit_code == 0
        assert f"sh {archive}2/archive-wal" in admin.value(in_file)


def test_a_server_that_archives_by_a_library_gets_no_archive_command(
    elsewhere: DatabaseConfig, archive: Path
) -> None:
    with open_admin_connection(elsewhere) as admin:
        admin.rows("ALTER SYSTEM SET archive_library = 'basic_archive'")
        admin.rows("SELECT pg_reload_conf()")
        while not admin.value("SHOW archive_library"):
            pass

        with pytest.raises(OperationFailed, match="by a library, basic_archive"):
            archive_log(elsewhere, archive, None, overwrite=True)

    assert not archive.exists()
