"""Drawdowns: the falls of a series of values from its peaks."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from attrs import evolve, frozen

from tradebook.analytics.returns import cagr
from tradebook.analytics.sequences import (
    Numbers,
    figure,
    known,
    real,
    rounded,
    series,
    working,
)
from tradebook.domain.numbers import ONE, ZERO, Number
from tradebook.domain.validation import argument

START: Final = -1
"""The index of a peak that is the value before the first."""


@frozen
class Drawdown:
    """A fall from a peak to the lowest value before the peak is reached again.

    Attributes:
        ratio: the fall divided by the peak: 0.25 is a fall by 25 %; it is above 1 where the trough is below 0.
        amount: the fall itself, 0 or above.
        peak: the index of the peak in the values; -1 where it is the value before the first; None without a fall.
        trough: the index of the lowest value; None without a fall.
        recovered: the index of the first value that reaches the peak again; None where none does.
        longest_recovery: the most periods between any peak and the value that reached it again, or the last value.
    """

    ratio: Decimal
    amount: Decimal
    peak: int | None
    trough: int | None
    recovered: int | None
    longest_recovery: int


def max_drawdown(values: Numbers, *, start: Number | None = None) -> Drawdown | None:
    """Find the largest fall from a peak, as a ratio of the peak; of equal ones the first.

    Libraries differ in the sign, which is negative in empyrical-reloaded, and in the start: without `start`, a series
    that only falls is measured from its first value. Peaks of 0 or less have no ratio, and are left out.

    Args:
        values: total values in the order of time; None is missing.
        start: the value before the first, which may be the peak.

    Returns:
        The fall; one of 0 where the values never fall. None without a value above 0.
    """
    known_values = _with_start(values, start)
    if not any(each > 0 for each in known_values.values()):
        return None
    with working():
        found = list(_falls(known_values))
    if not found:
        return Drawdown(ZERO, ZERO, None, None, None, 0)
    largest = max(found, key=lambda each: each.ratio)
    return evolve(largest, longest_recovery=max(each.longest_recovery for each in found))


def drawdowns(values: Numbers, *, start: Number | None = None) -> list[Drawdown]:
    """Return every fall from a peak above 0, in the order of time; `longest_recovery` is that of each alone."""
    with working():
        return list(_falls(_with_start(values, start)))


def _with_start(values: Numbers, start: Number | None) -> dict[int, Decimal]:
    """Return the values by their index, without those that are missing."""
    found = {place: each for place, each in enumerate(series("values", values)) if each is not None}
    return found if start is None else {START: argument("start", real, start), **found}


def _falls(values: dict[int, Decimal]) -> Iterator[Drawdown]:
    peak: int | None = None
    trough: int | None = None
    for place, value in values.items():
        if peak is None or value >= values[peak]:
            if peak is not None and trough is not None:
                yield from _fall(values, peak, trough, place, place)
            peak, trough = place, None
        elif trough is None or value < values[trough]:
            trough = place
    if peak is not None and trough is not None:
        yield from _fall(values, peak, trough, None, max(values))


def _fall(
    values: dict[int, Decimal], peak: int, trough: int, recovered: int | None, end: int
) -> Iterator[Drawdown]:
    high = values[peak]
    if high > 0:
        amount = high - values[trough]
        yield Drawdown(rounded(amount / high), rounded(amount), peak, trough, recovered, end - peak)


@figure
def calmar_ratio(returns: Numbers, *, periods_per_year: Number) -> Decimal | None:
    """Divide the compound annual growth rate by the largest drawdown; None without a drawdown.

    The drawdown is that of compounded returns, with the start as a peak, as in empyrical-reloaded. Source: T. W. Young,
    "Calmar Ratio: A Smoother Tool", Futures, 1991, for 36 months; here it is for all periods given.
    """
    found = known("returns", returns)
    value, values = ONE, []
    for each in found:
        value *= 1 + each
        values.append(value)
    falls = list(_falls({START: ONE, **dict(enumerate(values))}))
    rate = cagr(found, periods_per_year=periods_per_year)
    if rate is None or not falls:
        return None
    return rate / max(each.ratio for each in falls)
