"""Calibration of forecasts: the Brier score, its decomposition, and reliability bins; all sums exact.

A forecast is the probability `f` that it gives to an event, and `o` is 1 where the event occurred, else 0. The Brier score is
the mean of `(f - o)^2`: 0 is perfect, 0.25 is what a constant forecast of a half has. Over bins `k` with `n_k` of the `N`
forecasts each, it is

    reliability - resolution + uncertainty + within-bin variance - within-bin covariance

The first three are of Murphy (1973), "A New Vector Partition of the Probability Score". They add up to the score only where
all forecasts of a bin are equal. The other two, of Stephenson, Coelho and Jolliffe (2008), "Two Extra Components in the
Brier Score Decomposition", make the sum exact for any forecasts and any bins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction

from attrs import define, frozen

from tradebook.domain.numbers import EXACT, ONE, ZERO, divide


@frozen
class ReliabilityBin:
    """The forecasts of one bin, and how often what they forecast occurred.

    Attributes:
        lower: the lowest forecast of the bin, included.
        upper: the highest forecast of the bin, excluded; the last bin includes it.
        count: the number of forecasts in it.
        mean_forecast: their mean; None for an empty bin.
        observed: the share of them, from 0 to 1, whose event occurred; None for an empty bin.
    """

    lower: Decimal
    upper: Decimal
    count: int
    mean_forecast: Decimal | None
    observed: Decimal | None


@frozen
class BrierScore:
    """The Brier score of forecasts and its five terms, each rounded half-even to 10^-40.

    Attributes:
        count: the number of forecasts.
        score: the mean of `(f - o)^2`, from 0 (perfect) to 1. It is `reliability - resolution + uncertainty +
            within_bin_variance - within_bin_covariance`.
        reliability: the mean square distance of the bins' mean forecasts from what was observed; 0 is perfectly calibrated.
        resolution: the variance of what was observed between bins; higher is better.
        uncertainty: the variance of the event itself, which no forecast changes.
        within_bin_variance: the mean variance of the forecasts inside their bins; 0 where each bin holds one forecast.
        within_bin_covariance: twice the mean covariance of forecasts and events inside the bins.
    """

    count: int
    score: Decimal
    reliability: Decimal
    resolution: Decimal
    uncertainty: Decimal
    within_bin_variance: Decimal
    within_bin_covariance: Decimal

    @classmethod
    def from_terms(cls, count: int, score: Fraction, terms: BrierTerms) -> BrierScore:
        """Round exact terms."""
        return cls(count, rounded(score), *map(rounded, terms.as_tuple()))


@frozen
class BrierTerms:
    """The exact terms of a Brier score, named as in `BrierScore`."""

    reliability: Fraction
    resolution: Fraction
    uncertainty: Fraction
    within_bin_variance: Fraction
    within_bin_covariance: Fraction

    def as_tuple(self) -> tuple[Fraction, ...]:
        """Return the terms in their order."""
        return (
            *(self.reliability, self.resolution, self.uncertainty),
            *(self.within_bin_variance, self.within_bin_covariance),
        )

    def total(self) -> Fraction:
        """Add the terms up to the Brier score."""
        return (
            self.reliability
            - self.resolution
            + self.uncertainty
            + self.within_bin_variance
            - self.within_bin_covariance
        )


@define
class ForecastSums:
    """The sums over forecasts from which their score and its terms follow.

    Attributes:
        count: the number of forecasts.
        occurred: the number of those whose event occurred: the sum of `o`.
        forecasts: the sum of `f`.
        squares: the sum of `f^2`.
        right: the sum of `f * o`.
    """

    count: int = 0
    occurred: int = 0
    forecasts: Decimal = ZERO
    squares: Decimal = ZERO
    right: Decimal = ZERO

    def add(self, forecast: Decimal, occurred: bool) -> None:
        """Take one forecast into account."""
        self.count += 1
        self.forecasts = EXACT.add(self.forecasts, forecast)
        self.squares = EXACT.add(self.squares, EXACT.multiply(forecast, forecast))
        if occurred:
            self.occurred += 1
            self.right = EXACT.add(self.right, forecast)

    def score(self) -> Fraction:
        """Return the Brier score of one forecast or more: the mean of `f^2 - 2*f*o + o`."""
        total = Fraction(self.squares) - 2 * Fraction(self.right) + self.occurred
        return total / self.count

    def brier(self) -> Decimal | None:
        """Return the rounded Brier score; None without a forecast."""
        return rounded(self.score()) if self.count else None


class Reliability:
    """Bins of equal width over the forecasts from 0 to 1, filled one forecast at a time."""

    def __init__(self, bins: int) -> None:
        """Prepare empty bins."""
        self._bins = [ForecastSums() for _ in range(bins)]
        self._all = ForecastSums()

    def add(self, forecast: Decimal, occurred: bool) -> None:
        """Put one forecast, from 0 to 1, into its bin."""
        place = int(EXACT.multiply(forecast, Decimal(len(self._bins))))
        self._bins[min(place, len(self._bins) - 1)].add(forecast, occurred)
        self._all.add(forecast, occurred)

    def terms(self) -> BrierTerms:
        """Return the exact terms of the Brier score of one forecast or more."""
        return brier_terms([each for each in self._bins if each.count])

    def brier(self) -> BrierScore | None:
        """Return the Brier score and its terms; None without a forecast."""
        if not self._all.count:
            return None
        return BrierScore.from_terms(self._all.count, self._all.score(), self.terms())

    def bins(self) -> tuple[ReliabilityBin, ...]:
        """Return the bins, the lowest first, also those that are empty."""
        width, numbered = Decimal(len(self._bins)), enumerate(self._bins)
        return tuple(
            ReliabilityBin(
                lower=divide(Decimal(place), width),
                upper=divide(Decimal(place) + ONE, width),
                count=sums.count,
                mean_forecast=share(sums.forecasts, sums.count),
                observed=share(sums.occurred, sums.count),
            )
            for place, sums in numbered
        )


def brier_terms(bins: Sequence[ForecastSums]) -> BrierTerms:
    """Return the terms of the Brier score of forecasts in bins, none of which is empty."""
    count = sum(each.count for each in bins)
    base_rate = Fraction(sum(each.occurred for each in bins), count)
    return BrierTerms(
        reliability=_mean(((_forecasts(k) - k.occurred) ** 2 / k.count for k in bins), count),
        resolution=_mean(
            (k.count * (Fraction(k.occurred, k.count) - base_rate) ** 2 for k in bins), count
        ),
        uncertainty=base_rate * (1 - base_rate),
        within_bin_variance=_mean(
            (Fraction(k.squares) - _forecasts(k) ** 2 / k.count for k in bins), count
        ),
        within_bin_covariance=2
        * _mean(
            (Fraction(k.right) - _forecasts(k) * k.occurred / k.count for k in bins),
            count,
        ),
    )


def _forecasts(sums: ForecastSums) -> Fraction:
    return Fraction(sums.forecasts)


def _mean(values: Iterable[Fraction], count: int) -> Fraction:
    return sum(values, Fraction(0)) / count


def rounded(value: Fraction) -> Decimal:
    """Round a fraction half-even to 10^-40."""
    return divide(Decimal(value.numerator), Decimal(value.denominator))


def share(part: Decimal | int, count: int) -> Decimal | None:
    """Divide a sum by a count, rounded half-even to 10^-40; None where the count is 0."""
    return divide(Decimal(part), Decimal(count)) if count else None
