"""The money-weighted return of an account: the one yearly rate at which its cash flows are worth nothing together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Context, Decimal, localcontext
from itertools import pairwise
from typing import Any, Final, NamedTuple

from attrs import frozen

from tradebook.analytics.sequences import real
from tradebook.domain.errors import InvalidInput
from tradebook.domain.numbers import ZERO, Number
from tradebook.domain.plain_values import is_instance
from tradebook.domain.validation import argument, utc

_YEAR: Final = timedelta(days=365)
_MICROSECOND: Final = timedelta(microseconds=1)
_DIGITS: Final = 30
"""Significant digits of a yearly growth; it is computed with 60."""
_WORKING: Final = Context(prec=60)
_RESULT: Final = Context(prec=_DIGITS)
_NARROW: Final = Decimal("1e-40")
_FURTHEST: Final = 4096
"""The largest logarithm of a yearly growth that is looked for: beyond 10 ** 1778."""
_GRID: Final = Decimal("0.125")
_STEPS: Final = 160
"""Steps of the grid on each side of a rate of 0, on which several solutions are looked for: up to `exp(20)`."""
_ROUNDS: Final = 400
"""More than bisection alone would need."""


@frozen
class MoneyWeightedReturn:
    """A money-weighted return.

    Attributes:
        rate: the yearly rate: 0.1 is 10 %; `1 + rate` has 30 significant digits. None where it is undefined.
        reason: why it is undefined; "" where it is not.
    """

    rate: Decimal | None
    reason: str = ""


class _Worth(NamedTuple):
    """The worth of all flows at a growth, and its slope over the logarithm of the growth."""

    value: Decimal
    slope: Decimal


def money_weighted_return(flows: Sequence[tuple[datetime, Number]]) -> MoneyWeightedReturn:
    """Solve `sum(amount / (1 + rate) ** years) = 0` for the rate, where years count from the first flow.

    Known as XIRR in spreadsheets: a year has 365 days, and times count by the microsecond. The root is bracketed, so that
    the search always ends. Where more than one rate solves the equation none is returned: spreadsheets return one of
    them, whichever is nearest to their first guess.

    Args:
        flows: the time (UTC) and amount of each, as the investor's pocket sees them: negative is paid in, positive taken out,
            and the value at the end is the last one taken out. In any order.

    Returns:
        The rate, or the reason why there is none: all flows at one time or of one sign, no rate or several rates.

    Raises:
        InvalidInput: `flows` is no sequence of pairs of a time and a number.
    """
    with localcontext(_WORKING):
        amounts = _amounts(flows)
        signs = [amount > 0 for amount in amounts.values()]
        changes = sum(before != after for before, after in pairwise(signs))
        if not signs:
            return MoneyWeightedReturn(None, "there are no cash flows")
        if len(signs) == 1:
            return MoneyWeightedReturn(
                None, "all cash flows are at one time, or cancel out at all others"
            )
        if not changes:
            paid = "taken out" if signs[0] else "paid in"
            return MoneyWeightedReturn(None, f"money was only {paid}")
        found = [_near_zero(amounts)] if changes == 1 else _on_grid(amounts)
        if len(found) > 1:
            return MoneyWeightedReturn(None, f"{len(found)} rates solve it")
        if not found or found[0] is None:
            return MoneyWeightedReturn(None, "no rate solves it")
        growth = _solved(amounts, *found[0]).exp()
        return MoneyWeightedReturn((_RESULT.plus(growth) - 1).normalize())


_Bracket = tuple[Decimal, Decimal]


def _amounts(flows: Sequence[tuple[datetime, Number]]) -> dict[Decimal, Decimal]:
    """Add up the flows of each time, by the years since the first one; leave out those that cancel out."""
    given: Any = flows
    if is_instance(given, str) or not is_instance(given, Sequence):
        raise InvalidInput("flows", given, "a list of (time, amount) pairs")
    by_time: dict[datetime, Decimal] = {}
    for place, pair in enumerate(given):
        name = f"flows[{place}]"
        if not (is_instance(pair, tuple) or is_instance(pair, list)) or len(pair) != 2:
            raise InvalidInput(name, pair, "a (time, amount) pair")
        at, amount = argument(name, utc, pair[0]), argument(name, real, pair[1])
        by_time[at] = by_time.get(at, ZERO) + amount
    first = min(by_time, default=None)
    return {
        Decimal((at - first) // _MICROSECOND) / (_YEAR // _MICROSECOND): by_time[at]
        for at in sorted(by_time)
        if first is not None and by_time[at]
    }


def _worth(amounts: dict[Decimal, Decimal], log_growth: Decimal) -> _Worth:
    value = slope = ZERO
    for years, amount in amounts.items():
        worth = amount * (-years * log_growth).exp()
        value += worth
        slope -= years * worth
    return _Worth(value, slope)


def _near_zero(amounts: dict[Decimal, Decimal]) -> _Bracket | None:
    """Bracket the only root, whose side of 0 the sign of the last flow tells: its worth falls as growth rises."""
    at_zero = _worth(amounts, ZERO).value
    if not at_zero:
        return ZERO, ZERO
    last = next(reversed(amounts.values()))
    direction = 1 if (at_zero > 0) == (last > 0) else -1
    inner, outer = ZERO, direction * _GRID
    while abs(outer) <= _FURTHEST:
        if (_worth(amounts, outer).value > 0) != (at_zero > 0):
            return min(inner, outer), max(inner, outer)
        inner, outer = outer, outer * 2
    return None


def _on_grid(amounts: dict[Decimal, Decimal]) -> list[_Bracket | None]:
    """Bracket every root that the grid tells apart."""
    places = [_GRID * step for step in range(-_STEPS, _STEPS + 1)]
    worths = [_worth(amounts, place).value for place in places]
    found: list[_Bracket | None] = []
    for (low, high), (before, after) in zip(pairwise(places), pairwise(worths), strict=True):
        if not before or before * after < 0:
            found.append((low, high))
    return found


def _solved(amounts: dict[Decimal, Decimal], low: Decimal, high: Decimal) -> Decimal:
    """Return the root between two places: by Newton's method, and by halves wherever that would leave them."""
    at_low = _worth(amounts, low).value
    if not at_low:
        return low
    place = (low + high) / 2
    for _ in range(_ROUNDS):
        value, slope = _worth(amounts, place)
        if not value or high - low < _NARROW:
            return place
        if (value > 0) == (at_low > 0):
            low = place
        else:
            high = place
        following = place - value / slope if slope else low
        if abs(following - place) < _NARROW:
            return following
        place = following if low < following < high else (low + high) / 2
    return place
