"""Shares of an amount, by example."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tradebook import InvalidInput
from tradebook.domain.shares import shares

UNIT = Decimal("1e-40")


def test_what_does_not_divide_goes_to_the_largest_remainder_first() -> None:
    assert shares(Decimal(1), [1, 1, 1]) == [
        Decimal("0." + "3" * 39 + "4"),
        Decimal("0." + "3" * 40),
        Decimal("0." + "3" * 40),
    ]
    low, high = shares(2 * UNIT, [1, 2])  # two thirds and four thirds of a unit
    assert (low, high) == (UNIT, UNIT)
    assert shares(3 * UNIT, [5, 2]) == [2 * UNIT, UNIT]


def test_an_amount_with_more_digits_is_split_to_its_last_one() -> None:
    fine = Decimal("1e-50")
    assert shares(fine, [1, 1]) == [fine, 0]
    assert shares(-3 * fine, [1, 1]) == [-2 * fine, -fine]


def test_short_holders_pay_what_long_ones_get() -> None:
    assert shares(Decimal(10), [Decimal("1.5"), Decimal("-0.5")]) == [15, -5]
    assert shares(Decimal(10), [Decimal("-1.5"), Decimal("0.5")]) == [15, -5]


@pytest.mark.parametrize("weights", [[], [0, 0], [Decimal("0.1"), Decimal("-0.1")]])
def test_weights_that_add_up_to_nothing_are_refused(weights: list[Decimal | int]) -> None:
    with pytest.raises(InvalidInput, match="weights whose sum is not 0"):
        shares(Decimal(1), weights)
