"""What looks wrong in the rows of a file, though each row is valid by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from attrs import define, field

from tradebook.domain.numbers import ZERO, number
from tradebook.domain.trades import Settlement, TradeAction
from tradebook.entrypoints.cli.book.row_order import OrderedRows
from tradebook.entrypoints.cli.book.trade_files import Row
from tradebook.entrypoints.cli.messages import counted
from tradebook.service_layer.book import Book

_FAR: Final = 10
"""How many times higher or lower than its neighbours a price is when it is far off."""
_NAMED: Final = 5
"""The most lines or symbols that a warning names."""


class _Price(NamedTuple):
    line: int
    price: Decimal
    is_far: bool  # from the one before it, where there is one
    is_first: bool = False


@define
class _Seen:
    """What was seen in the rows so far.

    Attributes:
        shorts: the symbols settled in cash of which more was sold than held.
        far_off: the number of rows whose price is far off those before and after it.
        lines: the lines of the first of those.
        fees: the number of fees above 0.
        rebates: the number of fees below 0.
    """

    held: Mapping[str, Decimal]
    shorts: set[str] = field(factory=set)
    far_off: int = 0
    lines: list[int] = field(factory=list)
    fees: int = 0
    rebates: int = 0
    _quantities: dict[str, Decimal] = field(factory=dict)
    _prices: dict[str, _Price] = field(factory=dict)

    def look(self, line: int, terms: Mapping[str, Any]) -> None:
        """Look at the next row; an order that is open has moved nothing yet."""
        if terms.get("status") is not None:
            return
        symbol, size = terms["symbol"], number(terms["quantity"])
        if fee := terms.get("fee"):
            amount = number(fee)
            self.fees += amount > 0
            self.rebates += amount < 0
        if terms["action"] == TradeAction.SELL:
            size = size.copy_negate()
        before = self._quantities.get(symbol)
        if before is None:
            before = self.held.get(symbol, ZERO)
        after = self._quantities[symbol] = before + size
        if after < 0 <= before and terms.get("settlement") != Settlement.MARGINED:
            self.shorts.add(symbol)
        self._compare(symbol, line, number(terms["price"]))

    def end(self) -> None:
        """Look at the last price of each symbol, which has one neighbour."""
        for last in self._prices.values():
            if last.is_far and not last.is_first:
                self._note(last.line)

    def _compare(self, symbol: str, line: int, price: Decimal) -> None:
        last = self._prices.get(symbol)
        if last is None:
            self._prices[symbol] = _Price(line, price, is_far=True, is_first=True)
            return
        is_far = _is_far(last.price, price)
        if is_far and last.is_far:
            self._note(last.line)
        self._prices[symbol] = _Price(line, price, is_far)

    def _note(self, line: int) -> None:
        self.far_off += 1
        if len(self.lines) < _NAMED:
            self.lines.append(line)


class WatchedRows:
    """The rows of a file, looked at while they are read in the order of booking.

    Args:
        rows: those of the file.
        held: the quantities in the book before them, by symbol.
    """

    def __init__(self, rows: OrderedRows, held: Mapping[str, Decimal]) -> None:
        """Take the rows."""
        self.rows = rows
        self._held = held
        self._seen = _Seen(held)

    def __iter__(self) -> Iterator[Row]:
        """Read the rows; every attempt of an import reads all of them."""
        self._seen = seen = _Seen(self._held)
        for row in self.rows:
            seen.look(row.line, row.terms)
            yield row
        seen.end()

    def warnings(self, *, duplicates: int, repeated: int) -> list[str]:
        """Return what looks wrong in the rows that were read, with what to do.

        Args:
            duplicates: the number of rows that were booked before. Sales of them say nothing of shorts.
            repeated: the number of rows that repeat an order of the file.
        """
        seen, said = self._seen, []
        if self.rows.is_newest_first:
            said.append("the newest rows come first: the file is read from its end")
        elif self.rows.backwards:
            said.append(f"times run backwards at {counted(self.rows.backwards, 'row')} of the file")
        if seen.rebates > seen.fees:
            said.append(
                f"{seen.rebates:,} of {counted(seen.rebates + seen.fees, 'fee')} are below 0, which makes them "
                "rebates: does the file show fees as negative amounts?"
            )
        if seen.shorts and not duplicates:
            symbols = _some(sorted(seen.shorts), len(seen.shorts))
            said.append(f"more is sold than held of {symbols}: are earlier purchases missing?")
        if duplicates:
            said.append(f"{counted(duplicates, 'row')} booked before")
        if repeated:
            said.append(
                f"{counted(repeated, 'row')} repeated an order of an earlier row and counted as duplicates; "
                "fills of one order need an execution_id each"
            )
        if seen.far_off:
            lines = _some([str(line) for line in seen.lines], seen.far_off)
            said.append(f"a price is {_FAR} times off its neighbours in line {lines}: is it right?")
        return said


def quantities(book: Book) -> dict[str, Decimal]:
    """Return what is held, by symbol."""
    return {position.symbol: position.quantity for position in book.get_open_positions()}


def _is_far(price: Decimal, other: Decimal) -> bool:
    return price > 0 and other > 0 and (price >= _FAR * other or other >= _FAR * price)


def _some(names: Sequence[str], count: int) -> str:
    more = count - len(names[:_NAMED])
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more else "")
