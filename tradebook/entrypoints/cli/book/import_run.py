"""The two ways to book the rows of a file: every row or none, or every row that can be booked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from tradebook.domain.imports import Import, ImportSource, ImportStatus
from tradebook.entrypoints.cli.book import import_flows
from tradebook.entrypoints.cli.book.import_flows import BookedFlows
from tradebook.entrypoints.cli.book.row_order import OrderedRows
from tradebook.entrypoints.cli.book.trade_files import BadRow, PlainRows, Row, TradeFile
from tradebook.entrypoints.cli.messages import counted
from tradebook.service_layer.book import Book
from tradebook.service_layer.handlers import ImportedTrades
from tradebook.service_layer.handlers.importing import import_part
from tradebook.service_layer.handlers.imports import begin_import, finish_import
from tradebook.service_layer.instrumentation import ProgressCallback
from tradebook.service_layer.ports.paging import BATCH_OF_TRADES
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork
from tradebook.venues.errors import ImportRefused

MAX_SHOWN: Final = 20
_MAX_BAD: Final = 100
_FILL: Final = {"action", "quantity", "price", "executed_at"}  # differ between fills of one order
_ROW_ERRORS: Final = (DuplicateRecord, InstrumentMismatch, InvalidInput, InvalidTransition)
"""The errors that concern one row; any other stops the import."""


@define
class Checked:
    """The result of reading a file, which books nothing.

    Attributes:
        good: the number of rows that are valid without regard to the book.
        bad: the invalid rows, in the order of the file.
    """

    good: int = 0
    bad: list[BadRow] = field(factory=list)


@define
class FileImport:
    """The result of booking the rows of a file.

    Attributes:
        booked: the number of trades that are new.
        duplicates: the number of trades that were booked before, with the same terms.
        refused: the rows that the book refused.
        symbols: the symbols of the positions that changed.
        import_id: the id of the import on record.
        flows: the cash flows of the file.
    """

    import_id: int
    booked: int = 0
    duplicates: int = 0
    refused: list[BadRow] = field(factory=list)
    symbols: set[str] = field(factory=set)
    flows: BookedFlows = field(factory=BookedFlows)

    def add(self, imported: ImportedTrades) -> None:
        """Add the counts of a batch."""
        self.booked += imported.booked
        self.duplicates += imported.duplicates
        self.symbols |= imported.symbols


def check(
    file: TradeFile, rows: OrderedRows | None, report: ProgressCallback, *, skip_bad: bool
) -> Checked:
    """Check every row of a file, and keep the good ones in `rows`; without `skip_bad` an error lists the bad rows."""
    checked = Checked()
    reported = 0
    for part in file.parts():
        if isinstance(part, BadRow):
            checked.bad.append(part)
            if len(checked.bad) >= _MAX_BAD and not skip_bad:
                break
        elif isinstance(part, PlainRows):
            checked.good += len(part.lines)
            if rows is not None:
                rows.add_all(part)
        else:
            checked.good += 1
            if rows is not None:
                rows.add(part)
        done = (checked.good + len(checked.bad)) // BATCH_OF_TRADES
        if done > reported:
            reported = done
            report(file.text.position, file.text.size)
    if checked.bad and not skip_bad:
        raise _bad_file(file, checked.bad)
    return checked


def book_what_can_be(
    book: Book,
    file: TradeFile,
    rows: Iterable[Row],
    checked: Checked,
    source: ImportSource,
    report: ProgressCallback,
) -> FileImport:
    """Book batches, each in a unit of work of its own, without the rows that the book refuses."""
    imported = book.run(begin_import, source)
    done = FileImport(imported.id)
    remaining = iter(rows)
    while batch := list(islice(remaining, BATCH_OF_TRADES)):
        _book_or_halve(book, file, imported, batch, done)
        report(done.booked + done.duplicates + len(done.refused), checked.good)
    done.flows = import_flows.book_what_can_be(book, file, imported)
    book.run(
        finish_import,
        imported.id,
        booked=done.booked,
        duplicates=done.duplicates,
        skipped=len(checked.bad) + len(done.refused) + len(done.flows.refused),
    )
    return done


def book_all(
    uow: AbstractUnitOfWork,
    file: TradeFile,
    rows: Iterable[Row],
    checked: Checked,
    source: ImportSource | Import,
    report: ProgressCallback,
) -> FileImport:
    """Book every row in one unit of work, or none; the error names the line of a refused row.

    Of a file that an import booked before, which is its `source` then, no row may be new.
    """
    is_known = isinstance(source, Import)
    record = source if isinstance(source, Import) else begin_import(uow, source)

    def progress(booked: int, _read: int) -> None:
        report(booked, checked.good)

    terms = (row.terms for row in rows)
    try:
        imported = import_part(uow, record, terms, progress=progress, batch=BATCH_OF_TRADES)
    except _ROW_ERRORS as error:
        if error.index is None:
            raise
        row = next(islice(rows, error.index, None))
        raise _bad_file(file, [refused_row(file, row, error)]) from None
    done = FileImport(record.id)
    done.add(imported)
    done.flows = import_flows.book_all(uow, file, record)
    if not is_known:
        finish_import(uow, record.id, booked=done.booked, duplicates=done.duplicates)
    elif done.booked or done.flows.booked:
        new = counted(done.booked, "trade")
        if done.flows.booked:
            new = f"{new} and {counted(done.flows.booked, 'cash flow')}"
        raise ImportRefused(
            f"{known(file, record)}, but read as it is told to be now, {new} of it would "
            f"be new; nothing was booked. {undo_first(record)}"
        )
    return done


def imported_before(book: Book, digest: str) -> Import | None:
    """Return the import that booked the whole of this file, unless it was undone."""
    found = book.get_imports(status=ImportStatus.FINISHED, digest=digest)
    return next((imported for imported in found if not imported.skipped), None)


def known(file: TradeFile, before: Import) -> str:
    """Say that a file was imported before."""
    return (
        f"{file.name} is the file of import {before.id}, of {before.started_at:%Y-%m-%d %H:%M} UTC"
    )


def undo_first(before: Import) -> str:
    """Say how a file that was imported before is imported anew."""
    return f"To import it anew, undo that first: tradebook imports undo {before.id} --reason TEXT"


def _book_or_halve(
    book: Book, file: TradeFile, imported: Import, batch: Sequence[Row], done: FileImport
) -> None:
    """Book a batch; if the book refuses it, book its halves, down to the rows that it refuses."""
    try:
        done.add(book.run(import_part, imported, [row.terms for row in batch]))
    except _ROW_ERRORS as error:
        if len(batch) == 1:
            done.refused.append(refused_row(file, batch[0], error))
            return
        middle = len(batch) // 2  # one bad row among n costs about 2 log2(n) smaller batches
        _book_or_halve(book, file, imported, batch[:middle], done)
        _book_or_halve(book, file, imported, batch[middle:], done)


def refused_row(file: TradeFile, row: Row, error: TradebookError) -> BadRow:
    """Say which row the book refuses, and why."""
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
