"""What a backup says of itself: `manifest.json` beside its files, with a checksum of each and of itself."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from attrs import asdict, frozen

from tradebook.domain.errors import BackupDamaged
from tradebook.service_layer.instrumentation import ProgressCallback

MANIFEST: Final = "manifest.json"
SQLITE: Final = "sqlite"
LOGICAL: Final = "logical"
PHYSICAL: Final = "physical"
INCREMENTAL: Final = "incremental"
_FORMAT: Final = 1
_PIECE: Final = 1 << 20


def silent(_done: int, _total: int) -> None:
    """Reports to nobody."""


@frozen
class Counts:
    """How many records an account has."""

    trades: int = 0
    positions: int = 0
    events: int = 0


@frozen
class BackupFile:
    """A file of a backup, as it was written: encrypted, where the backup is."""

    path: str
    size: int
    sha256: str


@frozen(kw_only=True)
class Log:
    """Where in the server's write-ahead log a physical backup is.

    Attributes:
        system: the cluster's identifier; incremental backups and the log must be of the same.
        timeline: which of its histories.
        start, end: positions between which the log is needed to make the copy consistent.
        segment: the first file of the log that is needed.
        superuser: the cluster's first role.
    """

    system: str
    timeline: int
    start: str
    end: str
    segment: str
    superuser: str


@frozen(kw_only=True)
class Facts:
    """What was backed up, and what did it; see `Manifest`."""

    server: str
    version: int
    program: str
    revision: str | None
    counts: Mapping[str, Counts]
    log: Log | None = None


@frozen(kw_only=True)
class Manifest:
    """A backup.

    Attributes:
        name: of its folder.
        kind: sqlite, logical, physical, or incremental: the changes since `parent`.
        started_at, finished_at: UTC.
        tradebook, server, program: their versions; `program` wrote it.
        version: PostgreSQL's major version; 0 for SQLite.
        database: its URL, the password masked.
        database_name: of a PostgreSQL database.
        revision: of the schema.
        counts: of each account: exactly what is in it; at its start, for a physical one, which has at
            least these.
        files: all of them but this one.
        encryption: gpg or age.
        parent: the backup that an incremental one builds upon.
        log: of a physical one.
    """

    name: str
    kind: str
    started_at: datetime
    finished_at: datetime
    tradebook: str
    server: str
    program: str
    version: int
    database: str
    database_name: str | None
    revision: str | None
    counts: Mapping[str, Counts]
    files: tuple[BackupFile, ...]
    encryption: str | None = None
    parent: str | None = None
    log: Log | None = None

    @property
    def is_physical(self) -> bool:
        """Whether it is a copy of a whole server: PITR starts from it."""
        return self.kind in (PHYSICAL, INCREMENTAL)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self.files)

    @property
    def totals(self) -> Counts:
        """Of all accounts."""
        return Counts(
            trades=sum(count.trades for count in self.counts.values()),
            positions=sum(count.positions for count in self.counts.values()),
            events=sum(count.events for count in self.counts.values()),
        )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it into the backup's folder, onto the disk."""
    document: dict[str, Any] = {"format": _FORMAT, **asdict(manifest)}
    for name in ("started_at", "finished_at"):
        document[name] = getattr(manifest, name).astimezone(UTC).isoformat()
    document["sha256"] = _checksum(document)
    with (folder / MANIFEST).open("w") as file:
        json.dump(document, file, indent=2)
        file.flush()
        os.fsync(file.fileno())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup.

    Raises:
        BackupDamaged: it is missing, or not what was written.
    """
    try:
        document = json.loads((folder / MANIFEST).read_bytes())
        claimed = document.pop("sha256")
        if claimed != _checksum(document) or document.pop("format") != _FORMAT:
            raise ValueError
        return _manifest(document)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise BackupDamaged(
            f"{folder / MANIFEST} is missing or damaged: restore from another backup"
        ) from None


def _manifest(document: dict[str, Any]) -> Manifest:
    return Manifest(
        **{
            **document,
            "started_at": datetime.fromisoformat(document["started_at"]),
            "finished_at": datetime.fromisoformat(document["finished_at"]),
            "counts": {name: Counts(**count) for name, count in document["counts"].items()},
            "files": tuple(BackupFile(**file) for file in document["files"]),
            "log": Log(**document["log"]) if document["log"] else None,
        }
    )


def _checksum(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def files_in(folder: Path) -> tuple[BackupFile, ...]:
    """Every file in a backup's folder but its manifest, each read back and made sure to be on disk."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return tuple(_file(folder, path) for path in found)


def _file(folder: Path, path: Path) -> BackupFile:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return BackupFile(str(path.relative_to(folder)), path.stat().st_size, sha256_of(path))


def sha256_of(path: Path, report: Callable[[int], None] | None = None) -> str:
    """The checksum of a file; `report` is told of the bytes of each piece."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            if report is not None:
                report(len(piece))
    return digest.hexdigest()


def require_whole(folder: Path, manifest: Manifest, report: ProgressCallback = silent) -> None:
    """Read every file of a backup and compare its checksum.

    Raises:
        BackupDamaged: naming the file that is missing or was changed.
    """
    done = 0

    def add(size: int) -> None:
        nonlocal done
        done += size
        report(done, manifest.size)

    for file in manifest.files:
        path = folder / file.path
        if not path.is_file():
            raise BackupDamaged(f"{path} is missing: restore from another backup")
        if path.stat().st_size != file.size or sha256_of(path, add) != file.sha256:
            raise BackupDamaged(
                f"{path} is not what was written ({file.size:,} bytes, sha256 {file.sha256[:12]}...): "
                "restore from another backup"
            )
