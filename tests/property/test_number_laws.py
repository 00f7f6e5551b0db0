"""Laws of numbers and JSON, against fractions and Python's own json."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import examples
from tradebook import InvalidInput
from tradebook.domain.numbers import canonical, divide, fraction, number, plain, positive
from tradebook.domain.validation import json_object
from tradebook.testing import strategies as book

law = examples.law(250)


@law
@given(book.decimals())
def test_a_number_survives_the_way_through_text(value: Decimal) -> None:
    assert number(plain(value)).as_tuple() == value.as_tuple()
    assert number(str(value)).as_tuple() == value.as_tuple()


@law
@given(book.decimals(), st.integers(0, 30))
def test_zeros_behind_do_not_change_the_canonical_form(value: Decimal, zeros: int) -> None:
    sign, digits, exponent = value.as_tuple()
    padded = Decimal((sign, digits + (0,) * zeros, int(exponent) - zeros))

    assert canonical(padded).as_tuple() == value.as_tuple()


@law
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_counts_as_its_shortest_repr(value: float) -> None:
    for given_float in (value, round(value, 2)):
        if given_float and abs(given_float) < 1e-40:
            with pytest.raises(InvalidInput, match="at least 1e-40"):
                number(given_float)
        else:
            assert float(number(given_float)) == given_float
            assert number(given_float) == Decimal(repr(given_float)) == number(repr(given_float))


@law
@given(book.float_decimals())
def test_a_float_given_back_as_text_or_decimal_is_the_same_number(value: Decimal) -> None:
    assert value
    for again in (value, plain(value), str(value), float(value)):
        assert number(again).as_tuple() == value.as_tuple()


@law
@given(st.integers(-(10**38) + 1, 10**38 - 1))
def test_whole_numbers_are_kept(value: int) -> None:
    assert int(number(value)) == value


@law
@given(book.decimals(), book.decimals().filter(bool))
def test_division_is_that_of_fractions_rounded_half_even_once(
    dividend: Decimal, divisor: Decimal
) -> None:
    exact = Fraction(dividend) / Fraction(divisor)

    assert Fraction(divide(dividend, divisor)) == Fraction(round(exact * 10**40), 10**40)


@law
@given(st.integers(-(10**30), 10**30), st.sampled_from([-1, 0, 1]))
def test_division_rounds_halves_to_even_and_their_neighbours_away(whole: int, nudge: int) -> None:
    # Half a unit of the last place, and a hair (a 450th decimal) beside it.
    dividend = Decimal(whole * 10**410 + 5 * 10**409 + nudge)
    exact = Fraction(whole * 10**410 + 5 * 10**409 + nudge, 10**450)

    quotient = divide(dividend, Decimal(10) ** 450)

    assert Fraction(quotient) == Fraction(round(exact * 10**40), 10**40)


@law
@given(book.quantities(), book.fractions())
def test_strategies_make_what_the_book_accepts(quantity: Decimal, confidence: Decimal) -> None:
    assert positive(quantity) == quantity
    assert fraction(confidence) == confidence


@law
@given(book.json_objects())
def test_json_comes_back_unchanged(value: dict[str, Any]) -> None:
    kept = json_object(value)

    assert kept == value
    assert json_object(json.loads(json.dumps(kept))) == kept
