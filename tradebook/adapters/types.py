"""Column types that mean the same on every database: ids, exact decimals, UTC times, enumerations, JSON.

On SQLite a decimal is canonical plain text, so equality is native, and sums, order and comparison
go through what `sqlite.py` registers on each connection. What would silently turn into floats there
is refused when the statement is built or compiled.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypeAlias
from weakref import WeakSet

from sqlalchemy import JSON, BigInteger, Column, DateTime, Dialect, Numeric, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import CompileError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import PrimaryKeyConstraint
from sqlalchemy.sql import functions, operators
from sqlalchemy.sql.compiler import DDLCompiler, SQLCompiler
from sqlalchemy.types import TypeDecorator, TypeEngine

from tradebook.domain.errors import DatabaseCorrupt, InvalidInput, shown
from tradebook.domain.numbers import Numbers, canonical, plain

Reading: TypeAlias = Callable[[Any], Any]
"""Makes a value from what a driver gives. Returned whole, without the wrapper that SQLAlchemy would call
for each value of each row."""

NUMBERS: Final = Numbers()
"""By the text in which databases give them."""

MADE_BY_DRIVER: Final[WeakSet[Dialect]] = WeakSet()
"""Of engines whose driver gives decimals and times in their one form already (see `driver_values.py`)."""

DECIMAL_COLLATION: Final = "tradebook_decimal"
DECIMAL_SUM: Final = "tradebook_sum"


class Id(BigInteger):
    """A record's id. On SQLite the rowid itself, never handed out twice."""


@compiles(Id, "sqlite")
def _id_on_sqlite(_element: Id, _compiler: DDLCompiler, **_options: Any) -> str:
    return "INTEGER PRIMARY KEY AUTOINCREMENT"


class AccountKey(PrimaryKeyConstraint):
    """PRIMARY KEY (account, id). On SQLite, where `id` alone must be the key, UNIQUE (account, id)."""


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


class _PlainDecimal(TypeDecorator[Decimal]):
    """How exact decimals travel: unconstrained NUMERIC, on SQLite canonical plain text."""

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Text on SQLite."""
        on_text = dialect.name == "sqlite"
        return dialect.type_descriptor(Text() if on_text else Numeric(asdecimal=True))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """To the driver: never a non-finite number, which psycopg2 would alter."""
        if value is None:
            return None
        if not isinstance(value, Decimal) or not value.is_finite():
            raise InvalidInput("", value, "a finite Decimal")
        return plain(value) if dialect.name == "sqlite" else value

    def result_processor(self, dialect: Dialect, _coltype: object) -> Reading | None:
        """From the driver, in canonical form."""
        if dialect in MADE_BY_DRIVER:
            return None
        return _read_text if dialect.name == "sqlite" else _read_number


def _read_number(value: Any) -> Decimal | None:
    return None if value is None else canonical(value)


def _read_text(value: Any) -> Decimal | None:
    try:
        return None if value is None else NUMBERS[value]
    except (ArithmeticError, TypeError, ValueError) as error:
        raise unreadable(value, "a number") from error


class ExactDecimal(_PlainDecimal):
    """A Decimal, digit for digit.

    Equality and membership are plain SQL; `<`, `>`, `.asc()`, `.desc()`, `sum`, `min` and `max` go by
    value everywhere. Order by `column.asc()`, not by the bare column, which SQLite would order as
    text. Arithmetic and averages belong in Python and raise.
    """

    cache_ok = True

    class Comparator(TypeDecorator.Comparator[Decimal]):
        """Lets through what every database does exactly."""

        def operate(self, op: operators.OperatorType, *other: Any, **options: Any) -> Any:
            """The SQL expression, or a refusal."""
            if op in _SAFE:
                return super().operate(op, *other, **options)
            if op in _BY_VALUE:
                return op(_ByValue(self.expr), *other, **options)
            raise InvalidInput(
                "", getattr(op, "__name__", op), "arithmetic on decimals in Python, not in SQL"
            )

        def reverse_operate(self, op: operators.OperatorType, other: Any, **options: Any) -> Any:
            """The same, from the right-hand side."""
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


@compiles(functions.sum, "sqlite")
def _sum_on_sqlite(element: functions.sum[Any], compiler: SQLCompiler, **options: Any) -> str:
    function = DECIMAL_SUM if isinstance(element.type, _PlainDecimal) else "sum"
    return f"{function}({compiler.process(element.clauses, **options)})"


@compiles(functions.min, "sqlite")
@compiles(functions.max, "sqlite")
def _extreme_on_sqlite(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    collate = f" COLLATE {DECIMAL_COLLATION}" if isinstance(element.type, _PlainDecimal) else ""
    return f"{element.name}({compiler.process(element.clauses, **options)}{collate})"


@compiles(functions.Function, "sqlite")
def _function_on_sqlite(
    element: functions.Function[Any], compiler: SQLCompiler, **options: Any
) -> str:
    if element.name in ("avg", "total") and any(
        isinstance(clause.type, _PlainDecimal) for clause in element.clauses
    ):
        raise CompileError(f"{element.name}() of exact decimals: compute it in Python")
    return compiler.visit_function(element, **options)


class UtcDateTime(TypeDecorator[datetime]):
    """A timezone-aware instant in UTC, to the microsecond; on SQLite text that sorts by time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the driver; a naive time is taken as UTC."""
        if value is None:
            return None
        aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return aware.replace(tzinfo=None) if dialect.name == "sqlite" else aware

    def result_processor(self, dialect: Dialect, coltype: object) -> Reading | None:
        """From the driver, aware and in UTC."""
        if dialect in MADE_BY_DRIVER:
            return None
        parsed = self.impl_instance.result_processor(dialect, coltype)
        if parsed is None:
            return _read_time

        def read(value: Any) -> datetime | None:
            try:
                return _read_time(parsed(value))
            except (TypeError, ValueError) as error:  # SQLite's text may be no time
                raise unreadable(value, "a time") from error

        return read


def _read_time(value: datetime | None) -> datetime | None:
    if value is None or value.tzinfo is UTC:
        return value
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class EnumText(TypeDecorator[StrEnum]):
    """A string enumeration, kept as text; the table's CHECK lists the members."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: StrEnum | str | None, _dialect: Dialect) -> str | None:
        """To the driver; refuses what is no member."""
        if value is None:
            return None
        try:
            return str(self.kind(value))
        except ValueError:
            raise InvalidInput("", value, "one of " + ", ".join(self.kind)) from None

    def result_processor(self, _dialect: Dialect, _coltype: object) -> Reading:
        """From the driver, as a member."""
        return _Members(self.kind).__getitem__


class _Members(dict[Any, Any]):
    """The members of an enumeration by their text."""

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__({str(member): member for member in kind})
        self.kind = kind
        self[None] = None

    def __missing__(self, value: object) -> Any:
        raise unreadable(value, "one of " + ", ".join(self.kind))


def read_json(stored: str | float) -> Any:
    """What SQLite keeps as text; a number alone as a number where nobody migrated tables of old."""
    if isinstance(stored, int | float):
        return stored
    try:
        return json.loads(stored)
    except (TypeError, ValueError) as error:
        raise unreadable(stored, "JSON") from error


def unreadable(value: object, expected: str) -> DatabaseCorrupt:
    """What to say of a stored value that none of ours wrote."""
    return DatabaseCorrupt(f"{shown(value)} is stored where {expected} belongs")


class Json(TypeDecorator[Any]):
    """JSON; JSONB on PostgreSQL, text as it was written on SQLite. None is SQL's NULL."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """JSONB on PostgreSQL, whose dialect is imported for those who use it."""
        if dialect.name != "postgresql":
            return super().load_dialect_impl(dialect)

        return JSONB(none_as_null=True)


@compiles(Json, "sqlite")
def _json_on_sqlite(_element: Json, _compiler: DDLCompiler, **_options: Any) -> str:
    """Declared as JSON, SQLite would make a number of a number alone, and keep 15 digits of a long one."""
    return "TEXT"


class JsonText(str):
    """A JSON value that is encoded already; only `bind_processor` takes it."""


def bind_processor(column: Column[Any], dialect: Dialect) -> Reading | None:
    """Return what makes a value of a column ready for the driver, without the column type's checks.

    Entities and bookings hold checked values in canonical form, so that the checks would repeat. None where
    the driver takes the value as it is.
    """
    kind = column.type
    if isinstance(kind, EnumText):
        return str
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
        return lambda value: str(value) if type(value) is JsonText else process(value)
    return process


def _iso_text(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def sqlite_time(value: datetime | None) -> str | None:
    """Return a UTC time as SQLite keeps it: text that sorts by time."""
    return None if value is None else value.isoformat(" ", "microseconds")[:26]


def _decimal_text(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")


json_type: Final = Json
"""What the migrations call it."""
