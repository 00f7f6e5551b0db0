"""PostgreSQL by pg_basebackup: the whole server, from which recovery to any moment starts."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any, BinaryIO, Final

from attrs import define, evolve

from tradebook.config import DatabaseConfig
from tradebook.domain.errors import BackupDamaged, OperationFailed
from tradebook.operations.backup.encryption import Encryption, piped, read, written
from tradebook.operations.backup.logical import facts_of
from tradebook.operations.backup.manifest import Facts, Log, Manifest
from tradebook.operations.server.admin_connection import Statements, connected
from tradebook.operations.server.programs import connection_environment, program, run
from tradebook.service_layer.instrumentation import ProgressCallback

SERVERS_MANIFEST: Final = "backup_manifest"
"""The server's own: what an incremental backup compares with, and pg_verifybackup."""

_TAR: Final = "base.tar"
_LABEL: Final = "backup_label"
_PIECE: Final = 1 << 20
_INCREMENTAL_SINCE: Final = 17
_SIZE: Final = (
    "SELECT sum(pg_database_size(oid)) FROM pg_database "
    "WHERE has_database_privilege(oid, 'CONNECT')"
)
"""For the progress bar: of other databases a role is not told."""
_LOG_FIELDS: Final = "START WAL LOCATION: "


def copy_server(
    config: DatabaseConfig,
    folder: Path,
    encryption: Encryption | None,
    parent: Path | None,
    report: ProgressCallback,
) -> Facts:
    """Copy a server's data directory while it works, with the log that makes the copy consistent.

    Args:
        config: of a role that may replicate; the counts are of its database.
        folder: where to.
        encryption: of the one stream that is written.
        parent: the folder of the backup since which changes are enough.
        report: is told of the bytes copied, of about how many.
    """
    with connected(config) as statements:
        _require_possible(statements, parent)
        pg_basebackup = program("pg_basebackup", statements.version)
        facts = facts_of(statements, pg_basebackup)
        size = int(statements.value(_SIZE))
        # Held while this connection lives: the server keeps the log that the copy needs at its end.
        slot = f"tradebook_backup_{os.getpid()}"
        statements.rows("SELECT pg_create_physical_replication_slot(%s, true, true)", slot)
        label, listed = _stream(
            _command(pg_basebackup, parent), config, folder, encryption, size, report
        )
        log = _log(statements, label, listed)
    (folder / SERVERS_MANIFEST).write_bytes(listed)
    return evolve(facts, log=log)


def cluster_of(config: DatabaseConfig) -> str:
    """The identifier of the cluster that a database is in."""
    with connected(config) as statements:
        return _system(statements)


def _system(statements: Statements) -> str:
    return str(statements.value("SELECT system_identifier FROM pg_control_system()"))


def _command(pg_basebackup: Path, parent: Path | None) -> list[str | Path]:
    command: list[str | Path] = [pg_basebackup, "--pgdata=-", "--format=tar", "--no-password"]
    command += ["--wal-method=fetch", "--checkpoint=fast", "--manifest-checksums=SHA256"]
    command += ["--label=tradebook backup"]
    return command if parent is None else [*command, f"--incremental={parent / SERVERS_MANIFEST}"]


def _require_possible(statements: Statements, parent: Path | None) -> None:
    if statements.value("SELECT count(*) FROM pg_tablespace WHERE oid NOT IN (1663, 1664)"):
        raise OperationFailed(
            "the server has tablespaces outside its data directory: use pg_basebackup yourself, or "
            "back the book up without --physical"
        )
    if parent is None:
        return
    if statements.version < _INCREMENTAL_SINCE:
        raise OperationFailed("incremental backups need PostgreSQL 17 or newer")
    if statements.value("SHOW summarize_wal") != "on":
        raise OperationFailed(
            "the server keeps no summary of its log, which incremental backups need: run "
            "`tradebook backup archive --apply`, or ALTER SYSTEM SET summarize_wal = on; SELECT "
            "pg_reload_conf(); then take a whole backup first"
        )


@define
class _Tee:
    """Reads a stream, and writes what was read into another."""

    source: BinaryIO
    target: BinaryIO
    size: int
    report: ProgressCallback
    done: int = 0

    def read(self, size: int) -> bytes:
        piece = self.source.read(size)
        self.target.write(piece)
        self.done += len(piece)
        self.report(min(self.done, self.size), self.size)
        return piece


def _stream(
    command: list[str | Path],
    config: DatabaseConfig,
    folder: Path,
    encryption: Encryption | None,
    size: int,
    report: ProgressCallback,
) -> tuple[bytes, bytes]:
    """Write the copy; gives the label and the server's manifest that passed by in it."""
    target = folder / (_TAR + (encryption.suffix if encryption else ""))
    passed: dict[str, bytes] = {}
    with (
        connection_environment(config) as environment,
        written(target, encryption) as stream,
        piped(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as process,
    ):
        tee: Any = _Tee(process.stdout, stream, size, report)
        try:
            with tarfile.open(fileobj=tee, mode="r|", bufsize=_PIECE) as archive:
                for member in archive:
                    if member.name in (_LABEL, SERVERS_MANIFEST):
                        file = archive.extractfile(member)
                        passed[member.name] = file.read() if file else b""
        except tarfile.ReadError:
            pass  # it ended early, and says why when its end is looked at
        while tee.read(_PIECE):
            pass
    if len(passed) < 2:
        raise OperationFailed("pg_basebackup wrote no manifest: is the server older than 13?")
    return passed[_LABEL], passed[SERVERS_MANIFEST]


def _log(statements: Statements, label: bytes, listed: bytes) -> Log:
    ranges = json.loads(listed)["WAL-Ranges"]
    first = next(line for line in label.decode().splitlines() if line.startswith(_LOG_FIELDS))
    return Log(
        system=_system(statements),
        timeline=int(ranges[-1]["Timeline"]),
        start=str(ranges[0]["Start-LSN"]),
        end=str(ranges[-1]["End-LSN"]),
        segment=first.partition("(file ")[2].rstrip(")"),
        superuser=str(statements.value("SELECT rolname FROM pg_roles WHERE oid = 10")),
    )


def lay_out(
    folders: list[Path], manifests: list[Manifest], working: Path, identity: Path | None
) -> Path:
    """Make a data directory from a physical backup and what it builds upon; gives its path.

    Args:
        folders: of the whole backup first, then of each incremental one.
        manifests: theirs.
        working: an empty folder for it.
        identity: age's secret key.

    Raises:
        BackupDamaged: pg_verifybackup finds a file that is not what the server wrote.
    """
    version = manifests[-1].version
    parts = [working / f"part-{number}" for number in range(len(folders))]
    for part, folder, manifest in zip(parts, folders, manifests, strict=True):
        _extract(part, folder, manifest, identity)
    data = parts[0]
    if len(parts) > 1:
        data = working / "combined"
        combine = program("pg_combinebackup", version, exactly=True)
        # The server flushes all of it to disk itself before it recovers.
        run([combine, "--no-sync", *parts, f"--output={data}"])
    verify = program("pg_verifybackup", version, exactly=True)
    try:
        run([verify, "--quiet", "--exit-on-error", data])
    except OperationFailed as error:
        raise BackupDamaged(f"{folders[-1]}: {error}") from error
    return data


def _extract(part: Path, folder: Path, manifest: Manifest, identity: Path | None) -> None:
    part.mkdir(mode=0o700)
    [file] = [file for file in manifest.files if file.path.startswith(_TAR)]
    with (
        read(folder / file.path, manifest.encryption, identity) as stream,
        tarfile.open(fileobj=stream, mode="r|", bufsize=_PIECE) as archive,
    ):
        # Python 3.11.2, which Debian has, knows no filters yet; the checksum says whose file it is.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(part)  # noqa: S202  # through that filter
        while stream.read(_PIECE):
            pass
