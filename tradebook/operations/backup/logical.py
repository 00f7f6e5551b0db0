"""Logical backups of PostgreSQL by pg_dump: one database, for any server of the same version or newer."""

from __future__ import annotations

import shutil
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Final

from tradebook.config import DatabaseConfig
from tradebook.domain.errors import InvalidInput, OperationFailed, SchemaNotReady, WouldOverwrite
from tradebook.operations.backup.contents import read_counts
from tradebook.operations.backup.encryption import PIECE, Encryption, open_file, stream_output
from tradebook.operations.backup.manifest import Manifest, Source
from tradebook.operations.server.admin_connection import AdminConnection, open_admin_connection
from tradebook.operations.server.programs import connection_environment, find_program, piped, run
from tradebook.service_layer.instrumentation import ProgressCallback

_DUMP: Final = "book.dump"
_FOLDER: Final = "book"
_NO_POLICIES_SINCE: Final = 18
"""The first pg_restore with `--no-policies`."""
_LOCK_WAIT: Final = "60s"


def dump(
    config: DatabaseConfig,
    folder: Path,
    encryption: Encryption | None,
    jobs: int,
    report: ProgressCallback,
) -> Source:
    """Dump a database into a folder, as of one instant, while others write to it."""
    if jobs > 1 and encryption is not None:
        raise InvalidInput(
            "jobs", jobs, "1 with --encrypt: several jobs write files in the clear first"
        )
    with open_admin_connection(config) as admin:
        # pg_dump reads in the snapshot of this transaction, so its rows are exactly those that are counted here.
        admin.rows("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        snapshot = admin.value("SELECT pg_export_snapshot()")
        pg_dump = find_program("pg_dump", admin.version)
        command: list[str | Path] = [pg_dump, "--no-password", f"--snapshot={snapshot}"]
        command += [f"--lock-wait-timeout={_LOCK_WAIT}"]
        source = describe_source(admin, pg_dump)
        size = int(admin.value("SELECT pg_database_size(current_database())"))
        if jobs > 1:
            command += ["--format=directory", f"--jobs={jobs}", f"--file={folder / _FOLDER}"]
            with connection_environment(config) as environment:
                run(command, env=environment)
        else:
            command += ["--format=custom"]
            with stream_output(command, config, folder / _DUMP, encryption, size, report):
                pass
        admin.rows("COMMIT")
    report(size, size)
    return source


def describe_source(admin: AdminConnection, program: Path) -> Source:
    """Describe a PostgreSQL database and the program that backs it up.

    Raises:
        SchemaNotReady: the database has no tables of a book.
    """
    if admin.value("SELECT to_regclass('trades')") is None:
        raise SchemaNotReady("the database has no tables of a book: nothing to back up")
    revision = None
    if admin.value("SELECT to_regclass('alembic_version')") is not None:
        revision = admin.value("SELECT version_num FROM alembic_version")
    return Source(
        server="PostgreSQL " + str(admin.value("SHOW server_version")).split()[0],
        version=admin.version,
        program=run([program, "--version"]).strip(),
        revision=revision,
        counts=read_counts(admin.rows),
    )


def load(
    folder: Path,
    manifest: Manifest,
    config: DatabaseConfig,
    identity: Path | None,
    jobs: int,
    overwrite: bool,
    privileges: bool,
    policies: bool,
) -> None:
    """Load a dump into an existing database, in one transaction; by several jobs, into an empty one, in many.

    The arguments are those of `restore_book`. Other connections are refused before pg_restore begins: a
    program that connects after that loses what it books.

    Raises:
        WouldOverwrite: the database has tables, or other connections.
    """
    with open_admin_connection(config) as admin:
        is_empty = _require_free(admin, config, overwrite=overwrite)
        version = max(manifest.version, admin.version)
    command: list[str | Path] = [find_program("pg_restore", version), "--no-password", "--no-owner"]
    command += [f"--dbname={config.database}", "--exit-on-error"]
    command += [] if privileges else ["--no-privileges"]
    # Older versions always restore policies, and so need their roles.
    command += [] if policies or version < _NO_POLICIES_SINCE else ["--no-policies"]
    command += [] if is_empty else ["--clean", "--if-exists"]
    command += [f"--jobs={jobs}"] if jobs > 1 and is_empty else ["--single-transaction"]
    with connection_environment(config) as environment:
        if (folder / _FOLDER).is_dir():
            run([*command, folder / _FOLDER], env=environment)
            return
        [file] = manifest.files
        with (
            open_file(folder / file.path, manifest.encryption, identity) as stream,
            piped(command, stdin=PIPE, stdout=DEVNULL, env=environment) as to,
        ):
            shutil.copyfileobj(stream, to.stdin, PIECE)


def _require_free(admin: AdminConnection, config: DatabaseConfig, *, overwrite: bool) -> bool:
    """Refuse a database that must not be restored into; return whether it has no tables."""
    [(tables, others, is_standby)] = admin.rows(
        "SELECT (SELECT count(*) FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')), "
        "(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND backend_type = 'client backend'), pg_is_in_recovery()"
    )
    if tables and not overwrite:
        raise WouldOverwrite(
            f"{config.safe_url} holds {tables} tables: restore into an empty database, or pass "
            "--overwrite to lose them"
        )
    if tables and others:
        raise WouldOverwrite(
            f"{config.safe_url} is in use ({others} connected): stop what writes to it first"
        )
    if is_standby:
        raise OperationFailed(
            f"{config.safe_url} is a standby, which takes no writes; restore into its primary"
        )
    return not tables
