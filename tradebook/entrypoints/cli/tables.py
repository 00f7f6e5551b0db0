"""Tables with every digit, decimal points in line, gains in green and losses in red.

A number of more than 18 decimals is rounded to 8 significant digits and marked with `~`.
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
_MOST_DECIMALS: Final = 18
_DIGITS: Final = 8
_LEAST_DECIMALS: Final = 4
_LEAST_PROSE: Final = 20  # characters; narrower columns of text are hard to read
_WIDEST: Final = 100_000  # wider than any table, so that nothing wraps while it is measured


class Kind(Enum):
    """The ways to show a column's values."""

    NAME = auto()
    NUMBER = auto()
    GAIN = auto()
    """A number: green above 0, red below."""
    TIME = auto()
    PROSE = auto()
    """Text that wraps on a terminal."""


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
        return self.kind in (Kind.NUMBER, Kind.GAIN)


Row: TypeAlias = object
"""A record with the columns' fields as attributes, or a mapping of them."""


def show(
    console: Console,
    title: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    totals: Sequence[Row] = (),
) -> None:
    """Print a table with its totals below a line, wide enough for every digit."""
    columns = [
        column
        for column in columns
        if not column.spare or any(_value(row, column.field) not in (None, "") for row in rows)
    ]
    shown = list(columns)
    table = _table(shown, rows, totals)
    while console.is_terminal and _measured(console, table).minimum > console.width:
        spare = max(shown, key=lambda column: column.spare)
        if not spare.spare:
            break
        shown.remove(spare)
        table = _table(shown, rows, totals)
    left_out = ", ".join(column.header for column in columns if column not in shown)
    # On a terminal prose wraps; in a file nothing does, so that programs can read it line by line.
    measured = _measured(console, table)
    needed = measured.minimum if console.is_terminal else measured.maximum
    console.width = max(console.width, needed)
    console.print(Text(title, style="bold"), soft_wrap=True)
    console.print(table)
    if left_out:
        console.print(Text(f"left out for want of width: {left_out} (--json has all)", style="dim"))
    if any(str(cell).lstrip().startswith("~") for c in table.columns for cell in c.cells):
        console.print(Text("~ rounded here; --json has every digit", style="dim"))


def grouped(value: Decimal) -> str:
    """Format a number with thousands separators and every digit; `~` marks one that is rounded."""
    text = plain(value)
    if len(text.partition(".")[2]) > _MOST_DECIMALS:
        decimals = max(_LEAST_DECIMALS, _DIGITS - 1 - value.adjusted())
        rounded = value.quantize(Decimal(1).scaleb(-decimals), context=_ROUNDING)
        return "~" + format(Decimal(plain(rounded)), ",f")
    return format(Decimal(text), ",f")


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


def _table(columns: Sequence[Column], rows: Sequence[Row], totals: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    everything = [*rows, *totals]
    cells = [_cells(column, everything) for column in columns]
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
            table.add_section()
            table.add_row(Text("total"), *others, style="bold")
    return table


def _cells(column: Column, rows: Sequence[Row]) -> list[Text]:
    values = [_value(row, column.field) for row in rows]
    if not column.is_number:
        return [Text(_text(value)) for value in values]
    numbers = in_line([_text(value) for value in values])
    return [
        Text(number.rjust(len(column.header)), style=_colour(column, row, value))
        for number, value, row in zip(numbers, values, rows, strict=True)
    ]


def _colour(column: Column, row: Row, value: object) -> str:
    is_gain = column.kind is Kind.GAIN and (not column.where or _value(row, column.where))
    if not is_gain or not isinstance(value, Decimal) or not value:
        return ""
    return "green" if value > 0 else "red"


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, Decimal):
        return grouped(value)
    return printable(str(value))


def _value(row: Row, field: str) -> object:
    return row.get(field) if isinstance(row, Mapping) else getattr(row, field, None)


def _measured(console: Console, table: Table) -> Measurement:
    return Measurement.get(console, console.options.update(width=_WIDEST), table)
