"""Records as Apache Arrow, with every digit, for pandas, DuckDB and Parquet. pyarrow is imported on first use.

Numbers are `decimal256(76, 40)`, 36 digits before the point and 40 after it; text, which holds every number of a book (a product of
three numbers may have 120 decimals and more); `decimal128` of the digits that each column needs; or the nearest floats. Times are UTC
to the microsecond, enumerations dictionaries of text, and JSON is text.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from math import isinf
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from attrs import define, evolve, field, frozen

from tradebook.domain.entity import Entity
from tradebook.domain.errors import DatabaseCorrupt, InvalidInput, shown
from tradebook.domain.numbers import ZERO, canonical, plain
from tradebook.domain.plain_values import is_instance
from tradebook.service_layer.ports.columns import (
    ColumnPage,
    column_schema,
    field_types,
    import_pyarrow,
    is_choice,
)
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork, single_statement

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

_NOT_A_NUMBER: Final = Decimal("NaN")
_CANONICAL: Final = r"^(0|-?[1-9]\d*|-?(0|[1-9]\d*)\.\d*[1-9])$"
_BELOW_EVERY_INFINITY: Final = r"^-?\d{1,300}(\.\d+)?$"
_PARTS: Final = r"^-?(?P<whole>[1-9]\d*|0$|)0?(?:\.(?P<places>\d*?)0*)?$"
"""The digits of a number that count, before the point and after it."""


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

    def add(self, numbers: pyarrow.ChunkedArray) -> None:
        """Make room for a column of numbers, given as text."""
        compute = import_pyarrow().compute
        parts = compute.extract_regex(numbers, _PARTS)
        whole, places = (
            compute.binary_length(compute.struct_field(parts, name)) for name in ("whole", "places")
        )
        self.whole = max(self.whole, compute.max(whole).as_py() or 0)
        most = compute.max(places).as_py() or 0
        if most > self.places:
            longest = numbers[compute.index(places, most).as_py()]
            self.places, self.longest = most, Decimal(longest.as_py())

    def type(self, name: str) -> Any:
        """Return the type of a column of these digits.

        Raises:
            InvalidInput: by the name of the column, where they are more than 38.
        """
        digits = max(self.whole + self.places, 1)
        if digits > _DIGITS_128:
            expected = (
                f"at most {_DIGITS_128} digits in the column, which has numbers of {self.whole} "
                f"before the point and {self.places} after it; {_TEXT_TAKES_ALL}"
            )
            raise InvalidInput(name, self.longest, expected)
        return import_pyarrow().decimal128(digits, self.places)


@frozen
class ArrowKind:
    """The conversion of the columns of one kind of record, see `column_schema`, to those of an export.

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
        _checked_form(decimals)
        schema = column_schema(kind)
        for place, (name, of) in enumerate(field_types(kind).items()):
            type_ = _type(of, decimals)
            if type_ is not None:
                schema = schema.set(place, schema.field(name).with_type(type_))
        return cls(kind, schema, decimals)

    @property
    def needs_sizes(self) -> bool:
        """True where the types of the columns follow from the numbers: `measure` all of them first."""
        return self.decimals == "decimal128"

    def measure(self, columns: pyarrow.Table) -> None:
        """Find the digits that the numbers of a page need."""
        for name, of in field_types(self.kind).items():
            if of is Decimal:
                self.sizes.setdefault(name, Size()).add(columns[name])

    def sized(self) -> ArrowKind:
        """Return the conversion with columns of the digits that were measured.

        Raises:
            InvalidInput: the numbers of a column need more than 38 digits together.
        """
        schema = self.schema
        for place, name in enumerate(schema.names):
            size = self.sizes.get(name)
            if size is not None:
                schema = schema.set(place, schema.field(name).with_type(size.type(name)))
        return evolve(self, schema=schema)

    def batch(self, columns: pyarrow.Table) -> pyarrow.RecordBatch:
        """Convert a page to a batch; refuse numbers that do not fit into their column."""
        arrays = [
            self._column(name, of, columns[name].combine_chunks())
            for name, of in field_types(self.kind).items()
        ]
        return import_pyarrow().RecordBatch.from_arrays(arrays, schema=self.schema)

    def reader(self, batches: Iterable[pyarrow.RecordBatch]) -> pyarrow.RecordBatchReader:
        """Make a reader that streams the batches."""
        return import_pyarrow().RecordBatchReader.from_batches(self.schema, batches)

    def _column(self, name: str, of: Any, column: pyarrow.Array) -> pyarrow.Array:
        if is_choice(of):
            return _members(of, column)
        if of is not Decimal:
            return column
        return _cast(name, column, self.schema.field(name).type)


def number_column(name: str, values: Iterable[Decimal], decimals: Decimals) -> pyarrow.Array:
    """Return numbers, whole in memory, as a column of an export.

    Args:
        name: of the column, for messages.
        values: finite numbers.
        decimals: the form of numbers.

    Raises:
        InvalidInput: a number does not fit; or `decimals` is refused.
    """
    checked = _checked_form(decimals)
    texts = import_pyarrow().array(map(plain, values), import_pyarrow().string())
    if checked == "decimal128":
        size = Size()
        size.add(texts)
        return _cast(name, texts, size.type(name))
    return _cast(name, texts, _type(Decimal, checked) or import_pyarrow().string())


def _checked_form(decimals: Decimals) -> Decimals:
    if not is_instance(decimals, str) or str.__str__(decimals) not in get_args(Decimals):
        expected = "one of " + ", ".join(map(repr, get_args(Decimals)))
        raise InvalidInput("decimals", decimals, expected)
    return decimals


def _cast(name: str, column: pyarrow.Array, type_: Any) -> pyarrow.Array:
    compute = import_pyarrow().compute
    if compute.all(compute.match_substring_regex(column, _pattern(type_))).as_py() is not False:
        return column.cast(type_)
    return _numbers(name, column, type_)


def _pattern(type_: Any) -> str:
    """Return the pattern of the texts that Arrow's cast to a type converts exactly.

    It does not notice every overflow: 400 nines become the `decimal256` -1.
    """
    types = import_pyarrow().types
    if types.is_string(type_):
        return _CANONICAL
    if types.is_floating(type_):
        return _BELOW_EVERY_INFINITY
    whole, places = type_.precision - type_.scale, type_.scale
    before = rf"(0|[1-9]\d{{0,{whole - 1}}})" if whole else "0"
    return rf"^-?{before}(\.\d{{1,{places}}})?$" if places else rf"^-?{before}$"


def _numbers(name: str, column: pyarrow.Array, type_: Any) -> pyarrow.Array:
    """Convert numbers one by one; refuse the first that does not fit into the type."""
    arrow = import_pyarrow()
    values = [None if text is None else _number(text) for text in column.to_pylist()]
    made: list[Any] = values
    if arrow.types.is_string(type_):
        made = [None if value is None else plain(value) for value in values]
    elif arrow.types.is_floating(type_):
        made = [None if value is None else nearest_float(name, value) for value in values]
    try:
        return arrow.array(made, type_)
    except arrow.ArrowInvalid:
        whole, scale = type_.precision - type_.scale, type_.scale
        misfit = next(v for v in values if v is not None and not _fits(v, whole, scale))
        wide = f"at most {whole} digits before the point and {scale} after it"
        raise InvalidInput(name, misfit, f"{wide}; {_TEXT_TAKES_ALL}") from None


def _number(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except ArithmeticError:
        value = _NOT_A_NUMBER
    if value.is_finite():
        return canonical(value)
    raise DatabaseCorrupt(f"{shown(text)} is stored where a number belongs")


def _members(of: Any, column: pyarrow.Array) -> pyarrow.Array:
    """Convert the names of an enumeration to a dictionary of all of its members."""
    arrow, members = import_pyarrow(), [str(member) for member in of]
    places = arrow.compute.index_in(column, value_set=arrow.array(members))
    if places.null_count > column.null_count:
        raise DatabaseCorrupt(f"something is stored where one of {', '.join(members)} belongs")
    return arrow.DictionaryArray.from_arrays(places.cast(arrow.int8()), members)


@single_statement
def get_columns(
    uow: AbstractUnitOfWork,
    kind: type[Entity],
    /,
    after: str | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    **equal: object,
) -> ColumnPage:
    """Return a page of `get_all` as columns, `BATCH` records long."""
    records = uow.records(kind)
    return records.columns(limit=BATCH, after=after, since=since, until=until, **equal)


def arrow_table(batches: Iterable[pyarrow.RecordBatch]) -> pyarrow.Table:
    """Combine batches, at least one, into one table."""
    return import_pyarrow().Table.from_batches(batches)


def _fits(value: Decimal, whole: int, places: int) -> bool:
    return value.adjusted() < whole and -int(value.as_tuple().exponent) <= places


def nearest_float(name: str, value: Decimal) -> float:
    """Return the nearest float of a number; refuse one that is above every float, by the name of its field."""
    nearest = float(value)
    if isinf(nearest):
        raise InvalidInput(name, value, f"at most 1.8e308, the largest float; {_TEXT_TAKES_ALL}")
    return nearest


def _type(of: Any, decimals: Decimals) -> Any:
    """Return the type of an exported column where it is not that of the stored one."""
    arrow = import_pyarrow()
    if is_choice(of):
        return arrow.dictionary(arrow.int8(), arrow.string())
    if of is Decimal and decimals != "text":
        return arrow.float64() if decimals == "float" else arrow.decimal256(_DIGITS, _PLACES)
    return None
