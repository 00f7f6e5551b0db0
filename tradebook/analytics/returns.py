"""Returns of periods, and how they compound. A return of 0.02 is a growth by 2 %."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

from tradebook.analytics.sequences import (
    Numbers,
    figure,
    known,
    per_year,
    real,
    rounded,
    series,
    whole,
    working,
)
from tradebook.domain.numbers import ONE, Number, positive
from tradebook.domain.validation import argument


def to_returns(values: Numbers, *, start: Number | None = None) -> list[Decimal | None]:
    """Compute the simple return of each period: its value divided by the one before, less 1.

    Args:
        values: total values at the ends of periods, without external flows between them.
        start: the value before the first period; without it the first value is that.

    Returns:
        A return for each value after the first, or for each value where `start` is given. None where a value or the one
        before it is missing, or where the one before is 0 or less: a return on nothing, or on debt, is undefined.
    """
    checked = series("values", values)
    if start is not None:
        checked.insert(0, argument("start", real, start))
    with working():
        return [
            None if before is None or after is None or before <= 0 else rounded(after / before - 1)
            for before, after in pairwise(checked)
        ]


def compounded(returns: Numbers, n: int) -> list[Decimal | None]:
    """Compound each `n` returns into one, such as those of 5 days into those of weeks; the last may have fewer.

    Args:
        returns: of periods; None counts as missing, and where all of a group are missing, so is its result.
        n: how many become one, 1 or above.
    """
    size = whole("n", n, 1)
    checked = series("returns", returns)
    groups = (checked[place : place + size] for place in range(0, len(checked), size))
    return [total_return(group) for group in groups]


@figure
def total_return(returns: Numbers) -> Decimal | None:
    """Compute the return of all periods together: the product of `1 + r`, less 1; None of no returns."""
    found = known("returns", returns)
    return growth(found) - 1 if found else None


def growth(returns: list[Decimal]) -> Decimal:
    """Return the product of `1 + r`; call it inside a `figure`."""
    product = ONE
    for each in returns:
        product *= 1 + each
    return product


@figure
def cagr(
    returns: Numbers,
    *,
    periods_per_year: Number,
    periods: Number | None = None,
    years: Number | None = None,
) -> Decimal | None:
    """Compute the compound annual growth rate: `growth ** (1 / years) - 1`, where growth is the product of `1 + r`.

    Libraries differ in the years: empyrical-reloaded has the number of returns divided by the periods per year, as is the
    default here; QuantStats the days between the first and the last date, which `years` gives.

    Args:
        returns: of periods.
        periods_per_year: such as 252 for trading days, above 0.
        periods: in place of the number of returns, where some are missing.
        years: in place of the periods divided by the periods per year, above 0.

    Returns:
        The rate; None of no returns, or where they compound to less than nothing.
    """
    found, in_year = known("returns", returns), per_year(periods_per_year)
    count = Decimal(len(found)) if periods is None else argument("periods", positive, periods)
    length = count / in_year if years is None else argument("years", positive, years)
    if not found or not length:
        return None
    grown = growth(found)
    if grown <= 0:
        return None if grown else Decimal(-1)
    return grown ** (1 / length) - 1
