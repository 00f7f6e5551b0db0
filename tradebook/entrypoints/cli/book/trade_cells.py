"""The cells of a row as terms for `record_trade`, read as the options of `import` say."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import field, frozen

from tradebook.domain.errors import InvalidInput, shown
from tradebook.domain.numbers import number
from tradebook.entrypoints.cli.book.trade_columns import (
    DETAILS,
    REQUIRED_OF,
    Column,
    FileKind,
)
from tradebook.venues.cells import CellReader, split_unit
from tradebook.venues.errors import CellRefused
from tradebook.venues.records import TIMES

NUMBERS: Final = ("quantity", "price", "fee", "multiplier", "amount")
_NAMES: Final = ("action", "settlement", "status", "kind")
_READ: Final = frozenset((*_NAMES, *TIMES, DETAILS))
"""The terms whose cells are read; those of all others are taken as they are, unless an option says otherwise."""
_UNIT_OF: Final = {
    "quantity": "asset",
    "price": "currency",
    "fee": "fee_currency",
    "amount": "currency",
}
"""The term that the unit of a number is."""


@frozen
class RowReader:
    """Makes terms of the cells of a row.

    Attributes:
        cells: reads numbers and times.
        ignores_others: whether columns that are no term are left out.
        details: names of the columns that are kept in `details`.
        negated: the numbers whose sign is changed, such as fees that the file has below zero.
        signed: whether the sign of the quantity says what was done: above zero is a purchase.
        units: whether numbers may have a unit.
        constants: terms of rows that have none.
        kind: what the rows are.
    """

    cells: CellReader = field(factory=CellReader)
    ignores_others: bool = False
    details: Collection[str] = ()
    negated: Collection[str] = ()
    signed: bool = False
    units: bool = False
    constants: Mapping[str, str] = field(factory=dict)
    kind: FileKind = FileKind.TRADES
    required: Collection[str] = field(init=False)
    _is_plain: bool = field(init=False)

    @required.default
    def _all_that_must_be(self) -> tuple[str, ...]:
        required = REQUIRED_OF[self.kind]
        return tuple(term for term in required if not (self.signed and term == "action"))

    @_is_plain.default
    def _no_option(self) -> bool:
        return self.cells.is_default and not (self.negated or self.signed or self.units)

    def terms(self, cells: Sequence[str], columns: Sequence[Column]) -> dict[str, Any]:
        """Read the cells that are not empty.

        Raises:
            CellRefused: a cell cannot be read.
        """
        terms: dict[str, Any] = {}
        is_plain = self._is_plain
        for place, term, header in columns:
            cell = cells[place].strip()
            if cell and is_plain and term not in _READ:
                terms[term] = cell
            elif not cell:
                if term in self.required:
                    raise CellRefused(header, "", "it is empty, and required")
            elif term in _NAMES:
                terms[term] = cell.upper()
            elif term in TIMES:
                terms[term] = self._time(header, cell)
            elif term == DETAILS:
                terms.setdefault(DETAILS, {})[header] = cell
            elif term not in NUMBERS:
                if terms.setdefault(term, cell) != cell:
                    raise CellRefused(header, cell, f"another column says {shown(terms[term])}")
            else:
                self._number(terms, term, header, cell)
        return terms

    def columns(
        self, records: Sequence[Sequence[str]], columns: Sequence[Column]
    ) -> dict[str, list[Any]] | None:
        """Read the cells of many trades column by column, which takes a third of the time; `""` for an empty one.

        Returns:
            The cells by term; None where `terms` has to read each trade, or says what is wrong with one.
        """
        if self.kind is not FileKind.TRADES or not self._is_plain or self.details:
            return None
        read: dict[str, list[Any]] = {}
        for place, term, _ in columns:
            texts = [cells[place].strip() for cells in records]
            if term in self.required and "" in texts:
                return None
            if term in _NAMES:
                texts = [text.upper() for text in texts]
            read[term] = texts
            if term in TIMES:
                try:
                    read[term] = [text and self.cells.time(text) for text in texts]
                except InvalidInput:
                    return None
        return read

    def _time(self, header: str, cell: str) -> datetime:
        try:
            return self.cells.time(cell)
        except InvalidInput:
            raise CellRefused(header, cell, f"expected {self.cells.expected_time}") from None

    def _number(self, terms: dict[str, Any], term: str, header: str, cell: str) -> None:
        text = cell
        try:
            if self.units and term in _UNIT_OF:
                text, unit = split_unit(cell)
                named = _UNIT_OF[term]
                if unit and terms.setdefault(named, unit) != unit:
                    reason = f"its unit is no {named}: another cell says {shown(terms[named])}"
                    raise CellRefused(header, cell, reason)
            value = self.cells.number(text)
        except InvalidInput as error:
            expected = self.cells.expected_number if text == cell else error.expected
            raise CellRefused(header, cell, f"expected {expected}") from None
        if term in self.negated:
            value = number(value.copy_negate())
        if term == "quantity" and self.signed:
            terms["action"] = "SELL" if value < 0 else "BUY"
            value = value.copy_abs()
        terms[term] = value
