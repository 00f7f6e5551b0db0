"""Statistics by hand, and the laws that hold for any returns."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from statistics import fmean, stdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import examples
from tradebook import InvalidInput
from tradebook.analytics import statistics
from tradebook.analytics.statistics import (
    Drawdown,
    alpha,
    average_loss,
    average_win,
    beta,
    cagr,
    calmar_ratio,
    compounded,
    downside_risk,
    drawdowns,
    expectancy,
    expected_shortfall,
    max_drawdown,
    omega_ratio,
    profit_factor,
    sharpe_ratio,
    sortino_ratio,
    system_quality_number,
    to_returns,
    total_return,
    value_at_risk,
    volatility,
    win_rate,
)
from tradebook.domain.numbers import Number

RETURNS: list[Number | None] = ["0.1", "-0.05", 0, "0.02"]
DIGITS = 50


def near(found: Decimal | None, expected: str) -> bool:
    return found is not None and abs(found - Decimal(expected)) < Decimal("1e-12")


def test_returns_and_how_they_compound() -> None:
    assert to_returns([100, 110, 99]) == [Decimal("0.1"), Decimal("-0.1")]
    assert to_returns([110, 99], start=100) == [Decimal("0.1"), Decimal("-0.1")]
    assert to_returns([100, None, 99, 0, 5, -5, 5]) == [None, None, -1, None, -2, None]
    assert to_returns([]) == to_returns([7]) == []
    assert total_return(["0.1", None, "-0.1"]) == Decimal("-0.01")
    assert total_return(to_returns([3, 1, 7])) is not None  # of 50 digits each
    assert compounded(["0.1", "0.1", "-0.5", None], 2) == [Decimal("0.21"), Decimal("-0.5")]
    assert compounded([None, None, 1], 2) == [None, 1]
    assert total_return([]) is total_return([None]) is None


def test_growth_of_a_year() -> None:
    assert cagr([1, 1], periods_per_year=1) == 1  # doubled twice in two years
    assert near(cagr(["0.21"], periods_per_year=1, years=2), "0.1")
    assert near(cagr(["0.21"], periods_per_year=12, periods=24), "0.1")
    assert cagr([-1], periods_per_year=1) == -1
    assert cagr([-2], periods_per_year=1) is cagr([], periods_per_year=1) is None


def test_risk_and_ratios_by_hand() -> None:
    floats = [0.1, -0.05, 0.0, 0.02]
    year = {"periods_per_year": 4}
    assert near(volatility(RETURNS, **year), repr(stdev(floats) * 2))
    assert near(sharpe_ratio(RETURNS, **year), repr(fmean(floats) / stdev(floats) * 2))
    assert sharpe_ratio(RETURNS, risk_free="0.01", **year) == sharpe_ratio(
        RETURNS, risk_free=["0.01"] * 4, **year
    )
    assert downside_risk(RETURNS, **year) == Decimal("0.05")  # the root of 0.0025 / 4 * 4
    assert sortino_ratio(RETURNS, **year) == Decimal("1.4")  # 0.07 / 4 * 4 / 0.05
    assert omega_ratio(RETURNS) == Decimal("2.4")
    assert value_at_risk(RETURNS, cutoff="0.5") == Decimal("0.01")
    assert expected_shortfall(RETURNS, cutoff="0.5") == Decimal("-0.025")
    assert beta([2, 4, 6], [1, 2, 3]) == 2
    assert alpha([3, 5, 7], [1, 2, 3], periods_per_year=1) == 1


def test_falls_from_a_peak() -> None:
    values = [100, 120, 90, None, 108, 120, 60, 80]
    assert max_drawdown(values) == Drawdown(Decimal("0.5"), Decimal(60), 5, 6, None, 4)
    assert drawdowns(values) == [
        Drawdown(Decimal("0.25"), Decimal(30), 1, 2, 5, 4),
        Drawdown(Decimal("0.5"), Decimal(60), 5, 6, None, 2),
    ]
    assert max_drawdown([90, 95], start=100) == Drawdown(
        Decimal("0.1"), Decimal(10), -1, 0, None, 2
    )
    assert max_drawdown([1, 2, 2]) == Drawdown(Decimal(0), Decimal(0), None, None, None, 0)
    assert max_drawdown([]) is max_drawdown([-5, -7]) is None
    assert max_drawdown([5, -5]) == Drawdown(Decimal(2), Decimal(10), 0, 1, None, 1)
    assert calmar_ratio(["0.5", "-0.2"], periods_per_year=2) == 1
    assert calmar_ratio(["0.5"], periods_per_year=2) is None


def test_statistics_of_trades() -> None:
    pnls = [10, -5, 0, None, 20]
    assert win_rate(pnls) == Decimal("0.5")
    assert near(win_rate(pnls, count_break_even=False), str(Decimal(2) / 3))
    assert average_win(pnls) == 15
    assert average_loss(pnls) == -5
    assert profit_factor(pnls) == 6
    assert expectancy(pnls) == Decimal("6.25")
    assert near(expectancy(pnls, count_break_even=False), str(Decimal(25) / 3))
    floats = [10.0, -5.0, 0.0, 20.0]
    assert near(system_quality_number(pnls), repr(2 * fmean(floats) / stdev(floats)))


YEAR = {"periods_per_year": 252}
OF_RETURNS: dict[str, Callable[[Any], Any]] = {
    "total_return": total_return,
    "cagr": lambda r: cagr(r, **YEAR),
    "volatility": lambda r: volatility(r, **YEAR),
    "sharpe_ratio": lambda r: sharpe_ratio(r, **YEAR),
    "downside_risk": lambda r: downside_risk(r, **YEAR),
    "sortino_ratio": lambda r: sortino_ratio(r, **YEAR),
    "omega_ratio": omega_ratio,
    "calmar_ratio": lambda r: calmar_ratio(r, **YEAR),
    "value_at_risk": lambda r: value_at_risk(r, cutoff="0.05"),
    "expected_shortfall": lambda r: expected_shortfall(r, cutoff="0.05"),
    "beta": lambda r: beta(r, r),
    "alpha": lambda r: alpha(r, r, **YEAR),
    "win_rate": win_rate,
    "average_win": average_win,
    "average_loss": average_loss,
    "profit_factor": profit_factor,
    "expectancy": expectancy,
    "system_quality_number": system_quality_number,
}


@pytest.mark.parametrize("name", OF_RETURNS)
def test_what_is_undefined_is_none(name: str) -> None:
    assert OF_RETURNS[name]([]) is OF_RETURNS[name]([None]) is None
    same = OF_RETURNS[name]([0, 0, 0])  # no deviation, no loss, no gain
    assert same is None or same == 0


numbers = st.none() | st.decimals(
    allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15, places=12
)


@examples.law(150)
@given(st.lists(numbers, max_size=8))
def test_any_numbers_give_a_number_of_50_digits_or_none(returns: list[Any]) -> None:
    for name, compute in OF_RETURNS.items():
        found = compute(returns)
        assert found is None or (found.is_finite() and len(found.as_tuple().digits) <= DIGITS), name
    for found in to_returns(returns):
        assert found is None or found.is_finite()
    fall = max_drawdown(returns)
    assert fall is None or (fall.ratio >= 0 and fall.amount >= 0)


@examples.law(100)
@given(
    st.lists(st.decimals("0.01", 1000, places=2), min_size=2, max_size=8),
    st.decimals("0.01", 1000, places=2),
    st.integers(1, 9),
)
def test_returns_do_not_depend_on_the_scale_and_compound_to_the_whole(
    values: list[Decimal], scale: Decimal, size: int
) -> None:
    returns = to_returns(values)
    assert to_returns([each * scale for each in values]) == returns
    whole, ratio = total_return(returns), values[-1] / values[0] - 1
    assert near(whole, str(ratio))
    assert near(total_return(compounded(returns, size)), str(ratio))
    fall, scaled = max_drawdown(values), max_drawdown([each * scale for each in values])
    assert fall is not None
    assert scaled is not None
    assert (fall.ratio, fall.peak, fall.recovered) == (scaled.ratio, scaled.peak, scaled.recovered)
    assert 0 <= fall.ratio < 1
    if fall.peak is not None and fall.trough is not None:
        assert values[fall.peak] - values[fall.trough] == fall.amount
        assert fall.recovered is None or values[fall.recovered] >= values[fall.peak]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: total_return("0.1"), "returns"),
        (lambda: total_return(["0.1", "x"]), r"returns\[1\]"),
        (lambda: total_return([float("nan")]), r"returns\[0\]"),
        (lambda: volatility([1], periods_per_year=0), "periods_per_year"),
        (lambda: volatility([1], periods_per_year=1, ddof=-1), "ddof"),
        (lambda: sharpe_ratio([1], risk_free=[1, 2], periods_per_year=1), "risk_free"),
        (lambda: value_at_risk([1], cutoff=1), "cutoff"),
        (lambda: expected_shortfall([1], cutoff=0), "cutoff"),
        (lambda: compounded([1], 0), "n"),
        (lambda: cagr([1], periods_per_year=1, years=0), "years"),
        (lambda: beta([1], [1, 2]), "benchmark"),
        (lambda: max_drawdown([1], start="x"), "start"),
    ],
)
def test_what_is_refused_is_named(call: Callable[[], Any], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        call()


def test_the_module_lists_its_names() -> None:
    assert sorted(statistics.__all__) == statistics.__all__
    assert all(getattr(statistics, name).__doc__ for name in statistics.__all__)
