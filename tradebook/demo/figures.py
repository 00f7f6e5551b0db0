"""Figures of a series of total values, rounded to 6 decimals: return, drawdowns, Sharpe ratio."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from tradebook.analytics import statistics
from tradebook.domain.numbers import ZERO

TRADING_DAYS_PER_YEAR: Final = 252
_PLACES: Final = Decimal("0.000001")


def total_return(start: Decimal, end: Decimal) -> Decimal:
    """Return the growth from `start` to `end` as a ratio; 0.25 is 25 %, and 0 of nothing."""
    return _rounded(statistics.total_return(statistics.to_returns([start, end])))


def max_drawdown(values: Sequence[Decimal]) -> Decimal:
    """Return the largest fall from a peak to a later value, as a ratio of the peak."""
    fall = statistics.max_drawdown(values)
    return _rounded(None if fall is None else fall.ratio)


def sharpe_ratio(values: Sequence[Decimal]) -> Decimal:
    """Return the Sharpe ratio of daily returns, annualised, without a risk-free rate; 0 where it is undefined."""
    returns = statistics.to_returns(values)
    return _rounded(statistics.sharpe_ratio(returns, periods_per_year=TRADING_DAYS_PER_YEAR))


def _rounded(value: Decimal | None) -> Decimal:
    return ZERO if value is None else value.quantize(_PLACES)
