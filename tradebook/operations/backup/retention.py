"""Retention of backups: the newest always stays, and so does each one that a kept one builds upon."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import frozen

from tradebook.domain.errors import InvalidInput
from tradebook.operations.backup.manifest import Manifest
from tradebook.operations.backup.store import Store
from tradebook.operations.server.programs import translated_os_errors
from tradebook.operations.server.working_folders import remove_abandoned


@frozen
class Plan:
    """The backups to keep and to remove.

    Attributes:
        kept, removed: backups, the oldest first.
        oldest_segment: the first file of the log that is still needed; None where no backup needs one.
    """

    kept: tuple[Manifest, ...]
    removed: tuple[Manifest, ...]
    oldest_segment: str | None = None


def plan(
    manifests: Sequence[Manifest], *, keep: int | None, keep_days: float | None, now: datetime
) -> Plan:
    """Decide which backups are kept: those that either rule keeps.

    Args:
        manifests: all backups.
        keep: how many of the newest are kept, of each database and way (SQLite, logical, physical).
        keep_days: the age in days up to which all are kept.
        now: UTC.

    Raises:
        InvalidInput: neither rule is given, or one would keep nothing.
    """
    if keep is None and keep_days is None:
        raise InvalidInput("keep", None, "how many backups to keep, or keep_days")
    if keep is not None and keep < 1:
        raise InvalidInput("keep", keep, "1 or more: the newest backup always stays")
    if keep_days is not None and not keep_days >= 0:
        raise InvalidInput("keep_days", keep_days, "a number of days, 0 or more")
    ordered = sorted(manifests, key=lambda manifest: (manifest.finished_at, manifest.name))
    groups: dict[tuple[str, str], list[str]] = {}
    for manifest in ordered:
        # Physical and incremental backups are of the whole cluster, whatever database they were made through.
        way = "physical" if manifest.is_physical else manifest.kind
        source = manifest.log.system if manifest.log is not None else manifest.database
        groups.setdefault((source, way), []).append(manifest.name)
    wanted = {name for group in groups.values() for name in group[-(keep or 1) :]}
    if keep_days is not None:
        oldest = now - timedelta(days=keep_days)
        wanted |= {manifest.name for manifest in ordered if manifest.finished_at >= oldest}
    for manifest in reversed(ordered):  # a parent was finished before what builds upon it
        if manifest.name in wanted and manifest.parent is not None:
            wanted.add(manifest.parent)
    kept = tuple(manifest for manifest in ordered if manifest.name in wanted)
    removed = tuple(manifest for manifest in ordered if manifest.name not in wanted)
    # Without the timeline, the first 8 digits: a new timeline continues the positions of the old one.
    segments = [manifest.log.segment for manifest in kept if manifest.log is not None]
    return Plan(kept, removed, min(segments, key=lambda name: name[8:], default=None))


@translated_os_errors()
def prune(store: Store, decided: Plan) -> None:
    """Remove the backups that a plan removes, and the leftovers of killed ones."""
    # The newest first, so that no incremental backup loses its parent.
    for manifest in reversed(decided.removed):
        store.remove(manifest)
    for folder in store.leftovers():
        remove_abandoned(folder)
