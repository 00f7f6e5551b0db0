"""The Brier score and its decomposition: examples by hand, and that the terms add up to the last digit."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import examples
from tradebook.domain.calibration import BrierScore, Reliability, rounded
from tradebook.domain.numbers import exact

D = Decimal
Forecast = tuple[Decimal, bool]

law = examples.law(100)
confidences = st.decimals(0, 1, places=4) | st.fractions(0, 1, max_denominator=9).map(
    lambda f: round(D(f.numerator) / D(f.denominator), 12)
)
forecasts = st.lists(st.tuples(confidences, st.booleans()), min_size=1, max_size=30)
numbers_of_bins = st.integers(1, 100)


def filled(given_: Sequence[Forecast], bins: int) -> Reliability:
    made = Reliability(bins)
    for forecast, occurred in given_:
        made.add(forecast, occurred)
    return made


def test_two_bins_by_hand() -> None:
    """0.2 (no), 0.4 (yes) in the lower bin; 0.7 (yes), 0.9 (yes) in the upper one."""
    made = filled([(D("0.2"), False), (D("0.4"), True), (D("0.7"), True), (D("0.9"), True)], 2)
    # The score: (0.04 + 0.36 + 0.09 + 0.01) / 4. Means 0.3 and 0.8, observed 0.5 and 1, 0.75 in all.
    assert made.brier() == BrierScore(
        count=4,
        score=D("0.125"),
        reliability=D("0.04"),  # (2 * 0.2^2 + 2 * 0.2^2) / 4
        resolution=D("0.0625"),  # (2 * 0.25^2 + 2 * 0.25^2) / 4
        uncertainty=D("0.1875"),  # 0.75 * 0.25
        within_bin_variance=D("0.01"),  # (2 * 0.1^2 + 2 * 0.1^2) / 4
        within_bin_covariance=D("0.05"),  # 2 * (0.1 * 0.5 + 0.1 * 0.5) / 4
    )
    lower, upper = made.bins()
    assert (lower.count, lower.mean_forecast, lower.observed) == (2, D("0.3"), D("0.5"))
    assert (upper.lower, upper.upper, upper.mean_forecast, upper.observed) == (
        *(D("0.5"), 1),
        *(D("0.8"), 1),
    )


def test_murphys_three_terms_are_the_score_where_each_bin_has_one_forecast() -> None:
    made = filled([(D("0.1"), False)] * 3 + [(D("0.1"), True)] + [(D("0.8"), True)] * 4, 10)
    brier = made.brier()
    assert brier is not None
    assert (brier.within_bin_variance, brier.within_bin_covariance) == (0, 0)
    assert brier.score == D("0.125")  # (3 * 0.01 + 0.81 + 4 * 0.04) / 8
    # reliability (4 * 0.15^2 + 4 * 0.2^2) / 8, resolution (8 * 0.375^2) / 8, uncertainty 0.625 * 0.375
    assert (brier.reliability, brier.resolution, brier.uncertainty) == (
        *(D("0.03125"), D("0.140625")),
        D("0.234375"),
    )


@pytest.mark.parametrize(
    ("forecast", "place"),
    [("0", 0), ("0.0999", 0), ("0.1", 1), ("0.29", 2), ("0.3", 3), ("0.9", 9), ("1", 9)],
)
def test_a_bin_has_its_lower_bound_and_the_last_one_both(forecast: str, place: int) -> None:
    counts = [each.count for each in filled([(D(forecast), True)], 10).bins()]
    assert counts == [int(number == place) for number in range(10)]


def test_without_a_forecast_there_is_no_score_and_bins_are_empty() -> None:
    made = Reliability(3)
    assert made.brier() is None
    assert [(b.count, b.mean_forecast, b.observed) for b in made.bins()] == [(0, None, None)] * 3
    assert made.bins()[0].upper == made.bins()[1].lower == D("0." + "3" * 40)


@law
@given(forecasts, numbers_of_bins)
def test_the_five_terms_add_up_to_the_score_exactly(given_: list[Forecast], bins: int) -> None:
    made = filled(given_, bins)
    squares = ((Fraction(forecast) - occurred) ** 2 for forecast, occurred in given_)
    score = sum(squares) / len(given_)
    assert made.terms().total() == score
    brier = made.brier()
    assert brier is not None
    assert brier.score == rounded(Fraction(score))
    assert all(0 <= term <= 1 for term in (brier.score, brier.reliability, brier.resolution))
    with exact():  # each term is rounded to 10^-40
        terms = brier.reliability - brier.resolution + brier.uncertainty
        terms += brier.within_bin_variance - brier.within_bin_covariance
        assert abs(terms - brier.score) <= D("3e-40")


@law
@given(st.sets(st.integers(0, 8), min_size=1), numbers_of_bins)
def test_perfectly_calibrated_forecasts_have_reliability_0(eighths: set[int], bins: int) -> None:
    """Eight forecasts of k / 8 each are made, and k occur."""
    made = Reliability(bins)
    for right in eighths:
        for number in range(8):
            made.add(D(right) / 8, number < right)
    assert made.terms().reliability == 0
