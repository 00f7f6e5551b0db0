"""Verify a backup by restoring it: into a scratch server or file, where it is counted and folded again."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.adapters.migrations.schema_state import BEHIND, read_schema_state
from tradebook.config import DatabaseConfig
from tradebook.operations.backup.contents import AccountProof, prove
from tradebook.operations.backup.manifest import SQLITE, Manifest, no_progress
from tradebook.operations.backup.restore import restore_book, restore_server
from tradebook.operations.backup.store import Store
from tradebook.operations.server.programs import translated_os_errors
from tradebook.operations.server.sandbox import is_sandbox, remove_sandbox, start_sandbox
from tradebook.service_layer.instrumentation import ProgressCallback

_FILE: Final = "verified.json"


@frozen
class BackupProof:
    """The outcome of restoring a backup and verifying the book in it.

    Attributes:
        backup: its manifest.
        accounts: the proof of each account.
        seconds: the time that the restore and the proof took.
    """

    backup: Manifest
    accounts: tuple[AccountProof, ...]
    seconds: float

    @property
    def proven(self) -> bool:
        """True if every record of the manifest is there, and the stored state follows from the trades."""
        return all(account.proven for account in self.accounts)


@translated_os_errors()
def verify_backup(
    store: Store,
    manifest: Manifest,
    *,
    identity: Path | None = None,
    scratch: Path | None = None,
    report: ProgressCallback = no_progress,
) -> BackupProof:
    """Restore a backup into a temporary folder, compare it with its manifest, verify every account.

    Args:
        store: the folder of the backup.
        manifest: the manifest of the backup.
        identity: the file of age's secret key.
        scratch: a folder with room for it; by default the system's temporary one.
        report: called with the bytes checked, and how many there are.

    Raises:
        BackupDamaged: a file was changed since the backup.
        ExtraNotInstalled: a logical backup needs the wheel with PostgreSQL.
    """
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="tradebook-verify-", dir=scratch) as folder,
        _restored(store, manifest, Path(folder), identity=identity, report=report) as config,
    ):
        with engine_for(config) as engine:
            # A backup from before an upgrade is upgraded too, in this copy.
            if read_schema_state(engine).name == BEHIND:
                migrations.upgrade(engine)
        accounts = prove(config, manifest)
    proof = BackupProof(manifest, accounts, time.monotonic() - started)
    document = {"at": datetime.now(UTC).isoformat(), "proven": proof.proven}
    (store.folder / manifest.name / _FILE).write_text(json.dumps(document))
    return proof


@contextmanager
def _restored(
    store: Store, manifest: Manifest, folder: Path, **options: Any
) -> Iterator[DatabaseConfig]:
    if manifest.kind == SQLITE:
        config = DatabaseConfig(path=folder / "book.db")
        restore_book(store, manifest, config, **options)
        yield config
        return
    # A server of its own: roles and settings of a restored book must not meet those of the live server.
    folder.chmod(0o711)  # where this process is root's, the server's user has to pass through
    home = folder / "server"
    try:
        if manifest.is_physical:
            yield restore_server(store, manifest, home, scratch=True, **options).config
        else:
            sandbox, _ = start_sandbox(home, tables=False, durable=False)
            # The roles of grants and policies are not in a dump, and so not in this server.
            options = {**options, "privileges": False, "policies": False}
            restore_book(store, manifest, sandbox.config, **options)
            yield sandbox.config
    finally:
        if is_sandbox(home):
            remove_sandbox(home)


def verified(store: Store, manifest: Manifest) -> datetime | None:
    """Return when a backup was last verified (UTC); None where it was not, or failed."""
    try:
        document = json.loads((store.folder / manifest.name / _FILE).read_text())
        return datetime.fromisoformat(document["at"]) if document["proven"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
