"""The demo's market: daily closing prices of five US stocks, from 2010-01-04 to 2013-03-01.

Source of `closing_prices.csv`: the stock prices in the PyPI package bokeh-sampledata, which took them
from Quandl's WIKI Prices, declared public domain by Quandl. They are closes as traded, not adjusted
for splits (there were none in these years) or dividends (the demo leaves dividends out). GOOG is
Google's stock before 2014; FB was listed on 2012-05-18 and its column is empty before.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib import resources
from typing import Final

from attrs import frozen

SOURCE: Final = (
    "Prices: bokeh-sampledata (PyPI), from Quandl WIKI Prices, public domain. "
    "Closes as traded; dividends are not part of it."
)

_OPENING: Final = time(14, 30, tzinfo=UTC)
_CLOSE: Final = time(21, 0, tzinfo=UTC)


@frozen
class TradingDay:
    """One day of the market.

    Attributes:
        date: in New York.
        closes: the closing price of each listed stock, in USD for one share.
    """

    date: date
    closes: Mapping[str, Decimal]

    @property
    def opens_at(self) -> datetime:
        """9:30 in New York, as UTC in winter all year round."""
        return datetime.combine(self.date, _OPENING)

    @property
    def closes_at(self) -> datetime:
        """16:00 in New York, as UTC in winter all year round."""
        return datetime.combine(self.date, _CLOSE)


def trading_days() -> list[TradingDay]:
    """Read every day of the demo's market, from the first to the last."""
    data = resources.files("tradebook.demo").joinpath("closing_prices.csv")
    with data.open(encoding="utf-8") as lines:
        return [_trading_day(row) for row in csv.DictReader(lines)]


def _trading_day(row: dict[str, str]) -> TradingDay:
    day = date.fromisoformat(row.pop("date"))
    return TradingDay(day, {symbol: Decimal(close) for symbol, close in row.items() if close})
