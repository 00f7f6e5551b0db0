"""A backup is not done until it was restored: into a scratch server or file, counted, and proven there."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from attrs import frozen

from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.adapters.migrations.schema_state import BEHIND, read_schema_state
from tradebook.config import DatabaseConfig
from tradebook.operations.backup.contents import AccountProof, prove
from tradebook.operations.backup.manifest import SQLITE, Manifest, silent
from tradebook.operations.backup.restore import restore_book, restore_server
from tradebook.operations.backup.store import Store
from tradebook.operations.server.programs import told_apart
from tradebook.operations.server.sandbox import is_sandbox, remove_sandbox, start_sandbox
from tradebook.service_layer.instrumentation import ProgressCallback

_FILE: Final = "verified.json"


@frozen
class BackupProof:
    """What came out of restoring a backup.

    Attributes:
        backup: its manifest.
        accounts: each account's proof.
        seconds: that the restore and the proof took.
    """

    backup: Manifest
    accounts: tuple[AccountProof, ...]
    seconds: float

    @property
    def proven(self) -> bool:
        """Whether all that the manifest names is there, and follows from the trades."""
        return all(account.proven for account in self.accounts)


@told_apart()
def verify_backup(
    store: Store,
    manifest: Manifest,
    *,
    identity: Path | None = None,
    scratch: Path | None = None,
    report: ProgressCallback = silent,
) -> BackupProof:
    """Restore a backup where nobody sees it, compare it with its manifest, verify every account.

    Args:
        store: where the backup is.
        manifest: the backup's.
        identity: age's secret key.
        scratch: a folder with room for it; the system's temporary one by default.
        report: is told of bytes checked.

    Raises:
        BackupDamaged: a file is not what was written.
        ExtraNotInstalled: a logical backup needs the wheel with PostgreSQL.
    """
    started = time.monotonic()
    with (
        _scratch_folder(scratch) as folder,
        _restored(store, manifest, folder, identity, report) as config,
    ):
        _bring_up(config)
        accounts = prove(config, manifest)
    proof = BackupProof(manifest, accounts, time.monotonic() - started)
    _note(store.folder / manifest.name, proof)
    return proof


@contextmanager
def _scratch_folder(parent: Path | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tradebook-verify-", dir=parent))
    folder.chmod(0o711)  # the server runs as another user where we are root
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _restored(
    store: Store, manifest: Manifest, folder: Path, identity: Path | None, report: ProgressCallback
) -> Iterator[DatabaseConfig]:
    if manifest.kind == SQLITE:
        config = DatabaseConfig(path=folder / "book.db")
        restore_book(store, manifest, config, identity=identity, report=report)
        yield config
        return
    home = folder / "server"
    try:
        if manifest.is_physical:
            yield restore_server(
                store, manifest, home, scratch=True, identity=identity, report=report
            ).config
        else:
            sandbox, _ = start_sandbox(home, tables=False, lasting=False)
            restore_book(
                store,
                manifest,
                sandbox.config,
                identity=identity,
                privileges=False,
                policies=False,
                report=report,
            )
            yield sandbox.config
    finally:
        if is_sandbox(home):
            remove_sandbox(home)


def _bring_up(config: DatabaseConfig) -> None:
    """A backup from before an upgrade is brought up to this version, in the scratch copy."""
    with engine_for(config) as engine:
        if read_schema_state(engine).name == BEHIND:
            migrations.upgrade(engine)


def _note(folder: Path, proof: BackupProof) -> None:
    """Keep when a backup was last verified, and how that ended, beside its manifest."""
    document = {"at": datetime.now(UTC).isoformat(), "proven": proof.proven}
    (folder / _FILE).write_text(json.dumps(document))


def verified(store: Store, manifest: Manifest) -> datetime | None:
    """When a backup was last verified; None where it was not, or did not hold."""
    try:
        document = json.loads((store.folder / manifest.name / _FILE).read_text())
        return datetime.fromisoformat(document["at"]) if document["proven"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
