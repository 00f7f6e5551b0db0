"""Checks of a SQLite file."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tradebook.operations.doctor.checks import CheckTarget, Finding, green, red, yellow
from tradebook.operations.doctor.postgresql import room_on_disk

_OLDEST: Final = (3, 35)
_MUCH_FREE: Final = 0.25
_MANY_FREE: Final = 10_000
_LARGE_LOG: Final = 256 * 2**20


def version(patient: CheckTarget) -> Iterator[Finding]:
    """Whether this SQLite knows what the book uses."""
    shown = patient.value("SELECT sqlite_version()")
    if tuple(map(int, shown.split(".")))[:2] < _OLDEST:
        fix = "use a Python that comes with a newer SQLite"
        yield red("version", f"SQLite {shown} is older than 3.35", fix)
    else:
        yield green("version", f"SQLite {shown}")


def access(patient: CheckTarget) -> Iterator[Finding]:
    """Whether others on this machine can read or change the file."""
    if patient.config.is_in_memory:
        yield green("file", "in memory, for this process alone")
        return
    others = patient.file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    fix = f"chmod 600 {patient.file}"
    if others & (stat.S_IWGRP | stat.S_IWOTH):
        yield red("file", "others on this machine can change it", fix)
    elif others & (stat.S_IRGRP | stat.S_IROTH):
        yield yellow("file", "others on this machine can read it", fix)
    else:
        yield green("file", "yours alone")


def durability(patient: CheckTarget) -> Iterator[Finding]:
    """Whether acknowledged means on disk, and the file is not damaged."""
    mode = patient.value("PRAGMA journal_mode")
    if mode in ("wal", "memory") or patient.config.is_in_memory:
        yield green("journal", mode)
    else:
        fix = "keep it on a local disk: a network's file systems cannot do write-ahead logging"
        yield yellow("journal", f"{mode}: readers and the writer wait for each other", fix)
    damage = [row[0] for row in patient.rows("PRAGMA quick_check(3)")]
    if damage != ["ok"]:
        fix = "restore a backup: `tradebook restore`; then look at the disk"
        yield red("damage", "; ".join(map(str, damage)), fix)
    else:
        yield green("damage", "none found")


def disk(patient: CheckTarget) -> Iterator[Finding]:
    """Whether there is room for more."""
    if not patient.config.is_in_memory:
        yield room_on_disk(patient.file.absolute().parent)


def bloat(patient: CheckTarget) -> Iterator[Finding]:
    """Whether much of the file is free."""
    pages, free = patient.value("PRAGMA page_count"), patient.value("PRAGMA freelist_count")
    if free > max(_MANY_FREE, pages * _MUCH_FREE):
        what = f"{free / pages:.0%} of the file is free"
        yield yellow("bloat", what, f"sqlite3 {patient.file} VACUUM, when nobody writes")
    else:
        yield green("bloat", "little of the file is free")


def write_ahead_log(patient: CheckTarget) -> Iterator[Finding]:
    """Whether the log is ever put back into the file."""
    log = Path(f"{patient.file}-wal")
    if not patient.config.is_in_memory and log.exists() and log.stat().st_size > _LARGE_LOG:
        what = f"{log.name} has {log.stat().st_size / 2**20:,.0f} MiB: a reader never ends"
        yield yellow("write-ahead log", what, "end long reads; the next writer then empties it")
