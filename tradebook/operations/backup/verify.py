"""Verify a backup by restoring it: into a scratch server or file, where it is counted and folded again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from attrs import astuple, frozen
from sqlalchemy import text

from tradebook.adapters import orm
from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.errors import translated_errors
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.adapters.migrations.schema_state import BEHIND, read_schema_state
from tradebook.adapters.unit_of_work import read_unit
from tradebook.config import DatabaseConfig
from tradebook.operations.backup.manifest import SQLITE, Counts, Manifest, no_progress, read_counts
from tradebook.operations.backup.restore import restore_book, restore_server
from tradebook.operations.backup.store import Store
from tradebook.operations.backup.wal_survey import LogSurvey, survey_log
from tradebook.operations.server.programs import translated_os_errors
from tradebook.operations.server.sandbox import is_sandbox, remove_sandbox, start_sandbox
from tradebook.operations.server.working_folders import private_folder
from tradebook.service_layer.instrumentation import ProgressCallback
from tradebook.service_layer.verification.verify import Verification, verify

_FILE: Final = "verified.json"


@frozen
class AccountProof:
    """An account of a restored book, compared with its backup and folded again.

    Attributes:
        account: its name.
        expected: the counts of the manifest.
        found: the counts of the restored book.
        is_whole: whether the two agree; a physical backup may hold more, booked while it was made.
        verification: the verification of every position, P&L and cash balance, folded again from the trades.
    """

    account: str
    expected: Counts
    found: Counts
    is_whole: bool
    verification: Verification

    @property
    def proven(self) -> bool:
        """True if every record is there, and the stored state follows from the trades."""
        return self.is_whole and self.verification.proven


@frozen
class BackupProof:
    """The outcome of restoring a backup and verifying the book in it.

    Attributes:
        backup: its manifest.
        accounts: the proof of each account.
        seconds: the time that the restore and the proof took.
        log: of a physical backup, the archived log from it on; None for others.
    """

    backup: Manifest
    accounts: tuple[AccountProof, ...]
    seconds: float
    log: LogSurvey | None = None

    @property
    def proven(self) -> bool:
        """True if every record is there, the stored state follows from the trades, and the log is whole."""
        is_whole = self.log is None or self.log.is_whole
        return is_whole and all(account.proven for account in self.accounts)


@translated_os_errors()
def verify_backup(
    store: Store,
    manifest: Manifest,
    *,
    identity: Path | None = None,
    scratch: Path | None = None,
    wal: Path | None = None,
    report: ProgressCallback = no_progress,
) -> BackupProof:
    """Restore a backup into a temporary folder, compare it with its manifest, verify every account.

    The log that was archived since a physical backup is not replayed: its segments and checksums are checked.

    Args:
        store: the folder of the backup.
        manifest: the manifest of the backup.
        identity: the file of age's secret key.
        scratch: a folder with room for it; by default the system's temporary one.
        wal: the archive of the log; by default the store's.
        report: called with the bytes checked, and how many there are.

    Raises:
        BackupDamaged: a file was changed since the backup.
        ExtraNotInstalled: a logical backup needs the wheel with PostgreSQL.
    """
    started = time.monotonic()
    with (
        private_folder("tradebook-proof-", scratch) as folder,
        _restored(store, manifest, folder, identity=identity, report=report) as config,
    ):
        with engine_for(config) as engine:
            # A backup from before an upgrade is upgraded too, in this copy.
            if read_schema_state(engine).name == BEHIND:
                migrations.upgrade(engine)
        accounts = prove(config, manifest)
    log = None
    if manifest.log is not None:
        log = survey_log([wal or store.wal, store.stream], manifest.log, report=report)
    proof = BackupProof(manifest, accounts, time.monotonic() - started, log)
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


def prove(config: DatabaseConfig, manifest: Manifest) -> tuple[AccountProof, ...]:
    """Compare a restored book, upgraded to this version, with its backup's manifest; verify each account."""
    orm.start_mappers()
    with engine_for(config) as engine:
        read_schema_state(engine).require()
        with translated_errors(), engine.connect() as connection:
            found = read_counts(lambda query: connection.execute(text(query)).fetchall())
        proofs = []
        for account in sorted({*manifest.counts, *found}):
            with read_unit(engine, account) as uow:
                verification = verify(uow)
            expected, here = manifest.counts.get(account, Counts()), found.get(account, Counts())
            # A physical backup was counted when the copy began, and is consistent as of its end.
            pairs = zip(astuple(here), astuple(expected), strict=True)
            is_whole = here == expected or (manifest.is_physical and all(a >= b for a, b in pairs))
            proofs.append(AccountProof(account, expected, here, is_whole, verification))
    return tuple(proofs)
