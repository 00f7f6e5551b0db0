"""Column types that mean the same on every database: ids, exact decimals, UTC times, enumerations, JSON.

SQLite keeps a decimal as canonical text, so `=` and `IN` are native there. Order, comparison and
aggregates need the collation and the functions that `engine/sqlite.py` adds to the engines of this
package. Operations that SQLite would do in floating point are refused when a statement is built or compiled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Any, Final, TypeAlias
from weakref import WeakSet

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    Label,
    Numeric,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.exc import CompileError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import PrimaryKeyConstraint
from sqlalchemy.sql import functions, operators
from sqlalchemy.sql.compiler import DDLCompiler, SQLCompiler
from sqlalchemy.types import TypeDecorator, TypeEngine
from typing_extensions import override

from tradebook.domain.errors import DatabaseCorrupt, InvalidInput, shown
from tradebook.domain.numbers import Numbers, canonical, plain

Processor: TypeAlias = Callable[[Any], Any]
"""Converts one value on its way to the driver or from it.

The types below return their processors from `bind_processor` and `result_processor` themselves:
`TypeDecorator` would add a Python call for each value of each row.
"""

DIALECTS_WITH_FINAL_VALUES: Final[WeakSet[Dialect]] = WeakSet()
"""Dialects whose driver returns canonical decimals and UTC times (see `engine/psycopg2_values.py`)."""

DECIMAL_COLLATION: Final = "tradebook_decimal"
DECIMAL_SUM: Final = "tradebook_sum"


class Id(BigInteger):
    """A record's id; on SQLite the rowid, which AUTOINCREMENT never assigns twice."""


@compiles(Id, "sqlite")
def _id_on_sqlite(_element: Id, _compiler: DDLCompiler, **_options: Any) -> str:
    return "INTEGER PRIMARY KEY AUTOINCREMENT"


class AccountKey(PrimaryKeyConstraint):
    """PRIMARY KEY (account, id); on SQLite, where `id` alone must be the key, UNIQUE (account, id)."""


@compiles(AccountKey, "sqlite")
def _account_key_on_sqlite(element: AccountKey, compiler: DDLCompiler, **_options: Any) -> str:
    columns = ", ".join(compiler.preparer.quote(column.name) for column in element.columns)
    return f"CONSTRAINT {compiler.preparer.format_constraint(element)} UNIQUE ({columns})"


_SAFE: Final = frozenset(
    {
        operators.eq,
        operators.ne,
        operators.is_,
        operators.is_not,
        operators.in_op,
        operators.not_in_op,
        operators.is_distinct_from,
        operators.is_not_distinct_from,
        operators.nulls_first_op,
        operators.nulls_last_op,
    }
)
_BY_VALUE: Final = frozenset(
    {operators.lt, operators.le, operators.gt, operators.ge, operators.asc_op, operators.desc_op}
)


class _StoredNumbers(Numbers):
    """Canonical decimals by their stored text; a known one costs a dictionary lookup and no Python call."""

    def __missing__(self, text: Any) -> Any:
        if text is None:
            return None
        try:
            return super().__missing__(text)
        except (ArithmeticError, TypeError, ValueError) as error:
            raise unreadable(text, "a number") from error


NUMBERS: Final = _StoredNumbers()


class _PlainDecimal(TypeDecorator[Decimal]):
    """A decimal as it is sent and stored: unconstrained NUMERIC, on SQLite canonical plain text."""

    impl = Numeric
    cache_ok = True

    @override
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(
            Text() if dialect.name == "sqlite" else Numeric(asdecimal=True)
        )

    @override
    def bind_processor(self, dialect: Dialect) -> Processor:
        return _write_text if dialect.name == "sqlite" else _require_finite

    @override
    def result_processor(self, dialect: Dialect, coltype: object) -> Processor | None:
        if dialect in DIALECTS_WITH_FINAL_VALUES:
            return None
        return NUMBERS.__getitem__ if dialect.name == "sqlite" else _read_number


def _require_finite(value: Any) -> Any:
    # psycopg2 would write Infinity as NaN, and PostgreSQL would take it.
    if value is None or (isinstance(value, Decimal) and value.is_finite()):
        return value
    raise InvalidInput("", value, "a finite Decimal")


def _write_text(value: Any) -> str | None:
    return None if _require_finite(value) is None else plain(value)


def _read_number(value: Decimal | None) -> Decimal | None:
    return None if value is None else canonical(value)


class ExactDecimal(_PlainDecimal):
    """A Decimal, kept digit for digit.

    Equality and membership are plain SQL; `<`, `>`, `.asc()`, `.desc()`, `sum`, `min` and `max` go by
    value everywhere. Order by `column.asc()`: SQLite would order the bare column as text. Arithmetic
    and averages are refused; compute them in Python.

    On SQLite the order and the aggregates need an engine of this package (`get_session`, a unit of
    work). On an engine that an application made itself, selecting `sum`, `min` or `max`
    is refused, and `avg` is SQLite's float.
    """

    cache_ok = True

    @override
    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        selected = column.element if isinstance(column, Label) else column
        return _Selected(column) if isinstance(selected, functions.FunctionElement) else column

    class Comparator(TypeDecorator.Comparator[Decimal]):
        """The operators that every database computes exactly; others raise InvalidInput."""

        @override
        def operate(self, op: operators.OperatorType, *other: Any, **options: Any) -> Any:
            if op in _SAFE:
                return super().operate(op, *other, **options)
            if op in _BY_VALUE:
                return op(_ByValue(self.expr), *other, **options)
            raise InvalidInput(
                "", getattr(op, "__name__", op), "arithmetic on decimals in Python, not in SQL"
            )

        @override
        def reverse_operate(self, op: operators.OperatorType, other: Any, **options: Any) -> Any:
            return self.operate(op, other, **options)

    comparator_factory = Comparator


class _ByValue(functions.FunctionElement[Decimal]):
    """A decimal expression that orders and compares by value."""

    name = "by_value"
    type = _PlainDecimal()
    inherit_cache = True


@compiles(_ByValue)
def _by_value(element: _ByValue, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(_ByValue, "sqlite")
def _by_value_on_sqlite(element: _ByValue, compiler: SQLCompiler, **options: Any) -> str:
    return f"({compiler.process(element.clauses, **options)}) COLLATE {DECIMAL_COLLATION}"


class _Selected(_ByValue):
    """A function's decimal among the columns of a SELECT."""

    name = "selected"


@compiles(_Selected, "sqlite")
def _selected_on_sqlite(element: _Selected, compiler: SQLCompiler, **options: Any) -> str:
    # A stock compiler would render sum() of text, which SQLite computes in floating point, and
    # max() of text, in which "9" is above "10".
    if not isinstance(compiler, ExactCompiler):
        raise CompileError(
            "SQLite computes this inexactly on an engine that tradebook did not make: use the "
            "session of get_session() or of a unit of work, or compute it in Python"
        )
    return compiler.process(element.clauses, **options)


class ExactCompiler(SQLiteCompiler):
    """The compiler of SQLite engines of this package: aggregates of decimals are exact or refused."""

    def visit_sum_func(self, function: functions.Function[Any], **options: Any) -> str:
        """Render `sum`, of exact decimals by the aggregate that every connection is given."""
        name = DECIMAL_SUM if isinstance(function.type, _PlainDecimal) else "sum"
        return name + self.function_argspec(function, **options)

    def visit_max_func(self, function: functions.Function[Any], **options: Any) -> str:
        """Render `max` or `min`, of exact decimals by value."""
        collate = (
            f" COLLATE {DECIMAL_COLLATION}" if isinstance(function.type, _PlainDecimal) else ""
        )
        return f"{function.name}({self.process(function.clauses, **options)}{collate})"

    visit_min_func = visit_max_func

    def visit_avg_func(self, function: functions.Function[Any], **options: Any) -> str:
        """Render `avg` or `total`; refuse them of exact decimals, which they would make floats."""
        if any(isinstance(clause.type, _PlainDecimal) for clause in function.clauses):
            raise CompileError(f"{function.name}() of exact decimals: compute it in Python")
        return function.name + self.function_argspec(function, **options)

    visit_total_func = visit_avg_func


class UtcDateTime(TypeDecorator[datetime]):
    """A timezone-aware instant in UTC, to the microsecond; on SQLite text that sorts by time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @override
    def bind_processor(self, dialect: Dialect) -> Processor:
        return _write_time if dialect.name == "sqlite" else _in_utc

    @override
    def result_processor(self, dialect: Dialect, coltype: object) -> Processor | None:
        if dialect in DIALECTS_WITH_FINAL_VALUES:
            return None
        return _TIMES.__getitem__ if dialect.name == "sqlite" else _in_utc


def _in_utc(value: datetime | None) -> datetime | None:
    """Convert a time to UTC; a naive one is taken as UTC."""
    if value is None or value.tzinfo is UTC:
        return value
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _write_time(value: datetime | None) -> str | None:
    return sqlite_time(_in_utc(value))


class _StoredTimes(dict[Any, datetime | None]):
    """UTC times by SQLite's text; a new record has one time in three or four of its columns."""

    def __missing__(self, text: Any) -> datetime | None:
        try:
            time = None if text is None else _in_utc(datetime.fromisoformat(text))
        except (TypeError, ValueError) as error:
            raise unreadable(text, "a time") from error
        if len(self) >= _KEPT_TIMES:
            self.clear()
        self[text] = time
        return time


_KEPT_TIMES: Final = 10_000
_TIMES: Final = _StoredTimes()


class EnumText(TypeDecorator[StrEnum]):
    """A string enumeration, kept as text; the table's CHECK lists the members."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        """Take the enumeration whose members the column holds."""
        super().__init__()
        self.kind = kind

    @override
    def bind_processor(self, dialect: Dialect) -> Processor:
        texts = ((member, str(member)) for member in self.kind)
        return _Members(texts, lambda value: InvalidInput("", value, self._members())).__getitem__

    @override
    def result_processor(self, dialect: Dialect, coltype: object) -> Processor:
        members = ((str(member), member) for member in self.kind)
        return _Members(members, lambda value: unreadable(value, self._members())).__getitem__

    def _members(self) -> str:
        return "one of " + ", ".join(self.kind)


class _Members(dict[Any, Any]):
    """A dictionary of the values that are allowed, and None; another key raises what `refusal` returns."""

    def __init__(
        self, items: Iterable[tuple[Any, Any]], refusal: Callable[[object], Exception]
    ) -> None:
        super().__init__(items)
        self._refusal = refusal
        self[None] = None

    def __missing__(self, value: object) -> Any:
        raise self._refusal(value)


def read_json(stored: str | float) -> Any:
    """Parse the JSON text of SQLite.

    Tables made before revision 0003 declared such columns as JSON, whose affinity turned a number
    alone into a number of SQLite's.
    """
    if stored == "{}":  # most of them: parsing it takes ten times as long
        return {}
    if isinstance(stored, int | float):
        return stored
    try:
        return json.loads(stored)
    except (TypeError, ValueError) as error:
        raise unreadable(stored, "JSON") from error


def unreadable(value: object, expected: str) -> DatabaseCorrupt:
    """Return the error for a stored value that this package cannot have written."""
    return DatabaseCorrupt(f"{shown(value)} is stored where {expected} belongs")


class Json(TypeDecorator[Any]):
    """JSON; JSONB on PostgreSQL, the text as it was written on SQLite. None is SQL's NULL."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    @override
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name != "postgresql":
            return super().load_dialect_impl(dialect)
        return JSONB(none_as_null=True)


@compiles(Json, "sqlite")
def _json_on_sqlite(_element: Json, _compiler: DDLCompiler, **_options: Any) -> str:
    # A column declared JSON has numeric affinity: SQLite would keep 15 digits of a long number.
    return "TEXT"


class JsonText(str):
    """A JSON value that is encoded already; only `bind_processor` takes it."""


def bind_processor(column: Column[Any], dialect: Dialect) -> Processor | None:
    """Return what makes a value of a column ready for the driver, without the column type's checks.

    Entities and bookings hold checked values in canonical form, so that the checks would repeat. None where
    the driver takes the value as it is.
    """
    kind = column.type
    if isinstance(kind, EnumText):
        return _optional_text if column.nullable else str
    if isinstance(kind, UtcDateTime) and dialect.driver == "psycopg2":
        return _iso_text  # twice as fast as the driver's own
    if isinstance(kind, ExactDecimal | UtcDateTime) and dialect.name != "sqlite":
        return None
    if isinstance(kind, UtcDateTime):
        return sqlite_time
    if isinstance(kind, ExactDecimal):
        return _decimal_text
    process = kind.dialect_impl(dialect).bind_processor(dialect)
    if isinstance(kind, Json) and process is not None:
        return partial(_json_text, process)
    return process


def _json_text(encode: Callable[[Any], Any], value: Any) -> Any:
    if type(value) is JsonText:
        return str(value)
    # Most values are an empty object, and encoding it takes ten times as long.
    return "{}" if value == {} else encode(value)


def _optional_text(value: StrEnum | None) -> str | None:
    return None if value is None else str(value)


def _iso_text(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def sqlite_time(value: datetime | None) -> str | None:
    """Return a UTC time as SQLite keeps it: text that sorts by time."""
    return None if value is None else value.isoformat(" ", "microseconds")[:26]


def _decimal_text(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")


json_type: Final = Json
"""The name that the migrations use."""
