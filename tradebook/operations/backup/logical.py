"""PostgreSQL by pg_dump and pg_restore: one database, into any server of the same version or newer."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tradebook.config import DatabaseConfig
from tradebook.domain.errors import InvalidInput, OperationFailed, SchemaNotReady, WouldOverwrite
from tradebook.operations.backup.contents import read_counts
from tradebook.operations.backup.encryption import Encryption, piped, read, written
from tradebook.operations.backup.manifest import Facts, Manifest
from tradebook.operations.server.admin_connection import Statements, connected
from tradebook.operations.server.programs import connection_environment, program, run
from tradebook.service_layer.instrumentation import ProgressCallback

_DUMP: Final = "book.dump"
_FOLDER: Final = "book"
_PIECE: Final = 1 << 20
_LEAVES_POLICIES_OUT: Final = 18
_LOCK_WAIT: Final = "60s"


def dump(
    config: DatabaseConfig,
    folder: Path,
    encryption: Encryption | None,
    jobs: int,
    report: ProgressCallback,
) -> Facts:
    """Dump a database while others write; it is as of one instant, and so are the counts.

    Raises:
        InvalidInput: several jobs and encryption: they write files in the clear first.
        ProgramMissing: no pg_dump is as new as the server.
    """
    if jobs > 1 and encryption is not None:
        raise InvalidInput(
            "jobs", jobs, "1 with --encrypt: several jobs write files in the clear first"
        )
    with connected(config) as statements, _snapshot(statements) as snapshot:
        pg_dump = program("pg_dump", statements.version)
        command: list[str | Path] = [pg_dump, "--no-password", f"--snapshot={snapshot}"]
        command += [f"--lock-wait-timeout={_LOCK_WAIT}"]
        facts = facts_of(statements, pg_dump)
        size = int(statements.value("SELECT pg_database_size(current_database())"))
        with connection_environment(config) as environment:
            if jobs > 1:
                files = ["--format=directory", f"--jobs={jobs}", f"--file={folder / _FOLDER}"]
                run([*command, *files], env=environment)
            else:
                target = folder / (_DUMP + (encryption.suffix if encryption else ""))
                _stream(
                    [*command, "--format=custom"], environment, target, encryption, size, report
                )
    report(size, size)
    return facts


def _stream(
    command: list[str | Path],
    environment: dict[str, str],
    target: Path,
    encryption: Encryption | None,
    size: int,
    report: ProgressCallback,
) -> None:
    done = 0
    with (
        written(target, encryption) as stream,
        piped(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as process,
    ):
        while piece := process.stdout.read(_PIECE):
            stream.write(piece)
            done += len(piece)
            report(min(done, size), size)


@contextmanager
def _snapshot(statements: Statements) -> Iterator[str]:
    """A transaction that keeps one instant, which pg_dump reads too."""
    statements.rows("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    yield str(statements.value("SELECT pg_export_snapshot()"))
    statements.rows("COMMIT")


def facts_of(statements: Statements, tool: Path) -> Facts:
    """What a database is, and which program backs it up.

    Raises:
        SchemaNotReady: there are no tables of a book.
    """
    return Facts(
        server="PostgreSQL " + str(statements.value("SHOW server_version")).split()[0],
        version=statements.version,
        program=run([tool, "--version"]).strip(),
        revision=_revision_of(statements),
        counts=read_counts(statements.rows),
    )


def _revision_of(statements: Statements) -> str | None:
    """The schema's revision; None where its tables were made without migrations."""
    if statements.value("SELECT to_regclass('trades')") is None:
        raise SchemaNotReady("the database has no tables of a book: nothing to back up")
    if statements.value("SELECT to_regclass('alembic_version')") is None:
        return None
    revision: str | None = statements.value("SELECT version_num FROM alembic_version")
    return revision


def load(
    folder: Path,
    manifest: Manifest,
    config: DatabaseConfig,
    *,
    identity: Path | None = None,
    jobs: int = 1,
    overwrite: bool = False,
    privileges: bool = True,
    policies: bool = True,
) -> None:
    """Load a dump into a database: all of it, in one transaction, or nothing.

    Args:
        folder: the backup's.
        manifest: the backup's.
        config: of the database, which must exist.
        identity: age's secret key.
        jobs: more than one load a dump made with several, into an empty database; not in one transaction.
        overwrite: whether the tables that are there may go; never while others are connected, which is
            looked at before pg_restore begins: who connects and books after that loses it.
        privileges: whether to grant what was granted; the roles must be there.
        policies: whether to keep row security, whose roles must be there too; PostgreSQL 18 can leave it out.

    Raises:
        WouldOverwrite: there are tables, or others are connected.
    """
    with connected(config) as statements:
        is_empty = _require_free(statements, config, overwrite=overwrite)
        version = max(manifest.version, statements.version)
        restore: list[str | Path] = [program("pg_restore", version), "--no-password", "--no-owner"]
    restore += [f"--dbname={config.database}", "--exit-on-error"]
    restore += [] if privileges else ["--no-privileges"]
    restore += [] if policies or version < _LEAVES_POLICIES_OUT else ["--no-policies"]
    restore += [] if is_empty else ["--clean", "--if-exists"]
    restore += [f"--jobs={jobs}"] if jobs > 1 and is_empty else ["--single-transaction"]
    with connection_environment(config) as environment:
        if (folder / _FOLDER).is_dir():
            run([*restore, folder / _FOLDER], env=environment)
            return
        [file] = manifest.files
        with (
            read(folder / file.path, manifest.encryption, identity) as stream,
            piped(restore, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment) as to,
        ):
            while piece := stream.read(_PIECE):
                to.stdin.write(piece)


def _require_free(statements: Statements, config: DatabaseConfig, *, overwrite: bool) -> bool:
    """Whether a database has no tables."""
    others = statements.value(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend'"
    )
    tables = statements.value(
        "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    if tables and not overwrite:
        raise WouldOverwrite(
            f"{config.safe_url} holds {tables} tables: restore into an empty database, or say "
            "--overwrite to lose them"
        )
    if tables and others:
        raise WouldOverwrite(
            f"{config.safe_url} is in use ({others} connected): stop what writes to it first"
        )
    if statements.value("SELECT pg_is_in_recovery()"):
        raise OperationFailed(f"{config.safe_url} is a standby, which takes no writes")
    return not tables
