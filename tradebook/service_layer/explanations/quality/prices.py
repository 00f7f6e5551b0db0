"""Sources of prices for judging decisions: the book itself, a mapping, a CSV file, a data frame."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from heapq import merge
from operator import attrgetter
from os import PathLike
from typing import Any, Final, Protocol, TypeAlias, cast

from attrs import define, field

from tradebook.domain.errors import InvalidInput, shown
from tradebook.domain.numbers import Number, number
from tradebook.domain.plain_values import is_instance
from tradebook.domain.validation import argument, identifier, utc
from tradebook.service_layer.explanations.quality.price_files import (
    PriceRow,
    rows_of_file,
    rows_of_frame,
)
from tradebook.service_layer.ports.prices import PricePoint, Prices
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

TRADE: Final = "trade"
SNAPSHOT: Final = "snapshot"
GIVEN: Final = "given"
"""The sources of prices of trades, of snapshots, and of what a caller gives without a file."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(microseconds=1)
_EXPECTED: Final = (
    "None for the prices in the book, a mapping of symbols to (time, price) pairs, the path of a CSV file or a data "
    "frame with the columns time, symbol and price, or an object with `between(symbol, start, end)`"
)


class Frame(Protocol):
    """A data frame of pandas, polars or pyarrow, as far as its columns go."""

    def __getitem__(self, name: Any, /) -> Any:
        """Return a column."""


PriceList: TypeAlias = Mapping[str, Sequence[tuple[datetime | str, Number]]]
PriceTable: TypeAlias = Mapping[str, Mapping[datetime | str, Number]]
GivenPrices: TypeAlias = Prices | PriceList | PriceTable | str | PathLike[str] | Frame


def as_prices(uow: AbstractUnitOfWork, given: GivenPrices | None) -> Prices:
    """Return the source of prices that a caller gave.

    Args:
        uow: the unit of work that reads the book.
        given: None for the prices in the book, see `BookPrices`; a mapping of each symbol to `[(time, price), ...]` or
            `{time: price}`; the path of a CSV file, or a data frame of pandas, polars or pyarrow, with the columns time,
            symbol and price; or any object with the method of `Prices`. All but the last are held in memory, some
            100 bytes for each price. A naive time is taken as UTC, and among prices of one time the last one counts.

    Raises:
        InvalidInput: none of these, a file that cannot be read, or a time, symbol or price in it that is refused.
    """
    if given is None:
        return BookPrices(uow)
    if is_instance(given, str) or is_instance(given, PathLike):
        return SeriesPrices.from_rows(rows_of_file(cast("str | PathLike[str]", given)))
    if is_instance(given, Mapping):
        return SeriesPrices.from_rows(_rows_of_mapping(cast("Mapping[Any, Any]", given)))
    if not is_instance(given, type):
        if callable(getattr(given, "between", None)):
            return cast("Prices", given)
        rows = rows_of_frame(given)
        if rows is not None:
            return SeriesPrices.from_rows(rows)
    raise InvalidInput("prices", given, _EXPECTED)


@define
class BookPrices:
    """The prices in the book: those of executed trades at their trade times, and the marks in its snapshots.

    A mark counts at the time of its snapshot. A busted trade has no price. Where a snapshot and a trade have one time, the
    snapshot counts. Reads are of 1,000 records, each by an index.
    """

    uow: AbstractUnitOfWork

    def between(self, symbol: str, start: datetime, end: datetime) -> Iterator[PricePoint]:
        """Iterate over the prices of a symbol; see `Prices.between`."""
        trades = self.uow.trades.prices(symbol, start, end)
        snapshots = self.uow.portfolios.prices(symbol, start, end)
        return merge(
            (PricePoint(each.at, each.price, TRADE) for each in trades),
            (PricePoint(each.at, each.price, SNAPSHOT) for each in snapshots),
            key=attrgetter("at"),
        )


@define
class _Series:
    """The prices of one symbol, sorted by time."""

    times: array[int] = field(factory=lambda: array("q"))  # microseconds since 1970
    prices: list[Decimal] = field(factory=list)
    is_sorted: bool = True

    def add(self, time: int, price: Decimal) -> None:
        self.is_sorted = self.is_sorted and (not self.times or self.times[-1] <= time)
        self.times.append(time)
        self.prices.append(price)

    def sort(self) -> None:
        if not self.is_sorted:
            order = sorted(range(len(self.times)), key=self.times.__getitem__)
            self.times = array("q", (self.times[place] for place in order))
            self.prices = [self.prices[place] for place in order]
            self.is_sorted = True


@define
class SeriesPrices:
    """Prices in memory, sorted by symbol and time."""

    source: str = GIVEN
    series: dict[str, _Series] = field(factory=dict)

    @classmethod
    def from_rows(cls, rows: Iterable[PriceRow]) -> SeriesPrices:
        """Collect rows in any order.

        Raises:
            InvalidInput: naming the row whose time, symbol or price is refused.
        """
        made, known = cls(), dict[Decimal, Decimal]()
        for row in rows:
            made.source = row.source or GIVEN
            symbol = argument(row.where, identifier, row.symbol)
            time = (argument(row.where, utc, row.time) - _EPOCH) // _TICK
            price = argument(row.where, number, row.price)
            # Prices repeat: equal ones are one object.
            made.series.setdefault(symbol, _Series()).add(time, known.setdefault(price, price))
        for each in made.series.values():
            each.sort()
        return made

    def between(self, symbol: str, start: datetime, end: datetime) -> Iterator[PricePoint]:
        """Iterate over the prices of a symbol; see `Prices.between`."""
        found = self.series.get(symbol)
        if found is None:
            return
        first = bisect_left(found.times, (start - _EPOCH) // _TICK)
        behind = bisect_right(found.times, (end - _EPOCH) // _TICK)
        for place in range(first, behind):
            at = _EPOCH + timedelta(microseconds=found.times[place])
            yield PricePoint(at, found.prices[place], self.source)


def _rows_of_mapping(given: Mapping[Any, Any]) -> Iterator[PriceRow]:
    for symbol, points in given.items():
        where = f"prices[{shown(symbol)}]"
        for time, price in _pairs(where, points):
            yield PriceRow(where, time, symbol, price)


def _pairs(where: str, points: Any) -> Iterable[tuple[Any, Any]]:
    """Return the times and prices of one symbol; refuse an iterator, which a retry would find exhausted."""
    if is_instance(points, Mapping):
        return cast("Iterable[tuple[Any, Any]]", points.items())
    is_list = is_instance(points, Sequence) and not is_instance(points, str)
    if not is_list or not all(_is_pair(each) for each in points):
        raise InvalidInput(
            where, points, "a list of (time, price) pairs, or a mapping of times to prices"
        )
    return cast("Iterable[tuple[Any, Any]]", points)


def _is_pair(value: Any) -> bool:
    return (is_instance(value, tuple) or is_instance(value, list)) and len(value) == 2
