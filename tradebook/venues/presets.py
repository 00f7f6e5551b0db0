"""Presets: files that declare how a venue's file becomes trades and cash flows."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from attrs import Attribute, field, fields, frozen

from tradebook.domain.errors import TradebookError, shown
from tradebook.service_layer.handlers import TradeTerms

GROUP: Final = "tradebook.venues"
"""The entry points of presets: each loads to the path of a TOML file."""
ENTRIES: Final = ("trade", "cash-flow")
"""The kinds of entries that an import books."""
STATED: Final = ("position", "balance", "period", "covers")
"""The kinds of entries that only `reconcile` reads."""
COVERED: Final = (*ENTRIES, "position", "balance")
"""The kinds of entries of which a statement may say that all are there."""
KINDS: Final = (*ENTRIES, *STATED, "left-out")
SOURCES: Final = ("table", "sections", "sqlite", "xml")


PARTS: Final = ("", "number", "unit", "base", "quote", "pair")
_TRADE: Final = tuple(sorted(TradeTerms.__annotations__.keys() - {"decision_id", "details"}))
TERMS: Final[Mapping[str, tuple[Sequence[str], Sequence[str]]]] = {
    "trade": (_TRADE, ("symbol", "action", "quantity", "price")),
    "cash-flow": (
        ("kind", "amount", "currency", "symbol", "occurred_at", "reference"),
        ("kind", "amount"),
    ),
    "position": (("symbol", "quantity"), ("symbol", "quantity")),
    "balance": (("currency", "amount"), ("currency", "amount")),
    "period": (("start", "end"), ("start", "end")),
    "covers": (("entries",), ("entries",)),
}
"""For each kind the terms that it may have, and those that it must have."""


class PresetInvalid(TradebookError):
    """A preset is unknown, or its file is wrong."""


def _require(holds: bool, expected: str) -> None:
    if not holds:
        raise ValueError(expected)


def _texts(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _conditions(value: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    return {
        name: frozenset(each.casefold() for each in _texts(wanted))
        for name, wanted in value.items()
    }


def _patterns(value: Any) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(each) for each in _texts(value))


def _expressions(value: Mapping[str, str]) -> dict[str, re.Pattern[str]]:
    return {name: re.compile(each) for name, each in value.items()}


@frozen
class Value:
    """Where the value of a term comes from, and what becomes of it.

    Attributes:
        column: the column; of several, the first that is not empty.
        value: a constant, instead of a column.
        template: a text with columns in braces, such as `{Executed:unit}/{Amount:unit}`, where a part may follow; empty
            where one of them is.
        product: columns whose numbers are multiplied, rounded to 20 decimals, instead of a column; of several that are
            separated by `|` the first that is not empty.
        pattern: a regular expression; its first group is taken, nothing where it does not match.
        map: other texts for some texts; `*` for all others.
        part: `number` or `unit` of a number with its unit, `base` or `quote` of a pair.
        scale: the power of ten that a number is multiplied with.
        negate: whether the sign of a number is changed.
        absolute: whether it is left out.
        asset: whether the text is the name of an asset, which the preset may rename.
    """

    column: tuple[str, ...] = field(default=(), converter=_texts)
    value: str = ""
    template: str = ""
    product: Sequence[str] = ()
    pattern: tuple[re.Pattern[str], ...] = field(default=(), converter=_patterns)
    map: Mapping[str, str] = field(factory=dict)
    part: str = ""
    scale: int = 0
    negate: bool = False
    absolute: bool = False
    asset: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse a value that comes from nowhere, and parts and patterns that there are not."""
        sources = [self.column, self.value, self.template, self.product]
        _require(sum(map(bool, sources)) == 1, "write one of column, value, template and product")
        _require(self.part in PARTS, f"part must be one of {', '.join(PARTS[1:])}")
        _require(all(p.groups for p in self.pattern), "a pattern needs a group: what is taken")


def _values(value: Mapping[str, Any]) -> dict[str, Value]:
    made = {}
    for term, each in value.items():
        made[term] = (
            Value(column=each)
            if isinstance(each, (str, list))
            else _made(Value, each, f"terms.{term}")
        )
    return made


@frozen
class Entry:
    """What some records are: a trade, a cash flow, a part of a statement, or the reason why they are none of these.

    Attributes:
        kind: one of `KINDS`. A `position` is held and a `balance` is there at the end of a statement; its `period` ends
            with a day where it names one. `covers` says that all `entries` of a kind are there, also if there are none.
        when: for each column the texts that a record has in it, in any case.
        unless: for each column the texts of records that are something else.
        matches: for each column the regular expression that its text has to match.
        zero: the columns that have to be empty or 0.
        nonzero: the columns that must not be.
        terms: the values of `record_trade`'s or `record_cash_flow`'s arguments.
        details: for each key of a trade's details the column that is kept there.
        optional: whether a record without the amount, or with 0, is no such entry.
        reason: why a record is left out.
    """

    kind: str
    when: Mapping[str, frozenset[str]] = field(factory=dict, converter=_conditions)
    unless: Mapping[str, frozenset[str]] = field(factory=dict, converter=_conditions)
    matches: Mapping[str, re.Pattern[str]] = field(factory=dict, converter=_expressions)
    zero: Sequence[str] = ()
    nonzero: Sequence[str] = ()
    terms: Mapping[str, Value] = field(factory=dict, converter=_values)
    details: Mapping[str, str] = field(factory=dict)
    optional: bool = False
    reason: str = ""

    def __attrs_post_init__(self) -> None:
        """Refuse terms that the kind does not have, and a kind without what it needs."""
        _require(self.kind in KINDS, f"kind must be one of {', '.join(KINDS)}")
        known, required = TERMS.get(self.kind, ((), ()))
        for term in self.terms:
            _require(term in known, f"no term {term!r}; known are {', '.join(known) or 'none'}")
        for term in required:
            _require(term in self.terms, f"a {self.kind} needs the term {term}")
        _require(self.kind != "left-out" or bool(self.reason), "a left-out needs a reason")


def _entries(value: Iterable[Mapping[str, Any]]) -> tuple[Entry, ...]:
    return tuple(_made(Entry, each, f"entries[{number}]") for number, each in enumerate(value, 1))


@frozen
class Form:
    """A kind of file that a venue writes.

    Attributes:
        name: such as `trades`. A file is of one form; a database of all whose columns it has, but of one of each name.
        columns: those that it always has: the form is recognised by them. A column of a database may name its type
            (`f.price:BIGINT`); of XML it is the first element, of sections a section.
        entries: what its records are: all that match count.
        source: one of `SOURCES`: a table in any format that `import` reads, CSV in sections that begin with their name, a
            SQLite database, or XML.
        tables: of a database: its tables by their aliases; columns are named `alias.column`.
        query: of a database: what stands after FROM.
        elements: of XML and sections: those that are records; `element` or `section` is a column, too.
        containers: of XML: elements that hold others, and are records of the name alone.
        json: of a database: the columns that hold JSON, whose values are named as those of a JSON file.
        date_format: as of `--date-format`; several, separated by `|`, are tried one after the other.
        zone: of times that name none.
        thousands: whether digits are grouped.
        shown_by: the columns that describe a record that is left out.
    """

    name: str
    columns: Sequence[str]
    entries: tuple[Entry, ...] = field(converter=_entries)
    source: str = "table"
    tables: Mapping[str, str] = field(factory=dict)
    query: str = ""
    json: Sequence[str] = ()
    elements: Sequence[str] = ()
    containers: Sequence[str] = ()
    date_format: str | None = None
    zone: str | None = None
    thousands: bool = False
    shown_by: Sequence[str] = ()

    def __attrs_post_init__(self) -> None:
        """Refuse a form without what its source needs, and a time zone that there is not."""
        _require(self.source in SOURCES, f"source must be one of {', '.join(SOURCES)}")
        _require(not isinstance(self.columns, str) and bool(self.columns), "columns: write a list")
        _require(self.source != "sqlite" or bool(self.tables and self.query), "needs tables, query")
        needs_elements = self.source in ("xml", "sections")
        _require(not needs_elements or bool(self.elements), "needs elements: the records")
        try:
            ZoneInfo(self.zone or "UTC")
        except (KeyError, OSError):
            raise ValueError(f"zone: there is no {self.zone!r}") from None


def _forms(value: Iterable[Mapping[str, Any]]) -> tuple[Form, ...]:
    return tuple(
        _made(Form, _with_common_terms(each), f"forms[{number}]")
        for number, each in enumerate(value, 1)
    )


def _with_common_terms(form: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add the terms and details that a form gives for all trades to each of its trades, whose own count first."""
    if not isinstance(form, Mapping) or "trades" not in form:
        return form
    own, common = dict(form), form["trades"]
    own.pop("trades")
    own["entries"] = [
        {**entry, **{key: {**common[key], **entry.get(key, {})} for key in common}}
        if entry.get("kind") == "trade"
        else entry
        for entry in form.get("entries", ())
    ]
    return own


@frozen
class Preset:
    """The files of a venue.

    Attributes:
        name: as `--from` names it.
        title: the venue's name.
        exported: how its user gets the files.
        documented: where the format is described in public.
        missing: what a book cannot express of it.
        forms: the kinds of its files.
        assets: other names for the assets that it names in its own way.
        pairs: regular expressions that split a pair into two groups, the asset and the currency.
        estimates: terms that it may count anew later: of a trade that is recorded they stay as they are.
    """

    name: str
    title: str
    exported: str
    documented: Sequence[str]
    forms: tuple[Form, ...] = field(converter=_forms)
    missing: Sequence[str] = ()
    assets: Mapping[str, str] = field(factory=dict)
    pairs: tuple[re.Pattern[str], ...] = field(default=(), converter=_patterns)
    estimates: Sequence[str] = ()

    def __attrs_post_init__(self) -> None:
        """Refuse patterns of pairs without an asset and a currency, and a preset without forms."""
        _require(all(p.groups >= 2 for p in self.pairs), "pairs: a pattern needs two groups")
        _require(bool(self.forms), "it has no forms")

    def asset(self, name: str) -> str:
        """Return the name of an asset as others write it."""
        return self.assets.get(name, name)

    def split(self, pair: str) -> tuple[str, str] | None:
        """Split a pair into its asset and its currency; None where it cannot be."""
        for pattern in self.pairs:
            if found := pattern.fullmatch(pair):
                return self.asset(found[1]), self.asset(found[2])
        return None


def _made(kind: Any, given: Any, where: str) -> Any:
    known: dict[str, Attribute[Any]] = {each.name: each for each in fields(kind)}
    if not isinstance(given, Mapping):
        raise PresetInvalid(f"{where}: {shown(given)}: write a table")
    if unknown := [name for name in given if name not in known]:
        raise PresetInvalid(f"{where}: no key {unknown[0]!r}; known are {', '.join(known)}")
    try:
        return kind(**given)
    except (AttributeError, TypeError, ValueError, re.error) as error:
        raise PresetInvalid(f"{where}: {error}") from None


def parse_preset(text: str, where: str) -> Preset:
    """Make a preset of the text of its file.

    Raises:
        PresetInvalid: it is no TOML, or lacks something.
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PresetInvalid(f"{where}: it is no TOML ({error})") from None
    try:
        preset: Preset = _made(Preset, found, "preset")
    except PresetInvalid as error:
        raise PresetInvalid(f"{where}: {error}") from None
    return preset


def all_presets() -> list[Preset]:
    """Return the presets of tradebook and of installed packages, by name."""
    return [_loaded(*each) for each in sorted(_sources().items())]


def find_preset(name: str) -> Preset:
    """Return the preset of a name, or that of a file whose name ends with `.toml`.

    Raises:
        PresetInvalid: there is none, or the file is wrong.
    """
    if name.endswith(".toml"):
        try:
            return parse_preset(Path(name).read_text(encoding="utf-8"), name)
        except (OSError, UnicodeDecodeError) as error:
            raise PresetInvalid(f"{name}: it cannot be read ({error})") from None
    sources = _sources()
    if name not in sources:
        known = ", ".join(sorted(sources))
        raise PresetInvalid(
            f"no preset {name!r}; there are {known}, or the path of a file (./my.toml)"
        )
    return _loaded(name, sources[name])


def _sources() -> dict[str, EntryPoint | Traversable]:
    """Return where each preset comes from: the entry points of other packages, and the files beside this one."""
    own = {
        each.name.removesuffix(".toml"): each
        for each in files(__package__).iterdir()
        if each.name.endswith(".toml")
    }
    return {**{point.name: point for point in entry_points(group=GROUP)}, **own}


def _loaded(name: str, source: EntryPoint | Traversable) -> Preset:
    if not isinstance(source, EntryPoint):
        return parse_preset(source.read_text(encoding="utf-8"), source.name)
    where = f"entry point {name} of {GROUP}"
    try:
        text = Path(source.load()).read_text(encoding="utf-8")
    except Exception as error:
        raise PresetInvalid(f"{where}: it gives no file of a preset ({error})") from error
    return parse_preset(text, where)
