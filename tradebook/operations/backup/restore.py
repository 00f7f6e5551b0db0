"""Restore a backup: into a file, a database, or a whole server at a moment; existing data is refused first."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tradebook.config import DatabaseConfig
from tradebook.domain.errors import (
    BackupDamaged,
    DatabaseUnavailable,
    InvalidInput,
    OperationFailed,
    WouldOverwrite,
)
from tradebook.operations.backup import wal_archive
from tradebook.operations.backup.encryption import PIECE, open_file
from tradebook.operations.backup.logical import load
from tradebook.operations.backup.manifest import SQLITE, Log, Manifest, no_progress, require_whole
from tradebook.operations.backup.physical import build_data_directory
from tradebook.operations.backup.sqlite import restore_file
from tradebook.operations.backup.store import Store
from tradebook.operations.backup.wal_survey import LogSurvey, position, survey_log
from tradebook.operations.server import cluster
from tradebook.operations.server.admin_connection import open_admin_connection
from tradebook.operations.server.programs import find_program, translated_os_errors
from tradebook.operations.server.sandbox import SCRATCH_SETTINGS, Sandbox
from tradebook.operations.server.working_folders import private_folder
from tradebook.service_layer.instrumentation import ProgressCallback

_POLL_SECONDS: Final = 0.05
# After a recovery both stay as it left them.
_RECOVERED: Final = "SELECT pg_last_wal_replay_lsn()::text, pg_last_xact_replay_timestamp()"
# Settings of the lost server that would touch its archive, its standbys or files of its machine; and hot_standby,
# with which it would accept connections before it has recovered.
_ISOLATION: Final = {
    "archive_mode": "off",
    "external_pid_file": "",
    "hot_standby": "off",
    "log_destination": "stderr",
    "logging_collector": "off",
    "shared_preload_libraries": "",
    "ssl": "off",
    "synchronous_standby_names": "",
}


@translated_os_errors()
def restore_book(
    store: Store,
    manifest: Manifest,
    config: DatabaseConfig,
    *,
    identity: Path | None = None,
    jobs: int = 1,
    overwrite: bool = False,
    privileges: bool = True,
    policies: bool = True,
    report: ProgressCallback = no_progress,
) -> None:
    """Restore a SQLite or a logical backup into a database: all of it, or nothing.

    Args:
        store: the folder of the backup.
        manifest: the manifest of the backup.
        config: the database: a file to write, or an empty database on a server.
        identity: the file of age's secret key.
        jobs: how many tables are loaded in parallel, where a logical backup was dumped by several jobs.
        overwrite: whether the book that is there may be lost.
        privileges: whether to repeat the grants to roles, which must exist.
        policies: whether to restore row-level security, whose roles must exist; PostgreSQL 18 can leave it out.
        report: called with the bytes checked and copied, and how many there are.

    Raises:
        BackupDamaged: a file was changed since the backup.
        WouldOverwrite: there is a book already, or a database that others are connected to.
        InvalidInput: the backup is of another kind of database.
    """
    folder = store.folder / manifest.name
    if manifest.is_physical:
        raise InvalidInput("backup", manifest.name, "--into a folder, as it is of a whole server")
    if (manifest.kind == SQLITE) != (config.backend == "sqlite"):
        raise InvalidInput("database", config.safe_url, f"a database for a {manifest.kind} backup")
    require_whole(folder, manifest, report)
    if manifest.kind == SQLITE:
        with _decrypted(folder, manifest, identity) as copy:
            restore_file(copy, config, report, overwrite=overwrite)
        return
    load(folder, manifest, config, identity, jobs, overwrite, privileges, policies)


@contextmanager
def _decrypted(folder: Path, manifest: Manifest, identity: Path | None) -> Iterator[Path]:
    """Yield the only file of a backup, as a temporary decrypted copy where it is encrypted."""
    [file] = manifest.files
    if manifest.encryption is None:
        yield folder / file.path
        return
    with private_folder() as temporary:
        copy = temporary / "book.db"
        with (
            open_file(folder / file.path, manifest.encryption, identity) as stream,
            copy.open("wb") as clear,
        ):
            shutil.copyfileobj(stream, clear, PIECE)
        yield copy


@translated_os_errors()
def restore_server(
    store: Store,
    manifest: Manifest,
    home: Path,
    *,
    moment: datetime | None = None,
    wal: Sequence[Path] = (),
    scratch: bool = False,
    identity: Path | None = None,
    overwrite: bool = False,
    report: ProgressCallback = no_progress,
    on_hole: Callable[[str], None] | None = None,
) -> Sandbox:
    """Restore a whole server into a folder, and start it there: `tradebook sandbox` stops it.

    Its data directory is HOME/data. It listens on a socket in HOME/run alone, which its user alone may enter.

    Args:
        store: the folder of the backup, and of those that it builds upon.
        manifest: the manifest of the backup.
        home: the folder.
        moment: the time to recover to, inclusive; by default the end of the archived log.
        wal: archives of the log, tried in this order; without any, recovery ends with the backup's own log.
        scratch: recover no further than the backup needs to be consistent, without flushes to disk.
        identity: the file of age's secret key.
        overwrite: whether to rename a folder that is there.
        report: called with the bytes checked, and how many there are.
        on_hole: called with what is wrong, where recovery ended at a segment of the log that is missing or
            altered; by default that is an error. Such a segment after the moment is no error.

    Raises:
        BackupDamaged: a file was changed since the backup, or recovery ended before the end of the log.
        WouldOverwrite: the folder is not empty, or its server runs.
        OperationFailed: the log does not reach the moment, or recovery failed; the message says why.
    """
    if manifest.log is None:
        raise InvalidInput(
            "backup", manifest.name, "a physical backup; restore this one with --database"
        )
    home = home.resolve()
    _make_room(home, overwrite=overwrite)
    chain = store.chain(manifest)
    for part in chain:
        require_whole(store.folder / part.name, part, report)
    survey = survey_log(wal, manifest.log, report=report)
    # PostgreSQL starts on a data directory of its own major version only.
    server = cluster.Server(home, find_program("postgres", manifest.version, exactly=True).parent)
    home.mkdir(parents=True)
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, home, ignore_errors=True)
        undo.callback(shutil.rmtree, server.sockets, ignore_errors=True)
        undo.callback(server.stop, "immediate")
        cluster.require_entry(home, cluster.server_user())
        _write_files(store, chain, server, identity)
        archives = _readable_archives(wal, server, manifest.log, survey, identity)
        sandbox = Sandbox(
            home,
            manifest.version,
            username=manifest.log.superuser,
            database=manifest.database_name or "postgres",
            settings={**_ISOLATION, **SCRATCH_SETTINGS} if scratch else _ISOLATION,
        )
        target = "recovery_target = 'immediate'" if scratch else ""
        if moment is not None:
            target = f"recovery_target_time = '{moment.astimezone(UTC).isoformat()}'"
        with _recovery_settings(server.data, archives, target):
            end, last = _recover(sandbox, survey)
        trouble = survey.trouble(end if moment is None else None)
        if trouble is not None and not scratch:
            trouble += (
                f"; the last transaction that was recovered is of {last or 'the backup itself'}"
            )
            if on_hole is not None:
                on_hole(trouble)
            elif moment is None:
                raise BackupDamaged(
                    f"the archived log was not recovered to its end: {trouble}; restore from where the "
                    "log is whole, from a backup after it, or pass --until-hole to get no more than that"
                )
        sandbox.save()
        shutil.rmtree(home / "wal", ignore_errors=True)
        undo.pop_all()
    return sandbox


def _make_room(home: Path, *, overwrite: bool) -> None:
    if not home.exists():
        return
    if not any(home.iterdir()):
        home.rmdir()
        return
    if not overwrite:
        raise WouldOverwrite(
            f"{home} is not empty: choose another folder, or pass --overwrite to have it renamed"
        )
    # In `data` of a folder of ours, or in a data directory itself.
    if any((folder / "postmaster.pid").exists() for folder in (home / "data", home)):
        raise WouldOverwrite(f"a server may be running on {home}: stop it first")
    home.rename(home.with_name(f"{home.name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"))


def _write_files(
    store: Store, chain: Sequence[Manifest], server: cluster.Server, identity: Path | None
) -> None:
    """Write the data directory, and the rules for connections to it."""
    working = server.home / "parts"
    working.mkdir(mode=0o700)
    folders = [store.folder / part.name for part in chain]
    build_data_directory(folders, chain, working, identity).rename(server.data)
    shutil.rmtree(working)
    # Debian keeps these outside the data directory, where no backup has them; no server starts without.
    missing = {
        "postgresql.conf": "# written by tradebook restore: the server's own was kept elsewhere\n",
        "pg_hba.conf": "local all all scram-sha-256\nhost all all all scram-sha-256\n",
        "pg_ident.conf": "",
    }
    for name, text in missing.items():
        path = server.data / name
        if not path.exists():
            path.write_text(text)
            path.chmod(0o600)
    rules = server.home / "pg_hba.conf"
    rules.write_text(
        "# for those who may enter run/: the server's user, and root\nlocal all all trust\n"
    )
    for path in (rules, server.data):
        cluster.give_to_server(path)


def _readable_archives(
    wal: Sequence[Path],
    server: cluster.Server,
    log: Log,
    survey: LogSurvey,
    identity: Path | None,
) -> list[Path]:
    """Return the archives of the log, or one decrypted copy, of what is sound, that the server can read."""
    readable = (wal_archive.is_readable(folder, cluster.server_user()) for folder in wal)
    if not survey.altered and all(readable):
        return [folder.resolve() for folder in wal]
    copies = server.home / "wal"
    for folder in wal:
        wal_archive.copy_decrypted(folder, log.segment, copies, identity, survey.altered)
    cluster.give_to_server(copies)
    return [copies]


def _recover(sandbox: Sandbox, survey: LogSurvey) -> tuple[int, datetime | None]:
    """Start a server and wait, for seconds or hours, until it has recovered and accepts connections.

    Returns:
        The position up to which it replayed the log, and the time of the last transaction in that.
    """
    try:
        sandbox.start()
        while True:
            try:
                with open_admin_connection(sandbox.config) as admin:
                    [(end, last)] = admin.rows(_RECOVERED)
                    return position(end), last
            except DatabaseUnavailable:
                if not sandbox.is_running:
                    reason = cluster.last_fatal_lines(sandbox.server.log)
                    raise OperationFailed(reason or "its log has no error") from None
            time.sleep(_POLL_SECONDS)
    except OperationFailed as error:
        message = f"the server could not recover: {error}; try another backup"
        if "before configured recovery target" in str(error):
            message = (
                "nothing as late as that moment is archived: restore without --to for all there is, or "
                "from where the rest of the log is"
            )
            if hole := survey.trouble():
                message += f" ({hole})"
        raise OperationFailed(message) from error


@contextmanager
def _recovery_settings(data: Path, archives: Sequence[Path], target: str) -> Iterator[None]:
    """Write the settings of a recovery into a data directory, and take them back afterwards."""
    # Left there, a target would end each later recovery of this server too.
    file, signal = data / "postgresql.auto.conf", data / "recovery.signal"
    before = file.read_text() if file.exists() else ""
    command = wal_archive.restore_command(archives).replace("\\", "\\\\").replace("'", "''")
    lines = [before, f"restore_command = '{command}'", "recovery_target_action = 'promote'", target]
    file.write_text("\n".join(lines) + "\n")
    signal.touch()
    for path in (file, signal):
        cluster.give_to_server(path)
    yield
    file.write_text(before)
