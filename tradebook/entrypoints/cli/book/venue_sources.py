"""The records of a venue's file, by name: of a table in any format, of a SQLite database, or of XML."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, TypeAlias
from xml.etree.ElementTree import ParseError

from attrs import frozen

from tradebook.domain.errors import ExtraNotInstalled, shown
from tradebook.entrypoints.cli.book.file_formats import (
    MAX_JSON,
    cell_text,
    flat,
    parsed,
    records_of,
    unit_of,
)
from tradebook.entrypoints.cli.book.trade_text import TradeText
from tradebook.venues.presets import Form, Preset, all_presets

Records: TypeAlias = Iterator[tuple[int, Mapping[str, str] | int]]
"""Each record with its number; the number of its cells instead, where the header has another number."""


@frozen
class FormRead:
    """A form of a file that is being read.

    Attributes:
        form: the form.
        records: its records.
        width: the number of columns of a table.
        unit: what the numbers of records count.
    """

    form: Form
    records: Records
    width: int = 0
    unit: str = "record"


_READS: Final = {
    "sections": "CSV in sections",
    "sqlite": "a SQLite database",
    "table": "a table",
    "xml": "an XML file",
}
_SQLITE: Final = b"SQLite format 3"


def recognised(
    preset: Preset, text: TradeText, path: Path | None, mapping: Mapping[str, str]
) -> list[FormRead]:
    """Find the form of a file; of a database all forms that it has.

    Raises:
        ImportRefused: no form of the preset is that of the file.
    """
    if text.begins_with(_SQLITE):
        return _of_database(preset, text, path)
    with text.binary() as file:
        begin = file.read(1000).lstrip(b"\xef\xbb\xbf \t\r\n")
    if begin.startswith(b"<"):
        form = _only(preset, "xml", text, "an XML file")
        return [FormRead(form, elements(form, text))]
    sections = next((form for form in preset.forms if form.source == "sections"), None)
    if sections is not None and _has_sections(text):
        return [FormRead(sections, _sections(sections, text), unit="line")]
    _only(preset, "table", text, "a table")
    unit, records = unit_of(text), records_of(text)
    _, first = next(records, (0, []))
    header = [mapping.get(cell.strip(), cell.strip()) for cell in first]
    for form in preset.forms:
        if form.source == "table" and set(form.columns) <= set(header):
            return [FormRead(form, _named(header, records), len(header), unit)]
    records.close()
    raise text.refused(_unknown(preset, header))


def _named(header: Sequence[str], records: Iterator[tuple[int, list[str]]]) -> Records:
    for line, cells in records:
        if len(cells) == len(header):
            named = zip(header, cells, strict=True)
            yield line, {name: cell.strip() for name, cell in named}
        else:
            yield line, len(cells)


def _has_sections(text: TradeText) -> bool:
    with closing(records_of(text)) as records:
        _, first = next(records, (0, []))
    return first[1:2] == ["Header"]


def _sections(form: Form, text: TradeText) -> Records:
    """Read the rows of CSV whose first cells are a section and `Header` or `Data`; totals are no records."""
    headers: dict[str, list[str]] = {}
    for line, (section, *cells) in records_of(text):
        if cells[:1] == ["Header"]:
            headers[section] = [cell.strip() for cell in cells[1:]]
        elif section in form.elements and cells[:1] == ["Data"]:
            values = [cell.strip() for cell in cells[1:]]
            if any(value.startswith("Total") for value in values[:2]):
                continue
            header = headers.get(section)
            if header is None:
                raise text.refused(
                    f"line {line}: section {shown(section)} has no header before its data"
                )
            if len(values) == len(header):
                yield line, {"section": section, **dict(zip(header, values, strict=True))}
            else:
                yield line, len(cells)
    if lacks := [name for name in form.columns if name not in headers]:
        raise text.refused(
            f"it has no section {lacks[0]!r}; is the file complete, and the statement in English?"
        )


def _only(preset: Preset, source: str, text: TradeText, what: str) -> Form:
    for form in preset.forms:
        if form.source == source:
            return form
    expected = " or ".join(sorted({_READS[form.source] for form in preset.forms}))
    raise text.refused(f"it is {what}; preset {preset.name!r} reads {expected}")


def _unknown(preset: Preset, header: Sequence[str]) -> str:
    """Describe how a header differs from those that the preset knows, and name the preset that knows it."""
    found = set(header)
    tables = [form for form in preset.forms if form.source == "table"]
    nearest = max(tables, key=lambda form: len(found & set(form.columns)) / len(form.columns))
    lacks = [name for name in nearest.columns if name not in found]
    message = (
        f"preset {preset.name!r} does not know its columns ({', '.join(map(shown, header[:30])) or 'none'}); its "
        f"{nearest.name} would also have {', '.join(map(shown, lacks))}"
    )
    fits = [
        other.name
        for other in all_presets()
        if any(set(form.columns) <= found for form in other.forms if form.source == "table")
    ]
    if fits:
        return f"{message}. It is a file of: --from {' or '.join(fits)}"
    return (
        f"{message}. Export it again as `tradebook venues` says, name a column with --map THEIRS=OURS, or import it "
        "without --from"
    )


def _of_database(preset: Preset, text: TradeText, path: Path | None) -> list[FormRead]:
    _only(preset, "sqlite", text, "a SQLite database")
    if path is None:
        raise text.refused(
            "it is a SQLite database; name the file, instead of reading standard input"
        )
    found: dict[str, FormRead] = {}
    missing = ""
    try:
        with closing(_opened(path)) as connection:
            for form in preset.forms:
                columns = _columns(form, connection)
                typed = {f"{name}:{kind}" for name, kind in columns.items()}
                lacks = [name for name in form.columns if name not in columns.keys() | typed]
                missing = missing or ", ".join(lacks)
                if not lacks and form.name not in found:
                    found[form.name] = FormRead(form, _rows(form, list(columns), path, text))
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise text.refused(f"it cannot be read as a SQLite database ({error})") from None
    if not found:
        raise text.refused(
            f"it is no database of preset {preset.name!r}: it has no {missing}; is it another program's?"
        )
    return list(found.values())


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    connection.execute("PRAGMA trusted_schema = OFF")  # the file is another's
    return connection


def _columns(form: Form, connection: sqlite3.Connection) -> dict[str, str]:
    """Return the type of each column of the form's tables, by `alias.column`."""
    return {
        f"{alias}.{name}": str(kind).upper()
        for alias, table in form.tables.items()
        for _, name, kind, *_ in connection.execute("SELECT * FROM pragma_table_info(?)", [table])
    }


def _rows(form: Form, columns: Sequence[str], path: Path, text: TradeText) -> Records:
    try:
        with closing(_opened(path)) as connection:
            # The names are those of the database's own columns, quoted, and the preset's own tables.
            quoted = (f'{alias}."{name}"' for alias, _, name in (c.partition(".") for c in columns))
            query = f"SELECT {', '.join(quoted)} FROM {form.query}"  # noqa: S608
            for number, row in enumerate(connection.execute(query), 1):
                record = dict(zip(columns, map(cell_text, row), strict=True))
                for name in form.json:
                    if record.get(name, "").startswith("{"):
                        inside = flat(text, "record", number, parsed(text, record[name], number))
                        record |= {f"{name}.{each}": value for each, value in inside.items()}
                yield number, record
    except sqlite3.DatabaseError as error:
        raise text.refused(f"it cannot be read as a SQLite database ({error})") from None


def elements(form: Form, text: TradeText) -> Records:
    """Read the elements of an XML file that are records, each as its attributes by name.

    Raises:
        ImportRefused: it is no XML, or not that of the form.
        ExtraNotInstalled: the library that reads XML safely is missing.
    """
    try:
        from defusedxml import DefusedXmlException
        from defusedxml.ElementTree import iterparse
    except ImportError:
        raise ExtraNotInstalled("xml", "defusedxml") from None
    number, root = 0, None
    if text.size > MAX_JSON:
        raise text.refused(f"it is XML of more than {MAX_JSON:,} bytes; export shorter periods")
    with text.binary() as file:
        try:
            for event, element in iterparse(file, events=("start", "end"), forbid_dtd=True):
                if root is None:
                    root = element.tag
                    if form.columns and root not in form.columns:
                        raise text.refused(
                            f"it is XML of {shown(root)}, not of {form.columns[0]}; is it another program's?"
                        )
                is_record = element.tag in form.elements and element.attrib
                if event == "end" and (is_record or element.tag in form.containers):
                    number += 1
                    yield number, {"element": element.tag, **element.attrib}
                if event == "end":
                    element.clear()
        except ParseError as error:
            raise text.refused(f"it is no XML ({error}); is the file complete?") from None
        except DefusedXmlException as error:
            raise text.refused(
                f"it is XML with entities, which no venue writes ({error})"
            ) from None
