"""Create a backup of the kind that fits the database: complete, or not there at all."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version

from attrs import asdict

from tradebook.config import DatabaseConfig
from tradebook.domain.errors import InvalidInput
from tradebook.operations.backup.encryption import Encryption
from tradebook.operations.backup.logical import dump
from tradebook.operations.backup.manifest import (
    INCREMENTAL,
    LOGICAL,
    PHYSICAL,
    SQLITE,
    Manifest,
    files_in,
    no_progress,
    write_manifest,
)
from tradebook.operations.backup.physical import copy_server, system_identifier
from tradebook.operations.backup.sqlite import back_up_file
from tradebook.operations.backup.store import Store
from tradebook.operations.server.programs import translated_os_errors
from tradebook.service_layer.instrumentation import ProgressCallback


@translated_os_errors()
def back_up(
    config: DatabaseConfig,
    store: Store,
    *,
    kind: str | None = None,
    jobs: int = 1,
    encryption: Encryption | None = None,
    report: ProgressCallback = no_progress,
) -> Manifest:
    """Back a book up while others write to it; an interrupted backup leaves no file.

    Args:
        config: the database.
        store: the folder of backups.
        kind: on PostgreSQL logical (the default), physical, or incremental since the last physical one.
        jobs: how many tables a logical backup dumps in parallel.
        encryption: the tool and the public keys.
        report: called with the bytes done, and about how many there are.

    Returns:
        The manifest that was written.

    Raises:
        InvalidInput: the database has no such kind of backup.
        OperationFailed: a program failed, or the disk is full; the message says why.
    """
    kind = _fitting_kind(config, kind)
    started = datetime.now(UTC)
    parent = store.parent_for(system_identifier(config)) if kind == INCREMENTAL else None
    with store.new_backup(kind, started) as (name, folder):
        if kind == SQLITE:
            source = back_up_file(config, folder, encryption, report)
        elif kind == LOGICAL:
            source = dump(config, folder, encryption, jobs, report)
        else:
            base = store.folder / parent.name if parent else None
            source = copy_server(config, folder, encryption, base, report)
        manifest = Manifest(
            name=name,
            kind=kind,
            started_at=started,
            finished_at=datetime.now(UTC),
            tradebook=version("tradebook"),
            database=config.safe_url,
            database_name=config.database,
            files=files_in(folder),
            encryption=encryption.tool if encryption else None,
            parent=parent.name if parent else None,
            **asdict(source, recurse=False),
        )
        write_manifest(folder, manifest)
    return manifest


def _fitting_kind(config: DatabaseConfig, kind: str | None) -> str:
    if config.backend == "sqlite":
        if kind not in (None, SQLITE):
            raise InvalidInput("kind", kind, "nothing for a SQLite file: it has one kind of backup")
        return SQLITE
    if kind not in (None, LOGICAL, PHYSICAL, INCREMENTAL):
        raise InvalidInput("kind", kind, f"{LOGICAL}, {PHYSICAL} or {INCREMENTAL}")
    return kind or LOGICAL
