"""The folder of backups: each a folder of its own, under a hidden name until it is complete."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from attrs import frozen

from tradebook.domain.errors import BackupDamaged, OperationFailed
from tradebook.operations.backup.manifest import MANIFEST, Manifest, read_manifest
from tradebook.operations.server.working_folders import (
    is_abandoned,
    is_aged,
    remove_abandoned,
    working_folder,
)

_LATEST: Final = "latest"
_WORKING: Final = ".working"
_PARTIAL: Final = ".partial"
"""The end of the name of a working folder of earlier versions."""
_LITTLE: Final = 1 << 20
"""Bytes."""


@frozen
class Store:
    """A folder of backups.

    Attributes:
        folder: made when the first backup is written.
    """

    folder: Path

    @property
    def wal(self) -> Path:
        """The default folder into which the server archives its write-ahead log."""
        return self.folder / "wal"

    @property
    def stream(self) -> Path:
        """The default folder into which `tradebook backup stream` receives the log."""
        return self.folder / "stream"

    @contextmanager
    def new_backup(self, kind: str, at: datetime) -> Iterator[tuple[str, Path]]:
        """Yield a backup's name, and a folder that gets this name after the block, or is removed."""
        is_new = not self.folder.exists()
        # The server's user has to pass through, to the archive below.
        self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        for left in self.leftovers():
            remove_abandoned(left)
        wanted = f"{at:%Y%m%dT%H%M%SZ}-{kind}"
        with working_folder(lambda: self._working_folder(wanted)) as working:
            try:
                name = working.name.removeprefix(".").removesuffix(_WORKING)
                yield name, working
                # fsync of a file keeps its content, of a folder its entries: without both, a power failure could
                # keep the backup's name and lose its files.
                for folder in (working, *working.rglob("*/")):
                    _flush(folder)
                working.rename(self.folder / name)
                _flush(self.folder)
            except BaseException as error:
                is_full = _is_full(error, self.folder)
                shutil.rmtree(working, ignore_errors=True)
                if is_new:
                    with suppress(OSError):  # another process has put something into it
                        self.folder.rmdir()
                if is_full:
                    raise OperationFailed(
                        f"the disk of the backups is full, {self.folder}: make room on it, for example by "
                        "`tradebook backup prune`, and back up again; the book is not affected"
                    ) from error
                raise

    def _working_folder(self, wanted: str) -> Path:
        for number in range(1, 1000):
            name = wanted if number == 1 else f"{wanted}-{number}"
            working = self.folder / f".{name}{_WORKING}"
            if not (self.folder / name).exists():
                with suppress(FileExistsError):  # another process writes a backup of this second
                    working.mkdir(mode=0o700)
                    return working
        raise OperationFailed(
            f"{self.folder} has a thousand backups of one second, {wanted}; try again in the next"
        )

    def all(self) -> list[Manifest]:
        """Return every complete backup, the oldest first; without those whose manifest is damaged."""
        found = []
        for folder in self._folders():
            with suppress(BackupDamaged):  # `damaged` lists it
                found.append(read_manifest(folder))
        return sorted(found, key=lambda manifest: (manifest.finished_at, manifest.name))

    def damaged(self) -> list[str]:
        """Return the names of the backups whose manifest is damaged."""
        names = {manifest.name for manifest in self.all()}
        return sorted(folder.name for folder in self._folders() if folder.name not in names)

    def _folders(self) -> list[Path]:
        return [path.parent for path in self.folder.glob(f"[!.]*/{MANIFEST}")]

    def get(self, name: str = _LATEST, *, physical: bool | None = None) -> Manifest:
        """Return a backup by name; by default the newest, or the newest that is physical or is not.

        Raises:
            OperationFailed: there is none.
        """
        if name != _LATEST:
            if (self.folder / name).is_dir():
                return read_manifest(self.folder / name)
            return self._last([], f"no backup {name}")
        found = [m for m in self.all() if physical in (None, m.is_physical)]
        way = {None: "", True: "physical ", False: "logical "}[physical]
        return self._last(found, f"no {way}backup")

    def before(self, moment: datetime) -> Manifest:
        """Return the newest physical backup that was complete at a moment, to recover to it.

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
        """Return the backups that a restore needs: those that this one builds upon, then this one."""
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
        """Return the newest physical backup of a cluster, with a whole chain for an incremental one."""
        found = [m for m in self.all() if m.log is not None and m.log.system == system]
        complaint = "an incremental backup builds upon a physical one: there is none of this server"
        parent = self._last(found, complaint)
        self.chain(parent)
        return parent

    def remove(self, manifest: Manifest) -> None:
        """Remove a backup; an interrupted removal leaves no folder that looks like a backup."""
        removed = self.folder / f".{manifest.name}{_WORKING}"
        (self.folder / manifest.name).rename(removed)
        with suppress(
            FileNotFoundError
        ):  # another process took it for a leftover, and removes it too
            shutil.rmtree(removed)

    def leftovers(self) -> list[Path]:
        """Return the working folders of killed backups; those of earlier versions after a day."""
        found = [path for path in self.folder.glob(f".*{_WORKING}") if is_abandoned(path)]
        # Earlier versions lock nothing: a younger one may belong to a backup that runs.
        return found + [path for path in self.folder.glob(f".*{_PARTIAL}") if is_aged(path)]


def _is_full(error: BaseException, folder: Path) -> bool:
    """Check whether the disk of the backups was full; a server's disk gives programs the same message."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    is_said = isinstance(error, OperationFailed) and os.strerror(errno.ENOSPC) in str(error)
    return is_said and shutil.disk_usage(folder).free < _LITTLE


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
