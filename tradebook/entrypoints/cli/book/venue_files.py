"""Files of cash flows, and files of venues, which presets read into trades and cash flows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

from attrs import define, field, frozen
from typing_extensions import override

from tradebook.domain.cash import CashFlow
from tradebook.domain.errors import InvalidInput
from tradebook.domain.validation import utc_now
from tradebook.entrypoints.cli.book.trade_columns import REQUIRED
from tradebook.entrypoints.cli.book.trade_files import (
    BadRow,
    Occurrences,
    PlainRows,
    Row,
    TradeFile,
)
from tradebook.entrypoints.cli.book.venue_sources import FormRead, recognised
from tradebook.venues.errors import CellRefused
from tradebook.venues.presets import STATED, TERMS, Preset
from tradebook.venues.records import Made, RecordReader, cells_of


@frozen
class FlowRow:
    """A record as terms for `record_cash_flow`.

    Attributes:
        line: its number in the file, from 1.
        terms: the terms, with a reference.
        headers: for each term the column that it came from.
    """

    line: int
    terms: dict[str, Any]
    headers: Mapping[str, str]


@frozen
class StatedRow:
    """A record of what a venue says of the account itself, which no import books.

    Attributes:
        kind: one of the presets' `STATED`.
        terms: by name.
    """

    kind: str
    terms: dict[str, Any]


@define
class LeftOut:
    """Records that a preset cannot express, for one reason.

    Attributes:
        reason: why.
        count: how many.
        line: the number of the first of them.
    """

    reason: str
    count: int
    line: int


@define
class FlowFile(TradeFile):
    """A file of cash flows that can be read more than once."""

    @override
    def parts(self) -> Iterator[PlainRows | Row | BadRow]:
        """Read what is wrong with the cash flows: a file of them has no trades."""
        for row in super().parts():
            if isinstance(row, BadRow):
                yield row

    def flows(self) -> Iterator[FlowRow]:
        """Read every cash flow that is valid without regard to the book."""
        found: Iterator[Any] = super().parts()
        for row in found:
            if isinstance(row, FlowRow):
                yield row

    @override
    def _made(
        self,
        line: int,
        terms: dict[str, Any],
        headers: Mapping[str, str],
        occurrences: Occurrences,
    ) -> FlowRow:
        # As with trades, the currency of the command is no part of the content that makes a reference.
        if "reference" not in terms:
            terms["reference"] = occurrences.name(terms)
        if self._currency is not None:
            terms.setdefault("currency", self._currency)
        try:
            CashFlow(**terms, account="main", created_at=utc_now())
        except InvalidInput as error:
            column = headers.get(error.field, error.field)
            raise CellRefused(column, str(error.value), f"expected {error.expected}") from None
        except TypeError:
            lacks = next(name for name in ("kind", "amount") if name not in terms)
            raise CellRefused(headers.get(lacks, lacks), "", "it is empty, and required") from None
        return FlowRow(line, terms, headers)


Entries: TypeAlias = Row | FlowRow | StatedRow | BadRow


@define
class VenueFile(FlowFile):
    """A file of a venue that can be read more than once.

    Args:
        preset: the venue's.
        path: of the file; None for standard input.

    Attributes:
        left_out: what the last reading left out, by reason.
    """

    preset: Preset = field(kw_only=True)
    path: Path | None = field(kw_only=True)
    left_out: dict[str, LeftOut] = field(factory=dict, init=False)
    _headers: Mapping[str, str] = field(factory=dict, init=False)

    @override
    def column_of(self, term: str) -> str:
        """Return the name in the file of the column of a term, as in the last trade that was read."""
        return self._headers.get(term) or term

    @override
    def parts(self) -> Iterator[PlainRows | Row | BadRow]:
        """Read every trade, and what is wrong with records of any kind; count what is left out."""
        for row in self.entries():
            if isinstance(row, (Row, BadRow)):
                yield row

    @override
    def flows(self) -> Iterator[FlowRow]:
        """Read every cash flow that is valid without regard to the book."""
        for row in self.entries():
            if isinstance(row, FlowRow):
                yield row

    def entries(self) -> Iterator[Entries]:
        """Read every entry, and what is wrong with records of any kind; count what is left out."""
        self.left_out = {}
        found = recognised(self.preset, self.text, self.path, self._mapping)
        with closing(Occurrences()) as occurrences:
            for each in found:
                yield from self._read(each, occurrences)

    def _read(self, read: FormRead, occurrences: Occurrences) -> Iterator[Entries]:
        reader = RecordReader(self.preset, read.form, cells_of(read.form, self._rows.cells))
        self.unit = read.unit
        for line, record in read.records:
            try:
                if isinstance(record, int):
                    reason = f"it has {record} cells where the header has {read.width}"
                    raise CellRefused("", "", reason)
                # All entries of a record or none: the amount without its fee would be wrong.
                yield from [
                    self._entry(line, made, record, occurrences)
                    for made in list(reader.entries(record))
                    if not self._leave_out(line, made)
                ]
            except CellRefused as bad:
                column, value, reason = bad.args
                yield BadRow(line, column, value, reason, self.unit)
            except sqlite3.Error as error:
                raise self._no_space(line, error) from error

    def _leave_out(self, line: int, made: Made) -> bool:
        if made.kind != "left-out":
            return False
        known = self.left_out.setdefault(made.reason, LeftOut(made.reason, 0, line))
        known.count += 1
        return True

    def _entry(
        self, line: int, made: Made, record: Mapping[str, str], occurrences: Occurrences
    ) -> Row | FlowRow | StatedRow:
        if made.kind in STATED:
            if lacks := next(
                (term for term in TERMS[made.kind][1] if term not in made.terms), None
            ):
                raise CellRefused(
                    made.headers[lacks], "", f"it is empty, and required: the {lacks}"
                )
            return StatedRow(made.kind, made.terms)
        if made.kind == "trade":
            kept = {name: record[name] for name in self._rows.details if record.get(name)}
            if kept:
                made.terms["details"] = {**made.terms.get("details", {}), **kept}
            for term in REQUIRED:
                if term not in made.terms:
                    raise CellRefused(
                        made.headers.get(term, term), "", f"it is empty, and required: the {term}"
                    )
            for term, value in self._rows.constants.items():
                made.terms.setdefault(term, value)
            self._headers = made.headers
            return self._checked(line, made.terms, made.headers, occurrences)
        return self._made(line, made.terms, made.headers, occurrences)
