"""Records of a venue's file as the entries that a preset says they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from attrs import evolve, frozen

from tradebook.domain.errors import InvalidInput, shown
from tradebook.domain.numbers import EXACT, ONE, number, plain
from tradebook.venues.cells import CellReader, split_unit, twenty_places
from tradebook.venues.errors import CellRefused
from tradebook.venues.presets import Entry, Form, Preset, Value

NUMBERS: Final = ("quantity", "price", "fee", "multiplier", "amount")
TIMES: Final = ("executed_at", "occurred_at", "start", "end")
_COLUMN: Final = re.compile(r"\{([^{}:]+)(?::(\w+))?\}")
"""A column in a template, with the part of it."""
_UPPER: Final = ("action", "settlement", "kind")

Record = Mapping[str, str]


@frozen
class Made:
    """An entry of a record: its terms, or the reason why it is left out.

    Attributes:
        kind: as of `Entry`.
        terms: by name.
        headers: for each term the column that it came from.
        reason: why the record is left out.
    """

    kind: str
    terms: dict[str, Any]
    headers: Mapping[str, str]
    reason: str = ""


@frozen
class RecordReader:
    """Makes entries of the records of a form.

    Attributes:
        preset: the venue's.
        form: the file's.
        cells: reads numbers and times.
    """

    preset: Preset
    form: Form
    cells: CellReader

    def entries(self, record: Record) -> Iterator[Made]:
        """Make the entries of a record: of each that matches, or the reason why there is none.

        Raises:
            CellRefused: a value cannot be read.
        """
        is_known = is_made = False
        for entry in self.form.entries:
            if not _matches(entry, record):
                continue
            is_known = True
            if entry.kind == "left-out":
                yield Made(entry.kind, {}, {}, self._described(record, entry.reason))
            elif (made := self._made(entry, record)) is not None:
                yield made
            else:
                continue
            is_made = True
        if not is_made:
            reason = "it moves nothing" if is_known else "unknown to the preset"
            yield Made("left-out", {}, {}, self._described(record, reason))

    def _described(self, record: Record, reason: str) -> str:
        shown_by = [
            f"{name} {shown(record[name])}" for name in self.form.shown_by if record.get(name)
        ]
        return f"{', '.join(shown_by)}: {reason}" if shown_by else reason

    def _made(self, entry: Entry, record: Record) -> Made | None:
        terms: dict[str, Any] = {}
        headers: dict[str, str] = {}
        for term, value in entry.terms.items():
            text, header = self._text(value, record)
            headers[term] = header
            if text:
                terms[term] = self._term(term, value, text, header)
        if entry.optional and not terms.get("amount"):
            return None
        details = {key: record[name] for key, name in entry.details.items() if record.get(name)}
        if details:
            terms["details"] = details
        return Made(entry.kind, terms, headers)

    def _text(self, value: Value, record: Record) -> tuple[str, str]:
        header = ""
        if value.value:
            text = value.value
        elif value.template:
            text = self._filled(value.template, record)
        elif value.product:
            header = value.product[-1]
            text = self._product(value.product, record)
        else:
            header = next((name for name in value.column if record.get(name)), value.column[0])
            text = record.get(header, "")
        if text and value.pattern:
            found = next((m for p in value.pattern if (m := p.search(text))), None)
            text = found[1] if found else ""
        if text and value.part:
            text = self._part(value.part, text, header)
        if value.map and (text or "" in value.map):
            text = value.map.get(text, value.map.get(text.casefold(), value.map.get("*", text)))
        return self.preset.asset(text) if value.asset else text, header

    def _filled(self, template: str, record: Record) -> str:
        """Fill the columns of a template in; empty where one of them is."""
        found = {name: record.get(name, "") for name, _ in _COLUMN.findall(template)}
        if not all(found.values()):
            return ""

        def text(match: re.Match[str]) -> str:
            name, part = match.groups()
            return self._part(part, found[name], name) if part else found[name]

        return _COLUMN.sub(text, template)

    def _product(self, names: Sequence[str], record: Record) -> str:
        product = ONE
        for alternatives in names:
            name = next((each for each in alternatives.split("|") if record.get(each)), "")
            if not name:
                return ""
            product = EXACT.multiply(product, self._number(record[name], name))
        return plain(twenty_places(product))

    def _number(self, text: str, header: str) -> Decimal:
        try:
            return self.cells.number(text)
        except InvalidInput:
            raise CellRefused(header, text, f"expected {self.cells.expected_number}") from None

    def _part(self, part: str, text: str, header: str) -> str:
        if part in ("number", "unit"):
            try:
                return split_unit(text)[part == "unit"]
            except InvalidInput as error:
                raise CellRefused(header, text, f"expected {error.expected}") from None
        pair = self.preset.split(text)
        if pair is None:
            raise CellRefused(
                header,
                text,
                f"preset {self.preset.name!r} cannot tell the asset and the currency of this pair; add a pattern to "
                "`pairs` in a preset of your own",
            )
        return {"base": pair[0], "quote": pair[1], "pair": "/".join(pair)}[part]

    def _term(self, term: str, value: Value, text: str, header: str) -> Any:
        if term in TIMES:
            try:
                return self.cells.end(text) if term == "end" else self.cells.time(text)
            except InvalidInput:
                raise CellRefused(header, text, f"expected {self.cells.expected_time}") from None
        if term not in NUMBERS:
            return text.upper() if term in _UPPER else text
        found = self._number(text, header)
        if value.scale:
            found = number(found.scaleb(value.scale, context=EXACT))
        if value.absolute:
            found = found.copy_abs()
        return number(found.copy_negate()) if value.negate else found


def cells_of(form: Form, given: CellReader) -> CellReader:
    """Return the reader of a form's cells: what the caller says counts before what the form says."""
    return evolve(
        given,
        thousands=given.thousands or form.thousands,
        date_format=given.date_format or form.date_format,
        zone=given.zone or (ZoneInfo(form.zone) if form.zone else None),
    )


def _matches(entry: Entry, record: Record) -> bool:
    def has(conditions: Mapping[str, frozenset[str]]) -> Iterator[bool]:
        return (record.get(name, "").casefold() in texts for name, texts in conditions.items())

    return (
        all(has(entry.when))
        and not any(has(entry.unless))
        and all(each.search(record.get(name, "")) for name, each in entry.matches.items())
        and all(_is_zero(record.get(name, "")) for name in entry.zero)
        and not any(_is_zero(record.get(name, "")) for name in entry.nonzero)
    )


def _is_zero(text: str) -> bool:
    try:
        return not text or not Decimal(text)
    except ArithmeticError:
        return False
