"""The cash flows of a file, booked after its trades in the same unit of work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import define, field

from tradebook.domain.errors import DuplicateRecord, InvalidInput, InvalidTransition, TradebookError
from tradebook.entrypoints.cli.book import import_run
from tradebook.entrypoints.cli.book.import_run import FileImport
from tradebook.entrypoints.cli.book.trade_files import BadRow, TradeFile
from tradebook.entrypoints.cli.book.venue_files import FlowFile, FlowRow
from tradebook.service_layer.book import Book
from tradebook.service_layer.handlers import record_cash_flow
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork
from tradebook.venues.errors import ImportRefused

_ROW_ERRORS = (DuplicateRecord, InvalidInput, InvalidTransition)
"""The errors that concern one cash flow; any other stops the import."""


@define
class BookedFlows:
    """The cash flows of a file.

    Attributes:
        booked: the number of those that are new.
        duplicates: the number of those that were booked before, with the same terms.
        refused: the records that the book refused.
    """

    booked: int = 0
    duplicates: int = 0
    refused: list[BadRow] = field(factory=list)


def book_all(
    uow: AbstractUnitOfWork, file: TradeFile, *arguments: Any
) -> tuple[FileImport, BookedFlows]:
    """Book every trade and cash flow of a file, or none; see `import_run.book_all` for the other arguments."""
    booked, flows = import_run.book_all(uow, file, *arguments), BookedFlows()
    for row in _flows(file):
        try:
            _book(uow, row, flows)
        except _ROW_ERRORS as error:
            raise ImportRefused(
                f"{file.name}: nothing was booked", f"  {_refused(file, row, error)}"
            ) from None
    return booked, flows


def book_what_can_be(
    book: Book, file: TradeFile, *arguments: Any
) -> tuple[FileImport, BookedFlows]:
    """Book trades and cash flows without those that the book refuses."""
    booked, flows = import_run.book_what_can_be(book, file, *arguments), BookedFlows()
    for row in _flows(file):
        try:
            book.run(_book, row, flows)
        except _ROW_ERRORS as error:
            flows.refused.append(_refused(file, row, error))
    return booked, flows


def _flows(file: TradeFile) -> Iterator[FlowRow]:
    return file.flows() if isinstance(file, FlowFile) else iter(())


def _book(uow: AbstractUnitOfWork, row: FlowRow, done: BookedFlows) -> None:
    is_known = any(uow.cash_flows.page(limit=1, reference=row.terms["reference"]))
    record_cash_flow(uow, **row.terms)
    done.duplicates += is_known
    done.booked += not is_known


def _refused(file: TradeFile, row: FlowRow, error: TradebookError) -> BadRow:
    term = error.field if isinstance(error, InvalidInput) else ""
    header = row.headers.get(term, term)
    return BadRow(row.line, header, str(row.terms.get(term, "")), str(error.args[0]), file.unit)
