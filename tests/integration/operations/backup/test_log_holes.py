"""Archived log with a segment that is missing or altered: no restore takes it for the end of the log."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from tests.integration.operations.test_doctor import diagnosis
from tests.support.breakable_servers import breakable_servers
from tests.support.command_line import Command
from tests.support.servers import configured
from tradebook import DatabaseConfig, DatabaseManager
from tradebook.operations.backup import Store, archive_log, archive_now, back_up, restore
from tradebook.operations.doctor import Finding, Level
from tradebook.operations.server.sandbox import SCRATCH_SETTINGS, remove_sandbox


@frozen
class Archived:
    """A store with a physical backup, and the archived log of 30 trades booked after it.

    Attributes:
        home: a folder that the server's user may enter.
        store: the backup and the archive; each test changes a copy.
        segments: the archived segments, each with 10 of the trades.
        moment: a time after the first 10 trades.
        config: the database on the server that archives.
    """

    home: Path
    store: Store
    segments: list[str]
    moment: datetime
    config: DatabaseConfig

    def copied(self) -> tuple[Store, Command, tuple[str, ...]]:
        """Copy the store; return it, the command line, and its options of a restore."""
        work = Path(tempfile.mkdtemp(dir=self.home))
        work.chmod(0o711)
        shutil.copytree(self.store.folder, work / "backups")
        for path in (self.store.wal, *self.store.wal.iterdir()):
            owner, copy = path.stat(), work / "backups" / path.relative_to(self.store.folder)
            shutil.chown(copy, owner.st_uid, owner.st_gid)
        options = ("--store", str(work / "backups"), "--into", str(work / "restored"))
        return Store(work / "backups"), Command("sqlite://"), options


@pytest.fixture(scope="module")
def archived() -> Iterator[Archived]:
    home = Path(tempfile.mkdtemp(prefix="tradebook-holes-"))
    home.chmod(0o711)
    store = Store(home / "backups")
    patch = pytest.MonkeyPatch()
    patch.setattr(restore, "_ISOLATION", {**restore._ISOLATION, **SCRATCH_SETTINGS})
    try:
        with breakable_servers() as (server, _):
            server.create("--set=archive_mode=on")
            config = configured(server.url("postgres"))
            archive_log(config, store.wal, None)
            with DatabaseManager(config) as book:
                book.upgrade()
                back_up(config, store, kind="physical")
                archive_now(config)
                segments, moments = [], []
                for _ in range(3):
                    for _ in range(10):
                        book.record_trade(symbol="AAPL", action="BUY", quantity=1, price=2)
                    moments.append(datetime.now(UTC))
                    segments.append(archive_now(config))
            yield Archived(home, store, segments, moments[0], config)
    finally:
        patch.undo()
        for folder in home.glob("*/restored"):
            remove_sandbox(folder)
        shutil.rmtree(home)


def trades_of(restored: dict[str, Any]) -> int:
    """Return the number of trades in a restored book."""
    return sum(account["trades"] for account in restored["found"].values())


def test_a_restore_does_not_end_at_a_segment_that_is_missing(archived: Archived) -> None:
    store, tradebook, options = archived.copied()
    _, gone, newest = archived.segments
    (store.wal / gone).unlink()

    refused = tradebook.refused("restore", *options)

    assert f"{gone} is missing, and {newest} is there; the last transaction that was" in refused
    assert f"recovered is of {archived.moment:%Y-%m-%d %H:%M}" in refused
    assert not Path(options[-1]).exists()
    accepted = tradebook.json("restore", *options, "--until-hole")
    assert (trades_of(accepted), accepted["proven"]) == (10, True)
    assert f"{gone} is missing" in accepted["holes"][0]


def test_a_hole_after_the_moment_is_named_and_no_error(archived: Archived) -> None:
    store, tradebook, options = archived.copied()
    (store.wal / archived.segments[1]).unlink()

    restored = tradebook.json("restore", *options, "--to", archived.moment.isoformat())

    assert (trades_of(restored), restored["proven"]) == (10, True)
    assert f"{archived.segments[1]} is missing" in restored["holes"][0]


@pytest.mark.parametrize("has_sums", [True, False])
def test_a_restore_does_not_end_at_a_segment_that_is_altered(
    archived: Archived, has_sums: bool
) -> None:
    store, tradebook, options = archived.copied()
    path = store.wal / archived.segments[1]
    content = path.read_bytes()
    start = content.index(b"AAPL")
    path.write_bytes(content[:start] + bytes(256) + content[start + 256 :])
    if not has_sums:  # as an archive of a version before checksums
        for file in store.wal.glob("*.sha256"):
            file.unlink()

    refused = tradebook.refused("restore", *options)

    assert archived.segments[1] in refused
    assert ("is not what was archived" if has_sums else "is damaged") in refused


def test_a_whole_archive_with_and_without_checksums_is_restored_to_its_end(
    archived: Archived,
) -> None:
    store, tradebook, options = archived.copied()
    files = [path for path in store.wal.glob("*.sha256") if path.name[:24] != archived.segments[0]]
    for file in files:
        file.unlink()

    restored = tradebook.json("restore", *options)

    assert (trades_of(restored), restored["holes"]) == (30, [])


def test_verify_list_and_the_doctor_check_the_archived_log(archived: Archived) -> None:
    tradebook, where = Command("sqlite://"), ("--store", str(archived.store.folder))
    _, gone, newest = archived.segments
    segment = archived.store.wal / gone

    def log_finding() -> Finding:
        found = diagnosis(archived.config).findings
        return next(finding for finding in found if finding.check == "archived log")

    assert tradebook.json("backup", "verify", *where)["log"]["faults"] == []
    whole = tradebook.json("backup", "list", *where)["log"]
    assert (whole["newest"], whole["compared"]) == (newest, whole["segments"])
    assert log_finding().level is Level.GREEN

    segment.rename(segment.with_name("aside"))
    try:
        assert f"{gone} is missing" in tradebook("backup", "list", *where).stderr
        verified = tradebook("backup", "verify", *where)
        found = log_finding()
    finally:
        segment.with_name("aside").rename(segment)

    assert verified.exit_code == 1
    assert f"archived log: {gone} is missing\nnot proven: " in verified.stdout
    assert found.level is Level.RED
    assert f"{gone} is missing" in found.what
    content = segment.read_bytes()
    segment.write_bytes(bytes(256) + content[256:])
    assert f"{gone} is not what was archived" in log_finding().what
    segment.write_bytes(content)
    # Recovery from a new backup needs none of it.
    segment.rename(segment.with_name("aside"))
    made = back_up(archived.config, archived.store, kind="physical")
    assert log_finding().level is Level.YELLOW
    assert tradebook.json("backup", "verify", *where)["proven"] is True
    archived.store.remove(made)
    segment.with_name("aside").rename(segment)
