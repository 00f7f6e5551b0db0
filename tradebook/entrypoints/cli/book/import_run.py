"""Booking a file of trades: all of it or nothing, or all that can be booked."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from attrs import define, field

from tradebook.domain.errors import (
    DuplicateRecord,
    InstrumentMismatch,
    InvalidInput,
    InvalidTransition,
    TradebookError,
)
from tradebook.entrypoints.cli.book.trade_files import BadRow, ImportRefused, Row, TradeFile
from tradebook.entrypoints.cli.output import counted
from tradebook.service_layer.book import Book
from tradebook.service_layer.handlers import ImportedTrades, TradeTerms, import_trades, record_trade
from tradebook.service_layer.instrumentation import ProgressCallback
from tradebook.service_layer.ports.paging import BATCH_OF_TRADES
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

MAX_SHOWN: Final = 20
_MAX_BAD: Final = 100
_FILL: Final = {"action", "quantity", "price", "executed_at"}
_ROW_ERRORS: Final = (DuplicateRecord, InstrumentMismatch, InvalidInput, InvalidTransition)
"""What one row can be refused for; anything else stops the import."""


@define
class Checked:
    """What the first reading of a file found.

    Attributes:
        good: rows that can be booked, as far as the file alone can tell.
        repeated: rows that name a fill that an earlier row names too.
        bad: the others, in the order of the file.
    """

    good: int = 0
    repeated: int = 0
    bad: list[BadRow] = field(factory=list)


@define
class Booked:
    """What the second reading did.

    Attributes:
        booked: trades that are new.
        duplicates: trades that were booked before, on the same terms.
        refused: rows that the book refused.
        symbols: whose positions moved.
    """

    booked: int = 0
    duplicates: int = 0
    refused: list[BadRow] = field(factory=list)
    symbols: set[str] = field(factory=set)

    def add(self, imported: ImportedTrades) -> None:
        """Count a batch."""
        self.booked += imported.booked
        self.duplicates += imported.duplicates
        self.symbols |= imported.symbols

    @property
    def rows(self) -> int:
        """How many rows were dealt with."""
        return self.booked + self.duplicates + len(self.refused)


def check(file: TradeFile, report: ProgressCallback, *, skip_bad: bool) -> Checked:
    """Read the whole file once, and book nothing.

    Raises:
        ImportRefused: the file cannot be read; or rows are bad, which it lists, and `skip_bad` is
            not set.
    """
    checked = Checked()
    for number, row in enumerate(file.rows(), 1):
        if isinstance(row, BadRow):
            checked.bad.append(row)
            if len(checked.bad) >= _MAX_BAD and not skip_bad:
                break
        else:
            checked.good += 1
            checked.repeated += row.repeats
        if number % BATCH_OF_TRADES == 0:
            report(file.position, file.size)
    if checked.bad and not skip_bad:
        raise _bad_file(file, checked.bad)
    return checked


def book_all(book: Book, file: TradeFile, total: int, report: ProgressCallback) -> Booked:
    """Book every row in one unit of work, or none.

    Raises:
        ImportRefused: the book refuses a row; the message names its line.
    """
    return book.run(_book_all, file, total, report)


def book_what_can_be(book: Book, file: TradeFile, total: int, report: ProgressCallback) -> Booked:
    """Book in batches, each in a unit of work of its own, and pass over the rows that are refused."""
    done = Booked()
    for batch in _batches(row for row in file.rows() if isinstance(row, Row)):
        _book_or_halve(book, file, batch, done)
        report(done.rows, total)
    return done


def _book_all(
    uow: AbstractUnitOfWork, file: TradeFile, total: int, report: ProgressCallback
) -> Booked:
    waiting: deque[Row] = deque()
    dealt_with = 0

    def terms() -> Iterator[TradeTerms]:
        for row in file.rows():
            if isinstance(row, BadRow):
                raise ImportRefused(f"{file.name} changed while it was read; nothing was booked")
            waiting.append(row)
            yield row.terms

    def progress(rows: int, _read: int) -> None:
        nonlocal dealt_with
        for _ in range(rows - dealt_with):
            waiting.popleft()
        dealt_with = rows
        report(rows, total)

    done = Booked()
    try:
        done.add(import_trades(uow, terms(), progress=progress, batch=BATCH_OF_TRADES))
    except _ROW_ERRORS as error:
        bad = _first_refused(uow, file, waiting)
        raise _bad_file(file, [bad]) if bad else error from None
    return done


def _first_refused(uow: AbstractUnitOfWork, file: TradeFile, rows: Iterable[Row]) -> BadRow | None:
    """The row that an import was refused for.

    In the same unit of work, which will not be committed: what is booked already is recognised.
    """
    for row in rows:
        try:
            record_trade(uow, **row.terms)
        except _ROW_ERRORS as error:
            return _refused(file, row, error)
    return None


def _book_or_halve(book: Book, file: TradeFile, batch: Sequence[Row], done: Booked) -> None:
    """Book a batch; when it is refused, its halves, down to the rows that cannot be booked."""
    try:
        done.add(book.import_trades([row.terms for row in batch]))
    except _ROW_ERRORS as error:
        if len(batch) == 1:
            done.refused.append(_refused(file, batch[0], error))
            return
        middle = len(batch) // 2
        _book_or_halve(book, file, batch[:middle], done)
        _book_or_halve(book, file, batch[middle:], done)


def _refused(file: TradeFile, row: Row, error: TradebookError) -> BadRow:
    term, reason = "", str(error)
    if isinstance(error, InvalidInput):
        term, reason = error.field, f"expected {error.expected}"
    elif isinstance(error, InstrumentMismatch):
        term = error.field
    elif isinstance(error, DuplicateRecord):
        term = next(iter(error.differences), "")
        if error.differences.keys() & _FILL:
            reason += "; fills of one order need an execution_id each"
    value = row.terms.get(term, "")
    return BadRow(row.line, file.column_of(term), str(value), reason)


def _bad_file(file: TradeFile, bad: Sequence[BadRow]) -> ImportRefused:
    count = counted(len(bad), "bad row")
    lines = [f"  {row}" for row in bad[:MAX_SHOWN]]
    if len(bad) > MAX_SHOWN:
        lines.append(f"  and {len(bad) - MAX_SHOWN} more")
    at_least = "at least " if len(bad) >= _MAX_BAD else ""
    return ImportRefused(
        "\n".join(
            [
                f"{file.name}: {at_least}{count}; nothing was booked",
                *lines,
                "Mend the file, or book the rest of it with --skip-bad.",
            ]
        )
    )


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, BATCH_OF_TRADES)):
        yield batch
