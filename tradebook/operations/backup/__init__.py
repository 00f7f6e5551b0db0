"""Backups of a book, their restore, and the proof that a backup can be restored."""

from __future__ import annotations

from tradebook.operations.backup.create import back_up
from tradebook.operations.backup.encryption import Encryption
from tradebook.operations.backup.manifest import Counts, Manifest
from tradebook.operations.backup.restore import restore_book, restore_server
from tradebook.operations.backup.retention import plan, prune
from tradebook.operations.backup.store import Store
from tradebook.operations.backup.verify import BackupProof, verify_backup
from tradebook.operations.backup.wal_archive import archive_log, archive_now

__all__ = [
    "BackupProof",
    "Counts",
    "Encryption",
    "Manifest",
    "Store",
    "archive_log",
    "archive_now",
    "back_up",
    "plan",
    "prune",
    "restore_book",
    "restore_server",
    "verify_backup",
]
