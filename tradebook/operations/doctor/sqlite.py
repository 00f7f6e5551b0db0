"""Checks of a SQLite file."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tradebook.operations.doctor.checks import CheckTarget, Finding, free_disk, green, red, yellow

_OLDEST: Final = (3, 35)
"""The first with RETURNING."""
_MUCH_FREE: Final = 0.25
_MANY_FREE: Final = 10_000
_LARGE_LOG: Final = 256 * 2**20


def version(target: CheckTarget) -> Iterator[Finding]:
    """Check that this SQLite has the SQL that the book uses."""
    shown = target.value("SELECT sqlite_version()")
    if tuple(map(int, shown.split(".")))[:2] < _OLDEST:
        fix = "use a Python that comes with a newer SQLite"
        yield red("version", f"SQLite {shown} is older than 3.35", fix)
    else:
        yield green("version", f"SQLite {shown}")


def access(target: CheckTarget) -> Iterator[Finding]:
    """Check that other users of this machine cannot read or change the file."""
    if target.config.is_in_memory:
        yield green("file", "in memory, for this process alone")
        return
    mode, fix = target.file.stat().st_mode, f"chmod 600 {target.file}"
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield red("file", "others on this machine can change it", fix)
    elif mode & (stat.S_IRGRP | stat.S_IROTH):
        yield yellow("file", "others on this machine can read it", fix)
    else:
        yield green("file", "yours alone")


def durability(target: CheckTarget) -> Iterator[Finding]:
    """Check that the journal is a write-ahead log, and that the file is not damaged."""
    mode = target.value("PRAGMA journal_mode")
    if mode in ("wal", "memory") or target.config.is_in_memory:
        yield green("journal", mode)
    else:
        # Where a file system has no shared memory, SQLite keeps the old journal without an error.
        fix = "keep it on a local disk: a network's file systems cannot do write-ahead logging"
        yield yellow("journal", f"{mode}: readers and the writer wait for each other", fix)
    damage = [str(row[0]) for row in target.rows("PRAGMA quick_check(3)")]
    if damage != ["ok"]:
        fix = "restore a backup: `tradebook restore`; then check the disk"
        yield red("damage", "; ".join(damage), fix)
    else:
        yield green("damage", "none found")


def disk(target: CheckTarget) -> Iterator[Finding]:
    """Check how much room is left on the file's disk."""
    if not target.config.is_in_memory:
        yield free_disk(target.file.absolute().parent)


def bloat(target: CheckTarget) -> Iterator[Finding]:
    """Check how much of the file is free pages."""
    pages, free = target.value("PRAGMA page_count"), target.value("PRAGMA freelist_count")
    if free > max(_MANY_FREE, pages * _MUCH_FREE):
        fix = f"sqlite3 {target.file} VACUUM, while no program uses it"
        yield yellow("bloat", f"{free / pages:.0%} of the file is free", fix)
    else:
        yield green("bloat", "little of the file is free")


def write_ahead_log(target: CheckTarget) -> Iterator[Finding]:
    """Check that the write-ahead log is written back into the file, which an open reader prevents."""
    log = Path(f"{target.file}-wal")
    if not target.config.is_in_memory and log.exists() and log.stat().st_size > _LARGE_LOG:
        what = f"{log.name} has {log.stat().st_size / 2**20:,.0f} MiB: a reader never ends"
        yield yellow("write-ahead log", what, "end long reads; the next writer then empties it")
