"""The scenarios of failures under load, each for one round; `make soak` runs them for longer."""

from __future__ import annotations

from reliability import failures
from reliability.scenario import Figures


def assert_kept(figures: Figures, operations: int) -> None:
    assert figures.kept, figures
    assert figures.operations >= operations


def test_a_restart_under_load_loses_and_doubles_nothing() -> None:
    assert_kept(failures.restarts(0), 45)


def test_a_failover_under_load_loses_and_doubles_nothing() -> None:
    assert_kept(failures.failovers(0), 30)


def test_a_storm_of_deadlocks_loses_and_doubles_nothing() -> None:
    assert_kept(failures.deadlocks(0), 60)


def test_a_disk_that_is_full_again_and_again_loses_and_doubles_nothing() -> None:
    assert_kept(failures.full_disks(0), 10)


def test_a_clock_that_jumps_to_and_fro_changes_no_order() -> None:
    assert_kept(failures.backward_clocks(0), 60)
