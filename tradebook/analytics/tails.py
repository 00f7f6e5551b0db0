"""The worst returns of a series: value at risk and expected shortfall, from the returns that there were."""

from __future__ import annotations

from decimal import Decimal

from tradebook.analytics.sequences import Numbers, figure, known, mean
from tradebook.domain.errors import InvalidInput
from tradebook.domain.numbers import Number, fraction
from tradebook.domain.validation import argument


@figure
def value_at_risk(returns: Numbers, *, cutoff: Number) -> Decimal | None:
    """Find the return below which a fraction of all returns lie; a loss is negative.

    It is the quantile with linear interpolation between the two nearest returns (type 7 of R. J. Hyndman and Y. Fan,
    "Sample Quantiles in Statistical Packages", The American Statistician, 1996), as in NumPy and empyrical-reloaded. Others
    state the loss as a positive number, or assume a normal distribution.

    Args:
        returns: of periods.
        cutoff: the fraction, above 0 and below 1, such as 0.05.
    """
    found, part = sorted(known("returns", returns)), _part(cutoff)
    if not found:
        return None
    place = part * (len(found) - 1)
    lower = int(place)
    upper = min(lower + 1, len(found) - 1)
    return found[lower] + (found[upper] - found[lower]) * (place - lower)


@figure
def expected_shortfall(returns: Numbers, *, cutoff: Number) -> Decimal | None:
    """Compute the mean of the worst returns, those up to the `value_at_risk`; a loss is negative.

    Of n returns, the worst `floor((n - 1) * cutoff) + 1` count, as in empyrical-reloaded's `conditional_value_at_risk`.

    Args:
        returns: of periods.
        cutoff: the fraction, above 0 and below 1, such as 0.05.
    """
    found, part = sorted(known("returns", returns)), _part(cutoff)
    return mean(found[: int(part * (len(found) - 1)) + 1]) if found else None


def _part(cutoff: Number) -> Decimal:
    part = argument("cutoff", fraction, cutoff)
    if not 0 < part < 1:
        raise InvalidInput("cutoff", cutoff, "a fraction above 0 and below 1")
    return part
