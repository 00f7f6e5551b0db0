"""The records of a file: CSV, TSV, JSON, JSON Lines, Parquet or Excel, as a header and rows of text."""

from __future__ import annotations

import csv
import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from typing import IO, Any, Final, TypeAlias
from zipfile import BadZipFile, ZipFile

from tradebook.domain.errors import ExtraNotInstalled, shown
from tradebook.domain.numbers import plain
from tradebook.entrypoints.cli.book.trade_text import MAX_BLANK_LINES, MAX_INFLATION, TradeText

Records: TypeAlias = Generator[tuple[int, list[str]], None, None]
"""The header, then each record that is not blank, with the number of its first line from 1."""

MAX_JSON: Final = 50_000_000
"""Characters of a JSON file, which is read as a whole, and bytes of XML; JSON Lines may have any number."""
_DELIMITERS: Final = ",;\t|"
_ENDINGS: Final = {
    "json": (".json",),
    "jsonl": (".jsonl", ".ndjson"),
    "csv": (".csv", ".tsv", ".txt"),
}
_SHEETS: Final = "xl/workbook.xml"
_NO_LINES: Final = ("json", "parquet")


def delimiter_of(header: str) -> str:
    """Return the delimiter of a CSV file: the one that its first line has most of, a comma by default."""
    return max(_DELIMITERS, key=header.count)


def format_of(text: TradeText) -> str:
    """Return the format of a file: `csv`, `json`, `jsonl`, `parquet` or `excel`, by its content, then its name."""
    if text.begins_with(b"PAR1"):
        return "parquet"
    if text.begins_with(b"PK\x03\x04") and _is_workbook(text):
        return "excel"
    name = text.name.lower().removesuffix(".gz")
    for found, endings in _ENDINGS.items():
        if name.endswith(endings):
            return found
    with text.lines() as lines:
        try:
            first = lines.first().lstrip()
        except csv.Error:  # a line of any length: CSV has none
            return "json"
    if first.startswith("["):
        return "json"
    if not first.startswith("{"):
        return "csv"
    return "jsonl" if first.rstrip().endswith("}") and len(first) > 2 else "json"


def unit_of(text: TradeText) -> str:
    """Return what the numbers of a file's records count: `line`, or `record` where it has no lines."""
    return "record" if format_of(text) in _NO_LINES else "line"


def records_of(text: TradeText) -> Records:
    """Read the records of a file.

    Raises:
        ImportRefused: the file cannot be read, or is damaged.
        ExtraNotInstalled: the library that reads its format is missing.
    """
    return _READERS[format_of(text)](text)


def _csv(text: TradeText) -> Records:
    with text.lines() as lines:
        try:
            first = lines.first()
            if lines.row > MAX_BLANK_LINES:
                raise text.refused(f"it begins with more than {MAX_BLANK_LINES:,} blank lines")
            reader = csv.reader(
                chain([first], lines),
                delimiter=delimiter_of(first),
                skipinitialspace=True,
                strict=True,
            )
            for cells in reader:
                if any(map(str.strip, cells)):
                    yield lines.row, cells
                lines.begin_row()
        except csv.Error as error:
            raise text.refused(
                f"line {lines.row}: {error}; is a quotation mark open or out of place?"
            ) from None


def _json(text: TradeText) -> Records:
    with text.lines() as lines:
        content = lines.read(MAX_JSON + 1)
    if len(content) > MAX_JSON:
        raise text.refused(
            f"it is JSON of more than {MAX_JSON:,} characters; write a record per line (JSON Lines, .jsonl)"
        )
    found = parsed(text, content, 1)
    if isinstance(found, Mapping):
        lists = {name: each for name, each in found.items() if isinstance(each, list)}
        if len(lists) != 1:
            has = ", ".join(shown(name) for name in found) or "nothing"
            raise text.refused(
                f"it is a JSON object with {len(lists)} lists (it has {has}); write a list of objects, or an "
                "object with one list"
            )
        found = next(iter(lists.values()))
    if not isinstance(found, list):
        raise text.refused("it is JSON, and no list of objects")
    records = [flat(text, "record", number, each) for number, each in enumerate(found, 1)]
    yield from _aligned(list(enumerate(records, 1)))


def _json_lines(text: TradeText) -> Records:
    header: dict[str, None] = {}
    for _, record in _objects(text):
        header.update(dict.fromkeys(record))
    if header:
        yield 0, list(header)
    for line, record in _objects(text):
        yield line, [record.get(name, "") for name in header]


def _objects(text: TradeText) -> Iterator[tuple[int, dict[str, str]]]:
    with text.lines() as lines:
        try:
            for line in lines:
                if line.strip():
                    yield lines.row, flat(text, "line", lines.row, parsed(text, line, lines.row))
                lines.begin_row()
        except csv.Error as error:
            raise text.refused(f"line {lines.row}: {error}") from None


def parsed(text: TradeText, content: str, line: int) -> Any:
    """Return what a text in JSON says, numbers as their texts.

    Raises:
        ImportRefused: it is no JSON.
    """
    try:
        return json.loads(content, parse_float=str, parse_int=str)
    except RecursionError:
        raise text.refused(f"line {line}: it is JSON nested too deeply") from None
    except json.JSONDecodeError as error:
        raise text.refused(
            f"line {line + error.lineno - 1}, column {error.colno}: it is no JSON ({error.msg}); is the file "
            "complete?"
        ) from None
    except ValueError as error:
        raise text.refused(f"line {line}: it is no JSON ({error})") from None


def flat(text: TradeText, unit: str, number: int, record: object) -> dict[str, str]:
    """Return the texts of an object by name; those of an object in it as `fee.cost`.

    Raises:
        ImportRefused: it is no object.
    """
    if not isinstance(record, Mapping):
        raise text.refused(f"{unit} {number}: {shown(record)}: expected an object")
    return dict(_flat(record, ""))


def _flat(record: Mapping[str, object], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for number, each in enumerate(value):
                yield from _flat({f"{number}": each}, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", cell_text(value)


def cell_text(value: object) -> str:
    """Return a value as the text of a cell, with every digit; `""` for none."""
    if value is None or value != value:  # NaN stands for none in data frames
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (list, tuple, Mapping)):
        return json.dumps(value, default=cell_text)
    return str(value)


def _aligned(records: Iterable[tuple[int, Mapping[str, str]]]) -> Records:
    header = dict.fromkeys(name for _, record in records for name in record)
    if header:
        yield 0, list(header)
    for number, record in records:
        yield number, [record.get(name, "") for name in header]


def _parquet(text: TradeText) -> Records:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise ExtraNotInstalled("arrow", "pyarrow") from None
    with text.binary() as file:
        try:
            opened = parquet.ParquetFile(file)
            header, number = list(opened.schema_arrow.names), 0
            yield 0, header
            for batch in opened.iter_batches(batch_size=10_000):
                for row in batch.to_pylist():
                    number += 1
                    yield number, [cell_text(row[name]) for name in header]
        except (pa.ArrowException, OSError) as error:
            raise text.refused(f"it is a damaged Parquet file ({error})") from None


def _excel(text: TradeText) -> Records:
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError:
        raise ExtraNotInstalled("excel", "openpyxl") from None
    with text.binary() as file:
        _require_modest(text, file)
        try:
            with closing(load_workbook(file, read_only=True, data_only=True)) as book:
                rows = book.worksheets[0].iter_rows(values_only=True)
                width = 0
                for line, row in enumerate(rows, 1):
                    cells = [cell_text(value) for value in row]
                    width = width or len(cells)
                    if any(cells):
                        yield line, cells + [""] * (width - len(cells))
        except (InvalidFileException, BadZipFile, KeyError, IndexError, ValueError) as error:
            raise text.refused(f"it is a damaged Excel workbook ({error})") from None


def _is_workbook(text: TradeText) -> bool:
    with text.binary() as file:
        try:
            return _SHEETS in ZipFile(file).namelist()
        except BadZipFile:
            return False


def _require_modest(text: TradeText, file: IO[bytes]) -> None:
    size = sum(each.file_size for each in ZipFile(file).infolist())
    if size > max(MAX_INFLATION * text.size, MAX_JSON):
        raise text.refused(f"it would unpack to {size:,} bytes, which no file of trades does")


_READERS: Final = {
    "csv": _csv,
    "excel": _excel,
    "json": _json,
    "jsonl": _json_lines,
    "parquet": _parquet,
}
