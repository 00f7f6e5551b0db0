"""Records as Apache Arrow, with every digit, for pandas, DuckDB and Parquet. pyarrow is imported on first use.

Numbers are `decimal256(76, 40)`, 36 digits before the point and 40 after it, or text, which holds every
number of a book (a product of three numbers may have 120 decimals and more); times are UTC to the microsecond, enumerations dictionaries of text, and JSON is text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args, get_type_hints

from attrs import frozen

from tradebook.domain.entity import Entity
from tradebook.domain.errors import ExtraNotInstalled, InvalidInput
from tradebook.domain.numbers import plain
from tradebook.domain.plain_values import is_instance
from tradebook.service_layer.gc_pause import no_collecting
from tradebook.service_layer.ports.paging import row_names

if TYPE_CHECKING:
    import pyarrow


Decimals: TypeAlias = Literal["exact", "text"]
"""The form of numbers: decimals of 76 digits, or canonical text, which every program reads."""

BATCH: Final = 10_000
"""Records per read and per batch."""

_DIGITS: Final = 76
_PLACES: Final = 40


@frozen
class ArrowKind:
    """The conversion of one kind of record to Arrow."""

    kind: type[Entity]
    schema: pyarrow.Schema  # the fields of the kind in their order, without lists of other records
    decimals: Decimals

    @classmethod
    def from_kind(cls, kind: type[Entity], decimals: Decimals = "exact") -> ArrowKind:
        """Make the conversion of a kind of record, with the schema that its type hints give."""
        if not is_instance(kind, type) or not issubclass(kind, Entity):
            raise InvalidInput("kind", kind, "a kind of record, such as Trade")
        if not is_instance(decimals, str) or str.__str__(decimals) not in get_args(Decimals):
            raise InvalidInput("decimals", decimals, "'exact' or 'text'")
        arrow = _pyarrow()
        columns = [(name, _type(of, decimals)) for name, of in _types(kind).items()]
        return cls(kind, arrow.schema(columns), decimals)

    def batch(self, rows: Sequence[tuple[Any, ...]]) -> pyarrow.RecordBatch:
        """Convert rows of the kind to a batch; refuse numbers with more digits than Arrow's decimals."""
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

    def table(self, batches: Iterable[pyarrow.RecordBatch]) -> pyarrow.Table:
        """Combine batches into one table."""
        return _pyarrow().Table.from_batches(batches, self.schema)

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
        try:
            return arrow.array(values, type_)
        except arrow.ArrowInvalid:
            misfit = next(value for value in values if value is not None and not _fits(value))
            wide = f"at most {_DIGITS - _PLACES} digits before the point and {_PLACES} after it"
            raise InvalidInput(
                name, misfit, f"{wide}; decimals='text' (--decimals text) takes all"
            ) from None

    def _text_of(self, of: Any) -> Callable[[Any], str] | None:
        if of is Decimal:
            return plain if self.decimals == "text" else None
        return None if of in (bool, datetime, int, str) else _json_text


def _fits(value: Decimal) -> bool:
    return value.adjusted() < _DIGITS - _PLACES and -int(value.as_tuple().exponent) <= _PLACES


def _json_text(value: Any) -> str:
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
    if of is Decimal and decimals == "exact":
        return arrow.decimal256(_DIGITS, _PLACES)
    known = {bool: arrow.bool_(), int: arrow.int64(), datetime: arrow.timestamp("us", tz="UTC")}
    return known.get(of, arrow.string())
