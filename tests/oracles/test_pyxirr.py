"""The money-weighted return next to `xirr` of pyxirr, which computes with floats and whole days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import pyxirr
from hypothesis import given, settings
from hypothesis import strategies as st

from tradebook.analytics.money_weighted import money_weighted_return

START = datetime(2024, 1, 1, tzinfo=UTC)

deposits = st.lists(st.tuples(st.integers(0, 700), st.integers(10, 10**6)), min_size=1, max_size=8)


@settings(max_examples=300, deadline=None)
@given(deposits, st.integers(800, 3000), st.floats(0.2, 5))
def test_deposits_and_the_value_at_the_end(
    paid: list[tuple[int, int]], end: int, growth: float
) -> None:
    flows: list[tuple[datetime, float]] = [
        (START + timedelta(days=day), float(-amount)) for day, amount in paid
    ]
    value = round(growth * sum(amount for _, amount in paid), 2)
    flows.append((START + timedelta(days=end), value))
    ours = money_weighted_return(flows)
    theirs = pyxirr.xirr([at.date() for at, _ in flows], [amount for _, amount in flows])
    assert ours.rate is not None
    assert float(ours.rate) == pytest.approx(theirs, rel=1e-7, abs=1e-9)


def test_where_several_rates_solve_it_pyxirr_returns_one_of_them() -> None:
    days, amounts = (0, 365, 730), (-100, 230, -132)
    flows = [(START + timedelta(days=d), a) for d, a in zip(days, amounts, strict=True)]
    assert money_weighted_return(flows).rate is None
    theirs = pyxirr.xirr([at.date() for at, _ in flows], list(amounts))
    assert theirs == pytest.approx(0.1) or theirs == pytest.approx(0.2)
