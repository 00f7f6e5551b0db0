"""Income: cash flows that are no deposits or withdrawals, shared by those who held their symbol."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final, Generic, TypeAlias, TypeVar

from attrs import define, field

from tradebook.domain.attribution import NONE, Holders
from tradebook.domain.cash import EXTERNAL
from tradebook.domain.numbers import EXACT, ZERO
from tradebook.domain.shares import shares
from tradebook.service_layer.explanations.attribution.period import Period
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_UNHELD: Final[Holders] = (NONE,)
_FIELDS: Final = ("kind", "amount", "currency", "symbol", "occurred_at", "entitled_at")

K = TypeVar("K", bound=Hashable)

ByCurrency: TypeAlias = dict[str, Decimal]


@define
class OpenQuantities(Generic[K]):
    """The quantities in one symbol that were open just before certain times.

    Attributes:
        flows: for each time, in order, the sums of the cash flows that its holders were entitled to, by currency or
            whatever else they are told apart by.
    """

    flows: Mapping[datetime, Mapping[K, Decimal]]
    _times: list[datetime] = field(init=False)
    _added: dict[Holders, list[Decimal]] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        """Sort the times."""
        self._times = sorted(self.flows)

    def add(self, holders: Holders, size: Decimal, executed_at: datetime) -> None:
        """Add what a trade moved: it counts at each later time; call it inside `exact()`."""
        place = bisect_right(self._times, executed_at)
        if place == len(self._times):
            return
        added = self._added.get(holders)
        if added is None:
            added = self._added[holders] = [ZERO] * len(self._times)
        added[place] += size

    def shared(self) -> Iterator[tuple[Holders, K, Decimal]]:
        """Share each flow in proportion to the signed open quantities: (holders, currency, amount) of each share.

        What was entitled at a time at which these add up to 0 is held by the group `none`.
        """
        held = dict.fromkeys(self._added, ZERO)
        for place, time in enumerate(self._times):
            for holders, added in self._added.items():
                held[holders] = EXACT.add(held[holders], added[place])
            yield from _shared(self.flows[time], held)


def _shared(
    flows: Mapping[K, Decimal], held: Mapping[Holders, Decimal]
) -> Iterator[tuple[Holders, K, Decimal]]:
    weights = list(held.values())
    total = ZERO
    for weight in weights:
        total = EXACT.add(total, weight)
    for key, amount in flows.items():
        if not total:
            yield _UNHELD, key, amount
            continue
        for holders, share in zip(held, shares(amount, weights), strict=True):
            yield holders, key, share


@define
class Income:
    """The income of a period.

    A cash flow that was busted and its reversal have the same symbol and times, and add up to 0.

    Attributes:
        total: all of it, by currency.
        unheld: that of no symbol, by currency.
        of_symbols: that of each symbol, by the time at which its holders became entitled to it, and by currency.
    """

    total: ByCurrency = field(factory=dict)
    unheld: ByCurrency = field(factory=dict)
    of_symbols: dict[str, dict[datetime, ByCurrency]] = field(factory=dict)

    @classmethod
    def read(cls, uow: AbstractUnitOfWork, period: Period) -> Income:
        """Read the cash flows that occurred in a period."""
        income = cls()
        for _, kind, amount, currency, symbol, occurred_at, entitled_at in uow.cash_flows.values(
            *_FIELDS
        ):
            if kind in EXTERNAL or not period.has(occurred_at):
                continue
            flows = income.unheld
            if symbol is not None:
                of_symbol = income.of_symbols.setdefault(symbol, {})
                flows = of_symbol.setdefault(entitled_at or occurred_at, {})
            for sums in (income.total, flows):
                sums[currency] = EXACT.add(sums.get(currency, ZERO), amount)
        return income

    def take(self, symbol: str) -> OpenQuantities[str] | None:
        """Return the flows of a symbol that is traded, for its open quantities; None where it has none."""
        flows = self.of_symbols.pop(symbol, None)
        return None if flows is None else OpenQuantities(flows)

    def left(self) -> Iterator[tuple[Holders, str, Decimal]]:
        """Return what no symbol that was ever traded has, as the group `none` holds it."""
        for flows in (
            self.unheld,
            *(f for times in self.of_symbols.values() for f in times.values()),
        ):
            yield from ((_UNHELD, currency, amount) for currency, amount in flows.items())
