"""A line chart in the terminal, drawn with Braille characters: 2 by 4 dots each."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

_BRAILLE: Final = 0x2800
_DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""The bit of each dot of a Braille character: the left column from the top, then the right one."""
_ACROSS, _DOWN = len(_DOTS), len(_DOTS[0])


def line_chart(
    values: Sequence[Decimal],
    labels: Sequence[str],
    *,
    width: int = 60,
    height: int = 12,
    ascii_only: bool = False,
) -> list[str]:
    """Draw a line chart of `values` from left to right.

    Args:
        values: at least one.
        labels: one for each value; the first, the middle and the last are shown.
        width: of the drawing, in characters, without its axis.
        height: of the drawing, in lines, without its axis.
        ascii_only: draw with asterisks, for terminals without Braille characters.

    Returns:
        `height` lines with the value axis on the left, then the axis and the labels below.
    """
    low, high = min(values), max(values)
    ticks = {0: high, (height - 1) // 2: (low + high) / 2, height - 1: low}
    axis = {row: f"{value:,.0f}" for row, value in ticks.items()}
    margin = max(map(len, axis.values()))
    upright, corner, along = ("|", "+", "-") if ascii_only else ("┤", "└", "─")
    lines = []
    for row, cells in enumerate(_draw(values, low, high, width, height)):
        drawn = "".join(("*" if ascii_only else chr(_BRAILLE + c)) if c else " " for c in cells)
        lines.append(f"{axis.get(row, ''):>{margin}} {upright}{drawn}".rstrip())
    first, middle, last = labels[0], labels[len(labels) // 2], labels[-1]
    lines.append(f"{'':>{margin}} {corner}{along * width}")
    lines.append(
        f"{'':>{margin}}  {first}{middle:^{width - len(first) - len(last)}}{last}".rstrip()
    )
    return lines


def _draw(
    values: Sequence[Decimal], low: Decimal, high: Decimal, width: int, height: int
) -> list[list[int]]:
    """Compute the dots of each character, by row and column.

    Each column of dots is filled between the least and the greatest of its own values and the first
    value of the next column, so that the line has no gaps.
    """
    cells = [[0] * width for _ in range(height)]
    columns, top = width * _ACROSS, height * _DOWN - 1
    for x in range(columns):
        first = x * len(values) // columns
        end = max((x + 1) * len(values) // columns, first + 1)
        here = values[first : end + 1]
        for y in range(_row(max(here), low, high, top), _row(min(here), low, high, top) + 1):
            cells[y // _DOWN][x // _ACROSS] |= _DOTS[x % _ACROSS][y % _DOWN]
    return cells


def _row(value: Decimal, low: Decimal, high: Decimal, top: int) -> int:
    """Return the row of dots of a value, counted from above; a flat line is drawn at the bottom."""
    return round((high - value) * top / (high - low)) if high > low else top
