"""Restoring: a file, a database, or a whole server at a moment. What is there already is refused first."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tradebook.config import DatabaseConfig
from tradebook.domain.errors import (
    DatabaseUnavailable,
    InvalidInput,
    OperationFailed,
    WouldOverwrite,
)
from tradebook.operations.backup import wal_archive as archives
from tradebook.operations.backup.encryption import read
from tradebook.operations.backup.logical import load
from tradebook.operations.backup.manifest import SQLITE, Manifest, require_whole, silent
from tradebook.operations.backup.physical import lay_out
from tradebook.operations.backup.sqlite import restore_file
from tradebook.operations.backup.store import Store
from tradebook.operations.server.admin_connection import connected
from tradebook.operations.server.cluster import (
    Server,
    complaint,
    give,
    give_all,
    require_entry,
    server_user,
)
from tradebook.operations.server.programs import program, told_apart
from tradebook.operations.server.sandbox import SCRATCH, Sandbox
from tradebook.service_layer.instrumentation import ProgressCallback

_ASKED_AGAIN: Final = 0.05
_SETTINGS_FILE: Final = "postgresql.auto.conf"
_QUIET: Final = {
    "archive_mode": "off",
    "external_pid_file": "",
    "hot_standby": "off",
    "log_destination": "stderr",
    "logging_collector": "off",
    "shared_preload_libraries": "",
    "ssl": "off",
    "synchronous_standby_names": "",
}
"""A restored server keeps to itself: no archive of the old one's, no standby, no file of another machine."""


@told_apart()
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
    report: ProgressCallback = silent,
) -> None:
    """Restore a SQLite or a logical backup into a database; all of it or nothing.

    Args:
        store: where the backup is.
        manifest: the backup's.
        config: of the database: a file to write, or an empty database on a server.
        identity: age's secret key.
        jobs: of a logical one.
        overwrite: whether the book that is there may go.
        privileges: whether roles get what was granted to them.
        policies: whether row security is kept; without it no role needs to be there.
        report: is told of bytes checked and copied.

    Raises:
        BackupDamaged: a file is not what was written.
        WouldOverwrite: there is a book already, or a database that others are connected to.
        InvalidInput: the backup is of another kind of database.
    """
    folder = store.folder / manifest.name
    if manifest.is_physical:
        raise InvalidInput("backup", manifest.name, "--into a folder: it is of a whole server")
    if (manifest.kind == SQLITE) != (config.backend == "sqlite"):
        raise InvalidInput("database", config.safe_url, f"a database for a {manifest.kind} backup")
    require_whole(folder, manifest, report)
    if manifest.kind != SQLITE:
        load(
            folder,
            manifest,
            config,
            identity=identity,
            jobs=jobs,
            overwrite=overwrite,
            privileges=privileges,
            policies=policies,
        )
        return
    with _in_the_clear(folder, manifest, identity) as copy:
        restore_file(copy, config, report, overwrite=overwrite)


@contextmanager
def _in_the_clear(folder: Path, manifest: Manifest, identity: Path | None) -> Iterator[Path]:
    [file] = manifest.files
    if manifest.encryption is None:
        yield folder / file.path
        return
    with tempfile.TemporaryDirectory(prefix="tradebook-") as temporary:
        copy = Path(temporary) / "book.db"
        with (
            read(folder / file.path, manifest.encryption, identity) as stream,
            copy.open("wb") as clear,
        ):
            shutil.copyfileobj(stream, clear)
        yield copy


@told_apart()
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
    report: ProgressCallback = silent,
) -> Sandbox:
    """Restore a whole server into a folder, and start it there: `tradebook sandbox` stops it.

    Its data directory is HOME/data; nobody but its user gets at it, through a socket in HOME/run.

    Args:
        store: where the backup is, and those that it builds upon.
        manifest: the backup's.
        home: the folder.
        moment: to recover to, inclusive; everything that is archived by default.
        wal: archives of the log, tried one after another; none for what the backup brought along.
        scratch: only what the backup alone holds, recovered no further than it must be, by a server
            that need not outlive a crash.
        identity: age's secret key.
        overwrite: whether a folder that is there is renamed, to make room.
        report: is told of bytes checked.

    Raises:
        BackupDamaged: a file is not what was written.
        WouldOverwrite: the folder is not empty, or its server runs.
        OperationFailed: the moment cannot be reached; says why.
    """
    if manifest.log is None:
        raise InvalidInput("backup", manifest.name, "a physical backup; this one goes --database")
    home = home.resolve()
    _make_room(home, overwrite=overwrite)
    chain = store.chain(manifest)
    for part in chain:
        require_whole(store.folder / part.name, part, report)
    programs = program("postgres", manifest.version, exactly=True).parent
    home.mkdir(parents=True)
    try:
        require_entry(home, server_user())
        _lay_out(store, chain, home, identity)
        target = "recovery_target = 'immediate'" if scratch else _target(moment)
        settings = {**_QUIET, **SCRATCH} if scratch else _QUIET
        return _recovered(manifest, Server(home, programs), settings, wal, target, identity)
    except BaseException:
        _abandon(Server(home, programs))
        raise


def _make_room(home: Path, *, overwrite: bool) -> None:
    if not home.exists():
        return
    if not any(home.iterdir()):
        home.rmdir()
        return
    if not overwrite:
        raise WouldOverwrite(
            f"{home} is not empty: choose another folder, or say --overwrite to have it renamed"
        )
    if (home / "data" / "postmaster.pid").exists() or (home / "postmaster.pid").exists():
        raise WouldOverwrite(f"a server may be running on {home}: stop it first")
    home.rename(home.with_name(f"{home.name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"))


def _lay_out(store: Store, chain: list[Manifest], home: Path, identity: Path | None) -> None:
    working = home / "parts"
    working.mkdir(mode=0o700)
    data = lay_out([store.folder / part.name for part in chain], chain, working, identity)
    data.rename(home / "data")
    shutil.rmtree(working)
    _write_missing(home)
    give_all(home / "data")


def _write_missing(home: Path) -> None:
    """What Debian keeps outside the data directory, and a server does not start without."""
    missing = {
        "postgresql.conf": "# written by tradebook restore: the server's own was kept elsewhere\n",
        "pg_hba.conf": "local all all scram-sha-256\nhost all all all scram-sha-256\n",
        "pg_ident.conf": "",
    }
    for name, text in missing.items():
        path = home / "data" / name
        if not path.exists():
            path.write_text(text)
            path.chmod(0o600)
    rules = home / "pg_hba.conf"
    rules.write_text("# whoever may enter run/: the server's user, and root\nlocal all all trust\n")
    give(rules)


def _target(moment: datetime | None) -> str:
    return (
        "" if moment is None else f"recovery_target_time = '{moment.astimezone(UTC).isoformat()}'"
    )


def _recovered(
    manifest: Manifest,
    server: Server,
    settings: Mapping[str, str],
    wal: Sequence[Path],
    target: str,
    identity: Path | None,
) -> Sandbox:
    assert manifest.log is not None
    folders = [folder.resolve() for folder in wal]
    if not all(archives.is_readable(folder, server_user()) for folder in folders):
        copies = server.home / "wal"
        for folder in folders:
            archives.collect(folder, manifest.log.segment, copies, identity)
        give_all(copies)
        folders = [copies]
    sandbox = Sandbox(
        server.home,
        manifest.version,
        username=manifest.log.superuser,
        database=manifest.database_name or "postgres",
        settings=settings,
    )
    with _recovering(server.data, folders, target):
        try:
            sandbox.start()
        except OperationFailed as error:  # it was over before anybody could have asked
            raise _unreachable(str(error)) from error
        _await_promotion(sandbox)
    sandbox.save()
    shutil.rmtree(server.home / "wal", ignore_errors=True)
    return sandbox


def _await_promotion(sandbox: Sandbox) -> None:
    """Wait until it takes connections, which it does when it has recovered: in seconds or hours."""
    while True:
        try:
            with connected(sandbox.config):
                return
        except DatabaseUnavailable:
            if not sandbox.is_running:
                raise _unreachable(complaint(sandbox.server.log)) from None
        time.sleep(_ASKED_AGAIN)


def _unreachable(said: str) -> OperationFailed:
    if "before configured recovery target" in said:
        return OperationFailed(
            "nothing as late as that moment is archived: restore without --to for all there is, or "
            "from where the rest of the log is"
        )
    return OperationFailed(f"the server could not recover: {said or 'its log says nothing'}")


@contextmanager
def _recovering(data: Path, wal: Sequence[Path], target: str) -> Iterator[None]:
    """Settings that count for the recovery alone: the file is as it was afterwards."""
    file = data / _SETTINGS_FILE
    before = file.read_text() if file.exists() else ""
    command = archives.restore_command(wal).replace("\\", "\\\\").replace("'", "''")
    lines = [before, f"restore_command = '{command}'", "recovery_target_action = 'promote'", target]
    file.write_text("\n".join(lines) + "\n")
    (data / "recovery.signal").touch()
    for path in (file, data / "recovery.signal"):
        give(path)
    yield
    file.write_text(before)


def _abandon(server: Server) -> None:
    try:
        server.stop("immediate")
    finally:
        shutil.rmtree(server.sockets, ignore_errors=True)
        shutil.rmtree(server.home, ignore_errors=True)
