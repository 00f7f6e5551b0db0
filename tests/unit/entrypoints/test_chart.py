"""The terminal's line chart."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tradebook.entrypoints.cli.chart import line_chart

WIDTH, HEIGHT = 40, 10


def chart(*values: int, ascii_only: bool = False) -> list[str]:
    labels = [f"day {number}" for number in range(len(values))]
    return line_chart(
        [Decimal(v) for v in values], labels, width=WIDTH, height=HEIGHT, ascii_only=ascii_only
    )


def drawing(lines: list[str]) -> list[str]:
    return [line.partition("┤")[2].ljust(WIDTH) for line in lines[:HEIGHT]]


def test_has_the_size_that_was_asked_for() -> None:
    lines = chart(*range(500))
    assert len(lines) == HEIGHT + 2
    assert {len(line) for line in drawing(lines)} == {WIDTH}


def test_a_rising_line_starts_at_the_bottom_and_ends_at_the_top() -> None:
    rows = drawing(chart(*range(500)))
    assert rows[-1][0] != " "
    assert rows[0][-1] != " "
    assert rows[0][0] == rows[-1][-1] == " "


@pytest.mark.parametrize("count", [1, 2, 3, 17, 80, 81, 795])
def test_the_line_has_no_gaps(count: int) -> None:
    rows = drawing(chart(*(number * 7919 % 101 for number in range(count))))
    assert all(any(row[column] != " " for row in rows) for column in range(WIDTH))


def test_a_single_deep_day_among_many_is_seen() -> None:
    rows = drawing(chart(*[100] * 400, 0, *[100] * 400))
    assert rows[-1].strip()


def test_the_axes_say_the_range_and_the_period() -> None:
    lines = chart(1000, 3000, 2000)
    assert lines[0].startswith("3,000 ┤")
    assert lines[(HEIGHT - 1) // 2].startswith("2,000 ┤")
    assert lines[HEIGHT - 1].startswith("1,000 ┤")
    assert lines[-1].split() == ["day", "0", "day", "1", "day", "2"]


def test_values_that_do_not_move_make_a_straight_line() -> None:
    rows = drawing(chart(5, 5, 5))
    assert len(set(rows[-1])) == 1
    assert not any(row.strip() for row in rows[:-1])


def test_knows_terminals_without_braille() -> None:
    text = "\n".join(chart(*range(500), ascii_only=True))
    assert text.isascii()
    assert text.count("*") >= WIDTH
