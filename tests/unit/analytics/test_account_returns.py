"""Money-weighted and time-weighted returns by hand, and their laws."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import examples
from tradebook import InvalidInput
from tradebook.analytics.money_weighted import MoneyWeightedReturn, money_weighted_return
from tradebook.analytics.time_weighted import Piece, time_weighted_return

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
YEAR = 365 * DAY


def paid(*flows: tuple[float, Any]) -> list[tuple[datetime, Any]]:
    return [(START + days * DAY, amount) for days, amount in flows]


def test_a_year_at_ten_percent() -> None:
    assert money_weighted_return(paid((0, -100), (365, 110))).rate == Decimal("0.1")
    assert money_weighted_return(paid((0, -100), (730, 121))).rate == Decimal("0.1")
    assert money_weighted_return(paid((0, -100), (365, 100))).rate == 0
    assert money_weighted_return(paid((365, 55), (0, -100), (365, 0), (365, -5))).rate == Decimal(
        "-0.5"
    )
    assert money_weighted_return(paid((0, 100), (365, -110))).rate == Decimal("0.1")  # a loan


def test_the_example_of_the_spreadsheets() -> None:
    # Microsoft's documentation of XIRR: 37.34 %.
    days = ["2008-01-01", "2008-03-01", "2008-10-30", "2009-02-15", "2009-04-01"]
    amounts = [-10_000, 2_750, 4_250, 3_250, 2_750]
    times = [datetime.fromisoformat(day).replace(tzinfo=UTC) for day in days]
    rate = money_weighted_return(list(zip(times, amounts, strict=True))).rate
    assert rate is not None
    assert abs(rate - Decimal("0.373362535")) < Decimal("2e-8")


def test_short_periods_have_huge_rates() -> None:
    rate = money_weighted_return(paid((0, -100), (1, 200))).rate
    assert rate is not None
    assert abs(rate / (Decimal(2) ** 365 - 1) - 1) < Decimal("1e-25")
    assert money_weighted_return(paid((0, -100), (1 / 86_400, 1_000))).reason == "no rate solves it"


@pytest.mark.parametrize(
    ("flows", "reason"),
    [
        ([], "there are no cash flows"),
        (paid((0, -5), (0, 6)), "all cash flows are at one time, or cancel out at all others"),
        (paid((0, -5), (3, -6)), "money was only paid in"),
        (paid((0, 5), (3, 6)), "money was only taken out"),
        (paid((0, -100), (365, 230), (730, -132)), "2 rates solve it"),  # 10 % and 20 %
        (paid((0, -100), (365, 100), (730, -100)), "no rate solves it"),
    ],
)
def test_the_reason_where_there_is_none(flows: Any, reason: str) -> None:
    assert money_weighted_return(flows) == MoneyWeightedReturn(None, reason)


@examples.law(60)
@given(
    st.decimals("-0.9", 5, places=3),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 10**6)), min_size=1, max_size=5),
    st.integers(2001, 4000),
)
def test_what_grows_at_a_rate_has_that_rate(
    rate: Decimal, deposits: list[tuple[int, int]], end: int
) -> None:
    # What the deposits are worth at the end, rounded to 40 digits.
    worth = sum(Decimal(a) * (1 + rate) ** (Decimal(end - day) / 365) for day, a in deposits)
    flows = [*paid(*((day, -amount) for day, amount in deposits)), *paid((end, worth))]
    found = money_weighted_return(flows)
    assert found.reason == ""
    assert found.rate is not None
    assert abs(found.rate - rate) < Decimal("1e-18")


def piece(start: float, end: float, after: Any, before: Any, *flows: Any) -> Piece:
    at = [(START + day * DAY, amount) for day, amount in flows]
    return Piece(
        start=START + start * DAY,
        end=START + end * DAY,
        value_after=after,
        value_before=before,
        flows=at,
    )


def test_returns_of_pieces_are_chained() -> None:
    found = time_weighted_return([piece(0, 10, 100, 110), piece(10, 20, 1110, "1221")])
    assert found.returns == (Decimal("0.1"), Decimal("0.1"))
    assert (found.total, found.approximate) == (Decimal("0.21"), 0)
    assert time_weighted_return([]).total == 0


def test_a_flow_without_a_value_is_estimated_by_modified_dietz() -> None:
    # 100 at first, 50 more after a fourth of the time: 10 / (100 + 50 * 3/4).
    found = time_weighted_return([piece(0, 4, 100, 160, (1, 50))])
    assert str(found.total).startswith("0.072727272727")
    assert found.approximate == 1
    at_start, at_end = piece(0, 4, 100, 165, (0, 50)), piece(0, 4, 100, 160, (4, 50))
    assert (
        time_weighted_return([at_start]).total
        == time_weighted_return([at_end]).total
        == Decimal("0.1")
    )


prices = st.decimals("0.01", 1000, places=2)


@examples.law(100)
@given(prices, prices, prices, st.integers(1, 1000), st.integers(1, 1000))
def test_a_deposit_at_a_known_value_changes_no_digit(
    first: Decimal, second: Decimal, third: Decimal, held: int, bought: int
) -> None:
    """All of the money is invested, and a deposit buys more at the price of its time."""
    without = time_weighted_return([piece(0, 2, held * first, held * third)])
    more = held + bought
    split = [piece(0, 1, held * first, held * second), piece(1, 2, more * second, more * third)]
    assert time_weighted_return(split).total == without.total


@pytest.mark.parametrize(
    ("refused", "named"),
    [
        (lambda: time_weighted_return([piece(0, 1, 0, 1)]), "above 0 at 2024-01-01"),
        (lambda: time_weighted_return([piece(0, 4, 10, 1, (1, -40))]), "above 0 at 2024-01-01"),
        (lambda: time_weighted_return([piece(1, 1, 1, 1)]), "an end after"),
        (lambda: time_weighted_return([piece(0, 1, 1, 1, (2, 1))]), "within the piece"),
        (lambda: time_weighted_return([piece(0, 1, "x", 1)]), "value_after"),
        (lambda: money_weighted_return("x"), "flows"),  # type: ignore[arg-type]
        (lambda: money_weighted_return([(START,)]), r"flows\[0\]"),  # type: ignore[list-item]
        (lambda: money_weighted_return([(START, "x")]), r"flows\[0\]"),
    ],
)
def test_what_is_refused_is_named(refused: Any, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        refused()
