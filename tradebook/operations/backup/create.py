"""Making a backup: of the kind that fits the database, complete or not there at all."""

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
    silent,
    write_manifest,
)
from tradebook.operations.backup.physical import cluster_of, copy_server
from tradebook.operations.backup.sqlite import back_up_file
from tradebook.operations.backup.store import Store
from tradebook.operations.server.programs import told_apart
from tradebook.service_layer.instrumentation import ProgressCallback


@told_apart()
def back_up(
    config: DatabaseConfig,
    store: Store,
    *,
    kind: str | None = None,
    jobs: int = 1,
    encryption: Encryption | None = None,
    report: ProgressCallback = silent,
) -> Manifest:
    """Back a book up while others write; whatever interrupts it leaves nothing.

    Args:
        config: of the database.
        store: where backups go.
        kind: of PostgreSQL: logical by default; physical; or incremental, since the last physical one.
        jobs: of a logical one, how many tables are dumped at once.
        encryption: by whose public keys.
        report: is told of bytes done, of about how many.

    Returns:
        What it says of itself.

    Raises:
        InvalidInput: the database has no such kind of backup.
        OperationFailed: it did not work; says why.
    """
    chosen = _kind(config, kind)
    started = datetime.now(UTC)
    parent = store.parent_for(cluster_of(config)) if chosen == INCREMENTAL else None
    with store.adding(chosen, started) as folder:
        if chosen == SQLITE:
            facts = back_up_file(config, folder, encryption, report)
        elif chosen == LOGICAL:
            facts = dump(config, folder, encryption, jobs, report)
        else:
            since = store.folder / parent.name if parent else None
            facts = copy_server(config, folder, encryption, since, report)
        manifest = Manifest(
            name=store.name_of(folder),
            kind=chosen,
            started_at=started,
            finished_at=datetime.now(UTC),
            tradebook=version("tradebook"),
            database=config.safe_url,
            database_name=config.database,
            files=files_in(folder),
            encryption=encryption.tool if encryption else None,
            parent=parent.name if parent else None,
            **asdict(facts, recurse=False),
        )
        write_manifest(folder, manifest)
    return manifest


def _kind(config: DatabaseConfig, kind: str | None) -> str:
    if config.backend == "sqlite":
        if kind not in (None, SQLITE):
            raise InvalidInput("kind", kind, "nothing for a SQLite file: it has one kind of backup")
        return SQLITE
    chosen = kind or LOGICAL
    if chosen not in (LOGICAL, PHYSICAL, INCREMENTAL):
        raise InvalidInput("kind", kind, f"{LOGICAL}, {PHYSICAL} or {INCREMENTAL}")
    return chosen
