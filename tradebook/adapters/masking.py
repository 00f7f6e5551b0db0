"""Statements and plans without the values in them."""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "?"
_LONGEST: Final = 4_000

_TEXT: Final = re.compile(r"[eExXbB]?'(?:[^']|'')*(?:'|$)")
_DOLLARS: Final = re.compile(r"\$(\w*)\$.*?(?:\$\1\$|$)", re.DOTALL)
_NUMBER: Final = re.compile(r"(?<![\w$:.])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b")
# What a plan says of itself: its numbers are no values.
_FIGURES: Final = re.compile(r"\((?:cost|actual|rows|width|slots)[^)]*\)|\(~?\d+ rows?\)")


def masked(statement: str) -> str:
    """SQL with `?` for every value that is written in it, in one line, cut to a length for logs.

    Placeholders (`$1`, `:name`, `%(name)s`) stay.
    """
    text = " ".join(_values_masked(statement).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def masked_plan(lines: list[str]) -> list[str]:
    """The lines of a plan, with `?` for the values of conditions; costs and row counts stay."""
    return [_masked_line(line) for line in lines]


def _masked_line(line: str) -> str:
    figures = _FIGURES.findall(line)
    rest = _values_masked(_FIGURES.sub("\0", line))
    for figure in figures:
        rest = rest.replace("\0", figure, 1)
    return rest


def _values_masked(text: str) -> str:
    for value in (_TEXT, _DOLLARS, _NUMBER):
        text = value.sub(MASK, text)
    return text
