"""Physical backups of PostgreSQL by pg_basebackup: the whole server, from which recovery to any moment starts."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from tradebook.config import DatabaseConfig
from tradebook.domain.errors import BackupDamaged, OperationFailed
from tradebook.operations.backup.encryption import PIECE, Encryption, open_file, stream_output
from tradebook.operations.backup.logical import describe_source
from tradebook.operations.backup.manifest import Log, Manifest, Source
from tradebook.operations.server.admin_connection import AdminConnection, open_admin_connection
from tradebook.operations.server.programs import find_program, run
from tradebook.service_layer.instrumentation import ProgressCallback

SERVER_MANIFEST: Final = "backup_manifest"
"""The file in which the server lists what it sent: for pg_verifybackup, and the next incremental backup."""

_TAR: Final = "base.tar"
_LABEL: Final = "backup_label"
_INCREMENTAL_SINCE: Final = 17
# Only databases that this role may connect to: of others, pg_database_size is refused.
_SIZE: Final = (
    "SELECT sum(pg_database_size(oid)) FROM pg_database "
    "WHERE has_database_privilege(oid, 'CONNECT')"
)
_SYSTEM: Final = "SELECT system_identifier FROM pg_control_system()"
_FIRST_SEGMENT: Final = "START WAL LOCATION: "


def copy_server(
    config: DatabaseConfig,
    folder: Path,
    encryption: Encryption | None,
    parent: Path | None,
    report: ProgressCallback,
) -> Source:
    """Copy a running server's data directory into a folder, with the log that makes the copy consistent.

    The role needs REPLICATION. `parent` is the folder of the backup that an incremental one builds upon.
    """
    with open_admin_connection(config) as admin:
        _require_possible(admin, parent)
        pg_basebackup = find_program("pg_basebackup", admin.version)
        source = describe_source(admin, pg_basebackup)
        size = int(admin.value(_SIZE))
        # `--wal-method=fetch` reads the log at the end of the copy: until then this temporary slot, which ends
        # with the connection, keeps the server from removing it.
        slot = f"tradebook_backup_{os.getpid()}"
        admin.rows("SELECT pg_create_physical_replication_slot(%s, true, true)", slot)
        command: list[str | Path] = [pg_basebackup, "--pgdata=-", "--format=tar", "--no-password"]
        command += ["--wal-method=fetch", "--checkpoint=fast", "--manifest-checksums=SHA256"]
        command += ["--label=tradebook backup"]
        command += [f"--incremental={parent / SERVER_MANIFEST}"] if parent else []
        with stream_output(command, config, folder / _TAR, encryption, size, report) as stream:
            members = _read_members(stream, (_LABEL, SERVER_MANIFEST))
        if len(members) < 2:
            raise OperationFailed("pg_basebackup wrote no manifest: is the server older than 13?")
        log = _describe_log(admin, members[_LABEL], members[SERVER_MANIFEST])
    (folder / SERVER_MANIFEST).write_bytes(members[SERVER_MANIFEST])
    return evolve(source, log=log)


def system_identifier(config: DatabaseConfig) -> str:
    """Read the identifier of the cluster that a database is in."""
    with open_admin_connection(config) as admin:
        return str(admin.value(_SYSTEM))


def _require_possible(admin: AdminConnection, parent: Path | None) -> None:
    # 1663 and 1664 are pg_default and pg_global, inside the data directory.
    if admin.value("SELECT count(*) FROM pg_tablespace WHERE oid NOT IN (1663, 1664)"):
        raise OperationFailed(
            "the server has tablespaces outside its data directory: use pg_basebackup yourself, or "
            "back the book up without --physical"
        )
    if parent is None:
        return
    if admin.version < _INCREMENTAL_SINCE:
        raise OperationFailed(
            f"incremental backups need PostgreSQL 17 or newer, and the server is {admin.version}: use "
            "--physical"
        )
    if admin.value("SHOW summarize_wal") != "on":
        raise OperationFailed(
            "the server keeps no summary of its log, which incremental backups need: run "
            "`tradebook backup archive --apply`, or ALTER SYSTEM SET summarize_wal = on; SELECT "
            "pg_reload_conf(); then take a whole backup first"
        )


def _read_members(stream: Any, names: Sequence[str]) -> dict[str, bytes]:
    """Read files out of a tar archive that streams by; none of those that it does not reach."""
    found: dict[str, bytes] = {}
    # A tar that ends early is an error of pg_basebackup, which its exit code reports with a reason.
    with (
        suppress(tarfile.ReadError),
        tarfile.open(fileobj=stream, mode="r|", bufsize=PIECE) as archive,
    ):
        for member in archive:
            if member.name in names and (file := archive.extractfile(member)) is not None:
                found[member.name] = file.read()
    return found


def _describe_log(admin: AdminConnection, label: bytes, server_manifest: bytes) -> Log:
    ranges = json.loads(server_manifest)["WAL-Ranges"]
    first = next(line for line in label.decode().splitlines() if line.startswith(_FIRST_SEGMENT))
    return Log(
        system=str(admin.value(_SYSTEM)),
        timeline=int(ranges[-1]["Timeline"]),
        start=str(ranges[0]["Start-LSN"]),
        end=str(ranges[-1]["End-LSN"]),
        segment=first.partition("(file ")[2].rstrip(")"),
        # The role that initdb made has the OID 10, whatever its name.
        superuser=str(admin.value("SELECT rolname FROM pg_roles WHERE oid = 10")),
    )


def build_data_directory(
    folders: Sequence[Path], manifests: Sequence[Manifest], working: Path, identity: Path | None
) -> Path:
    """Build a data directory in an empty folder, from a whole backup and incremental ones; return its path.

    Raises:
        BackupDamaged: pg_verifybackup finds a file that is not what the server sent.
    """
    version = manifests[-1].version
    parts = [working / f"part-{number}" for number in range(len(folders))]
    for part, folder, manifest in zip(parts, folders, manifests, strict=True):
        _extract(part, folder, manifest, identity)
    data = parts[0]
    if len(parts) > 1:
        data = working / "combined"
        combine = find_program("pg_combinebackup", version, exactly=True)
        # Without a flush: the server flushes the whole data directory itself before it recovers.
        run([combine, "--no-sync", *parts, f"--output={data}"])
    verify = find_program("pg_verifybackup", version, exactly=True)
    try:
        run([verify, "--quiet", "--exit-on-error", data])
    except OperationFailed as error:
        raise BackupDamaged(f"{folders[-1]}: {error}; restore from another backup") from error
    return data


def _extract(part: Path, folder: Path, manifest: Manifest, identity: Path | None) -> None:
    part.mkdir(mode=0o700)
    [file] = [file for file in manifest.files if file.path.startswith(_TAR)]
    with (
        open_file(folder / file.path, manifest.encryption, identity) as stream,
        tarfile.open(fileobj=stream, mode="r|", bufsize=PIECE) as archive,
    ):
        # Debian's Python 3.11.2 has no extraction filters yet; there the checksum is the only protection.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(part)  # noqa: S202  # through that filter
        # The rest of the stream is read, or the program that decrypts would fail on a closed pipe.
        while stream.read(PIECE):
            pass
