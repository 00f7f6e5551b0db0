"""Backing up a SQLite book that others write into, and restoring it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.backups import Writers, age_tool, orders_in
from tradebook import (
    BackupDamaged,
    DatabaseConfig,
    DatabaseCorrupt,
    DatabaseManager,
    DatabaseUnavailable,
    InvalidInput,
    OperationFailed,
    SchemaNotReady,
    WouldOverwrite,
)
from tradebook.operations.backup import (
    Encryption,
    Store,
    back_up,
    restore_book,
    sqlite,
    verify_backup,
)

TOOLS = ["age", *(["gpg"] if shutil.which("gpg") else [])]
"""age is installed or replaced by a script in every test; gpg is used where it is installed."""


@pytest.fixture
def elsewhere(tmp_path: Path) -> DatabaseConfig:
    """A file that does not exist yet."""
    return DatabaseConfig(path=tmp_path / "restored" / "book.db")


@pytest.fixture
def new_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], tuple[Encryption, Path | None]]]:
    """A factory of key pairs: the encryption, and the file of the secret key where the tool needs one."""
    homes: list[Path] = []

    def new(tool: str) -> tuple[Encryption, Path | None]:
        folder = tmp_path / f"keys-{len(os.listdir(tmp_path))}"
        folder.mkdir()
        if tool == "age":
            monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
            public, secret = age_tool(folder)
            return Encryption("age", (public,)), secret
        homes.append(Path(tempfile.mkdtemp(prefix="gpg-")))  # short, as its agent's socket must be
        monkeypatch.setenv("GNUPGHOME", str(homes[-1]))
        make = [
            "gpg",
            "--batch",
            "--passphrase",
            "",
            "--quick-generate-key",
            "ann",
            "future-default",
        ]
        subprocess.run(make, check=True, capture_output=True)
        return Encryption("gpg", ("ann",)), None

    yield new
    for home in homes:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=True)
        shutil.rmtree(home, ignore_errors=True)  # its agent removes its socket meanwhile


def test_a_backup_while_others_write_has_everything_acknowledged_before(
    config: DatabaseConfig,
    store: Store,
    elsewhere: DatabaseConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sqlite, "_PAGES", 20)
    reports: list[datetime] = []

    def report(_done: int, _total: int) -> None:
        reports.append(datetime.now(UTC))
        assert len(reports) < 1000, "the copy starts again at each write"
        writers.go_on(1)

    with Writers(config) as writers:
        writers.go_on()
        before = datetime.now(UTC)
        made = back_up(config, store, report=report)
        writers.go_on()

    restore_book(store, made, elsewhere)

    restored = orders_in(elsewhere)
    assert writers.acknowledged_before(before) <= restored
    assert len(reports) > 2
    assert not writers.sent_after(reports[0]) & restored
    assert made.counts["main"].trades == len(restored)
    assert verify_backup(store, made).proven
    assert not (Path(str(elsewhere.path)).parent / ".book.db.restoring").exists()


def test_an_interrupted_backup_leaves_nothing(config: DatabaseConfig, store: Store) -> None:
    def interrupt(_done: int, _total: int) -> None:
        assert len(os.listdir(store.folder)) == 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(config, store, report=interrupt)

    assert not store.folder.exists()
    assert store.all() == []


def test_an_interrupted_restore_keeps_the_existing_book(
    config: DatabaseConfig,
    store: Store,
    elsewhere: DatabaseConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = back_up(config, store)
    with DatabaseManager(config) as book:
        book.record_trade(symbol="MSFT", action="BUY", quantity=1, price=2, order_id="later")
    monkeypatch.setattr(sqlite, "_PAGES", 20)

    def interrupt(done: int, total: int) -> None:
        if total % 4096 == 0 and done < total:  # pages are being copied
            raise KeyboardInterrupt

    for target in (elsewhere, config):
        with pytest.raises(KeyboardInterrupt):
            restore_book(store, made, target, overwrite=True, report=interrupt)

    assert os.listdir(Path(str(elsewhere.path)).parent) == []
    assert orders_in(config) == {"first", "later"}


def test_a_backup_that_was_damaged_is_noticed_and_restores_nothing(
    config: DatabaseConfig, store: Store, elsewhere: DatabaseConfig
) -> None:
    made = back_up(config, store)
    file = store.folder / made.name / "book.db"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)

    for attempt in (
        lambda: restore_book(store, made, elsewhere),
        lambda: verify_backup(store, made),
    ):
        with pytest.raises(BackupDamaged, match=r"book\.db is not what was written"):
            attempt()
    assert not Path(str(elsewhere.path)).exists()


def test_an_existing_book_is_replaced_only_with_overwrite(
    config: DatabaseConfig, store: Store
) -> None:
    made = back_up(config, store)
    with DatabaseManager(config) as book:
        book.record_trade(symbol="MSFT", action="BUY", quantity=1, price=2, order_id="later")
        with pytest.raises(WouldOverwrite, match="--overwrite"):
            restore_book(store, made, config)
        assert len(book.get_trades()) == 2

        restore_book(store, made, config, overwrite=True)

        # A program that has the book open goes on with the restored one.
        assert [trade.order_id for trade in book.get_trades()] == ["first"]
        book.record_trade(symbol="MSFT", action="BUY", quantity=1, price=2, order_id="next")
    assert orders_in(config) == {"first", "next"}


def test_a_file_that_is_no_database_any_more_is_moved_aside(
    config: DatabaseConfig, store: Store
) -> None:
    made = back_up(config, store)
    path = Path(str(config.path))
    path.write_bytes(b"rubbish" * 1000)

    restore_book(store, made, config, overwrite=True)

    assert orders_in(config) == {"first"}
    assert path.with_name("book.db.damaged").read_bytes().startswith(b"rubbish")


def test_a_missing_foreign_or_damaged_file_is_not_backed_up(store: Store, tmp_path: Path) -> None:
    no_book, rubbish = (DatabaseConfig(path=tmp_path / name) for name in ("empty.db", "rubbish.db"))
    with closing(sqlite3.connect(str(no_book.path))) as connection:
        connection.execute("CREATE TABLE other (x)")
    Path(str(rubbish.path)).write_bytes(b"rubbish" * 1000)
    missing = DatabaseConfig(path=tmp_path / "missing.db")

    for config, error in (
        (no_book, SchemaNotReady),
        (rubbish, DatabaseCorrupt),
        (missing, DatabaseUnavailable),
        (DatabaseConfig(path=":memory:"), InvalidInput),
    ):
        with pytest.raises(error):
            back_up(config, store)
    assert not store.folder.exists()
    assert not Path(str(missing.path)).exists()


@pytest.mark.parametrize("tool", TOOLS)
def test_an_encrypted_backup_is_read_by_its_key_alone(
    tool: str,
    config: DatabaseConfig,
    store: Store,
    elsewhere: DatabaseConfig,
    new_keys: Callable[[str], tuple[Encryption, Path | None]],
) -> None:
    encryption, identity = new_keys(tool)

    made = back_up(config, store, encryption=encryption)

    [file] = made.files
    written = (store.folder / made.name / file.path).read_bytes()
    assert (file.path, made.encryption) == (f"book.db.{tool}", tool)
    assert b"SQLite format" not in written
    assert b"AAPL" not in written
    restore_book(store, made, elsewhere, identity=identity)
    assert orders_in(elsewhere) == {"first"}
    assert verify_backup(store, made, identity=identity).proven

    _, other = new_keys(tool)
    with pytest.raises(OperationFailed, match=f"{tool} failed"):
        verify_backup(store, made, identity=other)


def test_an_error_of_the_operating_system_names_the_path(
    config: DatabaseConfig, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OperationFailed, match=r"file.*: (File exists|Not a directory)"):
        back_up(config, Store(tmp_path / "file" / "backups"))
