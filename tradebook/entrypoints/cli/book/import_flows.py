"""The cash flows of a file, booked after its trades as a part of the same import."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import define, field

from tradebook.domain.errors import DuplicateRecord, InvalidInput, InvalidTransition, TradebookError
from tradebook.domain.imports import Import
from tradebook.entrypoints.cli.book.trade_files import BadRow, TradeFile
from tradebook.entrypoints.cli.book.venue_files import FlowFile, FlowRow
from tradebook.service_layer.book import Book
from tradebook.service_layer.handlers import record_cash_flow
from tradebook.service_layer.handlers.imports import part_of
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork
from tradebook.venues.errors import ImportRefused

_ROW_ERRORS: Final = (DuplicateRecord, InvalidInput, InvalidTransition)
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


def book_all(uow: AbstractUnitOfWork, file: TradeFile, imported: Import) -> BookedFlows:
    """Book every cash flow of a file as a part of an import; the error names the line of a refused one."""
    flows = BookedFlows()
    for row in flows_of(file):
        try:
            _book(uow, row, imported, flows)
        except _ROW_ERRORS as error:
            refused = _refused(file, row, error)
            raise ImportRefused(f"{file.name}: nothing was booked", f"  {refused}") from None
    return flows


def book_what_can_be(book: Book, file: TradeFile, imported: Import) -> BookedFlows:
    """Book the cash flows of a file as a part of an import, without those that the book refuses."""
    flows = BookedFlows()
    for row in flows_of(file):
        try:
            book.run(_book, row, imported, flows)
        except _ROW_ERRORS as error:
            flows.refused.append(_refused(file, row, error))
    return flows


def flows_of(file: TradeFile) -> Iterator[FlowRow]:
    """Read the cash flows of a file; most have none."""
    return file.flows() if isinstance(file, FlowFile) else iter(())


def _book(uow: AbstractUnitOfWork, row: FlowRow, imported: Import, done: BookedFlows) -> None:
    is_known = any(uow.cash_flows.page(limit=1, reference=row.terms["reference"]))
    with part_of(uow, imported):
        record_cash_flow(uow, **row.terms)
    done.duplicates += is_known
    done.booked += not is_known


def _refused(file: TradeFile, row: FlowRow, error: TradebookError) -> BadRow:
    term = error.field if isinstance(error, InvalidInput) else ""
    header = row.headers.get(term, term)
    return BadRow(row.line, header, str(row.terms.get(term, "")), str(error.args[0]), file.unit)
