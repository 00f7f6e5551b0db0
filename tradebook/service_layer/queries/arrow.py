"""Records as Apache Arrow, with every digit, for pandas, DuckDB and Parquet. pyarrow is imported on first use.

Numbers are `decimal256(76, 40)`, 36 digits before the point and 40 after it; text, which holds every number of a book (a product of
three numbers may have 120 decimals and more); `decimal128` of the digits that each column needs; or the nearest floats. Times are UTC
to the microsecond, enumerations dictionaries of text, and JSON is text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from math import isinf
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args, get_type_hints

from attrs import define, evolve, field, frozen

from tradebook.domain.entity import Entity
from tradebook.domain.errors import ExtraNotInstalled, InvalidInput
from tradebook.domain.numbers import ZERO, plain
from tradebook.domain.plain_values import is_instance
from tradebook.service_layer.gc_pause import no_collecting
from tradebook.service_layer.ports.paging import row_names

if TYPE_CHECKING:
    import pyarrow


Decimals: TypeAlias = Literal["exact", "text", "decimal128", "float"]
"""The form of numbers: decimals of 76 digits; canonical text, which every program reads; decimals of at most 38 digits, as
many as each column needs, which every program computes with; or the nearest floats, for plots."""

BATCH: Final = 10_000
"""Records per read and per batch."""

_DIGITS: Final = 76
_PLACES: Final = 40
_DIGITS_128: Final = 38
_TEXT_TAKES_ALL: Final = "decimals='text' (--decimals text) takes all"


@define
class Size:
    """The digits that the numbers of a column need.

    Attributes:
        whole: digits before the point.
        places: digits after it.
        longest: the first number that has as many digits after the point.
    """

    whole: int = 0
    places: int = 0
    longest: Decimal = ZERO

    def add(self, value: Decimal) -> None:
        """Make room for a number."""
        self.whole = max(self.whole, value.adjusted() + 1)
        places = -int(value.as_tuple().exponent)
        if places > self.places:
            self.places, self.longest = places, value


@frozen
class ArrowKind:
    """The conversion of one kind of record to Arrow.

    Attributes:
        kind: the class of the records.
        schema: the fields of the kind in their order, without lists of other records.
        decimals: the form of numbers.
        sizes: the digits that columns of `decimal128` need, by name.
    """

    kind: type[Entity]
    schema: pyarrow.Schema
    decimals: Decimals
    sizes: dict[str, Size] = field(factory=dict)

    @classmethod
    def from_kind(cls, kind: type[Entity], decimals: Decimals = "exact") -> ArrowKind:
        """Make the conversion of a kind of record, with the schema that its type hints give."""
        if not is_instance(kind, type) or not issubclass(kind, Entity):
            raise InvalidInput("kind", kind, "a kind of record, such as Trade")
        if not is_instance(decimals, str) or str.__str__(decimals) not in get_args(Decimals):
            expected = "one of " + ", ".join(map(repr, get_args(Decimals)))
            raise InvalidInput("decimals", decimals, expected)
        columns = [(name, _type(of, decimals)) for name, of in _types(kind).items()]
        return cls(kind, _pyarrow().schema(columns), decimals)

    @property
    def needs_sizes(self) -> bool:
        """True where the types of the columns follow from the numbers: `measure` all of them first."""
        return self.decimals == "decimal128"

    def measure(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Find the digits that the numbers of rows need."""
        names = [
            (place, name)
            for place, (name, of) in enumerate(_types(self.kind).items())
            if of is Decimal
        ]
        sizes = [(place, self.sizes.setdefault(name, Size())) for place, name in names]
        for row in rows:
            for place, size in sizes:
                if row[place] is not None:
                    size.add(row[place])

    def sized(self) -> ArrowKind:
        """Return the conversion with columns of the digits that were measured.

        Raises:
            InvalidInput: the numbers of a column need more than 38 digits together.
        """
        schema = self.schema
        for place, name in enumerate(schema.names):
            size = self.sizes.get(name)
            if size is None:
                continue
            digits = max(size.whole + size.places, 1)
            if digits > _DIGITS_128:
                expected = (
                    f"at most {_DIGITS_128} digits in the column, which has numbers of {size.whole} "
                    f"before the point and {size.places} after it; {_TEXT_TAKES_ALL}"
                )
                raise InvalidInput(name, size.longest, expected)
            type_ = _pyarrow().decimal128(digits, size.places)
            schema = schema.set(place, schema.field(name).with_type(type_))
        return evolve(self, schema=schema)

    def batch(self, rows: Sequence[tuple[Any, ...]]) -> pyarrow.RecordBatch:
        """Convert rows of the kind to a batch; refuse numbers that do not fit into their column."""
        columns = list(zip(*rows, strict=True)) or [()] * len(self.schema)
        with no_collecting():
            arrays = [
                self._column(name, of, values)
                for (name, of), values in zip(_types(self.kind).items(), columns, strict=True)
            ]
        return _pyarrow().RecordBatch.from_arrays(arrays, schema=self.schema)

    def reader(self, batches: Iterable[pyarrow.RecordBatch]) -> pyarrow.RecordBatchReader:
        """Make a reader that streams the batches."""
        return _pyarrow().RecordBatchReader.from_batches(self.schema, batches)

    def _column(self, name: str, of: Any, values: Sequence[Any]) -> pyarrow.Array:
        arrow, type_ = _pyarrow(), self.schema.field(name).type
        if _is_choice(of):
            places: dict[Any, int | None] = {member: place for place, member in enumerate(of)}
            places[None] = None
            indices = arrow.array([places[value] for value in values], arrow.int8())
            return arrow.DictionaryArray.from_arrays(indices, [str(member) for member in of])
        write = self._text_of(of)
        if write is not None:
            values = [None if value is None else write(value) for value in values]
        if of is Decimal and self.decimals == "float":
            values = [None if value is None else nearest_float(name, value) for value in values]
        try:
            return arrow.array(values, type_)
        except arrow.ArrowInvalid:
            whole, scale = type_.precision - type_.scale, type_.scale
            misfit = next(v for v in values if v is not None and not _fits(v, whole, scale))
            wide = f"at most {whole} digits before the point and {scale} after it"
            raise InvalidInput(name, misfit, f"{wide}; {_TEXT_TAKES_ALL}") from None

    def _text_of(self, of: Any) -> Callable[[Any], str] | None:
        if of is Decimal:
            return plain if self.decimals == "text" else None
        return None if of in (bool, datetime, int, str) else json_text


def arrow_table(batches: Iterable[pyarrow.RecordBatch]) -> pyarrow.Table:
    """Combine batches, at least one, into one table."""
    return _pyarrow().Table.from_batches(batches)


def _fits(value: Decimal, whole: int, places: int) -> bool:
    return value.adjusted() < whole and -int(value.as_tuple().exponent) <= places


def nearest_float(name: str, value: Decimal) -> float:
    """Return the nearest float of a number; refuse one that is above every float, by the name of its field."""
    nearest = float(value)
    if isinf(nearest):
        raise InvalidInput(name, value, f"at most 1.8e308, the largest float; {_TEXT_TAKES_ALL}")
    return nearest


def json_text(value: Any) -> str:
    """Return the JSON of a value, as exports have it."""
    return json.dumps(value) if value else _EMPTY.get(type(value)) or json.dumps(value)


_EMPTY: Final[dict[type, str]] = {dict: "{}", list: "[]"}


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise ExtraNotInstalled("arrow", "pyarrow") from None
    return pyarrow


def _types(kind: type[Entity]) -> dict[str, Any]:
    """Return the type of each field, without None, by name; lists of other records are left out."""
    hints = get_type_hints(kind)
    types = {name: hints[name] for name in row_names(kind)}
    for name, hint in types.items():
        if type(None) in get_args(hint):
            types[name], *_ = (each for each in get_args(hint) if each is not type(None))
    return types


def _is_choice(of: Any) -> bool:
    return isinstance(of, type) and issubclass(of, StrEnum)


def _type(of: Any, decimals: Decimals) -> Any:
    arrow = _pyarrow()
    if _is_choice(of):
        return arrow.dictionary(arrow.int8(), arrow.string())
    if of is Decimal and decimals != "text":
        return arrow.float64() if decimals == "float" else arrow.decimal256(_DIGITS, _PLACES)
    known = {bool: arrow.bool_(), int: arrow.int64(), datetime: arrow.timestamp("us", tz="UTC")}
    return known.get(of, arrow.string())
