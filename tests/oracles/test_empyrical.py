"""Statistics next to those of empyrical-reloaded, which computes with floats, wherever the definitions agree."""

from __future__ import annotations

from typing import Any

import empyrical
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tradebook.analytics.statistics import (
    alpha,
    beta,
    cagr,
    calmar_ratio,
    compounded,
    downside_risk,
    expected_shortfall,
    max_drawdown,
    omega_ratio,
    sharpe_ratio,
    sortino_ratio,
    to_returns,
    total_return,
    value_at_risk,
    volatility,
)

YEAR = 252
SPREAD = 1e-4
"""Below it a deviation of floats is mostly rounding."""

returns = st.lists(st.floats(-0.2, 0.25).map(lambda each: round(each, 6)), min_size=3, max_size=40)
law = settings(max_examples=300, deadline=None)


def agrees(ours: Any, theirs: float) -> bool:
    if ours is None:
        return not np.isfinite(theirs)
    return bool(float(ours) == pytest.approx(theirs, rel=1e-7, abs=1e-9))


@law
@given(returns)
def test_growth_and_risk(given_returns: list[float]) -> None:
    found = np.array(given_returns)
    assume(found.std() > SPREAD)
    year = {"periods_per_year": YEAR}
    other = {"annualization": YEAR}
    assert agrees(total_return(given_returns), empyrical.cum_returns_final(found))
    assert agrees(cagr(given_returns, **year), empyrical.cagr(found, **other))
    assert agrees(volatility(given_returns, **year), empyrical.annual_volatility(found, **other))
    assert agrees(sharpe_ratio(given_returns, **year), empyrical.sharpe_ratio(found, **other))
    assert agrees(
        sharpe_ratio(given_returns, risk_free="0.001", **year),
        empyrical.sharpe_ratio(found, risk_free=0.001, **other),
    )
    assert agrees(downside_risk(given_returns, **year), empyrical.downside_risk(found, **other))
    if found.min() < -SPREAD:
        assert agrees(sortino_ratio(given_returns, **year), empyrical.sortino_ratio(found, **other))
        assert agrees(calmar_ratio(given_returns, **year), empyrical.calmar_ratio(found, **other))
        assert agrees(omega_ratio(given_returns), empyrical.omega_ratio(found, annualization=1))


@law
@given(returns, st.sampled_from(["0.01", "0.05", "0.5", "0.9"]))
def test_tails(given_returns: list[float], cutoff: str) -> None:
    found = np.array(given_returns)
    value = value_at_risk(given_returns, cutoff=cutoff)
    assert agrees(value, empyrical.value_at_risk(found, float(cutoff)))
    shortfall = expected_shortfall(given_returns, cutoff=cutoff)
    assert agrees(shortfall, empyrical.conditional_value_at_risk(found, float(cutoff)))


@law
@given(returns)
def test_drawdown_is_that_of_compounded_returns_with_the_sign_turned(
    given_returns: list[float],
) -> None:
    values = [
        1 + float(total_return(given_returns[:n]) or 0) for n in range(1, len(given_returns) + 1)
    ]
    fall = max_drawdown(values, start=1)
    assert fall is not None
    assert agrees(-fall.ratio, empyrical.max_drawdown(np.array(given_returns)))
    back = to_returns(values, start=1)
    assert [float(each or 0) for each in back] == pytest.approx(given_returns, abs=1e-9)


@law
@given(st.lists(st.tuples(st.floats(-0.2, 0.2), st.floats(-0.2, 0.2)), min_size=3, max_size=30))
def test_regression_on_a_benchmark(pairs: list[tuple[float, float]]) -> None:
    rounded = [(round(one, 6), round(other, 6)) for one, other in pairs]
    ours, benchmark = [one for one, _ in rounded], [other for _, other in rounded]
    assume(np.std(benchmark) > SPREAD)
    assert agrees(beta(ours, benchmark), empyrical.beta(np.array(ours), np.array(benchmark)))
    found = alpha(ours, benchmark, periods_per_year=12)
    theirs = empyrical.alpha(np.array(ours), np.array(benchmark), annualization=12)
    if found is not None:  # compounding a mean of -1 or less means nothing
        assert agrees(found, theirs)


def test_where_the_definitions_differ() -> None:
    assert sharpe_ratio([0.1, 0.1, 0.1], periods_per_year=YEAR) is None  # no deviation
    assert omega_ratio([0.1, 0.2]) is None
    assert np.isnan(empyrical.omega_ratio(np.array([0.1, 0.2])))
    assert sortino_ratio([0.1, 0.2], periods_per_year=YEAR) is None
    assert np.isinf(empyrical.sortino_ratio(np.array([0.1, 0.2])))
    assert compounded([0.1, 0.1], 2) == [total_return([0.1, 0.1])]
