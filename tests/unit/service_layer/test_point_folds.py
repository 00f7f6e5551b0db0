"""Folds at many points: which trades share a state, and which price is the mark."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tradebook import Settlement
from tradebook.domain.numbers import ZERO, exact
from tradebook.domain.positions import Mark, MarkSource
from tradebook.service_layer.performance.point_folds import (
    Fill,
    Instrument,
    PointFold,
    TradePrice,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
USD = Instrument("USD", Decimal(1), Settlement.CASH)


def fill(price: int, minute: int, sequence: int = 1, epoch: int = 0) -> Fill:
    """A purchase of one."""
    mark = Mark(Decimal(price), NOON + timedelta(minutes=minute), MarkSource.TRADE)
    unit_cash = Decimal(price)
    return Fill(USD, Decimal(1), unit_cash, ZERO, "USD", ZERO, TradePrice(sequence, epoch, mark))


def quantities(fold: PointFold) -> list[tuple[int, int, int]]:
    return [(first, behind, int(state.balance.quantity)) for first, behind, state in fold.states()]


def test_trades_in_order_split_the_points_once_each_and_late_ones_reach_every_later_point() -> None:
    fold = PointFold(10)
    with exact():
        fold.apply(fill(1, 0), 2, 10)
        fold.apply(fill(1, 0), 2, 10)
        fold.apply(fill(1, 0), 5, 10)
        assert quantities(fold) == [(0, 2, 0), (2, 5, 2), (5, 10, 3)]
        fold.apply(fill(1, 0), 1, 10)
        assert quantities(fold) == [(0, 1, 0), (1, 2, 1), (2, 5, 3), (5, 10, 4)]
        fold.apply(fill(1, 0), 3, 6)  # busted at 6
        assert quantities(fold)[2:] == [(2, 3, 3), (3, 5, 4), (5, 6, 5), (6, 10, 4)]
        fold.apply(fill(1, 0), 10, 10)
        fold.apply(fill(1, 0), 7, 7)
    assert sum(count for _, _, count in quantities(fold)) == 0 + 1 + 3 + 4 + 5 + 4


def test_an_older_price_stays_while_a_snapshot_may_leave_out_the_newer_one() -> None:
    fold = PointFold(1)
    with exact():
        fold.apply(fill(10, minute=1, sequence=7, epoch=1), 0, 1)  # a correction, folded early
        fold.apply(fill(20, minute=5, sequence=3), 0, 1)
        fold.apply(fill(30, minute=4, sequence=4), 0, 1)
        fold.apply(fill(40, minute=5, sequence=5), 0, 1)
    [(_, _, state)] = fold.states()
    assert [price.sequence for price in state.prices] == [7, 5]
    assert state.newest_after(0).price == 40
    assert state.newest_after(6).price == 10
    assert state.newest_after(7).price is None
