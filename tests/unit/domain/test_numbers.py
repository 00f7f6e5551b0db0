"""What counts as a number, and its one canonical form."""

from __future__ import annotations

from decimal import Decimal, Inexact
from typing import Any

import pytest

from tradebook import InvalidInput
from tradebook.domain.numbers import (
    EXACT,
    amount,
    canonical,
    divide,
    exact,
    fraction,
    non_negative,
    nonzero,
    number,
    plain,
    positive,
)

LARGEST = "9" * 38
FINEST = "0." + "0" * 39 + "1"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (Decimal("150.2500"), "150.25"),
        (100, "100"),
        ("1e3", "1000"),
        ("-0", "0"),
        (Decimal("-0.000"), "0"),
        ("+7", "7"),
        (-0.0, "0"),
        (FINEST, FINEST),
        (LARGEST, LARGEST),
        ("-" + LARGEST, "-" + LARGEST),
        ("0E+999999", "0"),
        ("1e38", "1" + "0" * 38),
        (10**308, "1" + "0" * 308),
        (Decimal("-1e308"), "-1" + "0" * 308),
    ],
)
def test_numbers_have_one_canonical_form(given: Any, text: str) -> None:
    assert number(given).as_tuple() == Decimal(text).as_tuple()
    assert plain(number(given)) == text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (0.1, "0.1"),
        (1e22, "1" + "0" * 22),
        (1e-7, "0.0000001"),
        (2.5, "2.5"),
        (0.00010074887218045112, "0.00010074887218045112"),
        (1.0 * 0.00010074887218045112 * 0.001, "0.00000010074887218045111"),
        (1e-40, FINEST),
        (-1.2345678901234566e-40, "-0." + "0" * 39 + "12345678901234566"),
        (1.7976931348623157e308, "17976931348623157" + "0" * 292),
    ],
)
def test_a_float_counts_as_its_shortest_repr(given: float, text: str) -> None:
    assert plain(number(given)) == text


def test_whole_numbers_of_other_libraries_are_accepted() -> None:
    class Whole:
        def __index__(self) -> int:
            return 42

    assert number(Whole()) == 42  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given",
    [
        "NaN",
        "sNaN",
        "Infinity",
        float("nan"),
        float("-inf"),
        Decimal("Infinity"),
        Decimal("NaN"),
        "",
        "abc",
        "1_000",
        pytest.param("١٢", id="Arabic digits"),
        "0" * 400 + "1",
        "1,5",
        True,
        None,
        b"1",
        [1],
        10**38 + 1,
        10**309,
        10**1000,
        Decimal(10**309),
        2**1023,
        "1e309",
        "1e999999999999",
        "1e-41",
        9.9e-41,
        "1e-999999999999",
        Decimal("0." + "1" * 39),
        Decimal("0." + "0" * 30 + "123456789012345678"),
        "123456789012345678901.123456789012345678",
        Decimal("1" * 450),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_not_an_exact_number_within_the_limits_is_refused(given: Any) -> None:
    with pytest.raises(InvalidInput, match="is not accepted; expected") as refusal:
        number(given)

    told = refusal.value
    assert told.value is given or told.value == f"a decimal of {len(str(given))} digits"
    assert told.expected.startswith(("a number", "a finite number"))
    assert told.field == ""  # whoever knows its name adds it


@pytest.mark.parametrize(
    "longest",
    ["1" * 20 + "." + "1" * 18, "0.00" + "1" * 38, "0." + "0" * 38 + "12", "1" * 38 + "0" * 271],
)
def test_the_limit_is_38_significant_digits_and_40_decimals(longest: str) -> None:
    for given in (longest, Decimal(longest)):
        assert plain(number(given)) == longest
    assert number(float(longest)) == Decimal(repr(float(longest)))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("1e-41", "a number that is 0 or at least 1e-40 from it"),
        (-5e-324, "a number that is 0 or at least 1e-40 from it"),
        ("1e309", "a number of at most 309 digits before the point"),
        ("1" * 39, "a number of at most 38 significant digits and 40 decimals"),
    ],
)
def test_a_refusal_says_which_limit_a_number_exceeds(given: Any, expected: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        number(given)

    assert refusal.value.expected == expected


@pytest.mark.parametrize("given", ["1." + "0" * 398, Decimal("1." + "0" * 399)])
def test_zeros_behind_count_up_to_400_characters_or_digits(given: Any) -> None:
    assert number(given) == 1
    with pytest.raises(InvalidInput):
        number(type(given)(f"{given}0"))


@pytest.mark.parametrize(
    ("convert", "given", "expected"),
    [
        (positive, 0, "above 0"),
        (positive, -1, "above 0"),
        (non_negative, "-0.1", "0 or above"),
        (nonzero, 0, "other than 0"),
        (fraction, "1.0001", "from 0 to 1"),
        (fraction, "-0.0001", "from 0 to 1"),
        (amount, "one", "a number such as"),
        (amount, Decimal("NaN"), "a finite number"),
    ],
)
def test_narrower_kinds_of_numbers_say_what_they_expect(
    convert: Any, given: Any, expected: str
) -> None:
    with pytest.raises(InvalidInput, match=expected) as refusal:
        convert(given)

    assert refusal.value.value is given
    assert refusal.value.expected.startswith(("a number", "a finite number"))
    assert refusal.value.field == ""


def test_the_limits_of_a_fraction_belong_to_it() -> None:
    assert [fraction(0), fraction(1)] == [0, 1]


@pytest.mark.parametrize(
    ("dividend", "divisor", "quotient"),
    [
        ("1", "3", "0." + "3" * 40),
        ("2", "3", "0." + "6" * 39 + "7"),
        ("5e-41", "1", "0"),  # half way, to the even 0
        ("15e-41", "1", "0." + "0" * 39 + "2"),  # half way, to the even 2
        ("25e-41", "1", "0." + "0" * 39 + "2"),  # half way, to the even 2
        ("-15e-41", "1", "-0." + "0" * 39 + "2"),
        ("50000000000000000000000000000000000000001e-81", "1", "0." + "0" * 39 + "1"),
        ("10", "4", "2.5"),
        ("0", "7", "0"),
    ],
)
def test_division_rounds_once_half_even_to_forty_decimals(
    dividend: str, divisor: str, quotient: str
) -> None:
    assert plain(divide(Decimal(dividend), Decimal(divisor))) == quotient


def test_a_quotient_just_above_half_way_is_not_rounded_twice() -> None:
    # 450 digits behind the half: a first rounding to fewer would make it exactly half.
    dividend = Decimal("5e-41") + Decimal(0)
    just_above = EXACT.add(dividend, Decimal("1e-700"))

    assert divide(just_above, Decimal(1)) == Decimal("1e-40")


def test_sums_and_products_trap_a_lost_digit() -> None:
    with exact(), pytest.raises(Inexact):
        Decimal(1) / Decimal(3)


def test_exact_sums_keep_digits_that_python_would_drop() -> None:
    with exact():
        assert Decimal("1e30") + Decimal("1e-18") == Decimal("1" + "0" * 30 + "." + "0" * 17 + "1")


def test_canonical_drops_zeros_behind_and_exponents_above_zero() -> None:
    assert str(canonical(Decimal("1.50E+2"))) == "150"
    assert str(canonical(Decimal("1.50"))) == "1.5"
