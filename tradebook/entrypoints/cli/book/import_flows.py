"""The cash flows of a file, booked after its trades as a part of the same import."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, field

from tradebook.domain.cash import CashFlow, numbered_references
from tradebook.domain.imports import Import, ImportStatus
from tradebook.entrypoints.cli.book.import_refusals import ROW_ERRORS, refused_file, refused_row
from tradebook.entrypoints.cli.book.trade_files import BadRow, TradeFile
from tradebook.entrypoints.cli.book.venue_files import FlowFile, FlowRow
from tradebook.service_layer.book import Book
from tradebook.service_layer.handlers import record_cash_flow
from tradebook.service_layer.handlers.imports import part_of
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


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
        except ROW_ERRORS as error:
            raise refused_file(file, [refused_row(file, row, error)]) from None
    return flows


def book_what_can_be(book: Book, file: TradeFile, imported: Import) -> BookedFlows:
    """Book the cash flows of a file as a part of an import, without those that the book refuses."""
    flows = BookedFlows()
    for row in flows_of(file):
        try:
            book.run(_book, row, imported, flows)
        except ROW_ERRORS as error:
            flows.refused.append(refused_row(file, row, error))
    return flows


def flows_of(file: TradeFile) -> Iterator[FlowRow]:
    """Read the cash flows of a file; most have none."""
    return file.flows() if isinstance(file, FlowFile) else iter(())


def _book(uow: AbstractUnitOfWork, row: FlowRow, imported: Import, done: BookedFlows) -> None:
    reference, is_known = free_reference(uow, row.terms["reference"])
    with part_of(uow, imported):
        record_cash_flow(uow, **{**row.terms, "reference": reference})
    done.duplicates += is_known
    done.booked += not is_known


def free_reference(uow: AbstractUnitOfWork, wanted: str) -> tuple[str, bool]:
    """Return the reference to record a cash flow under, and whether one is recorded under it.

    A reference stays taken when its cash flow is busted. Where the undo of an import busted it, the cash flow comes again
    under the next one: `w-1`, `w-1 #2`.
    """
    for reference in numbered_references(wanted):
        recorded = uow.cash_flows.page(limit=1, reference=reference)
        if not recorded or not _was_undone(uow, recorded[0]):
            return reference, bool(recorded)
    raise AssertionError  # pragma: no cover  # they have no end


def _was_undone(uow: AbstractUnitOfWork, flow: CashFlow) -> bool:
    if not uow.cash_flows.count(reference=flow.reversal_reference, busts_id=flow.id):
        return False
    first = uow.events.of(CashFlow.__name__, flow.id)[0]
    status = ImportStatus.UNDONE
    return uow.imports.count(reference=first.correlation_id, status=status) > 0
