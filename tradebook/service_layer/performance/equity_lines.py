"""Sums of an account or of a group at points of time, by currency, and their conversion into the base currency."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from attrs import define, field

from tradebook.domain.attribution import Group
from tradebook.domain.equity import AMOUNTS, EquityPoint
from tradebook.domain.numbers import ZERO, canonical, exact
from tradebook.domain.portfolio import Rates

_ADDED: Final = tuple(name for name in AMOUNTS if name != "total_value")
"""The amounts of a point that are added up."""

Amounts = dict[str, Decimal]


def _add(sums: dict[int, Amounts], point: int, name: str, amount: Decimal) -> None:
    if amount:
        amounts = sums.setdefault(point, {})
        amounts[name] = amounts.get(name, ZERO) + amount


@define
class EquityLine:
    """The sums of an account or of a group in one currency.

    Attributes:
        steps: amounts by which sums change from a point on.
        values: amounts that are part of the sums at one point alone, since they follow from prices.
    """

    steps: dict[int, Amounts] = field(factory=dict)
    values: dict[int, Amounts] = field(factory=dict)

    def step(self, point: int, name: str, amount: Decimal) -> None:
        """Let a sum change from a point on; call it inside `exact()`."""
        _add(self.steps, point, name, amount)

    def value(self, point: int, name: str, amount: Decimal) -> None:
        """Let an amount be part of a sum at one point; call it inside `exact()`."""
        _add(self.values, point, name, amount)

    @property
    def first(self) -> int | None:
        """The first point at which a sum is not 0; None where all are."""
        return min((*self.steps, *self.values), default=None)


def points_of(
    lines: Mapping[str, EquityLine],
    times: Sequence[datetime],
    rates_at: Callable[[int], Rates],
    group: Group | None,
) -> Iterator[EquityPoint]:
    """Iterate over the points of an account, or of a group from its first change on.

    Args:
        lines: by currency.
        times: of the points.
        rates_at: returns the rates at a point, by its number.
        group: None for the account.

    Raises:
        MissingRate: a currency has no rate at a point at which there is an amount in it.
    """
    firsts = [line.first for line in lines.values()]
    start = 0 if group is None else min((at for at in firsts if at is not None), default=len(times))
    name, kind = ("", "") if group is None else group
    sums: dict[str, Amounts] = {currency: dict.fromkeys(_ADDED, ZERO) for currency in lines}
    for point, time in enumerate(times):
        with exact():
            for currency, line in lines.items():
                for field_name, amount in line.steps.get(point, {}).items():
                    sums[currency][field_name] += amount
            if point < start:
                continue
            total = _converted(lines, sums, point, rates_at(point))
            value = canonical(total["cash"] + total["positions_value"])
        amounts: dict[str, Any] = {each: canonical(amount) for each, amount in total.items()}
        yield EquityPoint(time=time, total_value=value, group=name, kind=kind, **amounts)


def _converted(
    lines: Mapping[str, EquityLine], sums: Mapping[str, Amounts], point: int, rates: Rates
) -> Amounts:
    total = dict.fromkeys(_ADDED, ZERO)
    for currency, line in lines.items():
        of_point = line.values.get(point, {})
        for name, amount in sums[currency].items():
            both = amount + of_point.get(name, ZERO)
            total[name] += rates.convert(both, currency)
    return total
