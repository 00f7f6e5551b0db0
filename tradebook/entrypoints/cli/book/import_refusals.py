"""The rows of a file that the book refuses, as messages that say where they are, why, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tradebook.domain.errors import (
    DuplicateRecord,
    InstrumentMismatch,
    InvalidInput,
    InvalidTransition,
    TradebookError,
)
from tradebook.entrypoints.cli.book.trade_files import BadRow, Row, TradeFile
from tradebook.entrypoints.cli.book.venue_files import FlowRow
from tradebook.entrypoints.cli.messages import counted
from tradebook.venues.errors import ImportRefused

MAX_SHOWN: Final = 20
MAX_BAD: Final = 100
ROW_ERRORS: Final = (DuplicateRecord, InstrumentMismatch, InvalidInput, InvalidTransition)
"""The errors that concern one row; any other stops the import."""
_FILL: Final = {"action", "quantity", "price", "executed_at"}  # differ between fills of one order


def refused_row(file: TradeFile, row: Row | FlowRow, error: TradebookError) -> BadRow:
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
    column = row.headers.get(term, term) if isinstance(row, FlowRow) else file.column_of(term)
    return BadRow(row.line, column, str(value), reason, file.unit)


def refused_file(file: TradeFile, bad: Sequence[BadRow]) -> ImportRefused:
    """Return the error that lists the bad rows of a file of which nothing was booked."""
    at_least = "at least " if len(bad) >= MAX_BAD else ""
    lines = [f"{file.name}: {at_least}{counted(len(bad), 'bad row')}; nothing was booked"]
    lines += [f"  {row}" for row in bad[:MAX_SHOWN]]
    if len(bad) > MAX_SHOWN:
        lines.append(f"  and {len(bad) - MAX_SHOWN} more")
    lines.append("Correct the file, or book its other rows with --skip-bad.")
    return ImportRefused(*lines)
