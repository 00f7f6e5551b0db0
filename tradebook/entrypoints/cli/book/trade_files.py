"""Files of trades, read row by row into terms for `record_trade`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from hashlib import sha256
from itertools import islice, repeat
from typing import IO, Any, Final, NamedTuple, cast

from attrs import define, field, frozen

from tradebook.domain.errors import InvalidInput, shown
from tradebook.domain.fills import FillName
from tradebook.domain.trades import Trade
from tradebook.entrypoints.cli.book.file_formats import records_of, unit_of
from tradebook.entrypoints.cli.book.trade_cells import RowReader
from tradebook.entrypoints.cli.book.trade_columns import (
    COLUMNS_OF,
    DETAILS,
    Column,
    header_problem,
    normal,
)
from tradebook.entrypoints.cli.book.trade_text import TradeText
from tradebook.entrypoints.cli.output import jsonable
from tradebook.service_layer.handlers import TradeTerms
from tradebook.service_layer.handlers.new_fills import FillReader
from tradebook.venues.errors import CellRefused, ImportRefused

_AT_ONCE: Final = 100
_UNNAMED: Final = "unnamed"
"""Stands for the order id of a row that has none, while the row is checked."""


@frozen
class BadRow:
    """A row that cannot be booked.

    Attributes:
        line: the number of its first line in the file, from 1.
        column: the column's name in the file; `""` if the row as a whole is wrong.
        value: the text of the cell.
        reason: the reason why it was refused.
        unit: what `line` counts: lines, or the records of a file that has none.
    """

    line: int
    column: str
    value: str
    reason: str
    unit: str = "line"

    def __str__(self) -> str:
        """Format the row for a message: `line 3, column quantity: 'ten': expected a number`."""
        column = f", column {self.column}" if self.column else ""
        value = f": {shown(self.value)}" if self.value or self.column else ""
        return f"{self.unit} {self.line}{column}{value}: {self.reason}"


class Row(NamedTuple):
    """A row as terms for `record_trade`.

    Attributes:
        line: the number of its first line in the file, from 1.
        terms: the terms, with the row's order id or one derived from its content.
        fill: the name of the fill, the same in another row of the same fill of the same order; `""` once it is kept.
        repeats: whether an earlier row has that name, once all rows were read.
    """

    line: int
    terms: TradeTerms
    fill: str
    repeats: bool = False


@frozen
class PlainRows:
    """Rows that were read and checked together, column by column: fills with order ids.

    Attributes:
        lines: the number of the first line of each.
        columns: the values of each term; `""` for a row that has none.
    """

    lines: Sequence[int]
    columns: Mapping[str, Sequence[Any]]

    def fills(self) -> Iterator[str]:
        """Return `Row.fill` of each."""
        parts = (self.columns.get(part) or repeat("") for part in FillName._fields)
        return map("\0".join, zip(*parts, strict=False))

    def __iter__(self) -> Iterator[Row]:
        """Make a row of each."""
        values = zip(*self.columns.values(), strict=True)
        for line, fill, each in zip(self.lines, self.fills(), values, strict=True):
            yield Row(line, terms_of(self.columns, each), fill)


def terms_of(names: Iterable[str], values: Collection[Any]) -> Any:
    """Make the terms of a row of `PlainRows`."""
    pairs = zip(names, values)  # noqa: B905, `strict` takes as long again
    return {term: value for term, value in pairs if value} if "" in values else dict(pairs)


@define
class TradeFile:
    """A file of trades that can be read more than once.

    Args:
        name: the file's name in messages.
        file: the open file, binary and seekable.
        mapping: the term for each column name that differs from it.
        ignored: the column names to leave out.
        currency: the currency of rows that name none.
        reader: reads the cells of a row.
        encoding: of the file's text; UTF-8 by default.

    Attributes:
        text: the file's text, which counts what was read of it.
        unit: what the numbers of rows count: `line`, or `record` where the file has no lines.
    """

    name: str
    _file: IO[bytes]
    _mapping: Mapping[str, str] = field(factory=dict, kw_only=True)
    _ignored: Collection[str] = field(default=(), kw_only=True)
    _currency: str | None = field(default=None, kw_only=True)
    _rows: RowReader = field(factory=RowReader, kw_only=True, alias="reader")
    _encoding: str | None = field(default=None, kw_only=True)
    _fills: FillReader = field(factory=FillReader, init=False)
    text: TradeText = field(init=False)
    unit: str = field(default="line", init=False)

    @text.default
    def _as_text(self) -> TradeText:
        return TradeText(self.name, self._file, self._encoding)

    def rows(self) -> Iterator[Row | BadRow]:
        """Read every row from the first on, as `parts` does."""
        for part in self.parts():
            if isinstance(part, PlainRows):
                yield from part
            else:
                yield part

    def parts(self) -> Iterator[PlainRows | Row | BadRow]:
        """Read every row from the first on, checked as `record_trade` checks it; many at a time where they are plain.

        Raises:
            ImportRefused: the file cannot be read, or its header is wrong.
        """
        self.unit = unit_of(self.text)
        with closing(records_of(self.text)) as records, closing(Occurrences()) as occurrences:
            header, columns = self._header(records)
            headers = {column.term: column.header for column in columns}
            while some := list(islice(records, _AT_ONCE)):
                plain = self._plain_rows(some, columns, len(header))
                if plain is not None:
                    yield plain
                    continue
                for line, cells in some:
                    try:
                        yield self._row(line, cells, columns, headers, len(header), occurrences)
                    except CellRefused as bad:
                        column, value, reason = bad.args
                        yield BadRow(line, column, value, reason, self.unit)
                    except sqlite3.Error as error:
                        raise self._no_space(line, error) from error

    def _no_space(self, line: int, error: sqlite3.Error) -> ImportRefused:
        return self.text.refused(
            f"line {line}: what was read cannot be kept in a temporary file ({error}); free space there, or set TMPDIR"
        )

    @property
    def _defaults(self) -> Mapping[str, str]:
        """The terms of rows that have none."""
        constants = self._rows.constants
        return constants if self._currency is None else {"currency": self._currency, **constants}

    def column_of(self, term: str) -> str:
        """Return the name in the file of the column of a term."""
        return next((theirs for theirs, ours in self._mapping.items() if ours == term), term)

    def _header(self, records: Iterator[tuple[int, list[str]]]) -> tuple[list[str], list[Column]]:
        _, cells = next(records, (0, []))
        if not cells:
            raise self.text.refused(
                f"it is empty; begin with a line such as {','.join(self._rows.required)}"
            )
        header = [cell.strip() for cell in cells]
        named = [
            Column(place, self._term_of(theirs), theirs)
            for place, theirs in enumerate(header)
            if theirs not in self._ignored
        ]
        known = COLUMNS_OF[self._rows.kind]
        columns = [column for column in named if column.term in (*known, DETAILS)]
        unknown = [column.header for column in named if column not in columns]
        if self._rows.ignores_others:
            unknown.clear()
        if absent := [name for name in self._rows.details if name not in header]:
            raise self.text.refused(
                f"--details names a column {absent[0]!r}; the file has {', '.join(header)}"
            )
        required = self._rows.required
        if problem := header_problem(header, self._mapping, columns, unknown, required, known):
            raise self.text.refused(problem)
        return header, columns

    def _term_of(self, theirs: str) -> str:
        if theirs in self._rows.details:
            return DETAILS
        return self._mapping.get(theirs, normal(theirs))

    # Cells to terms

    def _plain_rows(
        self, records: Sequence[tuple[int, list[str]]], columns: Sequence[Column], width: int
    ) -> PlainRows | None:
        """Read records that are valid and have order ids; None where one of them may be another."""
        if any(len(cells) != width for _, cells in records):
            return None
        read = self._rows.columns([cells for _, cells in records], columns)
        if read is None or "" in read.get("order_id", [""]) or "" in read.get("executed_at", ()):
            return None
        for term, default in self._defaults.items():
            read[term] = [value or default for value in read.get(term, [""] * len(records))]
        given = {term: set(values) - {""} for term, values in read.items()}
        return (
            PlainRows([line for line, _ in records], read) if self._fills.reads_all(given) else None
        )

    def _row(
        self,
        line: int,
        cells: Sequence[str],
        columns: Sequence[Column],
        headers: Mapping[str, str],
        width: int,
        occurrences: Occurrences,
    ) -> Row:
        if len(cells) != width:
            raise CellRefused("", "", f"it has {len(cells)} cells where the header has {width}")
        row: Row = self._made(line, self._rows.terms(cells, columns), headers, occurrences)
        return row

    def _made(
        self,
        line: int,
        terms: dict[str, Any],
        headers: Mapping[str, str],
        occurrences: Occurrences,
    ) -> Any:
        """Make a row of its terms; files of other kinds make rows of their own."""
        return self._checked(line, terms, headers, occurrences)

    def _checked(
        self,
        line: int,
        terms: dict[str, Any],
        headers: Mapping[str, str],
        occurrences: Occurrences,
    ) -> Row:
        # Constants and details are no part of the content that makes an order id: the same file imported with
        # another currency is refused as a duplicate with other terms, instead of being booked twice.
        content = () if "order_id" in terms else terms.keys() - {DETAILS}
        for term, value in self._defaults.items():
            terms.setdefault(term, value)
        given = cast("TradeTerms", terms)
        fill = self._fills.read({**given, "order_id": _UNNAMED} if content else given)
        if fill is not None:
            name, values = fill
        else:  # `Trade` says what is wrong, unless the row is an order
            try:
                trade = Trade(**terms)
            except InvalidInput as error:
                column = headers.get(error.field, error.field)
                raise CellRefused(column, str(error.value), f"expected {error.expected}") from None
            name, values = FillName.of(trade), vars(trade)
        if content:
            # The same content may stand in the file several times: each occurrence gets an order id of its own,
            # the same in every import of the file, whatever the order of its columns.
            order_id = occurrences.name({term: values[term] for term in content})
            terms["order_id"], name = order_id, name._replace(order_id=order_id)
        return Row(line, given, "\0".join(name))  # no part of a name has a NUL


class Occurrences:
    """Counts of equal contents, in a temporary database, so that memory does not grow with the file."""

    def __init__(self) -> None:
        """Begin without any."""
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

    def name(self, content: object) -> str:
        """Count a content, and return a name for this occurrence of it: the same whenever it is read again."""
        return f"row-{_digest([content, self.add(content)]).hex()[:40]}"

    def close(self) -> None:
        """Forget everything."""
        self._connection.close()


def _digest(content: object) -> bytes:
    """Return 32 bytes that identify a content, however long it is."""
    return sha256(json.dumps(content, sort_keys=True, default=jsonable).encode()).digest()
