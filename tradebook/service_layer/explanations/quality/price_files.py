"""Rows of prices in CSV files and data frames, with the columns time, symbol and price in any order."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final, NamedTuple

from tradebook.domain.errors import InvalidInput, shown
from tradebook.domain.plain_values import is_instance, plain_text
from tradebook.domain.validation import argument
from tradebook.service_layer.ports.columns import import_pyarrow

_COLUMNS: Final = ("time", "symbol", "price")
_EXPECTED: Final = "the columns time, symbol and price"
_DELIMITERS: Final = ",;\t"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class PriceRow(NamedTuple):
    """A price as it was given, not checked yet.

    Attributes:
        where: its place, for messages, such as `prices, line 3`.
        time, symbol, price: as given.
        source: the name of its file; `""` where there is none.
    """

    where: str
    time: Any
    symbol: Any
    price: Any
    source: str = ""


def rows_of_file(path: str | PathLike[str]) -> Iterator[PriceRow]:
    """Iterate over the rows of a CSV file in UTF-8, whose first line names its columns.

    Other columns are ignored. Times are ISO 8601, in UTC unless they have an offset. Cells are separated by commas,
    semicolons or tabs.

    Raises:
        InvalidInput: the file cannot be read, or is not such a file; the message names the line.
    """
    name = argument("prices", plain_text, fspath(path))
    try:
        with Path(name).open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            delimiter = max(_DELIMITERS, key=header.count)
            columns = next(csv.reader([header], delimiter=delimiter), [])
            places = _places(name, [column.strip().lower() for column in columns])
            yield from _rows(Path(name).name, csv.reader(file, delimiter=delimiter), places)
    except InvalidInput:
        raise
    except UnicodeDecodeError:
        raise InvalidInput("prices", name, "a file of UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise InvalidInput("prices", name, f"a file that can be read: {reason}") from None
    except csv.Error as error:
        raise InvalidInput("prices", name, f"CSV: {error}") from None


def _rows(name: str, cells: Any, places: Sequence[int]) -> Iterator[PriceRow]:
    file = shown(name)
    for row in cells:
        where = f"prices, line {cells.line_num + 1} of {file}"  # the header was read before
        if len(row) <= max(places):
            if not any(cell.strip() for cell in row):
                continue
            raise InvalidInput(where, f"{len(row)} cells", _EXPECTED)
        time, symbol, price = (row[place].strip() for place in places)
        yield PriceRow(where, time, symbol, price, name)


def _places(name: str, columns: Sequence[str]) -> list[int]:
    if not set(_COLUMNS) <= set(columns):
        found = ", ".join(columns) or "none"
        raise InvalidInput(
            "prices", name, f"{_EXPECTED} named in its first line, which has {shown(found)}"
        )
    return [columns.index(each) for each in _COLUMNS]


def rows_of_frame(frame: Any) -> Iterable[PriceRow] | None:
    """Return the rows of a data frame of pandas, polars or pyarrow; None for anything else.

    Raises:
        InvalidInput: it lacks a column.
    """
    if not callable(getattr(type(frame), "__getitem__", None)):
        return None
    # pyarrow has the names under `column_names`, and the columns themselves under `columns`.
    names: Any = getattr(frame, "column_names", None)
    names = getattr(frame, "columns", None) if names is None else names
    if not hasattr(type(names), "__iter__"):
        return None
    listed = [name for name in names if is_instance(name, str)]
    if not set(_COLUMNS) <= set(listed):
        raise InvalidInput("prices", ", ".join(map(str, listed)), f"a data frame with {_EXPECTED}")
    values = [_values(frame[name]) for name in _COLUMNS]
    return (
        PriceRow(f"prices, row {number}", *cells)
        for number, cells in enumerate(zip(*values, strict=True))
    )


def _values(column: Any) -> Sequence[Any]:
    """Return the values of a column as Python has them."""
    if hasattr(column, "to_pylist"):
        return _from_arrow(column)
    return column.to_list()  # type: ignore[no-any-return]


def _from_arrow(column: Any) -> Sequence[Any]:
    arrow = import_pyarrow()
    if not arrow.types.is_timestamp(column.type):
        return column.to_pylist()  # type: ignore[no-any-return]
    # pyarrow's own conversion of times needs a time zone database, and refuses nanoseconds.
    in_utc = arrow.timestamp("us", tz=None if column.type.tz is None else "UTC")
    numbers = column.cast(in_utc, safe=False).cast(arrow.int64())
    return [
        None if each is None else _EPOCH + timedelta(microseconds=each)
        for each in numbers.to_pylist()
    ]
