"""Files of trades: CSV, plain or gzip, read row by row into terms for `record_trade`."""

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
from contextlib import closing, contextmanager, nullcontext
from hashlib import sha256
from io import SEEK_END, TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

from attrs import define, field, frozen

from tradebook.domain.errors import InvalidInput, TradebookError, shown
from tradebook.domain.trades import Trade
from tradebook.entrypoints.cli.options import iso_time
from tradebook.entrypoints.cli.output import jsonable
from tradebook.service_layer.handlers import TradeTerms
from tradebook.service_layer.handlers.new_fills import FillReader

STDIN: Final = "-"
REQUIRED: Final = ("symbol", "action", "quantity", "price")
_OPTIONAL: Final = "fee fee_currency currency multiplier settlement executed_at order_id execution_id venue strategy"
COLUMNS: Final = (*REQUIRED, *_OPTIONAL.split())
_OTHER_NAMES: Final = {
    "action": "side",
    "execution_id": "trade_id exec_id fill_id",
    "executed_at": "time timestamp date datetime",
    "fee": "commission",
    "order_id": "order orderid",
    "quantity": "qty size amount",
    "symbol": "ticker instrument pair",
    "venue": "exchange",
}
_MEANT: Final = {name: ours for ours, names in _OTHER_NAMES.items() for name in names.split()}
_DELIMITERS: Final = ",;\t|"
_LONGEST_HEADER: Final = 100_000
_NOT_CSV: Final = {
    b"PK\x03\x04": "a zip archive or a spreadsheet; export the sheet as CSV",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
    b"SQLite format 3": "a SQLite database",
}


class ImportRefused(TradebookError):
    """A file, or a row of it, cannot be imported; nothing was booked."""


class _CellError(Exception):
    """A cell, or the row as a whole, is invalid; its arguments are a `BadRow`'s, from the column on."""


class _Column(NamedTuple):
    """A column of the file: its index in a row, the argument of `record_trade`, its name in the file."""

    place: int
    term: str
    header: str


@frozen
class BadRow:
    """A row that cannot be booked.

    Attributes:
        line: the number of its first line in the file, from 1.
        column: the column's name in the file; `""` if the row as a whole is wrong.
        value: the text of the cell.
        reason: the reason why it was refused.
    """

    line: int
    column: str
    value: str
    reason: str

    def __str__(self) -> str:
        """Format the row for a message: `line 3, column quantity: 'ten': expected a number`."""
        column = f", column {self.column}" if self.column else ""
        value = f": {shown(self.value)}" if self.value or self.column else ""
        return f"line {self.line}{column}{value}: {self.reason}"


@frozen
class Row:
    """A row as terms for `record_trade`.

    Attributes:
        line: the number of its first line in the file, from 1.
        terms: the terms, with the row's order id or one derived from its content.
        repeats: whether an earlier row names the same fill of the same order.
    """

    line: int
    terms: TradeTerms
    repeats: bool


@define
class TradeFile:
    """A CSV file of trades that can be read more than once.

    Args:
        name: the file's name in messages.
        file: the open file, binary and seekable.
        mapping: the term for each column name that differs from it.
        ignored: the column names to leave out.
        currency: the currency of rows that name none.

    Attributes:
        size: the file's size in bytes.
    """

    name: str
    _file: IO[bytes]
    _mapping: Mapping[str, str] = field(factory=dict, kw_only=True)
    _ignored: Collection[str] = field(default=(), kw_only=True)
    _currency: str | None = field(default=None, kw_only=True)
    _reader: FillReader = field(factory=FillReader, init=False)
    size: int = field(init=False)

    @size.default
    def _measure(self) -> int:
        return self._file.seek(0, SEEK_END)

    @property
    def position(self) -> int:
        """The number of bytes read, out of `size`."""
        return self._file.tell()

    def rows(self) -> Iterator[Row | BadRow]:
        """Read every row from the first on, checked as `record_trade` checks it.

        Raises:
            ImportRefused: the file cannot be read, or its header is wrong.
        """
        with closing(self._records()) as records, closing(_Occurrences()) as occurrences:
            header, columns = self._header(records)
            for line, cells in records:
                try:
                    yield self._row(line, cells, columns, len(header), occurrences)
                except _CellError as bad:
                    yield BadRow(line, *bad.args)

    def column_of(self, term: str) -> str:
        """Return the name in the file of the column of a term."""
        return next((theirs for theirs, ours in self._mapping.items() if ours == term), term)

    def _header(self, records: Iterator[tuple[int, list[str]]]) -> tuple[list[str], list[_Column]]:
        _, cells = next(records, (0, []))
        if not cells:
            raise self._refused(f"it is empty; begin with a line such as {','.join(REQUIRED)}")
        header = [cell.strip() for cell in cells]
        named = [
            _Column(place, self._mapping.get(theirs, _normal(theirs)), theirs)
            for place, theirs in enumerate(header)
            if theirs not in self._ignored
        ]
        columns = [column for column in named if column.term in COLUMNS]
        unknown = [column.header for column in named if column.term not in COLUMNS]
        if problem := _header_problem(header, self._mapping, columns, unknown):
            raise self._refused(problem)
        return header, columns

    # Cells to terms

    def _row(
        self,
        line: int,
        cells: Sequence[str],
        columns: Sequence[_Column],
        width: int,
        occurrences: _Occurrences,
    ) -> Row:
        if len(cells) != width:
            raise _CellError("", "", f"it has {len(cells)} cells where the header has {width}")
        terms = _terms(cells, columns)
        # --currency is no part of the content that makes an order id: the same file imported with another
        # currency is refused as a duplicate with other terms, instead of being booked twice.
        content = sorted(terms)
        if self._currency is not None:
            terms.setdefault("currency", self._currency)
        given = cast("TradeTerms", terms)
        # None for a row that is not plain: `Trade` says what is wrong
        fill = self._reader.read(given)
        if fill is not None:
            key = [*fill.name.order_key, fill.name.execution_id]
            return Row(line, given, occurrences.add(key) > 1)
        try:
            trade = Trade(**terms)
        except InvalidInput as error:
            column = next((c.header for c in columns if c.term == error.field), error.field)
            raise _CellError(column, str(error.value), f"expected {error.expected}") from None
        if "order_id" in terms:
            return Row(line, given, occurrences.add([*trade.order_key, trade.execution_id]) > 1)
        # The same content may stand in the file several times: each occurrence gets an order id of its own,
        # the same in every import of the file, whatever the order of its columns.
        facts = {name: getattr(trade, name) for name in content}
        terms["order_id"] = f"row-{_digest([facts, occurrences.add(facts)]).hex()[:40]}"
        return Row(line, given, repeats=False)

    # Bytes to cells

    def _records(self) -> Generator[tuple[int, list[str]], None, None]:
        """Read each record that is not blank, with the number of its first line."""
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
        """Return all lines, and the delimiter of the first that is not blank."""
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
            # A generator that is not read to its end is closed late, perhaps after the file.
            if not self._file.closed:
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
            raise self._refused("it is no gzip file, although its name ends with .gz")
        return self._file

    def _undecodable(self) -> ImportRefused:
        for number, line in enumerate(self._plain_bytes(), 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = f"byte 0x{line[error.start]:02x}"
                return self._refused(f"line {number}: {byte} is no UTF-8; save the file as UTF-8")
        return self._refused("it is no UTF-8 text; save it as UTF-8")

    def _refused(self, problem: str) -> ImportRefused:
        return ImportRefused(f"{self.name}: {problem}")


def _header_problem(
    header: Sequence[str],
    mapping: Mapping[str, str],
    columns: Sequence[_Column],
    unknown: Sequence[str],
) -> str:
    """Describe what is wrong with a header and which options would mend it; `""` if nothing is."""
    terms = [column.term for column in columns]
    absent = [theirs for theirs in mapping if theirs not in header]
    if absent:
        return f"--map names a column {absent[0]!r}; the file has {_listed(header)}"
    if twice := [term for term in terms if terms.count(term) > 1]:
        both = " and ".join(repr(c.header) for c in columns if c.term == twice[0])
        return f"two columns are {twice[0]}: {both}; leave one out with --ignore"
    if not terms and not any(_normal(name) in _MEANT for name in unknown):
        return (
            f"its first line names no known column ({_listed(header)}); it must be a header such "
            f"as {','.join(REQUIRED)}, or --map must say which column is which"
        )
    problems = []
    if missing := [term for term in REQUIRED if term not in terms]:
        problems.append(f"no column for {' and '.join(missing)}; the file has {_listed(header)}")
    if unknown:
        problems.append(f"unknown column{'s' if len(unknown) > 1 else ''} {_listed(unknown)}")
    return ". ".join([*problems, _advice(missing, unknown, terms)]) if problems else ""


def _advice(missing: Sequence[str], unknown: Sequence[str], terms: Sequence[str]) -> str:
    meant: dict[str, str] = {}
    for theirs in unknown:
        ours = _MEANT.get(_normal(theirs))
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


@contextmanager
def opened_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that is read twice: `-` and pipes are copied to a temporary file first."""
    is_stdin = str(path) == STDIN
    try:
        opened = nullcontext(sys.stdin.buffer) if is_stdin else path.open("rb")
    except OSError as error:
        raise ImportRefused(f"{path}: it cannot be read ({error.strerror})") from error
    with opened as file:
        if file.seekable() and not is_stdin:
            yield file
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(file, copy)
            yield copy


class _Occurrences:
    """Counts of equal contents, in a temporary database, so that memory does not grow with the file."""

    def __init__(self) -> None:
        # SQLite keeps an unnamed database in a temporary file, which needs no journal: it ends with the process.
        self._connection = sqlite3.connect("")
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute(
            "CREATE TABLE seen (content BLOB PRIMARY KEY, times INTEGER) WITHOUT ROWID"
        )

    def add(self, content: object) -> int:
        """Count a content, and return how often it came so far, this time included."""
        counted = self._connection.execute(
            "INSERT INTO seen VALUES (?, 1) "
            "ON CONFLICT (content) DO UPDATE SET times = times + 1 RETURNING times",
            [_digest(content)],
        )
        return int(counted.fetchone()[0])

    def close(self) -> None:
        self._connection.close()


def _digest(content: object) -> bytes:
    """Return 32 bytes that identify a content, however long it is."""
    return sha256(json.dumps(content, sort_keys=True, default=jsonable).encode()).digest()


def _terms(cells: Sequence[str], columns: Sequence[_Column]) -> dict[str, Any]:
    terms: dict[str, Any] = {}
    for place, term, header in columns:
        cell = cells[place].strip()
        if not cell and term in REQUIRED:
            raise _CellError(header, "", "it is empty, and required")
        if term in ("action", "settlement"):
            cell = cell.upper()
        if cell and term == "executed_at":
            try:
                terms[term] = iso_time(cell)
            except ValueError:
                expected = "expected an ISO 8601 time such as 2024-05-17T14:30:00Z"
                raise _CellError(header, cell, expected) from None
        elif cell:
            terms[term] = cell
    return terms
