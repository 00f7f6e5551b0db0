"""Files of trades: CSV, plain or gzip, read row by row into terms for `record_trade`."""

from __future__ import annotations

import csv
import json
import shlex
import sqlite3
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from hashlib import sha256
from itertools import chain
from typing import IO, Any, Final, NamedTuple, cast

from attrs import define, field, frozen

from tradebook.domain.errors import InvalidInput, shown
from tradebook.domain.trades import Trade
from tradebook.domain.validation import utc
from tradebook.entrypoints.cli.book.trade_text import MAX_BLANK_LINES, TradeText
from tradebook.entrypoints.cli.output import jsonable
from tradebook.service_layer.handlers import TradeTerms
from tradebook.service_layer.handlers.new_fills import FillReader

REQUIRED: Final = ("symbol", "action", "quantity", "price")
_OPTIONAL: Final = "fee fee_currency currency multiplier settlement asset executed_at order_id execution_id venue strategy"
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


def delimiter_of(header: str) -> str:
    """Return the delimiter of a CSV file: the one that its first line has most of, a comma by default."""
    return max(_DELIMITERS, key=header.count)


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
        text: the file's text, which counts what was read of it.
    """

    name: str
    _file: IO[bytes]
    _mapping: Mapping[str, str] = field(factory=dict, kw_only=True)
    _ignored: Collection[str] = field(default=(), kw_only=True)
    _currency: str | None = field(default=None, kw_only=True)
    _reader: FillReader = field(factory=FillReader, init=False)
    text: TradeText = field(init=False)

    @text.default
    def _as_text(self) -> TradeText:
        return TradeText(self.name, self._file)

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
                except sqlite3.Error as error:
                    raise self.text.refused(
                        f"line {line}: what was read cannot be kept in a temporary file ({error}); free "
                        "space there, or set TMPDIR"
                    ) from error

    def column_of(self, term: str) -> str:
        """Return the name in the file of the column of a term."""
        return next((theirs for theirs, ours in self._mapping.items() if ours == term), term)

    def _header(self, records: Iterator[tuple[int, list[str]]]) -> tuple[list[str], list[_Column]]:
        _, cells = next(records, (0, []))
        if not cells:
            raise self.text.refused(f"it is empty; begin with a line such as {','.join(REQUIRED)}")
        header = [cell.strip() for cell in cells]
        named = [
            _Column(place, self._mapping.get(theirs, _normal(theirs)), theirs)
            for place, theirs in enumerate(header)
            if theirs not in self._ignored
        ]
        columns = [column for column in named if column.term in COLUMNS]
        unknown = [column.header for column in named if column.term not in COLUMNS]
        if problem := _header_problem(header, self._mapping, columns, unknown):
            raise self.text.refused(problem)
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
        with self.text.lines() as lines:
            try:
                first = lines.first()
                if lines.row > MAX_BLANK_LINES:
                    raise self.text.refused(
                        f"it begins with more than {MAX_BLANK_LINES:,} blank lines"
                    )
                reader = csv.reader(
                    chain([first], lines),
                    delimiter=delimiter_of(first),
                    skipinitialspace=True,
                    strict=True,
                )
                for cells in reader:
                    if any(cell.strip() for cell in cells):
                        yield lines.row, cells
                    lines.begin_row()
            except csv.Error as error:
                raise self.text.refused(
                    f"line {lines.row}: {error}; is a quotation mark open or out of place?"
                ) from None


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
                terms[term] = utc(cell)
            except InvalidInput:
                expected = "expected an ISO 8601 time such as 2024-05-17T14:30:00Z"
                raise _CellError(header, cell, expected) from None
        elif cell:
            terms[term] = cell
    return terms
