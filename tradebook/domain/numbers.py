"""Exact decimals: the numbers that are accepted, their canonical form, and the book's one rounding.

Sums and products are exact: the context traps Inexact, so a lost digit raises instead of passing
unnoticed. Only `divide` rounds, half-even, to 10^-40.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    ROUND_05UP,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    Underflow,
    localcontext,
)
from typing import Any, Final, TypeAlias

from tradebook.domain.errors import InvalidInput
from tradebook.domain.limits import MAX_AMOUNT_PLACES, MAX_DECIMALS, MAX_DIGITS, MAX_WHOLE_DIGITS
from tradebook.domain.plain_values import is_instance, plain_text

Number: TypeAlias = Decimal | int | str | float

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)

_MAX_TEXT: Final = 400
"""Characters of a number's text: more than the 309 digits of the largest float."""
_MAX_BITS: Final = 1100
"""Bits of an integer: more than the 1,024 of the largest float. Python's `Decimal(int)` takes
quadratic time, so a longer one is refused before it is converted."""
_FLOAT_DIGITS: Final = 17
"""Significant digits of the longest repr of a float."""

# Nearly every number that arrives as text matches: it is canonical and within bounds as it is.
_SHORT_INT: Final = 10**18
_CANONICAL: Final = re.compile(r"0|[1-9][0-9]{0,18}|[0-9]{1,18}\.[0-9]{0,19}[1-9]").fullmatch

_TRAPS = [InvalidOperation, DivisionByZero, Overflow]
# A product of three floats and an exchange rate has 1,236 digits before the point and 224 after it; a
# total that a caller gives may have `MAX_AMOUNT_PLACES` on both sides and be multiplied again. A higher
# precision costs nothing where it is not needed: libmpdec allocates the digits that a result has.
_PRECISION: Final = 5_000
EXACT: Final = Context(
    prec=_PRECISION,
    rounding=ROUND_HALF_EVEN,
    Emax=MAX_EMAX,
    Emin=MIN_EMIN,
    traps=[*_TRAPS, Inexact, Underflow],
)
# Rounding twice, to the context's precision and then to 10^-40, could turn a quotient just above a half
# into a half. ROUND_05UP prevents it: a result that is not exact never ends in 0 or 5.
_QUOTIENT = Context(prec=100, rounding=ROUND_05UP, traps=_TRAPS)
_LONG_QUOTIENT = Context(prec=2_000, rounding=ROUND_05UP, traps=_TRAPS)
_LONG: Final = 50
"""Digits before the point from which `_QUOTIENT` might not reach 10^-41."""
_ROUNDED = Context(prec=_PRECISION, rounding=ROUND_HALF_EVEN, traps=_TRAPS)
_LAST_PLACE: Final = Decimal(1).scaleb(-40)


def exact() -> AbstractContextManager[Context]:
    """Set a decimal context in which sums and products keep every digit; Python's default keeps 28.

    Returns:
        A context manager: `with exact(): total = position.cash_flow + position.cost_basis`. An
        operation that would have to round, such as a division, raises `decimal.Inexact`.
    """
    return localcontext(EXACT)


def canonical(value: Decimal) -> Decimal:
    """Normalize a finite number: no trailing zeros, no exponent above 0, no negative zero."""
    if not value:
        return ZERO
    text = str(value)  # cheaper than `as_tuple`, and most numbers need no change
    if "E" not in text and ("." not in text or text[-1] != "0"):
        return value
    value = value.normalize(EXACT)
    return value.quantize(ONE, context=EXACT) if "E+" in EXACT.to_sci_string(value) else value


def plain(value: Decimal) -> str:
    """Write a number as canonical text, without an exponent: `"150.25"`, `"0.000000000000000001"`."""
    if not value:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def sums_by_name(amounts: Iterable[tuple[Decimal, str]]) -> dict[str, Decimal]:
    """Add up amounts exactly, by the name that each has, such as its currency; sorted by name."""
    sums: dict[str, Decimal] = {}
    for amount, name in amounts:
        sums[name] = EXACT.add(sums.get(name, ZERO), amount)
    return {name: canonical(sums[name]) for name in sorted(sums)}


class Numbers(dict[str, Decimal]):
    """A cache of canonical numbers by the text that a database stores; most of a book's numbers repeat.

    It needs no lock between threads: an entry that another thread clears is computed again.
    """

    def __missing__(self, text: str) -> Decimal:
        """Parse the text, and keep the result where the text is short."""
        made = canonical(Decimal(text))
        if len(text) <= _KEPT_TEXT:
            if len(self) >= _KEPT:
                self.clear()
            self[text] = made
        return made


_KEPT: Final = 10_000
_KEPT_TEXT: Final = 40


def divide(dividend: Decimal, divisor: Decimal) -> Decimal:
    """Divide and round half-even to 10^-40: the book's only rounding."""
    is_long = dividend.adjusted() - divisor.adjusted() > _LONG
    quotient = (_LONG_QUOTIENT if is_long else _QUOTIENT).divide(dividend, divisor)
    return canonical(quotient.quantize(_LAST_PLACE, context=_ROUNDED))


def number(value: Number) -> Decimal:
    """Convert a number that a caller gave to its canonical Decimal, without rounding.

    Accepted are numbers of at most 38 significant digits and 40 decimals, and every finite float: a
    float counts as its shortest repr (0.1 is 0.1), and may have more than 40 decimals, since none of its
    at most 17 digits is dropped. Nothing but zero is closer to zero than 1e-40.

    Args:
        value: a Decimal, int, str or float.

    Returns:
        The canonical Decimal.

    Raises:
        InvalidInput: not a finite number, or more digits than are accepted.
    """
    if type(value) is str and _CANONICAL(value):
        return Decimal(value)
    if type(value) is int and -_SHORT_INT < value < _SHORT_INT:
        return Decimal(value)
    result = _parsed(value)
    if not result.is_finite():
        raise InvalidInput("", value, "a finite number")
    if result and not -MAX_DECIMALS <= result.adjusted() < MAX_WHOLE_DIGITS:
        raise InvalidInput("", value, _NOT_TOO_SMALL if result.adjusted() < 0 else _NOT_TOO_LARGE)
    result = canonical(result)
    _, digits, exponent = result.as_tuple()
    count = len(digits)
    if count > MAX_DIGITS:  # zeros at the end of an integer are not significant
        count = len(result.normalize(EXACT).as_tuple().digits)
    if count > MAX_DIGITS or (count > _FLOAT_DIGITS and -int(exponent) > MAX_DECIMALS):
        raise InvalidInput("", value, _ACCEPTED)
    return result


_ACCEPTED = f"a number of at most {MAX_DIGITS} significant digits and {MAX_DECIMALS} decimals"
_NOT_TOO_SMALL = f"a number that is 0 or at least 1e-{MAX_DECIMALS} from it"
_NOT_TOO_LARGE = f"a number of at most {MAX_WHOLE_DIGITS} digits before the point"


def optional_number(value: Number | None) -> Decimal | None:
    """Convert a number, or pass None through."""
    return None if value is None else number(value)


def _parsed(value: Any) -> Decimal:
    if is_instance(value, Decimal):
        given = Decimal(value)
        if given.is_finite() and (digits := len(given.as_tuple().digits)) > _MAX_TEXT:
            raise InvalidInput("", f"a decimal of {digits} digits", _ACCEPTED)
        return given
    if is_instance(value, bool):
        raise InvalidInput("", value, "a number, not a truth value")
    if is_instance(value, int):
        return _from_int(int.__index__(value))
    if is_instance(value, float):
        return Decimal(float.__repr__(value))
    if is_instance(value, str):
        return _from_text(plain_text(value))
    try:
        index = operator.index(value)  # numpy integers
    except Exception:  # a hostile `__index__` may raise anything
        raise InvalidInput("", value, "a number: Decimal, int, str or float") from None
    return _from_int(index)


def _from_int(value: int) -> Decimal:
    if value.bit_length() > _MAX_BITS:
        raise InvalidInput("", value, _ACCEPTED)
    return Decimal(value)


def _from_text(text: str) -> Decimal:
    if len(text) > _MAX_TEXT or "_" in text or not text.isascii():
        raise InvalidInput("", text, _ACCEPTED)
    try:
        return Decimal(text)
    except InvalidOperation:
        raise InvalidInput("", text, "a number such as 150.25") from None


def positive(value: Number) -> Decimal:
    """Convert as `number` does, and refuse 0 and below."""
    result = number(value)
    if result <= ZERO:
        raise InvalidInput("", value, "a number above 0")
    return result


def non_negative(value: Number) -> Decimal:
    """Convert as `number` does, and refuse numbers below 0."""
    result = number(value)
    if result < ZERO:
        raise InvalidInput("", value, "a number, 0 or above")
    return result


def fraction(value: Number) -> Decimal:
    """Convert as `number` does, and refuse numbers outside 0 to 1."""
    result = number(value)
    if not ZERO <= result <= ONE:
        raise InvalidInput("", value, "a number from 0 to 1")
    return result


def optional_fraction(value: Number | None) -> Decimal | None:
    """Convert as `fraction` does, or pass None through."""
    return None if value is None else fraction(value)


def optional_non_negative(value: Number | None) -> Decimal | None:
    """Convert as `non_negative` does, or pass None through."""
    return None if value is None else non_negative(value)


def nonzero(value: Number) -> Decimal:
    """Convert as `number` does, and refuse 0."""
    result = number(value)
    if not result:
        raise InvalidInput("", value, "a number other than 0")
    return result


def amount(value: Number) -> Decimal:
    """Convert a total that the book computed: a Decimal of up to 1,500 places; other types as `number`."""
    if not is_instance(value, Decimal):
        return number(value)
    total = Decimal(value)
    if not total.is_finite():
        raise InvalidInput("", value, "a finite number")
    if total and not -MAX_AMOUNT_PLACES <= total.adjusted() < MAX_AMOUNT_PLACES:
        raise InvalidInput("", value, _PLACES)
    try:
        total = canonical(total)
    except Inexact:
        raise InvalidInput("", value, _PLACES) from None
    if -int(total.as_tuple().exponent) > MAX_AMOUNT_PLACES:
        raise InvalidInput("", value, _PLACES)
    return total


_PLACES: Final = f"a number of at most {MAX_AMOUNT_PLACES} places before the point and after it"
