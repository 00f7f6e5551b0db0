"""Keyset pagination, newest first: pages, the cursors between them, filters, and plain rows.

Records are ordered by the kind's own time (`Entity.ordered_by`), and by id among equal times. A cursor holds the
sort keys of a page's last record, so the next page begins there however many records were added since.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, TypeAlias, TypedDict, TypeVar

import attrs
from attrs import fields, frozen

from tradebook.domain.entity import Entity
from tradebook.domain.errors import InvalidInput
from tradebook.domain.limits import MAX_LIMIT
from tradebook.domain.plain_values import plain_int, plain_text
from tradebook.domain.validation import argument, boolean, optional_id, record_id, utc

T = TypeVar("T")

Place: TypeAlias = tuple[Any, ...]
"""The end of a page: the last record's values of `sort_keys`."""

DEFAULT_LIMIT: Final = 100
BATCH: Final = 1000
"""Records per read where all of a list is read."""
BATCH_OF_TRADES: Final = 10_000
"""Trades that an import reads, folds and writes together, some 30 MB."""
_MAX_CURSOR: Final = 200


class Page(list[T]):
    """Records, newest first: entities or rows.

    Attributes:
        after: the cursor that leads to the next page of the same list; None on the last page.
    """

    def __init__(self, records: Iterable[T] = (), after: str | None = None) -> None:
        """Make a page of records, with the cursor that follows it."""
        super().__init__(records)
        self.after = after

    @classmethod
    def from_records(cls, kind: type[Entity], found: Sequence[T], limit: int) -> Page[T]:
        """Make a page of `limit` records of a kind out of `found`, which is one longer where more follow."""
        if len(found) <= limit:
            return cls(found)
        last = found[limit - 1]
        place = tuple(getattr(last, key) for key in sort_keys(kind))
        return cls(found[:limit], cursor(kind, place))


class Window(TypedDict, total=False):
    """The part of a list that is read.

    Keys:
        since: from this time on; a naive time is taken as UTC.
        until: before this time.
        limit: the most records of a page, from 1 to 10,000; 100 by default.
        after: the cursor of the page before.
    """

    since: datetime | None
    until: datetime | None
    limit: int
    after: str | None


def sort_keys(kind: type[Entity]) -> tuple[str, ...]:
    """Return the fields that order the lists of a kind, all descending; together they are unique."""
    return ("id",) if kind.ordered_by == "id" else (kind.ordered_by, "id")


def place_after(kind: type[Entity], after: str | None) -> Place | None:
    """Decode a cursor into the place where its page ended; refuse one of another kind's lists."""
    if after is None:
        return None
    try:
        return _decoded(kind, plain_text(after))
    except (TypeError, ValueError):
        raise InvalidInput("after", after, "the `after` of a page of the same list") from None


def cursor(kind: type[Entity], place: Place) -> str:
    """Encode the end of a page of a kind's list."""
    values = [v.isoformat() if isinstance(v, datetime) else v for v in place]
    document = json.dumps([kind.__name__, *values], separators=(",", ":"))
    return urlsafe_b64encode(document.encode()).decode().rstrip("=")


def _decoded(kind: type[Entity], given: str) -> Place:
    if len(given) > _MAX_CURSOR:
        raise ValueError("too long")
    _, *times, id_ = json.loads(urlsafe_b64decode(given + "=" * (-len(given) % 4)))
    place = (*(utc(datetime.fromisoformat(time)) for time in times), record_id(id_))
    # Encoded again, so that a cursor has one form: base64 and JSON would accept others.
    if len(place) != len(sort_keys(kind)) or cursor(kind, place) != given:
        raise ValueError("another kind's, or altered")
    return place


class _Page(Protocol):
    @property
    def after(self) -> str | None: ...


_P = TypeVar("_P", bound=_Page)


def pages(read: Callable[[str | None], _P]) -> Iterator[_P]:
    """Iterate over the pages of a list; `read` returns the page after a cursor, the first for None."""
    page = read(None)
    yield page
    while page.after is not None:
        page = read(page.after)
        yield page


def page_limit(limit: int, name: str = "limit") -> int:
    """Check the number of records of a page, from 1 to `MAX_LIMIT`; refuse others by the argument's name."""
    if type(limit) is int and 1 <= limit <= MAX_LIMIT:  # not isinstance: True is an int
        return limit
    expected = f"a whole number from 1 to {MAX_LIMIT:,}"
    plain = argument(name, partial(plain_int, expected=expected), limit)
    if not 1 <= plain <= MAX_LIMIT:
        raise InvalidInput(name, limit, expected)
    return plain


@frozen(kw_only=True)
class Filter:
    """The conditions that the records of a list meet.

    Attributes:
        equal: the values that fields must have; None matches NULL.
        dated_by: the field that `since` and `until` compare with.
        since: from this time on, UTC.
        until: before this time, UTC.
    """

    equal: Mapping[str, Any]
    dated_by: str
    since: datetime | None
    until: datetime | None

    @classmethod
    def from_arguments(
        cls,
        kind: type[Entity],
        since: datetime | None,
        until: datetime | None,
        equal: Mapping[str, object],
    ) -> Filter:
        """Check the times and conditions of a list, and make a filter of them."""
        return cls(
            equal=conditions(kind, equal),
            dated_by=kind.dated_by if kind.ordered_by == "id" else kind.ordered_by,
            since=_time("since", since),
            until=_time("until", until),
        )

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Return whether a record with these values is in the list."""
        time = row[self.dated_by]
        return (
            (self.since is None or time >= self.since)
            and (self.until is None or time < self.until)
            and all(row[name] == value for name, value in self.equal.items())
        )


def _time(name: str, value: datetime | None) -> datetime | None:
    if value is None or (type(value) is datetime and value.tzinfo is UTC):
        return value
    return argument(name, utc, value)


def conditions(kind: type[Entity], equal: Mapping[str, object]) -> dict[str, Any]:
    """Convert values that fields accept, such as "BUY" or a naive time, to those that records hold.

    Raises:
        InvalidInput: naming the field that is unknown or cannot be compared, or its value.
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
    # JSON compares differently on each database, and lists of records are no columns.
    return not any(kind in str(attribute.type) for kind in ("Json", "dict", "list"))


def _instead_of(kind: type[Entity], name: str) -> str:
    if isinstance(getattr(kind, name, None), property):
        return f"a stored field; {kind.__name__}.{name} is derived on read, compare it in Python"
    names = ", ".join(a.name for a in attrs.fields(kind) if _is_comparable(a))
    return f"a field of {kind.__name__} that can be compared: {names}"


class Row(tuple[Any, ...]):
    """A record as an immutable named tuple of its fields, in their order: `row.symbol`, `row._asdict()`.

    The values are those of the entity: exact decimals, times in UTC, members of enumerations. Derived values,
    such as `Position.market_value`, and lists of other records are left out.
    """

    __slots__ = ()

    _kind: ClassVar[type[Entity]]
    _fields: ClassVar[tuple[str, ...]]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return the value of a field."""

        def _asdict(self) -> dict[str, Any]: ...

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the kind: the tuple's own class is made at run time."""
        return _unpickled, (self._kind, tuple(self))


def row_type(kind: type[Entity]) -> type[Row]:
    """Return the class of the rows of a kind, made on first use."""
    if kind not in _TYPES:
        named: Any = namedtuple  # untyped, or mypy wants literal field names
        bases = (Row, named("Values", row_names(kind)))
        _TYPES[kind] = type(f"{kind.__name__}Row", bases, {"__slots__": (), "_kind": kind})
    return _TYPES[kind]


_TYPES: Final[dict[type[Entity], type[Row]]] = {}


def row_names(kind: type[Entity]) -> list[str]:
    """Return the names of the fields that the rows of a kind have."""
    return [field.name for field in fields(kind) if field.name != "signals"]


def _unpickled(kind: type[Entity], values: tuple[Any, ...]) -> Row:
    return tuple.__new__(row_type(kind), values)
