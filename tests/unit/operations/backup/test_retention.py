"""Retention keeps what is needed, for any history of backups."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebook import InvalidInput
from tradebook.operations.backup.manifest import INCREMENTAL, LOGICAL, PHYSICAL, Log, Manifest
from tradebook.operations.backup.retention import Plan, plan

NOW = datetime(2024, 5, 17, tzinfo=UTC)


def backup(name: str, kind: str, days: float, parent: str | None = None, at: int = 0) -> Manifest:
    """A backup that was finished so many days ago, whose log starts at file number `at`."""
    log = Log(
        system="7",
        timeline=1,
        start="0/1",
        end="0/2",
        segment=f"{1:08X}{0:08X}{at:08X}",
        superuser="postgres",
    )
    finished = NOW - timedelta(days=days)
    return Manifest(
        name=name,
        kind=kind,
        started_at=finished,
        finished_at=finished,
        tradebook="0.1.0",
        server="PostgreSQL 18.6",
        program="pg_dump 18.6",
        version=18,
        database="postgresql://localhost/book",
        database_name="book",
        revision="0002",
        counts={},
        files=(),
        parent=parent,
        log=None if kind == LOGICAL else log,
    )


WEEK = [
    backup("base-1", PHYSICAL, 9, at=10),
    backup("inc-1", INCREMENTAL, 8, "base-1", at=20),
    backup("base-2", PHYSICAL, 3, at=30),
    backup("inc-2", INCREMENTAL, 2, "base-2", at=40),
    backup("inc-3", INCREMENTAL, 1, "inc-2", at=50),
    backup("dump-1", LOGICAL, 5),
    backup("dump-2", LOGICAL, 4),
]


def names(plan: Plan) -> tuple[set[str], set[str]]:
    return {m.name for m in plan.kept}, {m.name for m in plan.removed}


def test_the_newest_stays_and_everything_that_it_builds_upon() -> None:
    decided = plan(WEEK, keep=1, keep_days=None, now=NOW)

    assert names(decided) == (
        {"base-2", "inc-2", "inc-3", "dump-2"},
        {"base-1", "inc-1", "dump-1"},
    )
    assert decided.oldest_segment is not None
    assert decided.oldest_segment.endswith(f"{30:08X}")


def test_young_ones_stay_and_the_newest_of_each_kind_however_old() -> None:
    assert names(plan(WEEK, keep=None, keep_days=2.5, now=NOW))[1] == {"base-1", "inc-1", "dump-1"}
    assert names(plan(WEEK, keep=None, keep_days=0, now=NOW))[1] == {"base-1", "inc-1", "dump-1"}
    assert names(plan(WEEK, keep=1, keep_days=8.5, now=NOW))[1] == set()


def test_without_physical_backups_the_log_is_left_alone() -> None:
    assert plan(WEEK[-2:], keep=1, keep_days=None, now=NOW).oldest_segment is None


@pytest.mark.parametrize(("keep", "keep_days"), [(None, None), (0, None), (None, -1.0)])
def test_a_rule_that_would_keep_nothing_is_refused(keep: int | None, keep_days: float) -> None:
    with pytest.raises(InvalidInput):
        plan(WEEK, keep=keep, keep_days=keep_days, now=NOW)


@st.composite
def histories(draw: st.DrawFn) -> list[Manifest]:
    """Backups of all kinds, each incremental one upon any physical one before it."""
    made: list[Manifest] = []
    for number in range(draw(st.integers(0, 12))):
        physical = [m.name for m in made if m.is_physical]
        kinds = [LOGICAL, PHYSICAL] + [INCREMENTAL] * bool(physical)
        kind = draw(st.sampled_from(kinds))
        parent = draw(st.sampled_from(physical)) if kind == INCREMENTAL else None
        made.append(backup(f"b{number}", kind, 100 - number, parent, at=number))
    return draw(st.permutations(made))


@given(histories(), st.integers(1, 5), st.none() | st.floats(0, 200))
def test_whatever_stays_can_be_restored(
    history: list[Manifest], keep: int, keep_days: float | None
) -> None:
    decided = plan(history, keep=keep, keep_days=keep_days, now=NOW)
    kept, removed = names(decided)

    assert kept | removed == {m.name for m in history}
    assert not kept & removed
    for manifest in decided.kept:
        assert manifest.parent is None or manifest.parent in kept
        if manifest.log is not None:
            assert decided.oldest_segment is not None
            assert decided.oldest_segment <= manifest.log.segment
    for is_physical in (True, False):
        newest = sorted(
            (m for m in history if m.is_physical == is_physical), key=lambda m: m.finished_at
        )
        assert {m.name for m in newest[-keep:]} <= kept
