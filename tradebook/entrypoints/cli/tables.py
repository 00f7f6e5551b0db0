"""Tables for people: decimal points in line, numbers rounded, as many columns as fit, gains green and losses red.

Amounts of money are rounded to 6 significant digits, other numbers to 8, both to no less than 2 decimals. A wide
table has every column and every digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import Enum, auto
from typing import Final, TypeAlias

from attrs import frozen
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from tradebook.domain.numbers import EXACT, ZERO, plain
from tradebook.entrypoints.cli.messages import printable

# More digits than any number of the book has, so that only the decimals are rounded.
_ROUNDING: Final = Context(prec=2000, rounding=ROUND_HALF_EVEN)
_LEAST_DECIMALS: Final = 2
_LEAST_PROSE: Final = 20  # characters; narrower columns of text are hard to read
_WIDEST: Final = 100_000  # wider than any table, so that nothing wraps while it is measured


class Kind(Enum):
    """The ways to show a column's values."""

    NAME = auto()
    EXACT = auto()
    """A number of which no digit is rounded."""
    NUMBER = auto()
    AMOUNT = auto()
    """A number of money."""
    GAIN = auto()
    """A number of money: green above 0, red below."""
    TIME = auto()
    PROSE = auto()
    """Text that wraps on a terminal."""


_DIGITS: Final = {Kind.NUMBER: 8, Kind.AMOUNT: 6, Kind.GAIN: 6}
"""Significant digits to which numbers are rounded, by kind."""


@frozen
class Column:
    """One column of a table.

    Attributes:
        header: the title.
        field: the name of the record's field.
        kind: the way to show the values.
        spare: 0 for a column that always stays; others are left out if no row has a value, and, the highest
            first, if the terminal is too narrow.
        where: the boolean field that marks rows whose number is a gain; `""` if all are.
    """

    header: str
    field: str
    kind: Kind = Kind.NAME
    spare: int = 0
    where: str = ""

    @property
    def is_number(self) -> bool:
        """True for numbers, whose decimal points stand in line."""
        return self.kind in (Kind.EXACT, *_DIGITS)

    @property
    def digits(self) -> int | None:
        """The significant digits to which numbers are rounded; None for exact ones."""
        return _DIGITS.get(self.kind)


Row: TypeAlias = object
"""A record with the columns' fields as attributes, or a mapping of them."""


def show(
    console: Console,
    title: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    totals: Sequence[Row] = (),
    *,
    wide: bool = False,
) -> None:
    """Print a table with its totals below a line.

    Args:
        console: where to print.
        title: the line above it.
        columns: to show; those without a value in any row are left out.
        rows: the records.
        totals: further rows, below a line; the first column has their `label`, or `total`.
        wide: with every column, however wide the console is, and every digit.
    """
    columns = [
        column
        for column in columns
        if not column.spare or any(_value(row, column.field) not in (None, "") for row in rows)
    ]
    shown = list(columns)
    table = _table(shown, rows, totals, wide=wide)
    while not wide and _measured(console, table).minimum > console.width:
        spare = max(shown, key=lambda column: column.spare)
        if not spare.spare:
            break
        shown.remove(spare)
        totals = [total for total in totals if _has_number(total, shown)]
        table = _table(shown, rows, totals, wide=wide)
    left_out = ", ".join(column.header for column in columns if column not in shown)
    # On a terminal prose wraps; in a file nothing does, so that programs can read it line by line.
    measured = _measured(console, table)
    needed = measured.minimum if console.is_terminal else measured.maximum
    console.width = max(console.width, needed)
    console.print(Text(title, style="bold"), soft_wrap=True)
    console.print(table)
    if left_out:
        console.print(Text(f"left out for want of width: {left_out} (--wide has all)", style="dim"))
    if not wide and any(_is_rounded(column, [*rows, *totals]) for column in shown):
        console.print(Text("numbers are rounded; --wide has every digit", style="dim"))


def grouped(value: Decimal, digits: int | None = None) -> str:
    """Format a number with thousands separators, and with every digit unless `digits` are enough.

    Args:
        value: the number.
        digits: the significant digits to round it to, half-even; no digit before the second decimal is lost.
    """
    return format(Decimal(plain(_rounded(value, digits))), ",f")


def _rounded(value: Decimal, digits: int | None) -> Decimal:
    if digits is None:
        return value
    decimals = max(_LEAST_DECIMALS, digits - 1 - value.adjusted())
    if -int(value.as_tuple().exponent) <= decimals:
        return value
    return value.quantize(Decimal(1).scaleb(-decimals), context=_ROUNDING)


def _has_number(row: Row, columns: Sequence[Column]) -> bool:
    return any(column.is_number and _value(row, column.field) is not None for column in columns)


def _is_rounded(column: Column, rows: Sequence[Row]) -> bool:
    values = [_value(row, column.field) for row in rows]
    return any(
        isinstance(value, Decimal) and _rounded(value, column.digits) != value for value in values
    )


def totals_by_currency(rows: Iterable[Row], fields: Sequence[str]) -> list[dict[str, object]]:
    """Return the exact sum of each field for each currency; None if a row of the currency has none."""
    sums: dict[str, dict[str, Decimal | None]] = {}
    for row in rows:
        currency = str(_value(row, "currency"))
        so_far = sums.setdefault(currency, dict.fromkeys(fields, ZERO))
        for field in fields:
            before, value = so_far[field], _value(row, field)
            if isinstance(before, Decimal) and isinstance(value, Decimal):
                so_far[field] = EXACT.add(before, value)
            else:
                so_far[field] = None
    return [{"currency": currency, **sums[currency]} for currency in sorted(sums)]


def in_line(numbers: Sequence[str]) -> list[str]:
    """Pad numbers on both sides, so that their decimal points stand in line."""
    parts = [number.partition(".") for number in numbers]
    left = max((len(whole) for whole, _, _ in parts), default=0)
    right = max((len(point + decimals) for _, point, decimals in parts), default=0)
    return [whole.rjust(left) + (point + decimals).ljust(right) for whole, point, decimals in parts]


def _table(
    columns: Sequence[Column], rows: Sequence[Row], totals: Sequence[Row], *, wide: bool
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    everything = [*rows, *totals]
    cells = [_cells(column, everything, wide=wide) for column in columns]
    for column, of_column in zip(columns, cells, strict=True):
        wraps = column.kind is Kind.PROSE
        width = len(of_column[0]) if column.is_number and of_column else 0
        texts = [column.header, *map(str, of_column)]
        table.add_column(
            Text(column.header.rjust(width)),
            no_wrap=not wraps,
            overflow="fold" if wraps else "ignore",
            min_width=_LEAST_PROSE if wraps else max(map(cell_len, texts)),
        )
    for number, (first, *others) in enumerate(zip(*cells, strict=True)):
        if number < len(rows):
            table.add_row(first, *others)
        else:
            if number == len(rows):
                table.add_section()
            label = _value(totals[number - len(rows)], "label") or "total"
            table.add_row(Text(str(label)), *others, style="bold")
    return table


def _cells(column: Column, rows: Sequence[Row], *, wide: bool) -> list[Text]:
    values = [_value(row, column.field) for row in rows]
    if not column.is_number:
        return [Text(_text(value)) for value in values]
    digits = None if wide else column.digits
    numbers = in_line([_text(value, digits) for value in values])
    return [
        Text(number.rjust(len(column.header)), style=_colour(column, row, value))
        for number, value, row in zip(numbers, values, rows, strict=True)
    ]


def _colour(column: Column, row: Row, value: object) -> str:
    is_gain = column.kind is Kind.GAIN and (not column.where or _value(row, column.where))
    if not is_gain or not isinstance(value, Decimal) or not value:
        return ""
    return "green" if value > 0 else "red"


def _text(value: object, digits: int | None = None) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, Decimal):
        return grouped(value, digits)
    return printable(str(value))


def _value(row: Row, field: str) -> object:
    return row.get(field) if isinstance(row, Mapping) else getattr(row, field, None)


def _measured(console: Console, table: Table) -> Measurement:
    return Measurement.get(console, console.options.update(width=_WIDEST), table)
