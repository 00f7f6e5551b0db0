"""Killed backups: the next one removes what they left, and nothing of one that still runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.backups import age_tool
from tests.support.disks import can_mount, tiny_disk
from tradebook import DatabaseConfig, OperationFailed
from tradebook.operations.backup import Encryption, Store, back_up, restore_book
from tradebook.operations.server import programs

BACKUP = """
import sys
from pathlib import Path
from tests.support.backups import age_tool
from tests.support.disks import can_mount, tiny_disk
from tradebook import DatabaseConfig, OperationFailed
from tradebook.operations.backup import Encryption, Store, back_up, restore_book
from tradebook.operations.server.programs import connection_environment

server = DatabaseConfig.from_url("postgresql://ann:secret@db.example.com/book")
with connection_environment(server) as environment:
    def report(done, total):
        print(environment["PGPASSFILE"], flush=True)
        sys.stdin.read()

    back_up(DatabaseConfig(path=sys.argv[1]), Store(Path(sys.argv[2])), report=report)
"""


def begun(config: DatabaseConfig, store: Store) -> tuple[subprocess.Popen[str], Path]:
    """Begin a backup that waits halfway; return its process and the file of its password."""
    process = subprocess.Popen(
        [sys.executable, "-c", BACKUP, str(config.path), str(store.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_the_next_backup_removes_what_a_killed_one_left_and_nothing_of_one_that_runs(
    config: DatabaseConfig, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    killed, killed_password = begun(config, store)
    running, running_password = begun(config, store)
    killed.kill()
    killed.communicate()
    assert "secret" in killed_password.read_text()
    old = store.folder / ".20200101T000000Z-sqlite.partial"  # of a version that locked nothing
    old.mkdir()
    os.utime(old, (0, 0))
    assert len(os.listdir(store.folder)) == 3

    made = back_up(config, store)
    with programs.connection_environment(DatabaseConfig.from_url("postgresql://a:b@c/d")):
        pass

    left = os.listdir(store.folder)
    assert len(left) == 2
    assert made.name in left
    assert not killed_password.parent.exists()
    assert running_password.exists()
    running.communicate("")
    assert running.returncode == 0
    assert not running_password.parent.exists()
    assert len(store.all()) == 2
    assert all(not name.startswith(".") for name in os.listdir(store.folder))


@pytest.mark.skipif(not can_mount(), reason="only where a disk can be mounted")
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_full_disk_of_the_backups_is_named(
    config: DatabaseConfig,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    encrypted: bool,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    encryption = Encryption("age", (age_tool(tmp_path)[0],)) if encrypted else None
    size = Path(str(config.path)).stat().st_size // 1024

    # The copy fits, and its encrypted twin does not.
    with tiny_disk(store.folder, size * 3 // 2 if encrypted else size // 2):
        with pytest.raises(OperationFailed, match=f"disk of the backups is full, {store.folder}"):
            back_up(config, store, encryption=encryption)
        assert os.listdir(store.folder) == []


@pytest.mark.skipif(not can_mount(), reason="only where a disk can be mounted")
def test_a_full_disk_of_a_restored_file_is_named(
    config: DatabaseConfig, store: Store, tmp_path: Path
) -> None:
    made = back_up(config, store)
    folder = tmp_path / "full"
    with (
        tiny_disk(folder, 64),
        pytest.raises(OperationFailed, match=r"full/\.book\.db.*: No space left on device"),
    ):
        restore_book(store, made, DatabaseConfig(path=folder / "book.db"))
