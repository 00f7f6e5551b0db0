"""Recovery to a moment: a server that was backed up under load is killed, and its data destroyed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from attrs import define, evolve

from tests.support.backups import Writers, age_tool, orders_in
from tests.support.command_line import Command
from tests.support.servers import kill_server_of
from tradebook import BackupDamaged, OperationFailed, WouldOverwrite
from tradebook.adapters.runner import retries
from tradebook.operations.backup import (
    Encryption,
    Manifest,
    Store,
    back_up,
    restore_server,
    verify_backup,
)
from tradebook.operations.backup.manifest import files_in, write_manifest
from tradebook.operations.backup.wal_archive import (
    SCRIPT,
    copy_decrypted,
    is_readable,
    prepare_archive,
    remove_older,
)
from tradebook.operations.backup.wal_survey import survey_log
from tradebook.operations.server.admin_connection import open_admin_connection
from tradebook.operations.server.sandbox import Sandbox, is_sandbox, remove_sandbox, start_sandbox


@define
class Disaster:
    """The remains of a server, and the orders that its clients sent.

    Attributes:
        home: a folder that the server's user may enter, for what is restored.
        store: the backups and the archive of the log.
        base, incremental: taken while the writers went on, before `moment`.
        moment: named while they went on.
        writers: what was sent and acknowledged until the server was killed, without warning.
        arguments: of every program while the base was copied.
        password: of the server.
        identity: the secret key that reads the incremental backup.
    """

    home: Path
    store: Store
    base: Manifest
    incremental: Manifest
    moment: datetime
    writers: Writers
    arguments: list[str]
    password: str
    identity: Path


@pytest.fixture(scope="session")
def struck() -> Iterator[Disaster]:
    """Build and destroy a server, once for each process of the tests, since it takes long."""
    home = Path(tempfile.mkdtemp(prefix="tradebook-recovery-"))
    home.chmod(0o711)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(retries, "MAX_OUTAGE", 0.0)  # no retries: the server stays down
            made = _struck(home, patch)
        yield made
    finally:
        for folder in home.iterdir():
            if is_sandbox(folder):
                remove_sandbox(folder)
        shutil.rmtree(home)


@pytest.fixture
def disaster(struck: Disaster, monkeypatch: pytest.MonkeyPatch) -> Disaster:
    """The disaster, with the tool that decrypts on PATH."""
    monkeypatch.setenv("PATH", str(struck.home), prepend=os.pathsep)
    return struck


def _struck(home: Path, patch: pytest.MonkeyPatch) -> Disaster:
    patch.setenv("PATH", str(home), prepend=os.pathsep)
    public, identity = age_tool(home)
    encryption = Encryption("age", (public,))
    live, _ = start_sandbox(home / "live")
    store = Store(home / "backups")
    tradebook, where = Command(str(live.config.url)), ("--store", str(store.folder))
    assert "archive_command = 'sh " in tradebook("backup", "archive", *where).stdout
    assert "does not archive its log" in tradebook.refused("backup", "archive", "--now", *where)
    assert "archive_mode" in tradebook.json("backup", "archive", "--apply", *where)["restart"]
    live.stop()
    live.start()
    arguments: list[str] = []
    with _received(live, store), Writers(live.config) as writers:

        def watch(_done: int, _total: int) -> None:
            if not arguments:  # of the first piece of many: its program runs
                for child in psutil.Process().children(recursive=True):
                    arguments.extend(child.cmdline())
            writers.go_on(1)

        writers.go_on()
        base = back_up(live.config, store, kind="physical", report=watch)
        writers.go_on()
        incremental = back_up(live.config, store, kind="incremental", encryption=encryption)
        writers.go_on()
        moment = datetime.now(UTC)
        writers.go_on()
        assert len(tradebook.json("backup", "archive", "--now")["archived"]) == 24
        writers.go_on()
        password = str(live.config.password)
        kill_server_of(live.server.data)
    shutil.rmtree(live.home)
    return Disaster(home, store, base, incremental, moment, writers, arguments, password, identity)


@contextmanager
def _received(live: Sandbox, store: Store) -> Iterator[None]:
    """Receive the log as it is written; the server acknowledges nothing before that."""
    code = "from tradebook.entrypoints.cli import main; main()"
    command = [sys.executable, "-c", code, "backup", "stream", "--store", str(store.folder)]
    environment = {**os.environ, "TRADEBOOK_DATABASE_URL": str(live.config.url)}
    with (
        subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process,
        open_admin_connection(live.config) as admin,
    ):
        try:
            while not admin.value("SELECT count(*) FROM pg_stat_replication"):
                assert process.poll() is None
            admin.rows("ALTER SYSTEM SET synchronous_standby_names = 'tradebook_stream'")
            admin.rows("SELECT pg_reload_conf()")
            while admin.value("SELECT sync_state FROM pg_stat_replication") != "sync":
                assert process.poll() is None
            yield
        finally:
            process.terminate()


@contextmanager
def _archive_alone(store: Store) -> Iterator[None]:
    """Hide the streamed log, so that the archive alone is used."""
    hidden = store.folder / ".stream"
    store.stream.rename(hidden)
    yield
    hidden.rename(store.stream)


def test_every_trade_acknowledged_before_the_moment_is_there_and_none_after(
    disaster: Disaster,
) -> None:
    home = disaster.home / "restored"
    tradebook = Command("sqlite://")
    where = ("--store", str(disaster.store.folder), "--into", str(home))
    key = ("--identity", str(disaster.identity))

    with _archive_alone(disaster.store):
        restored = tradebook.json("restore", *where, *key, "--to", disaster.moment.isoformat())

    sandbox = Sandbox.from_folder(home)
    orders = orders_in(sandbox.config)
    assert restored["backup"] == disaster.incremental.name
    assert restored["proven"] is True
    assert disaster.writers.acknowledged_before(disaster.moment) <= orders
    assert not disaster.writers.sent_after(disaster.moment) & orders
    with open_admin_connection(sandbox.config) as admin:
        assert admin.value("SELECT pg_is_in_recovery()") is False
        assert admin.value("SHOW archive_mode") == "off"
    assert "recovery_target" not in (sandbox.server.data / "postgresql.auto.conf").read_text()
    # It is a server like any other: stopped, started again, left alone by another restore.
    assert "stop it first" in tradebook.refused("restore", *where, "--overwrite")
    assert tradebook("sandbox", "stop", str(home)).exit_code == 0
    assert "is not empty" in tradebook.refused("restore", *where)
    assert tradebook("sandbox", "start", str(home), "--no-tables").exit_code == 0
    assert orders_in(sandbox.config) == orders
    assert tradebook("sandbox", "stop", str(home), "--remove", "--yes").exit_code == 0


def test_without_a_moment_every_trade_ever_acknowledged_is_there(disaster: Disaster) -> None:
    tradebook, home = Command("sqlite://"), disaster.home / "all"
    where = ("--store", str(disaster.store.folder), "--into", str(home))

    restored = tradebook.json("restore", disaster.base.name, *where)

    assert restored["proven"] is True
    # The log was received as it was written, and the server waited for that.
    assert set(disaster.writers.acknowledged) <= orders_in(Sandbox.from_folder(home).config)
    remove_sandbox(home)


def test_an_encrypted_incremental_backup_is_proven_in_a_scratch_server(disaster: Disaster) -> None:
    assert disaster.incremental.parent == disaster.base.name
    assert disaster.incremental.size < disaster.base.size

    proof = verify_backup(disaster.store, disaster.incremental, identity=disaster.identity)

    [account] = proof.accounts
    assert proof.proven
    assert account.found.trades >= account.expected.trades > 5


def test_a_moment_that_is_not_archived_cannot_be_restored_to(disaster: Disaster) -> None:
    home = disaster.home / "never"

    with pytest.raises(OperationFailed, match="nothing as late as that moment is archived"):
        restore_server(
            disaster.store,
            disaster.base,
            home,
            moment=datetime.now(UTC) + timedelta(hours=1),
            wal=[disaster.store.wal],
        )
    with pytest.raises(OperationFailed, match="no physical backup from before"):
        disaster.store.before(disaster.base.started_at)

    assert not home.exists()


def test_damage_and_existing_data_are_refused_before_anything_is_restored(
    disaster: Disaster, tmp_path: Path
) -> None:
    copy = Store(tmp_path)
    shutil.copytree(
        disaster.store.folder / disaster.incremental.name, tmp_path / disaster.incremental.name
    )
    home = disaster.home / "other"

    with pytest.raises(BackupDamaged, match=f"builds upon {disaster.base.name}"):
        restore_server(copy, disaster.incremental, home)
    shutil.copytree(disaster.store.folder / disaster.base.name, tmp_path / disaster.base.name)
    with (tmp_path / disaster.base.name / "base.tar").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"rubbish")
    with pytest.raises(BackupDamaged, match=r"base\.tar is not what was written"):
        restore_server(copy, disaster.incremental, home)
    # Nor does a manifest help that was written to fit: the server's own does not.
    folder = tmp_path / disaster.base.name
    fitted = evolve(disaster.base, files=files_in(folder))
    write_manifest(folder, fitted)
    with pytest.raises(BackupDamaged, match="pg_verifybackup failed"):
        restore_server(copy, fitted, home)
    assert not home.exists()
    home.mkdir()
    (home / "thesis.txt").touch()
    with pytest.raises(WouldOverwrite, match="is not empty"):
        restore_server(disaster.store, disaster.incremental, home)
    assert os.listdir(home) == ["thesis.txt"]


def test_the_servers_password_is_among_no_programs_arguments(disaster: Disaster) -> None:
    for program in ("pg_basebackup", "pg_receivewal"):
        assert any(program in word for word in disaster.arguments)
    assert not any(disaster.password in word for word in disaster.arguments)


def test_the_log_from_before_the_oldest_backup_is_removed_and_no_more(
    disaster: Disaster, tmp_path: Path
) -> None:
    shutil.copytree(disaster.store.folder, tmp_path / "copy", copy_function=os.link)
    wal = tmp_path / "copy" / "wal"
    assert disaster.base.log is not None
    needed = disaster.base.log.segment
    before = {path.name for path in wal.iterdir()}

    pruned = Command("sqlite://").json("backup", "prune", "--keep", "1", "--store", str(wal.parent))

    assert pruned["kept"] == [disaster.base.name, disaster.incremental.name]
    removed = pruned["log_files_removed"]
    left = {path.name for path in wal.iterdir()}
    assert removed > 0
    segments = {name for name in before if re.fullmatch(r"[0-9A-F]{24}(\.sha256)?", name)}
    assert before - left == {name for name in segments if name < needed}
    assert {needed, SCRIPT} <= left


def test_the_archive_script_accepts_a_file_twice_but_never_another_of_its_name(
    tmp_path: Path,
) -> None:
    archive = tmp_path / "it's an archive"
    command = prepare_archive(archive, None).settings["archive_command"]
    segment = "0" * 23 + "1"
    source = tmp_path / segment
    source.write_bytes(b"log" * 1000)

    def archived() -> int:
        line = command.replace("%p", str(source)).replace("%f", segment)
        return subprocess.run(["sh", "-c", line], check=False, capture_output=True).returncode

    (archive / f".{segment}.123").write_bytes(b"what a crash left")
    assert archived() == 0
    assert archived() == 0
    source.write_bytes(b"another" * 1000)
    assert archived() == 1
    assert sorted(os.listdir(archive)) == [segment, f"{segment}.sha256", SCRIPT]
    assert hashlib.sha256(b"log" * 1000).hexdigest() in (archive / f"{segment}.sha256").read_text()
    assert (archive / segment).read_bytes() == b"log" * 1000
    assert (archive / segment).stat().st_mode & 0o777 == 0o600


def test_an_encrypted_archive_accepts_a_file_twice_and_old_files_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    public, identity = age_tool(tmp_path)
    archive = tmp_path / "archive"
    command = prepare_archive(archive, Encryption("age", (public,))).settings["archive_command"]
    segments = [f"{1:08X}{0:08X}{number:08X}" for number in (1, 2, 3)]
    source = tmp_path / "segment"

    def archived(segment: str, content: bytes) -> int:
        source.write_bytes(content)
        line = command.replace("%p", str(source)).replace("%f", segment)
        return subprocess.run(["sh", "-c", line], check=False, capture_output=True).returncode

    assert [archived(segment, segment.encode()) for segment in segments] == [0, 0, 0]
    assert archived(segments[0], segments[0].encode()) == 0
    assert archived(segments[0], b"another") == 1
    assert survey_log([archive]).compared == 3
    # A version before this one kept the first checksum alone.
    sums = archive / f"{segments[0]}.sha256"
    sums.write_text(sums.read_text().splitlines()[0])
    assert archived(segments[0], segments[0].encode()) == 0
    assert not is_readable(archive, None)
    assert segments[0].encode() not in (archive / f"{segments[0]}.age").read_bytes()

    copy_decrypted(archive, segments[1], tmp_path / "clear", identity)
    assert remove_older(archive, segments[2]) == 4

    clear = {path.name: path.read_text() for path in (tmp_path / "clear").iterdir()}
    assert clear == {segment: segment for segment in segments[1:]}
    left = {SCRIPT, f"{segments[2]}.age", f"{segments[2]}.sha256"}
    assert set(os.listdir(archive)) == left
