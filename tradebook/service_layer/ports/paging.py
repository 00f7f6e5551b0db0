"""Lists as pages, newest first: the page, the cursor that leads to the next one, and what a list is of.

"Newest" goes by the kind's own time (`Entity.ordered_by`), and by id among equal times. A cursor says
where a page ended, so the next one begins there however many records came before or were added since.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias, TypedDict, TypeVar

import attrs
from attrs import field, fields, frozen

from tradebook.domain.entity import Entity, named_fields
from tradebook.domain.errors import InvalidInput
from tradebook.domain.limits import MAX_LIMIT
from tradebook.domain.plain_values import plain_int, plain_text
from tradebook.domain.validation import argument, boolean, optional_id, optional_utc, record_id, utc

T = TypeVar("T")

Place: TypeAlias = tuple[Any, ...]
"""Where a page ended: the last record's values of `sort_keys`."""

DEFAULT_LIMIT: Final = 100
BATCH: Final = 1000
"""How many records are read at a time where all are wanted."""
BATCH_OF_TRADES: Final = 10_000
"""Trades that an import reads, folds and writes at a time: some 30 MB."""
_MAX_CURSOR: Final = 200


class Page(list[T]):
    """Records, newest first: entities or rows.

    Attributes:
        after: give it to the same list to get the next page; None when this is the last one.
    """

    def __init__(self, records: Iterable[T] = (), after: str | None = None) -> None:
        super().__init__(records)
        self.after = after

    @classmethod
    def of(cls, kind: type[Entity], found: Sequence[T], limit: int) -> Page[T]:
        """A page of `limit` records of a kind out of `found`, which is one longer when there are more."""
        if len(found) <= limit:
            return cls(found)
        last = found[limit - 1]
        place = tuple(getattr(last, key) for key in sort_keys(kind))
        return cls(found[:limit], _cursor(kind, place))


class Window(TypedDict, total=False):
    """Which part of a list is wanted.

    Keys:
        since: from this time on; a naive time is taken as UTC.
        until: before this time.
        limit: the most records of a page, from 1 to 10,000; 100 by default.
        after: the `after` of the page before.
    """

    since: datetime | None
    until: datetime | None
    limit: int
    after: str | None


def sort_keys(kind: type[Entity]) -> tuple[str, ...]:
    """The fields by which lists of a kind go, all descending; no two records have the same values."""
    return ("id",) if kind.ordered_by == "id" else (kind.ordered_by, "id")


def place_after(kind: type[Entity], after: str | None) -> Place | None:
    """Where the page that gave this cursor ended; None at the beginning of the list.

    Raises:
        InvalidInput: it is no cursor, or that of a list of another kind.
    """
    if after is None:
        return None
    try:
        return _decoded(kind, plain_text(after))
    except (TypeError, ValueError):
        raise InvalidInput("after", after, "the `after` of a page of the same list") from None


def _cursor(kind: type[Entity], place: Place) -> str:
    values = [v.isoformat() if isinstance(v, datetime) else v for v in place]
    document = json.dumps([kind.__name__, *values], separators=(",", ":"))
    return urlsafe_b64encode(document.encode()).decode().rstrip("=")


def _decoded(kind: type[Entity], cursor: str) -> Place:
    if len(cursor) > _MAX_CURSOR:
        raise ValueError("too long")
    _, *times, id_ = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    place = (*(utc(datetime.fromisoformat(time)) for time in times), record_id(id_))
    if len(place) != len(sort_keys(kind)) or _cursor(kind, place) != cursor:
        raise ValueError("another kind's, or altered")
    return place


def walk(read: Callable[[str | None], Page[T]]) -> Iterator[T]:
    """The records of all pages, each page read when the one before is used up.

    Args:
        read: gives the page at a cursor; the first one at None.
    """
    page = read(None)
    yield from page
    while page.after is not None:
        page = read(page.after)
        yield from page


def page_limit(limit: int, name: str = "limit") -> int:
    """The number of records of a page.

    Raises:
        InvalidInput: not a whole number from 1 to `MAX_LIMIT`, naming the argument `name`.
    """
    expected = f"a whole number from 1 to {MAX_LIMIT:,}"
    wanted = argument(name, partial(plain_int, expected=expected), limit)
    if not 1 <= wanted <= MAX_LIMIT:
        raise InvalidInput(name, limit, expected)
    return wanted


@frozen(kw_only=True, field_transformer=named_fields)
class Filter:
    """Which records of a kind a list is of.

    Attributes:
        equal: the values that fields must have; None is none.
        dated_by: the field that `since` and `until` go by.
        since: from this time on, UTC.
        until: before this time, UTC.
    """

    equal: Mapping[str, Any]
    dated_by: str
    since: datetime | None = field(converter=optional_utc)
    until: datetime | None = field(converter=optional_utc)

    @classmethod
    def of(
        cls,
        kind: type[Entity],
        since: datetime | None,
        until: datetime | None,
        equal: Mapping[str, object],
    ) -> Filter:
        """What a caller asked for.

        Raises:
            InvalidInput: a field that there is not or that cannot be compared, or a wrong value.
        """
        dated_by = kind.dated_by if kind.ordered_by == "id" else kind.ordered_by
        return cls(equal=conditions(kind, equal), dated_by=dated_by, since=since, until=until)

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether a record with these values is in the list."""
        time = row[self.dated_by]
        return (
            (self.since is None or time >= self.since)
            and (self.until is None or time < self.until)
            and all(row[name] == value for name, value in self.equal.items())
        )


def conditions(kind: type[Entity], equal: Mapping[str, object]) -> dict[str, Any]:
    """The values that fields must have, as records have them.

    Args:
        kind: of record.
        equal: whatever the fields accept ("BUY", a float, a naive time), by their names; None is none.

    Raises:
        InvalidInput: naming the field that there is not or that cannot be compared, or its value.
    """
    return {name: _condition(kind, name, value) for name, value in equal.items()}


_UNCONVERTED: Final[Mapping[str, Callable[[Any], Any]]] = {
    "int": record_id,
    "int | None": optional_id,
    "bool": boolean,
}


def _condition(kind: type[Entity], name: str, value: object) -> Any:
    attribute = attrs.fields_dict(kind).get(name)
    if attribute is None or not _is_comparable(attribute):
        raise InvalidInput(name, "this name", _instead_of(kind, name))
    try:
        if attribute.converter is None:
            return _UNCONVERTED[str(attribute.type)](value)
        convert: Any = attribute.converter
        return convert(value, None, attribute)
    except InvalidInput as error:
        raise InvalidInput(name, value, error.expected) from None


def _is_comparable(attribute: attrs.Attribute[Any]) -> bool:
    """Whether it is a plain value, not JSON and no list of records."""
    return "Json" not in str(attribute.type) and "list" not in str(attribute.type)


def _instead_of(kind: type[Entity], name: str) -> str:
    if isinstance(getattr(kind, name, None), property):
        return f"a stored field; {kind.__name__}.{name} is derived on read, compare it in Python"
    names = ", ".join(a.name for a in attrs.fields(kind) if _is_comparable(a))
    return f"a field of {kind.__name__} that can be compared: {names}"


class Row(tuple[Any, ...]):
    """A record as a named tuple of its fields, in their order: `row.symbol`, `row._asdict()`; never changed.

    The values are those of the entity: exact decimals, times in UTC, members of enumerations. What an entity
    derives from them, such as `Position.market_value`, and lists of other records it does not have.
    """

    __slots__ = ()

    _kind: ClassVar[type[Entity]]
    _fields: ClassVar[tuple[str, ...]]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

        def _asdict(self) -> dict[str, Any]: ...

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._kind, tuple(self))


def row_type(kind: type[Entity]) -> type[Row]:
    """The rows of a kind of record."""
    if kind not in _TYPES:
        named: Any = namedtuple  # as a function: its fields are those of the kind
        bases = (Row, named("Values", row_names(kind)))
        _TYPES[kind] = type(f"{kind.__name__}Row", bases, {"__slots__": (), "_kind": kind})
    return _TYPES[kind]


_TYPES: Final[dict[type[Entity], type[Row]]] = {}


def row_names(kind: type[Entity]) -> list[str]:
    """The fields that the rows of a kind have."""
    return [field.name for field in fields(kind) if field.name != "signals"]


def _again(kind: type[Entity], values: tuple[Any, ...]) -> Row:
    return tuple.__new__(row_type(kind), values)
