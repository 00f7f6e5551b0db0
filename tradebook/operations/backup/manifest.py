"""The description of a backup: `manifest.json` beside its files, with a checksum of each and of itself."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from attrs import asdict, astuple, frozen

from tradebook.domain.errors import BackupDamaged
from tradebook.operations.backup.encryption import PIECE
from tradebook.service_layer.instrumentation import ProgressCallback

MANIFEST: Final = "manifest.json"
SQLITE: Final = "sqlite"
LOGICAL: Final = "logical"
PHYSICAL: Final = "physical"
INCREMENTAL: Final = "incremental"
_FORMAT: Final = 1


def no_progress(_done: int, _total: int) -> None:
    """Accept a report of progress, and do nothing with it."""


@frozen
class Counts:
    """The number of an account's records, by table."""

    trades: int = 0
    positions: int = 0
    events: int = 0


@frozen
class BackupFile:
    """A file of a backup, its size and checksum after encryption."""

    path: str
    size: int
    sha256: str


@frozen(kw_only=True)
class Log:
    """The place of a physical backup in the server's write-ahead log.

    Attributes:
        system: the identifier of the cluster; incremental backups and the log must have the same.
        timeline: the number of the log's history; each recovery begins a new one.
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
class Source:
    """The database that a backup is of, at the time of the backup.

    Attributes:
        server: its name and version.
        version: PostgreSQL's major version; 0 for SQLite.
        program: the name and version of the program that copied it.
        revision: the revision of the schema; None where the tables were made without migrations.
        counts: the counts of each account: exact, except that a physical backup holds at least these.
        log: the place of a physical backup in the log.
    """

    server: str
    version: int
    program: str
    revision: str | None
    counts: Mapping[str, Counts]
    log: Log | None = None


@frozen(kw_only=True)
class Manifest(Source):
    """A backup: its name and kind, its origin, and its files with their checksums.

    Attributes:
        name: the name of its folder.
        kind: sqlite, logical, physical, or incremental: the changes since `parent`.
        started_at, finished_at: UTC.
        tradebook: the version of this package.
        database: its URL, the password masked.
        database_name: the name of a PostgreSQL database.
        files: all of them but the manifest.
        encryption: the tool, gpg or age; None for files in the clear.
        parent: the backup that an incremental one builds upon.
    """

    name: str
    kind: str
    started_at: datetime
    finished_at: datetime
    tradebook: str
    database: str
    database_name: str | None
    files: tuple[BackupFile, ...]
    encryption: str | None = None
    parent: str | None = None

    @property
    def is_physical(self) -> bool:
        """True if it copies a whole server, so that recovery to a moment can start from it."""
        return self.kind in (PHYSICAL, INCREMENTAL)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def totals(self) -> Counts:
        """The counts of all accounts together."""
        return Counts(*map(sum, zip(*map(astuple, self.counts.values()), strict=True)))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into the backup's folder, and flush it to disk."""
    document: dict[str, Any] = {"format": _FORMAT, **asdict(manifest)}
    for name in ("started_at", "finished_at"):
        document[name] = getattr(manifest, name).astimezone(UTC).isoformat()
    document["sha256"] = _checksum(document)
    with (folder / MANIFEST).open("w") as file:
        json.dump(document, file, indent=2)
        file.flush()
        os.fsync(file.fileno())


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a backup.

    Raises:
        BackupDamaged: it is missing, or was changed since.
    """
    try:
        document = json.loads((folder / MANIFEST).read_bytes())
        expected = document.pop("sha256")
        if expected != _checksum(document) or document.pop("format") != _FORMAT:
            raise ValueError
        for name in ("started_at", "finished_at"):
            document[name] = datetime.fromisoformat(document[name])
        counts = {account: Counts(**each) for account, each in document.pop("counts").items()}
        files = tuple(BackupFile(**each) for each in document.pop("files"))
        log = document.pop("log")
        return Manifest(**document, counts=counts, files=files, log=Log(**log) if log else None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise BackupDamaged(
            f"{folder / MANIFEST} is missing or damaged: restore from another backup"
        ) from None


def _checksum(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def files_in(folder: Path) -> tuple[BackupFile, ...]:
    """Describe every file in a backup's folder but its manifest, flushed to disk and read back."""
    files = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            # Neither pg_dump, writing into a pipe, nor gpg flushes: a power failure could empty the file.
            with path.open("rb") as file:
                os.fsync(file.fileno())
            name, size = str(path.relative_to(folder)), path.stat().st_size
            files.append(BackupFile(name, size, sha256_of(path)))
    return tuple(files)


def sha256_of(path: Path, report: Callable[[int], None] = lambda _size: None) -> str:
    """Compute the checksum of a file; `report` is called with the bytes of each piece."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
            report(len(piece))
    return digest.hexdigest()


def require_whole(folder: Path, manifest: Manifest, report: ProgressCallback = no_progress) -> None:
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
