"""Checked sequences of numbers, and the decimal context in which figures are computed.

Figures are computed with 100 significant digits and rounded once, half-even, to 50. A result that is undefined is None: never
NaN, an infinity or an error of the decimal module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
    localcontext,
)
from functools import wraps
from typing import Any, Final, ParamSpec, TypeAlias, cast

from tradebook.domain.errors import InvalidInput
from tradebook.domain.numbers import ZERO, Number, number, positive
from tradebook.domain.plain_values import is_instance, plain_int
from tradebook.domain.validation import argument

P = ParamSpec("P")

Numbers: TypeAlias = Sequence[Number | None]
"""Numbers in the order of time; None stands for a missing one."""

_TRAPS: Final = (InvalidOperation, DivisionByZero, Overflow)


def _context(digits: int) -> Context:
    return Context(digits, ROUND_HALF_EVEN, MIN_EMIN, MAX_EMAX, traps=list(_TRAPS))


_WORKING: Final = _context(100)
_RESULT: Final = _context(50)


def figure(compute: Callable[P, Decimal | None]) -> Callable[P, Decimal | None]:
    """Decorate the computation of a figure: it has 50 digits, and is None where the arithmetic is undefined."""

    @wraps(compute)
    def computed(*args: P.args, **kwargs: P.kwargs) -> Decimal | None:
        with localcontext(_WORKING):
            try:
                found = compute(*args, **kwargs)
                return None if found is None else rounded(found)
            except _TRAPS:
                return None

    return computed


def working() -> Any:
    """Return a context manager that sets the decimal context in which figures are computed."""
    return localcontext(_WORKING)


def rounded(value: Decimal) -> Decimal:
    """Round to 50 significant digits, half-even, without trailing zeros."""
    return (_RESULT.plus(value) if value else ZERO).normalize(_RESULT)


def real(value: Number) -> Decimal:
    """Check a finite number; a Decimal may have any number of digits, as figures have 50."""
    if type(value) is Decimal and value.is_finite():
        return value
    return number(value)


def series(name: str, values: Numbers) -> list[Decimal | None]:
    """Check a sequence of numbers; None stays in its place.

    Raises:
        InvalidInput: naming the argument, and the place of a value that is no finite number.
    """
    given: Any = values
    if is_instance(given, str) or not is_instance(given, Sequence):
        raise InvalidInput(name, given, "a sequence of numbers")
    return [
        None if each is None else argument(f"{name}[{place}]", real, each)
        for place, each in enumerate(given)
    ]


def known(name: str, values: Numbers) -> list[Decimal]:
    """Check a sequence of numbers, and leave out what is missing."""
    return [each for each in series(name, values) if each is not None]


def paired(
    values: Numbers, others: Number | Numbers, names: tuple[str, str]
) -> list[tuple[Decimal, Decimal]]:
    """Pair numbers with one number, or with those of a sequence of the same length; leave out what is missing.

    Raises:
        InvalidInput: the lengths differ.
    """
    first = series(names[0], values)
    if is_instance(others, str) or not is_instance(others, Sequence):
        single = argument(names[1], real, cast("Number", others))
        return [(each, single) for each in first if each is not None]
    second = series(names[1], cast("Numbers", others))
    if len(first) != len(second):
        expected = f"as many values as {names[0]}, which has {len(first):,}"
        raise InvalidInput(names[1], f"{len(second):,} values", expected)
    both = zip(first, second, strict=True)
    return [(one, other) for one, other in both if one is not None and other is not None]


def per_year(periods: Number) -> Decimal:
    """Check a number of periods per year: above 0."""
    return argument("periods_per_year", positive, periods)


def mean(values: Sequence[Decimal]) -> Decimal | None:
    """Return the arithmetic mean; None of no values. Call it inside a `figure`."""
    return sum(values, ZERO) / len(values) if values else None


def deviation(values: Sequence[Decimal], ddof: int) -> Decimal | None:
    """Return the standard deviation with `len(values) - ddof` in the denominator; None where that is not above 0."""
    average, divisor = mean(values), len(values) - ddof
    if average is None or divisor <= 0:
        return None
    return (sum(((each - average) ** 2 for each in values), ZERO) / divisor).sqrt()


def gain_to_loss(values: Sequence[Decimal]) -> Decimal | None:
    """Divide the sum of the numbers above 0 by that of those below 0, without its sign; None where there are none below."""
    lost = sum((-each for each in values if each < 0), ZERO)
    return sum((each for each in values if each > 0), ZERO) / lost if lost else None


def whole(name: str, value: int, least: int) -> int:
    """Check a whole number that is not below `least`; a refusal names the argument."""
    expected = f"a whole number of {least} or above"
    checked = argument(name, lambda given: plain_int(given, expected=expected), value)
    if checked < least:
        raise InvalidInput(name, checked, expected)
    return checked
