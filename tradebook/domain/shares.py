"""Shares of an exact amount: parts in proportion to weights, which add up to the amount to the last digit."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from tradebook.domain.errors import InvalidInput
from tradebook.domain.numbers import canonical, exact

_LAST_PLACE: Final = -40


def shares(amount: Decimal, weights: Sequence[Decimal | int]) -> list[Decimal]:
    """Split an amount into parts in proportion to weights, by the largest-remainder method.

    Parts are multiples of a unit: 10^-40, or the amount's own last digit where that is finer. Each is rounded down to
    it, and the units that are left go to the largest remainders; of equal ones to the first. The parts of `-amount`
    are those of `amount` with the opposite sign.

    Args:
        amount: any finite number.
        weights: of the parts, of any scale; negative ones get parts of the opposite sign.

    Returns:
        A part for each weight, in the order of the weights; their sum is `amount`.

    Raises:
        InvalidInput: the weights add up to 0.
    """
    with exact():
        exponent = min(_LAST_PLACE, _last_digit(amount))
        units = int(abs(amount).scaleb(-exponent))
        parts = _split(units, _integers(weights))
        signed = ((-part if amount.is_signed() else part) for part in parts)
        return [canonical(Decimal(part).scaleb(exponent)) for part in signed]


def _integers(weights: Sequence[Decimal | int]) -> list[int]:
    """Scale weights to integers of the same proportions, whose sum is above 0."""
    given = [Decimal(weight) for weight in weights]
    last_digit = min(map(_last_digit, given), default=0)
    whole = [int(weight.scaleb(-last_digit)) for weight in given]
    total = sum(whole)
    if not total:
        raise InvalidInput("weights", [*weights], "weights whose sum is not 0")
    return whole if total > 0 else [-weight for weight in whole]


def _split(units: int, weights: Sequence[int]) -> list[int]:
    total = sum(weights)
    divided = [divmod(units * weight, total) for weight in weights]
    parts = [part for part, _ in divided]
    by_remainder = sorted(range(len(parts)), key=lambda place: -divided[place][1])
    for place in by_remainder[: units - sum(parts)]:
        parts[place] += 1
    return parts


def _last_digit(value: Decimal) -> int:
    """Return the power of ten of the last digit of a finite number; at most 0."""
    return min(0, int(value.as_tuple().exponent))
