"""Checks of where a PostgreSQL server's log goes: without its archive no moment can be recovered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tradebook.operations.doctor.findings import Finding, green, red, yellow
from tradebook.operations.doctor.patient import Patient
from tradebook.operations.write_ahead_log import Slot, read_archive, read_slots

_SWITCH_ON: Final = "`tradebook backup archive --store ... --apply`, then start the server again"
_MUCH: Final = 2**30
"""Bytes of the log that a slot in use may keep."""


def archive(patient: Patient) -> Iterator[Finding]:
    """Whether the server's log is archived, and the last try went well."""
    found = read_archive(patient.connection)
    if found.mode == "off":
        what = "archive_mode is off: a restored backup ends where the backup was made"
        yield yellow("archive", what, _SWITCH_ON)
    elif not found.is_on:
        yield green("archive", "none, and none needed: the primary of this standby archives")
    elif not found.has_command:
        what = "archive_mode is on without an archive_command: the log grows until the disk is full"
        yield red("archive", what, _SWITCH_ON)
    elif found.failing:
        what = f"{found.failing} could not be archived; the log grows until the disk is full"
        yield red("archive", what, "the server's log has what its archive_command said; mend that")
    else:
        yield green("archive", "the last file of the log that was finished is archived")


def slots(patient: Patient) -> Iterator[Finding]:
    """Whether the server keeps its log for somebody who does not come to get it."""
    found = read_slots(patient.connection)
    bad = [slot for slot in found if not slot.active or slot.retained_bytes > _MUCH]
    for slot in bad:
        yield yellow("slots", *_about(slot))
    if not bad:
        yield green("slots", f"{len(found)}, all in use" if found else "none")


def _about(slot: Slot) -> tuple[str, str]:
    kept = f"{slot.retained_bytes / 2**20:,.0f} MiB of the log are kept for it"
    if slot.active:
        return f"{slot.name} is far behind: {kept}", "look at the disk and network of who receives"
    drop = f"SELECT pg_drop_replication_slot('{slot.name}')"
    return f"nobody uses {slot.name}; {kept}", f"start who receives through it, or {drop}"
