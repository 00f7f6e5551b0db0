"""The demo's prices are real, complete and in order."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise

from tradebook.demo.prices import SOURCE, trading_days

LISTED_LATE = "FB"


def test_there_are_more_than_three_years_of_trading_days_in_order() -> None:
    days = [day.date for day in trading_days()]
    assert (days[0], days[-1], len(days)) == (date(2010, 1, 4), date(2013, 3, 1), 795)
    assert all(before < after for before, after in pairwise(days))
    assert all(day.weekday() < 5 for day in days)


def test_five_stocks_have_a_close_on_every_day_since_their_listing() -> None:
    for day in trading_days():
        listed = {"AAPL", "GOOG", "IBM", "MSFT"}
        if day.date >= date(2012, 5, 18):
            listed.add(LISTED_LATE)
        assert day.closes.keys() == listed


def test_closes_are_the_digits_of_the_source() -> None:
    first, last = trading_days()[0], trading_days()[-1]
    assert first.closes["GOOG"] == Decimal("626.75")
    assert last.closes["AAPL"] == Decimal("430.47")
    assert all(close > 0 for day in trading_days() for close in day.closes.values())


def test_no_stock_moves_as_if_it_had_been_split() -> None:
    for before, after in pairwise(trading_days()):
        for symbol, close in before.closes.items():
            assert Decimal("0.75") < after.closes[symbol] / close < Decimal("1.3")


def test_a_day_has_an_opening_and_a_close_in_utc() -> None:
    day = trading_days()[0]
    assert day.opens_at == datetime(2010, 1, 4, 14, 30, tzinfo=UTC)
    assert day.closes_at == datetime(2010, 1, 4, 21, 0, tzinfo=UTC)


def test_the_source_is_named() -> None:
    assert "bokeh-sampledata" in SOURCE
    assert "dividends are not part" in SOURCE
