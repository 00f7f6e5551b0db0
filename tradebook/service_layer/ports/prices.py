"""Sources of prices, as far as judging decisions goes: the prices of one symbol in a period of time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, Protocol


class PricePoint(NamedTuple):
    """A price of a symbol at a time.

    Attributes:
        at: its time, UTC.
        price: of one unit, in the currency in which the symbol trades.
        source: where it comes from, such as `trade`, `snapshot` or the name of a file.
    """

    at: datetime
    price: Decimal
    source: str = ""


class Prices(Protocol):
    """A source of prices: the book itself, a file, a data frame, or one of yours."""

    def between(self, symbol: str, start: datetime, end: datetime) -> Iterable[PricePoint]:
        """Iterate over the prices of a symbol from `start` to `end`, both included, sorted by time.

        Among prices of one time the last one counts. A symbol that is not known has none.

        Args:
            symbol: the instrument.
            start: first time, UTC.
            end: last time, UTC.
        """
