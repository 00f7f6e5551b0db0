"""Folds of the cash flows at the times of snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import TypeAlias

from attrs import frozen

from tradebook.domain.cash import CashFlow, CashFlowKind, CashTotal, cash_totals
from tradebook.domain.numbers import EXACT, ZERO


@frozen
class Cut:
    """The cash flows that one snapshot counted, as its event says.

    Attributes:
        portfolio_id: the snapshot.
        count: how many there were.
        last_id: the highest id of them; 0 where there was none.
    """

    portfolio_id: int
    count: int
    last_id: int


Check: TypeAlias = Callable[[int, tuple[CashTotal, ...]], None]
"""Called with the id of a snapshot and the sums of its cash flows."""


def over_cuts(flows: Iterable[CashFlow], cuts: Iterable[Cut], check: Check) -> Iterator[CashFlow]:
    """Iterate over all cash flows by id, and check each snapshot once all of its flows have passed.

    A snapshot is left out where the numbers differ: a flow that was on its way when the snapshot was taken has a
    lower id than others that were counted, and nothing says which one it is. A missing one is found by its event.
    """
    left = sorted(cuts, key=lambda cut: cut.last_id, reverse=True)
    sums: dict[tuple[str, CashFlowKind], Decimal] = {}
    passed = 0

    def check_before(id_: float) -> None:
        while left and left[-1].last_id < id_:
            cut = left.pop()
            if cut.count == passed:
                amounts = ((currency, kind, total) for (currency, kind), total in sums.items())
                check(cut.portfolio_id, cash_totals(amounts))

    for flow in flows:
        check_before(flow.id)
        passed += 1
        key = flow.currency, flow.kind
        sums[key] = EXACT.add(sums.get(key, ZERO), flow.amount)
        yield flow
    check_before(float("inf"))
