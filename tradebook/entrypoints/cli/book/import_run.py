"""The two ways to book a file of trades: every row or none, or every row that can be booked."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
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
from tradebook.entrypoints.cli.book.trade_files import BadRow, Row, TradeFile
from tradebook.entrypoints.cli.book.trade_text import ImportRefused
from tradebook.entrypoints.cli.messages import counted
from tradebook.service_layer.book import Book
from tradebook.service_layer.handlers import ImportedTrades, TradeTerms, import_trades
from tradebook.service_layer.instrumentation import ProgressCallback
from tradebook.service_layer.ports.paging import BATCH_OF_TRADES
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

MAX_SHOWN: Final = 20
_MAX_BAD: Final = 100
_FILL: Final = {"action", "quantity", "price", "executed_at"}  # differ between fills of one order
_ROW_ERRORS: Final = (DuplicateRecord, InstrumentMismatch, InvalidInput, InvalidTransition)
"""The errors that concern one row; any other stops the import."""


@define
class Checked:
    """The result of the first pass over a file, which books nothing.

    Attributes:
        good: the number of rows that are valid without regard to the book.
        repeated: the number of rows that name the same fill as an earlier row.
        bad: the invalid rows, in the order of the file.
    """

    good: int = 0
    repeated: int = 0
    bad: list[BadRow] = field(factory=list)


@define
class FileImport:
    """The result of the second pass over a file, which books its rows.

    Attributes:
        booked: the number of trades that are new.
        duplicates: the number of trades that were booked before, with the same terms.
        refused: the rows that the book refused.
        symbols: the symbols of the positions that changed.
    """

    booked: int = 0
    duplicates: int = 0
    refused: list[BadRow] = field(factory=list)
    symbols: set[str] = field(factory=set)

    def add(self, imported: ImportedTrades) -> None:
        """Add the counts of a batch."""
        self.booked += imported.booked
        self.duplicates += imported.duplicates
        self.symbols |= imported.symbols


def check(file: TradeFile, report: ProgressCallback, *, skip_bad: bool) -> Checked:
    """Check every row of a file, and book nothing; without `skip_bad` an error lists the bad rows."""
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
            report(file.text.position, file.text.size)
    if checked.bad and not skip_bad:
        raise _bad_file(file, checked.bad)
    return checked


def book_what_can_be(
    book: Book, file: TradeFile, total: int, report: ProgressCallback
) -> FileImport:
    """Book batches, each in a unit of work of its own, without the rows that the book refuses."""
    done = FileImport()
    rows = (row for row in file.rows() if isinstance(row, Row))
    while batch := list(islice(rows, BATCH_OF_TRADES)):
        _book_or_halve(book, file, batch, done)
        report(done.booked + done.duplicates + len(done.refused), total)
    return done


def book_all(
    uow: AbstractUnitOfWork, file: TradeFile, total: int, report: ProgressCallback
) -> FileImport:
    """Book every row in one unit of work, or none; the error names the line of a refused row."""
    # Rows whose batch is not booked yet: the refused one is among them.
    waiting: deque[Row] = deque()
    done_before = 0

    def terms() -> Iterator[TradeTerms]:
        for row in file.rows():
            if isinstance(row, BadRow):
                raise ImportRefused(f"{file.name} changed while it was read; nothing was booked")
            waiting.append(row)
            yield row.terms

    def progress(rows: int, _read: int) -> None:
        nonlocal done_before
        for _ in range(rows - done_before):
            waiting.popleft()
        done_before = rows
        report(rows, total)

    done = FileImport()
    try:
        done.add(import_trades(uow, terms(), progress=progress, batch=BATCH_OF_TRADES))
    except _ROW_ERRORS as error:
        if error.index is None:
            raise
        row = waiting[error.index - done_before]
        raise _bad_file(file, [_refused(file, row, error)]) from None
    return done


def _book_or_halve(book: Book, file: TradeFile, batch: Sequence[Row], done: FileImport) -> None:
    """Book a batch; if the book refuses it, book its halves, down to the rows that it refuses."""
    try:
        done.add(book.import_trades([row.terms for row in batch]))
    except _ROW_ERRORS as error:
        if len(batch) == 1:
            done.refused.append(_refused(file, batch[0], error))
            return
        middle = len(batch) // 2  # one bad row among n costs about 2 log2(n) smaller batches
        _book_or_halve(book, file, batch[:middle], done)
        _book_or_halve(book, file, batch[middle:], done)


def _refused(file: TradeFile, row: Row, error: TradebookError) -> BadRow:
    term, reason = "", str(error.args[0])  # without the index in the list, which the line replaces
    if isinstance(error, InvalidInput):
        term, reason = error.field, f"expected {error.expected}"
    elif isinstance(error, InstrumentMismatch):
        term = error.field
    elif isinstance(error, DuplicateRecord):
        term = next(iter(error.differences), "")
        if error.differences.keys() & _FILL:
            reason += "; fills of one order need an execution_id each"
    value = row.terms.get(term, "")
    return BadRow(row.line, file.column_of(term), str(value), reason, file.unit)


def _bad_file(file: TradeFile, bad: Sequence[BadRow]) -> ImportRefused:
    at_least = "at least " if len(bad) >= _MAX_BAD else ""
    lines = [f"{file.name}: {at_least}{counted(len(bad), 'bad row')}; nothing was booked"]
    lines += [f"  {row}" for row in bad[:MAX_SHOWN]]
    if len(bad) > MAX_SHOWN:
        lines.append(f"  and {len(bad) - MAX_SHOWN} more")
    lines.append("Correct the file, or book its other rows with --skip-bad.")
    return ImportRefused(*lines)
