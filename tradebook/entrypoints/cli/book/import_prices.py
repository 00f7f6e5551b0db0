"""Files of prices: the latest of each symbol becomes the mark of its position."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from attrs import define, frozen
from typing_extensions import override

from tradebook.domain.errors import InvalidInput
from tradebook.domain.numbers import number
from tradebook.domain.validation import identifier, utc_now
from tradebook.entrypoints.cli.book import import_run
from tradebook.entrypoints.cli.book.trade_files import BadRow, Occurrences, TradeFile
from tradebook.service_layer.book import Book
from tradebook.service_layer.instrumentation import ProgressCallback
from tradebook.venues.errors import CellRefused


@frozen
class PriceRow:
    """A price of a symbol.

    Attributes:
        line: the number of its row.
        symbol: the symbol.
        price: for one unit, in the position's currency.
        at: its time, UTC; that of the import where the file says none.
        repeats: never, as prices go.
    """

    line: int
    symbol: str
    price: Decimal
    at: datetime
    repeats: bool = False


@define
class PriceFile(TradeFile):
    """A file of prices that can be read more than once."""

    @override
    def _made(
        self,
        line: int,
        terms: dict[str, Any],
        headers: Mapping[str, str],
        occurrences: Occurrences,
    ) -> PriceRow:
        try:
            symbol = identifier(terms["symbol"])
        except InvalidInput as error:
            raise CellRefused(headers["symbol"], terms["symbol"], error.expected) from None
        try:
            price = number(terms["price"])
        except InvalidInput as error:
            reason = f"expected {error.expected}"
            raise CellRefused(headers["price"], terms["price"], reason) from None
        return PriceRow(line, symbol, price, terms.get("executed_at") or utc_now())


def mark_all(
    book: Book, file: PriceFile, report: ProgressCallback, *, skip_bad: bool
) -> tuple[list[str], list[str], list[BadRow]]:
    """Set the marks of positions to the latest prices; return the symbols marked and unknown, and the bad rows."""
    checked = import_run.check(file, None, report, skip_bad=skip_bad)
    latest: dict[str, PriceRow] = {}
    found: Any = file.rows()
    for row in found:
        if isinstance(row, PriceRow) and (
            row.symbol not in latest or row.at >= latest[row.symbol].at
        ):
            latest[row.symbol] = row
    by_time: dict[datetime, dict[str, Decimal]] = defaultdict(dict)
    for row in latest.values():
        by_time[row.at][row.symbol] = row.price
    marked: list[str] = []
    unknown: list[str] = []
    for at, prices in sorted(by_time.items()):
        taken = book.mark_prices(prices, at=at)
        marked += [position.symbol for position in taken]
        unknown += taken.unknown
    return sorted(marked), sorted(unknown), checked.bad
