"""Risk, and returns measured against it. All are annualised, and None where they are undefined."""

from __future__ import annotations

from decimal import Decimal

from tradebook.analytics.sequences import (
    Numbers,
    deviation,
    figure,
    gain_to_loss,
    known,
    mean,
    paired,
    per_year,
    whole,
)
from tradebook.domain.numbers import ZERO, Number

_RISK_FREE = "returns", "risk_free"


@figure
def volatility(returns: Numbers, *, periods_per_year: Number, ddof: int = 1) -> Decimal | None:
    """Compute the standard deviation of returns, times the root of the periods per year.

    Args:
        returns: of periods.
        periods_per_year: above 0.
        ddof: 1 for the deviation of a sample, as in empyrical-reloaded and pandas; 0 for that of a population, as in NumPy.

    Returns:
        The volatility; None of as few returns as `ddof`.
    """
    found, divisor = known("returns", returns), whole("ddof", ddof, 0)
    in_year, spread = per_year(periods_per_year), deviation(found, divisor)
    return None if spread is None else spread * in_year.sqrt()


@figure
def sharpe_ratio(
    returns: Numbers,
    *,
    risk_free: Number | Numbers = 0,
    periods_per_year: Number,
    ddof: int = 1,
) -> Decimal | None:
    """Divide the mean excess return by its standard deviation, times the root of the periods per year.

    Source: W. F. Sharpe, "The Sharpe Ratio", Journal of Portfolio Management, 1994. Libraries differ where the deviation
    is 0: some return an infinity, some a huge number that is a rounding error; here it is None.

    Args:
        returns: of periods.
        risk_free: the return without risk of each period, not of a year: one number, or one for each return.
        periods_per_year: above 0.
        ddof: as for `volatility`.
    """
    excess = [each - free for each, free in paired(returns, risk_free, _RISK_FREE)]
    divisor, in_year = whole("ddof", ddof, 0), per_year(periods_per_year)
    average, spread = mean(excess), deviation(excess, divisor)
    return average / spread * in_year.sqrt() if spread and average is not None else None


@figure
def downside_risk(
    returns: Numbers, *, required_return: Number | Numbers = 0, periods_per_year: Number
) -> Decimal | None:
    """Compute the root of the mean square of what returns fall short of the required one, annualised.

    The mean is over all periods, with 0 for those that reach it, as in Sortino's definition and empyrical-reloaded; some
    libraries divide by the number of losing periods alone, which makes the risk larger.

    Args:
        returns: of periods.
        required_return: of each period, not of a year: one number, or one for each return.
        periods_per_year: above 0.
    """
    return _downside(_excess(returns, required_return), per_year(periods_per_year))


@figure
def sortino_ratio(
    returns: Numbers, *, required_return: Number | Numbers = 0, periods_per_year: Number
) -> Decimal | None:
    """Divide the mean excess over the required return, times the periods per year, by the `downside_risk`.

    Source: F. A. Sortino and L. N. Price, "Performance Measurement in a Downside Risk Framework", Journal of Investing,
    1994. None where no return falls short; some libraries return an infinity.
    """
    excess, in_year = _excess(returns, required_return), per_year(periods_per_year)
    average, short = mean(excess), _downside(excess, in_year)
    return average * in_year / short if short and average is not None else None


@figure
def omega_ratio(returns: Numbers, *, required_return: Number | Numbers = 0) -> Decimal | None:
    """Divide the sum of what returns exceed the required one by the sum of what others fall short of it.

    Source: C. Keating and W. F. Shadwick, "A Universal Performance Measure", Journal of Performance Measurement, 2002.
    The required return is of each period; that of empyrical-reloaded is of a year unless its `annualization` is 1. None
    where none falls short.
    """
    return gain_to_loss(_excess(returns, required_return))


@figure
def beta(returns: Numbers, benchmark: Numbers) -> Decimal | None:
    """Divide the covariance of returns with those of a benchmark by the variance of the benchmark.

    Args:
        returns: of periods.
        benchmark: of the same periods; those that either lacks are left out.

    Returns:
        The slope; None of fewer than two periods, or where the benchmark does not move.
    """
    return _slope(paired(returns, benchmark, ("returns", "benchmark")))


@figure
def alpha(
    returns: Numbers, benchmark: Numbers, *, risk_free: Number = 0, periods_per_year: Number
) -> Decimal | None:
    """Compute the mean return beyond what `beta` times the benchmark explains, compounded over a year.

    `(1 + mean(r - f - beta * (b - f))) ** periods_per_year - 1`, as in empyrical-reloaded; others multiply by the periods.
    Source: M. C. Jensen, "The Performance of Mutual Funds in the Period 1945-1964", Journal of Finance, 1968.

    Args:
        returns: of periods.
        benchmark: of the same periods.
        risk_free: the return without risk of each period.
        periods_per_year: above 0.
    """
    pairs = paired(returns, benchmark, ("returns", "benchmark"))
    [(_, free)] = paired([0], risk_free, _RISK_FREE)
    in_year, slope = per_year(periods_per_year), _slope(pairs)
    if slope is None:
        return None
    average = mean([one - free - slope * (other - free) for one, other in pairs])
    if average is None or average <= -1:
        return None
    return (1 + average) ** in_year - 1


def _excess(returns: Numbers, required_return: Number | Numbers) -> list[Decimal]:
    """Return what each return exceeds the required one by; below 0 it falls short."""
    pairs = paired(returns, required_return, ("returns", "required_return"))
    return [each - least for each, least in pairs]


def _downside(excess: list[Decimal], in_year: Decimal) -> Decimal | None:
    short = mean([min(each, ZERO) ** 2 for each in excess])
    return None if short is None else (short * in_year).sqrt()


def _slope(pairs: list[tuple[Decimal, Decimal]]) -> Decimal | None:
    first, second = mean([one for one, _ in pairs]), mean([other for _, other in pairs])
    if first is None or second is None:
        return None
    moved = sum(((other - second) ** 2 for _, other in pairs), ZERO)
    together = sum(((one - first) * (other - second) for one, other in pairs), ZERO)
    return together / moved if moved else None
