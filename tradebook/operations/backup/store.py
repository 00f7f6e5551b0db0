"""The folder of backups: each a folder of its own, under a hidden name until it is complete."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from attrs import frozen

from tradebook.domain.errors import BackupDamaged, OperationFailed
from tradebook.operations.backup.manifest import (
    INCREMENTAL,
    MANIFEST,
    PHYSICAL,
    Manifest,
    read_manifest,
)

DEFAULT_FOLDER: Final = Path("backups")
LATEST: Final = "latest"
_PARTIAL: Final = ".partial"
_DAY: Final = 86_400


@frozen
class Store:
    """A folder of backups.

    Attributes:
        folder: made when the first is written.
    """

    folder: Path

    @property
    def wal(self) -> Path:
        """Where the server's write-ahead log is archived, unless elsewhere."""
        return self.folder / "wal"

    @property
    def stream(self) -> Path:
        """Where it is received as it is written, unless elsewhere."""
        return self.folder / "stream"

    @contextmanager
    def adding(self, kind: str, at: datetime) -> Iterator[Path]:
        """A folder to write a backup into: it gets its name when complete, or it is removed."""
        is_new = not self.folder.exists()
        self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)  # the server archives below
        working = self._working_folder(f"{at:%Y%m%dT%H%M%SZ}-{kind}")
        try:
            yield working
            _sync_folders(working)
            working.rename(self.folder / self.name_of(working))
            _sync(self.folder)
        except BaseException:
            shutil.rmtree(working, ignore_errors=True)
            if is_new:
                with suppress(OSError):  # somebody else put something there
                    self.folder.rmdir()
            raise

    def name_of(self, working: Path) -> str:
        """The name that a folder gets when it is complete."""
        return working.name.removeprefix(".").removesuffix(_PARTIAL)

    def _working_folder(self, wanted: str) -> Path:
        for number in range(1, 1000):
            name = wanted if number == 1 else f"{wanted}-{number}"
            working = self.folder / f".{name}{_PARTIAL}"
            if not (self.folder / name).exists():
                with suppress(FileExistsError):  # somebody else is writing it
                    working.mkdir(mode=0o700)
                    return working
        raise OperationFailed(f"{self.folder} has a thousand backups of one second: {wanted}")

    def all(self) -> list[Manifest]:
        """Every backup that is complete, the oldest first; without those whose manifest is damaged."""
        found = []
        for folder in self._folders():
            with suppress(BackupDamaged):  # one that is must not be in the way of the others
                found.append(read_manifest(folder))
        return sorted(found, key=lambda manifest: (manifest.finished_at, manifest.name))

    def damaged(self) -> list[str]:
        """The names of backups whose manifest is damaged."""
        names = {manifest.name for manifest in self.all()}
        return sorted(folder.name for folder in self._folders() if folder.name not in names)

    def _folders(self) -> list[Path]:
        return [path.parent for path in self.folder.glob(f"[!.]*/{MANIFEST}")]

    def get(self, name: str = LATEST, *, physical: bool | None = None) -> Manifest:
        """A backup by name; the newest by default, or the newest that is physical, or is not.

        Raises:
            OperationFailed: there is none.
        """
        if name != LATEST and (self.folder / name).is_dir():
            return read_manifest(self.folder / name)
        found = [] if name != LATEST else self.all()
        if physical is not None:
            found = [manifest for manifest in found if manifest.is_physical is physical]
        way = {None: "", True: "physical ", False: "logical "}[physical]
        return self._last(found, f"no {way}backup" if name == LATEST else f"no backup {name}")

    def before(self, moment: datetime) -> Manifest:
        """The newest physical backup that was complete at a moment: where recovery to it starts.

        Raises:
            OperationFailed: there is none.
        """
        found = [m for m in self.all() if m.is_physical and m.finished_at <= moment]
        return self._last(found, f"no physical backup from before {moment:%Y-%m-%d %H:%M:%S} UTC")

    def _last(self, found: list[Manifest], complaint: str) -> Manifest:
        if not found:
            raise OperationFailed(f"{complaint} in {self.folder}; see `tradebook backup list`")
        return found[-1]

    def chain(self, manifest: Manifest) -> list[Manifest]:
        """What is needed to restore a backup: those that it builds upon, and it.

        Raises:
            BackupDamaged: one of them is missing.
        """
        chain = [manifest]
        while (parent := chain[0].parent) is not None:
            if not (self.folder / parent).is_dir():
                raise BackupDamaged(
                    f"{chain[0].name} builds upon {parent}, which is not in {self.folder}: restore "
                    "from another backup"
                )
            chain.insert(0, read_manifest(self.folder / parent))
        return chain

    def parent_for(self, system: str) -> Manifest:
        """The newest physical backup of a cluster, for an incremental one to build upon.

        Raises:
            OperationFailed: there is none.
            BackupDamaged: it misses one that it builds upon itself.
        """
        found = [
            manifest
            for manifest in self.all()
            if manifest.kind in (PHYSICAL, INCREMENTAL)
            and manifest.log is not None
            and manifest.log.system == system
        ]
        complaint = "an incremental backup builds upon a physical one: there is none of this server"
        parent = self._last(found, complaint)
        self.chain(parent)
        return parent

    def remove(self, manifest: Manifest) -> None:
        """Remove a backup; a removal that is interrupted leaves nothing that looks like one."""
        doomed = self.folder / f".{manifest.name}{_PARTIAL}"
        (self.folder / manifest.name).rename(doomed)
        shutil.rmtree(doomed)

    def leftovers(self) -> list[Path]:
        """What backups that were killed left, a day and more ago."""
        aged = time.time() - _DAY
        found = self.folder.glob(f".*{_PARTIAL}")
        return [path for path in found if path.stat().st_mtime < aged]

    def remove_leftovers(self) -> None:
        """Remove it."""
        for path in self.leftovers():
            shutil.rmtree(path)


def _sync_folders(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            _sync(path)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
