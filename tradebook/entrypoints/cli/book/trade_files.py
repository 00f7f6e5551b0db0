"""The columns of a file of trades: which of theirs is which of ours."""

from __future__ import annotations

import csv
import gzip
import json
import shlex
import shutil
import sqlite3
import sys
import tempfile
import zlib
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from io import SEEK_END, TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

from attrs import frozen

from tradebook.domain.errors import InvalidInput, TradebookError, shown
from tradebook.domain.numbers import plain
from tradebook.domain.trades import Trade
from tradebook.domain.validation import utc, utc_now
from tradebook.service_layer.handlers import TradeTerms
from tradebook.service_layer.handlers.new_fills import FillReader

REQUIRED: Final = ("symbol", "action", "quantity", "price")
COLUMNS: Final = (
    *REQUIRED,
    "fee",
    "fee_currency",
    "currency",
    "multiplier",
    "settlement",
    "executed_at",
    "order_id",
    "execution_id",
    "venue",
    "strategy",
)
_USUAL_NAMES: Final = {
    "side": "action",
    "qty": "quantity",
    "size": "quantity",
    "amount": "quantity",
    "ticker": "symbol",
    "instrument": "symbol",
    "pair": "symbol",
    "time": "executed_at",
    "timestamp": "executed_at",
    "date": "executed_at",
    "datetime": "executed_at",
    "commission": "fee",
    "order": "order_id",
    "orderid": "order_id",
    "trade_id": "execution_id",
    "exec_id": "execution_id",
    "fill_id": "execution_id",
    "exchange": "venue",
}


class Column(NamedTuple):
    """A column that is read.

    Attributes:
        place: in a row, from 0.
        term: what `record_trade` calls it.
        header: what the file calls it.
    """

    place: int
    term: str
    header: str


class HeaderError(Exception):
    """A header is not understood; the message says what to write."""


def header_columns(
    header: Sequence[str], mapping: Mapping[str, str], ignored: Collection[str]
) -> list[Column]:
    """The columns to read.

    Args:
        header: the file's names.
        mapping: our name for each of theirs that has another one.
        ignored: theirs to leave out.

    Raises:
        HeaderError: a column is unknown, missing, or there twice.
    """
    columns: list[Column] = []
    unknown: list[str] = []
    for index, theirs in enumerate(header):
        if theirs in ignored:
            continue
        ours = mapping.get(theirs, _normal(theirs))
        if ours in COLUMNS:
            columns.append(Column(index, ours, theirs))
        else:
            unknown.append(theirs)
    _check_mapping(header, mapping)
    _check_twice(columns)
    _check_missing(header, [column.term for column in columns], unknown)
    return columns


def _check_mapping(header: Sequence[str], mapping: Mapping[str, str]) -> None:
    for theirs in mapping:
        if theirs not in header:
            raise HeaderError(f"--map names a column {theirs!r}; the file has {_listed(header)}")


def _check_twice(columns: Sequence[Column]) -> None:
    terms = [column.term for column in columns]
    for term in terms:
        if terms.count(term) > 1:
            both = " and ".join(repr(c.header) for c in columns if c.term == term)
            raise HeaderError(f"two columns are {term}: {both}; leave one out with --ignore")


def _check_missing(header: Sequence[str], terms: Sequence[str], unknown: Sequence[str]) -> None:
    missing = [term for term in REQUIRED if term not in terms]
    if not terms and not any(_normal(name) in _USUAL_NAMES for name in unknown):
        raise HeaderError(
            f"its first line names no known column ({_listed(header)}); it must be a header such "
            f"as {','.join(REQUIRED)}, or --map must say which column is which"
        )
    problems = []
    if missing:
        problems.append(f"no column for {' and '.join(missing)}; the file has {_listed(header)}")
    if unknown:
        problems.append(f"unknown column{'s' if len(unknown) > 1 else ''} {_listed(unknown)}")
    if problems:
        raise HeaderError(". ".join([*problems, _advice(missing, unknown, terms)]))


def _advice(missing: Sequence[str], unknown: Sequence[str], terms: Sequence[str]) -> str:
    """What to write for the columns that are not understood."""
    meant: dict[str, str] = {}
    for theirs in unknown:
        ours = _USUAL_NAMES.get(_normal(theirs))
        if ours is not None and ours not in terms:
            meant.setdefault(ours, theirs)
    for ours in missing:
        meant.setdefault(ours, "THEIRS")
    options = [f"--map {shlex.quote(f'{theirs}={ours}')}" for ours, theirs in meant.items()]
    advice = f"Say which is which: {' '.join(options) or '--map THEIRS=OURS'}"
    if unknown:
        advice += f"; or leave a column out: --ignore {shlex.quote(unknown[-1])}"
    return f"{advice}. Known columns are {', '.join(COLUMNS)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(shown(name) for name in names)


def _normal(name: str) -> str:
    return name.lower().replace(" ", "_").replace("-", "_")


_DELIMITERS: Final = ",;\t|"
_LONGEST_HEADER: Final = 100_000
_NOT_CSV: Final = {
    b"PK\x03\x04": "a zip archive or a spreadsheet; export the sheet as CSV",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
    b"SQLite format 3": "a SQLite database",
}


class ImportRefused(TradebookError):
    """A file, or a row of it, cannot be imported; nothing of it was booked."""


@frozen
class BadRow:
    """A row that cannot be booked.

    Attributes:
        line: where it begins in the file, from 1.
        column: by the file's own name; `""` when the row as a whole is wrong.
        value: what stands there.
        reason: what is wrong with it.
    """

    line: int
    column: str
    value: str
    reason: str

    def __str__(self) -> str:
        column = f", column {self.column}" if self.column else ""
        value = f": {shown(self.value)}" if self.value or self.column else ""
        return f"line {self.line}{column}{value}: {self.reason}"


@frozen
class Row:
    """A row as terms for `record_trade`.

    Attributes:
        line: where it begins in the file, from 1.
        terms: with an order id: the row's own, or one made of its content.
        repeats: whether the same fill of the same order stood in the file before.
    """

    line: int
    terms: TradeTerms
    repeats: bool


class TradeFile:
    """A CSV file of trades that can be read more than once.

    Args:
        name: for messages.
        file: binary and seekable.
        mapping: our column for each of the file's that has another name.
        ignored: the file's columns to leave out.
        currency: of rows that name none.
    """

    def __init__(
        self,
        name: str,
        file: IO[bytes],
        *,
        mapping: Mapping[str, str] | None = None,
        ignored: Iterable[str] = (),
        currency: str | None = None,
    ) -> None:
        self.name = name
        self._file = file
        self._mapping = dict(mapping or {})
        self._ignored = set(ignored)
        self._currency = currency
        self._reader, self._read_at = FillReader(), utc_now()
        self.size = file.seek(0, SEEK_END)

    @property
    def position(self) -> int:
        """How many bytes of `size` were read."""
        return self._file.tell()

    def rows(self) -> Iterator[Row | BadRow]:
        """Every row from the first on, checked as `record_trade` would check it.

        Raises:
            ImportRefused: the file as a whole cannot be read, or its header is not understood.
        """
        with closing(self._records()) as records, closing(_Occurrences()) as occurrences:
            header, columns = self._header(records)
            for line, cells in records:
                try:
                    yield self._row(line, cells, columns, len(header), occurrences)
                except _CellError as bad:
                    yield BadRow(line, bad.column, bad.value, bad.reason)

    def column_of(self, term: str) -> str:
        """The file's own name of one of our columns."""
        return next((theirs for theirs, ours in self._mapping.items() if ours == term), term)

    def _header(self, records: Iterator[tuple[int, list[str]]]) -> tuple[list[str], list[Column]]:
        _, cells = next(records, (0, []))
        if not cells:
            raise self._refused(f"it is empty; begin with a line such as {','.join(REQUIRED)}")
        header = [cell.strip() for cell in cells]
        try:
            return header, header_columns(header, self._mapping, self._ignored)
        except HeaderError as error:
            raise self._refused(str(error)) from None

    # Cells to terms

    def _row(
        self,
        line: int,
        cells: Sequence[str],
        columns: Sequence[Column],
        width: int,
        occurrences: _Occurrences,
    ) -> Row:
        if len(cells) != width:
            raise _CellError("", "", f"it has {len(cells)} cells where the header has {width}")
        terms = _terms(cells, columns)
        # --currency is no part of it: imported again with another one, the row clashes, not doubles.
        content = sorted(terms)
        if self._currency is not None:
            terms.setdefault("currency", self._currency)
        fill = self._reader.read(cast("TradeTerms", terms), self._read_at)
        if fill is not None:
            repeats = occurrences.add([*fill.name.order_key, fill.name.execution_id]) > 1
            return Row(line, cast("TradeTerms", terms), repeats)
        try:
            trade = Trade(**terms)
        except InvalidInput as error:
            column = next((c.header for c in columns if c.term == error.field), error.field)
            raise _CellError(column, str(error.value), f"expected {error.expected}") from None
        repeats = False
        if "order_id" in terms:
            repeats = occurrences.add([*trade.order_key, trade.execution_id]) > 1
        else:
            facts = {name: _plain(getattr(trade, name)) for name in content}
            terms["order_id"] = _order_id(facts, occurrences.add(facts))
        return Row(line, cast("TradeTerms", terms), repeats)

    # Bytes to cells

    def _records(self) -> Generator[tuple[int, list[str]], None, None]:
        """Each record that is not blank, with the number of the line on which it begins."""
        with self._text() as text:
            lines, delimiter = self._sniffed(text)
            reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
            while True:
                line = reader.line_num + 1
                try:
                    cells = next(reader, None)
                except csv.Error as error:
                    raise self._refused(
                        f"line {line}: {error}; is a quotation mark open or out of place?"
                    ) from None
                if cells is None:
                    return
                if any(cell.strip() for cell in cells):
                    yield line, cells

    def _sniffed(self, text: TextIOWrapper) -> tuple[Iterable[str], str]:
        """All lines, and the delimiter of the first that is not blank."""
        blank: list[str] = []
        while (first := text.readline(_LONGEST_HEADER)) and not first.strip():
            blank.append(first)
        if len(first) >= _LONGEST_HEADER:
            raise self._refused(f"its first line is longer than {_LONGEST_HEADER:,} characters")
        return chain(blank, [first], text), max(_DELIMITERS, key=first.count)

    @contextmanager
    def _text(self) -> Iterator[TextIOWrapper]:
        text = TextIOWrapper(self._plain_bytes(), encoding="utf-8-sig", newline="")
        try:
            yield text
        except UnicodeDecodeError:
            raise self._undecodable() from None
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise self._refused(f"it is a damaged gzip file ({error})") from None
        finally:
            if not self._file.closed:  # a reading that was given up may end after the file did
                text.detach()

    def _plain_bytes(self) -> IO[bytes]:
        self._file.seek(0)
        magic = self._file.read(16)
        self._file.seek(0)
        for beginning, what in _NOT_CSV.items():
            if magic.startswith(beginning):
                raise self._refused(f"it is {what}")
        if magic.startswith(b"\x1f\x8b"):
            return cast("IO[bytes]", gzip.GzipFile(fileobj=self._file))
        if self.name.endswith(".gz"):
            raise self._refused("it is no gzip file, whatever its name says")
        return self._file

    def _undecodable(self) -> ImportRefused:
        for number, line in enumerate(self._plain_bytes(), 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = line[error.start]
                return self._refused(
                    f"line {number}: byte 0x{byte:02x} is no UTF-8; save the file as UTF-8"
                )
        return self._refused("it is no UTF-8 text; save it as UTF-8")

    def _refused(self, problem: str) -> ImportRefused:
        return ImportRefused(f"{self.name}: {problem}")


@contextmanager
def opened_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to read more than once; `-` and pipes are copied to a temporary file first."""
    if str(path) == "-":
        with _copied(sys.stdin.buffer) as copy:
            yield copy
        return
    try:
        opened = path.open("rb")
    except OSError as error:
        raise ImportRefused(f"{path}: it cannot be read ({error.strerror})") from error
    with opened as file:
        if file.seekable():
            yield file
            return
        with _copied(file) as copy:
            yield copy


@contextmanager
def _copied(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(stream, copy)
        yield copy


class _CellError(Exception):
    """A cell, or the row as a whole, is wrong."""

    def __init__(self, column: str, value: str, reason: str) -> None:
        self.column, self.value, self.reason = column, value, reason
        super().__init__(reason)


class _Occurrences:
    """Counts how often something came; in a temporary file, so memory does not grow with it."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("")
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute(
            "CREATE TABLE seen (content BLOB PRIMARY KEY, times INTEGER) WITHOUT ROWID"
        )

    def add(self, content: object) -> int:
        """Count `content`, a JSON value; returns how often it came, this time included."""
        digest = sha256(json.dumps(content).encode()).digest()
        counted = self._connection.execute(
            "INSERT INTO seen VALUES (?, 1) "
            "ON CONFLICT (content) DO UPDATE SET times = times + 1 RETURNING times",
            [digest],
        )
        return int(counted.fetchone()[0])

    def close(self) -> None:
        self._connection.close()


def _order_id(facts: Mapping[str, str], occurrence: int) -> str:
    """The same for the same content at the same occurrence, in whichever order the columns stand."""
    content = json.dumps([dict(facts), occurrence], sort_keys=True)
    return f"row-{sha256(content.encode()).hexdigest()[:40]}"


def _terms(cells: Sequence[str], columns: Sequence[Column]) -> dict[str, Any]:
    terms: dict[str, Any] = {}
    for column in columns:
        cell = cells[column.place].strip()
        if cell:
            terms[column.term] = _term(column, cell)
        elif column.term in REQUIRED:
            raise _CellError(column.header, "", "it is empty, and required")
    return terms


def _term(column: Column, cell: str) -> object:
    if column.term in ("action", "settlement"):
        return cell.upper()
    if column.term == "executed_at":
        return _time(column, cell)
    return cell


def _time(column: Column, cell: str) -> datetime:
    try:
        if not cell.isdigit():  # digits alone, such as seconds since 1970, could pass for a date
            return utc(datetime.fromisoformat(cell))
    except ValueError:
        pass
    raise _CellError(column.header, cell, "expected an ISO 8601 time such as 2024-05-17T14:30:00Z")


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return plain(value) if isinstance(value, Decimal) else str(value)
