"""What `make bench` says of what it measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.comparing import TIME, Times, measure
from benchmarks.results import Goal, Result, Row


def times(**wall: list[float]) -> Times:
    return Times(dict(wall), {})


def test_ratios_are_of_neighbours_in_time() -> None:
    measured = times(base=[1, 10, 100], other=[2, 20, 400])
    faster = measured.result("title", {}).rows[1].ratio
    longer = measured.result("title", {}, ratio=TIME).rows[1].ratio
    assert (faster, longer) == (0.5, 2)


def test_ways_take_turns_after_a_round_that_warms_up() -> None:
    done: list[str] = []
    measured = measure({"a": lambda _: done.append("a"), "b": lambda _: done.append("b")}, 2, 1)
    assert done == ["a", "b"] * 3
    assert [len(wall) for wall in measured.wall.values()] == [2, 2]


@pytest.mark.parametrize(
    ("goal", "figure", "reached"),
    [
        (Goal(1.2), 1.2, True),
        (Goal(1.2), 1.19, False),
        (Goal(2, at_most=True), 2, True),
        (Goal(2, at_most=True), 2.01, False),
    ],
)
def test_a_goal_is_reached_or_not(goal: Goal, figure: float, reached: bool) -> None:
    by_ratio = Row("way", 77, 77, 77, ratio=figure, goal=goal)
    by_itself = Row("way", figure, figure, figure, goal=goal)
    assert (by_ratio.reached, by_itself.reached) == (reached, reached)


def test_the_document_says_which_goals_were_missed_and_draws_the_curves(tmp_path: Path) -> None:
    (tmp_path / "benchmarks-of-yesterday.svg").touch()
    rows = (
        Row("small", 1.25, 1.0, 2.0, ratio=1.0, size=0),
        Row("large", 2.5, 2.0, 3.0, ratio=2.0, goal=Goal(1.2, at_most=True), size=1000),
    )
    curve = Result("it grows", "ms a call", TIME, rows, "trades")
    text = report.write(tmp_path, {"Growth": [curve]}, "Two rounds.", "make it").read_text()
    assert "| it grows: large | at most 1.2 times the time | 2.00 | no |" in text
    assert "| large | 2.50 | 2.00 to 3.00 | 2.00 | at most 1.2 | no |" in text
    assert "![it grows](benchmarks-it-grows.svg)" in text
    assert "1,000" in (tmp_path / "benchmarks-it-grows.svg").read_text()
    assert {file.name for file in tmp_path.iterdir()} == {
        "benchmarks.md",
        "benchmarks-it-grows.svg",
    }
