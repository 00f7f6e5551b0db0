"""Pages of records as columns of Apache Arrow. pyarrow is imported on first use.

Numbers, enumerations and JSON are text, as databases send them; times are UTC to the microsecond. A store that can
send columns makes no Python object for each value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args, get_type_hints

from tradebook.domain.entity import Entity
from tradebook.domain.errors import ExtraNotInstalled
from tradebook.domain.numbers import plain
from tradebook.service_layer.ports.paging import cursor, row_names, sort_keys

if TYPE_CHECKING:
    import pyarrow


class ColumnPage(NamedTuple):
    """A page of a list, newest first, as columns.

    Attributes:
        table: the fields of the kind in their order, see `column_schema`.
        after: the cursor that leads to the next page of the same list; None on the last page.
    """

    table: pyarrow.Table
    after: str | None

    @classmethod
    def from_table(cls, kind: type[Entity], found: pyarrow.Table, limit: int) -> ColumnPage:
        """Make a page of `limit` records of a kind out of `found`, which is one longer where more follow."""
        if found.num_rows <= limit:
            return cls(found, None)
        place = tuple(_value(found[key][limit - 1]) for key in sort_keys(kind))
        return cls(found.slice(0, limit), cursor(kind, place))


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _value(scalar: Any) -> int | datetime:
    """Return an id or a time; pyarrow's own conversion of times needs a time zone database."""
    is_time = import_pyarrow().types.is_timestamp(scalar.type)
    return _EPOCH + timedelta(microseconds=scalar.value) if is_time else scalar.as_py()


def import_pyarrow() -> Any:
    """Return the module pyarrow, with its compute functions.

    Raises:
        ExtraNotInstalled: it is missing: install `tradebook[arrow]`.
    """
    try:
        import pyarrow.compute
    except ImportError:
        raise ExtraNotInstalled("arrow", "pyarrow") from None
    return pyarrow


def has_pyarrow() -> bool:
    """Return whether pyarrow is installed."""
    try:
        import_pyarrow()
    except ExtraNotInstalled:
        return False
    return True


def _field_types(kind: type[Entity]) -> Mapping[str, Any]:
    hints = get_type_hints(kind)
    types = {name: hints[name] for name in row_names(kind)}
    for name, hint in types.items():
        if type(None) in get_args(hint):
            types[name], *_ = (each for each in get_args(hint) if each is not type(None))
    return types


field_types: Final[Callable[[Any], Mapping[str, Any]]] = cache(_field_types)
"""Return the type of each field, without None, by name; lists of other records are left out."""


def is_choice(of: Any) -> bool:
    """Return whether the type of a field is an enumeration."""
    return isinstance(of, type) and issubclass(of, StrEnum)


def column_schema(kind: type[Entity]) -> pyarrow.Schema:
    """Return the names and types of the columns of a kind of record."""
    arrow = import_pyarrow()
    known = {bool: arrow.bool_(), int: arrow.int64(), datetime: arrow.timestamp("us", tz="UTC")}
    columns = [(name, known.get(of, arrow.string())) for name, of in field_types(kind).items()]
    return arrow.schema(columns)


def columns_from_rows(kind: type[Entity], rows: Sequence[tuple[Any, ...]]) -> pyarrow.Table:
    """Return rows of a kind as columns, from stores that cannot send columns."""
    columns = list(zip(*rows, strict=True)) or [()] * len(row_names(kind))
    texts: list[Sequence[Any]] = []
    for of, values in zip(field_types(kind).values(), columns, strict=True):
        write = _text_of(of)
        texts.append(values if write is None else [None if v is None else write(v) for v in values])
    return table_of(kind, texts)


def table_of(kind: type[Entity], columns: Sequence[Sequence[Any]]) -> pyarrow.Table:
    """Make a table of the columns of a kind, given as values of the types in `column_schema`."""
    schema = column_schema(kind)
    arrays = [
        import_pyarrow().array(values, type_)
        for values, type_ in zip(columns, schema.types, strict=True)
    ]
    return import_pyarrow().Table.from_arrays(arrays, schema=schema)


def _text_of(of: Any) -> Callable[[Any], str] | None:
    if of in (bool, datetime, int, str):
        return None
    if is_choice(of):
        return str
    return plain if of is Decimal else json_text


def json_text(value: Any) -> str:
    """Return the JSON of a value, as exports have it."""
    return json.dumps(value) if value else _EMPTY.get(type(value)) or json.dumps(value)


_EMPTY: Final[dict[type, str]] = {dict: "{}", list: "[]"}
