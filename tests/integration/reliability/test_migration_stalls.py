"""Whoever books while the database is migrated hardly notices; `make stalls` has the million trades."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import URL

from benchmarks.migration_stalls import LONGEST, measured


@pytest.mark.slow
@pytest.mark.full
def test_nobody_waits_long_while_each_revision_goes_down_and_up(
    new_database: Callable[[], URL],
) -> None:
    stalls = list(measured(new_database(), trades=10_000))
    assert len(stalls) == 16
    assert [str(stall) for stall in stalls if stall.longest > LONGEST or not stall.bookings] == []
