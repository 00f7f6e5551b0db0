"""Which backups may go: never the newest, and never one that another builds upon."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from attrs import frozen

from tradebook.domain.errors import InvalidInput
from tradebook.operations.backup.manifest import Manifest
from tradebook.operations.backup.store import Store
from tradebook.operations.server.programs import told_apart


@frozen
class Plan:
    """What a removal would do.

    Attributes:
        kept, removed: backups, the oldest first.
        leftovers: names of what backups that were killed left.
        oldest_segment: the first file of the log that is still needed; None where no backup needs one.
    """

    kept: tuple[Manifest, ...]
    removed: tuple[Manifest, ...]
    leftovers: tuple[str, ...] = ()
    oldest_segment: str | None = None


def plan(
    manifests: Sequence[Manifest], *, keep: int | None, keep_days: float | None, now: datetime
) -> Plan:
    """Decide which backups stay; either rule that says so keeps one.

    Args:
        manifests: all backups.
        keep: how many of the newest of each database and way (SQLite, logical, physical) stay.
        keep_days: those that are at most so many days old stay.
        now: UTC.

    Raises:
        InvalidInput: neither rule is given, or `keep` is less than 1.
    """
    if keep is None and keep_days is None:
        raise InvalidInput("keep", None, "how many backups to keep, or keep_days")
    if keep is not None and keep < 1:
        raise InvalidInput("keep", keep, "1 or more: the newest backup always stays")
    if keep_days is not None and not keep_days >= 0:
        raise InvalidInput("keep_days", keep_days, "a number of days, 0 or more")
    ordered = sorted(manifests, key=lambda manifest: (manifest.finished_at, manifest.name))
    wanted: set[str] = set()
    for group in _groups(ordered):
        wanted |= {manifest.name for manifest in group[-(keep or 1) :]}
    if keep_days is not None:
        oldest = now - timedelta(days=keep_days)
        wanted |= {manifest.name for manifest in ordered if manifest.finished_at >= oldest}
    wanted = _with_parents(ordered, wanted)
    kept = tuple(manifest for manifest in ordered if manifest.name in wanted)
    removed = tuple(manifest for manifest in ordered if manifest.name not in wanted)
    return Plan(kept, removed, oldest_segment=_oldest_segment(kept))


def _groups(ordered: Iterable[Manifest]) -> list[list[Manifest]]:
    """The backups of each database and way; an incremental one is of the physical ones."""
    groups: dict[tuple[str, str], list[Manifest]] = {}
    for manifest in ordered:
        way = "physical" if manifest.is_physical else manifest.kind
        of = manifest.log.system if manifest.log is not None else manifest.database
        groups.setdefault((of, way), []).append(manifest)
    return list(groups.values())


def _with_parents(manifests: Iterable[Manifest], wanted: set[str]) -> set[str]:
    parents = {manifest.name: manifest.parent for manifest in manifests}
    needed = set(wanted)
    for name in wanted:
        parent = parents[name]
        while parent is not None:
            needed.add(parent)
            parent = parents.get(parent)
    return needed


def _oldest_segment(kept: Iterable[Manifest]) -> str | None:
    """Timelines aside, the earliest: an incremental backup needs the log from its own start on."""
    segments = [manifest.log.segment for manifest in kept if manifest.log is not None]
    return min(segments, key=lambda name: name[8:], default=None)


@told_apart()
def prune(store: Store, decided: Plan) -> None:
    """Remove the backups that a plan removes: those that build upon others first."""
    for manifest in reversed(decided.removed):
        store.remove(manifest)
    store.remove_leftovers()
