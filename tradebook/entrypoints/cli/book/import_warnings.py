"""What looks wrong in the rows of a file, though each row is valid by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

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


@define
class _Symbol:
    """The last row of a symbol, and what is held after it."""

    quantity: Decimal
    line: int = 0
    price: Decimal = ZERO
    far: Decimal = ZERO  # the least price that is far above it
    is_far: bool = True  # from the one before it, where there is one
    is_first: bool = True


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
    _symbols: dict[str, _Symbol] = field(factory=dict)

    def look(self, line: int, terms: Mapping[str, Any]) -> None:
        """Look at the next row; an order that is open has moved nothing yet."""
        if terms.get("status") is not None:
            return
        symbol, size = terms["symbol"], _number(terms["quantity"])
        if (fee := terms.get("fee")) and (amount := _number(fee)):
            if amount.is_signed():
                self.rebates += 1
            else:
                self.fees += 1
        last = self._symbols.get(symbol)
        if last is None:
            last = self._symbols[symbol] = _Symbol(self.held.get(symbol, ZERO))
        before = last.quantity
        last.quantity = before - size if terms["action"] == TradeAction.SELL else before + size
        if last.quantity < 0 <= before and terms.get("settlement") != Settlement.MARGINED:
            self.shorts.add(symbol)
        self._compare(last, line, _number(terms["price"]))

    def end(self) -> None:
        """Look at the last price of each symbol, which has one neighbour."""
        for last in self._symbols.values():
            if last.is_far and not last.is_first:
                self._note(last.line)

    def _compare(self, last: _Symbol, line: int, price: Decimal) -> None:
        far = _FAR * price
        if last.line:
            is_far = (price >= last.far or last.price >= far) and price > 0 and last.price > 0
            if is_far and last.is_far:
                self._note(last.line)
            last.is_far, last.is_first = is_far, False
        last.line, last.price, last.far = line, price, far

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


def _number(given: Any) -> Decimal:
    """Return a number of terms that were checked."""
    return Decimal(given) if type(given) is str else number(given)


def _some(names: Sequence[str], count: int) -> str:
    more = count - len(names[:_NAMED])
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more else "")
