"""Return, drawdown and Sharpe ratio of small series, against values computed by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tradebook.demo.figures import max_drawdown, sharpe_ratio, total_return


def series(*values: int | str) -> list[Decimal]:
    return [Decimal(value) for value in values]


def test_the_return_compares_the_end_with_the_start() -> None:
    assert total_return(Decimal(80), Decimal(100)) == Decimal("0.25")
    assert total_return(Decimal(0), Decimal(100)) == 0


def test_the_maximum_is_the_worst_fall_from_a_peak_before_it() -> None:
    assert max_drawdown(series(50, 100, 80, 120, 90, 130)) == Decimal("0.25")
    assert max_drawdown(series(1, 2, 3)) == 0


def test_the_sharpe_ratio_is_the_textbooks() -> None:
    # Returns 10 %, -10 %, 20 %: mean 1/15, sample deviation sqrt(7/300).
    expected = (Decimal(1) / 15) / (Decimal(7) / 300).sqrt() * Decimal(252).sqrt()
    assert sharpe_ratio(series(100, 110, 99, "118.8")) == expected.quantize(Decimal("0.000001"))


@pytest.mark.parametrize("values", [(), (100,), (100, 110), (100, 100, 100)])
def test_the_sharpe_ratio_is_zero_where_it_is_not_defined(values: tuple[int, ...]) -> None:
    assert sharpe_ratio(series(*values)) == 0
