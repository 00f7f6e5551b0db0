"""Figures of a series of total values: return, drawdowns, Sharpe ratio."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from statistics import mean, stdev
from typing import Final

from tradebook.domain.numbers import ONE, ZERO

TRADING_DAYS_PER_YEAR: Final = 252
_PLACES: Final = Decimal("0.000001")


def total_return(start: Decimal, end: Decimal) -> Decimal:
    """Return the growth from `start` to `end` as a ratio with 6 decimals; 0.25 is 25 %."""
    return (end / start - ONE).quantize(_PLACES) if start else ZERO


def drawdown(value: Decimal, peak: Decimal) -> Decimal:
    """Return the fall from `peak` to `value` as a ratio with 6 decimals."""
    return (ONE - value / peak).quantize(_PLACES) if peak else ZERO


def max_drawdown(values: Sequence[Decimal]) -> Decimal:
    """Return the largest fall from a peak to a later value, as a ratio with 6 decimals."""
    peak = worst = ZERO
    for value in values:
        peak = max(peak, value)
        worst = max(worst, drawdown(value, peak))
    return worst


def sharpe_ratio(values: Sequence[Decimal]) -> Decimal:
    """Divide the mean of daily returns by their sample deviation, annualised with the root of 252.

    Source: W. F. Sharpe, "The Sharpe Ratio", Journal of Portfolio Management, 1994. The risk-free
    rate is 0. The result has 6 decimals; it is 0 where the ratio is undefined: fewer than two returns,
    or returns that do not vary.
    """
    returns = [after / before - ONE for before, after in pairwise(values)]
    deviation = stdev(returns) if len(returns) > 1 else ZERO
    if not deviation:
        return ZERO
    return (mean(returns) / deviation * Decimal(TRADING_DAYS_PER_YEAR).sqrt()).quantize(_PLACES)
