"""Converters of entities' fields besides numbers: text, times, enumerations, ids, JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, NoReturn, TypeAlias, TypeVar, cast

from tradebook.domain.errors import InvalidInput
from tradebook.domain.limits import (
    MAX_ID,
    MAX_JSON,
    MAX_JSON_DEPTH,
    MAX_JSON_DIGITS,
    MAX_NAME,
    MAX_NAME_BYTES,
    MAX_SECONDS_AHEAD,
    MAX_TEXT,
)
from tradebook.domain.numbers import amount
from tradebook.domain.plain_values import is_instance, plain_datetime, plain_int, plain_text

Json: TypeAlias = Any
"""None, bool, int, float, str, or a list or a str-keyed dict of those."""
MAX_AHEAD: Final = timedelta(seconds=MAX_SECONDS_AHEAD)
"""How far ahead of a clock a time may be, unless a book's `max_seconds_ahead` says otherwise."""
_PLAIN_NAME: Final = re.compile(r"[!-~]([ -~]{0,198}[!-~])?").fullmatch
"""Matches names in printable ASCII, nearly all names, in one step."""

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]").search
"""Finds the characters that PostgreSQL does not store as text: NUL, and lone surrogates."""

_Choice = TypeVar("_Choice", bound=StrEnum)
_In = TypeVar("_In")
_Out = TypeVar("_Out")


def utc_now() -> datetime:
    """Return the current time, timezone-aware in UTC."""
    return datetime.now(UTC)


def utc(value: datetime | str) -> datetime:
    """Convert a time, or an ISO 8601 text, to the same instant in UTC; a naive one is taken as UTC."""
    return value if type(value) is datetime and value.tzinfo is UTC else plain_datetime(value)


def optional_utc(value: datetime | str | None) -> datetime | None:
    """Convert a time that may be left out to UTC."""
    return None if value is None else utc(value)


def is_ahead(time: datetime, at: datetime, most: timedelta = MAX_AHEAD) -> bool:
    """Return whether a time is further ahead of a clock than any time of the book may be."""
    return time > at and time - at > most


def require_past(
    field: str, time: datetime | None, at: datetime, most: timedelta = MAX_AHEAD
) -> None:
    """Raise InvalidInput for a time of `field` that `is_ahead` of a clock that is at `at`."""
    # Converted again: a value may have been put into a record past its converter.
    if time is not None and is_ahead(argument(field, utc, time), at, most):
        raise InvalidInput(
            field,
            time.isoformat(),
            f"a time no more than {span(most)} after this machine's clock, which says {at.isoformat()}; if that "
            "is wrong, set the clock; max_seconds_ahead (TRADEBOOK_MAX_SECONDS_AHEAD) is the bound",
        )


def span(most: timedelta) -> str:
    """Describe how far ahead times may be: `a day`, `90 seconds`."""
    return "a day" if most == MAX_AHEAD else f"{most.total_seconds():,.0f} seconds"


def _checked_text(value: str, limit: int) -> str:
    if type(value) is str and len(value) <= limit and value.isascii() and "\x00" not in value:
        return value
    value = plain_text(value)
    if len(value) > limit:
        raise InvalidInput("", value, f"at most {limit} characters")
    if _UNSTORABLE(value):
        raise InvalidInput("", value, "text without NUL characters or lone surrogates")
    return value


def identifier(value: str) -> str:
    """Check text of 1 to 200 characters, without blanks around it."""
    if type(value) is str and _PLAIN_NAME(value):
        return value
    value = short_text(value)
    if not value or value != value.strip():
        raise InvalidInput("", value, "text that is not empty and has no blanks around it")
    return value


def short_text(value: str) -> str:
    """Check text of 0 to 200 characters; `""` stands for none."""
    value = _checked_text(value, MAX_NAME)
    if not value.isascii() and len(value.encode()) > MAX_NAME_BYTES:
        raise InvalidInput("", value, f"at most {MAX_NAME_BYTES} bytes in UTF-8")
    return value


def order_identifier(value: str | int) -> str:
    """Check the id of an order: an `identifier`, or an integer, which becomes its digits."""
    if type(value) is str and _PLAIN_NAME(value):
        return value
    return identifier(_digits(value))


def optional_order_identifier(value: str | int | None) -> str | None:
    """Check the id of an order that may be left out."""
    return None if value is None else order_identifier(value)


def fill_identifier(value: str | int) -> str:
    """Check the id of an order's fill: `short_text`, or an integer, which becomes its digits."""
    return short_text(_digits(value))


def _digits(value: str | int) -> str:
    """Return the digits of an integer that has at most those of a name; leave any other value to its check."""
    if type(value) is int and value.bit_length() <= 3 * MAX_NAME:
        return str(value)
    return cast("str", value)


def optional_identifier(value: str | None) -> str | None:
    """Check an identifier that may be left out."""
    return None if value is None else identifier(value)


def default_asset(symbol: str) -> str:
    """Return what a quantity of a symbol is units of, as far as the symbol says it.

    Of `ETH/USDT` and `BTC/USDT:USDT`, the way ccxt writes pairs and perpetuals, it is the part before `/`. Of a
    contract that expires, such as `BTC/USDT:USDT-261225`, and of every other symbol it is the symbol itself.
    """
    asset, _, quote = symbol.partition("/")
    return symbol if not asset or "-" in quote.partition(":")[2] else asset


def symbol_asset(record: Any) -> str:
    """Return the `default_asset` of a record's symbol: the default of its field `asset`."""
    return default_asset(record.symbol)


def asset_of(trade: Any) -> str:
    """Return what the quantity of a trade is units of: the asset that it names, or its `symbol_asset`."""
    return trade.asset or symbol_asset(trade)


def long_text(value: str) -> str:
    """Check text of at most 100,000 characters."""
    return _checked_text(value, MAX_TEXT)


def optional_long_text(value: str | None) -> str | None:
    """Check long text that may be left out."""
    return None if value is None else long_text(value)


def enum_member(kind: type[_Choice], value: _Choice | str) -> _Choice:
    """Convert text to the member of a string enumeration that it names, in upper or lower case."""
    if type(value) is kind:
        return value
    text: str = value
    if type(value) is not str:
        text = plain_text(value) if is_instance(value, str) else ""
    try:
        return kind(text)
    except ValueError:
        # Of ASCII only: the upper case of a long s is an S.
        if text.isascii() and text.upper() in kind.__members__:
            return kind[text.upper()]
        raise InvalidInput("", value, "one of " + ", ".join(kind)) from None


def optional_id(value: int | None) -> int | None:
    """Check a record's id that may be left out."""
    return None if value is None else record_id(value)


def record_id(value: int) -> int:
    """Check a record's id, an integer from 0 to 2^63 - 1."""
    if type(value) is int and 0 <= value <= MAX_ID:
        return value
    id_ = plain_int(value, _AN_ID)
    if not 0 <= id_ <= MAX_ID:
        raise InvalidInput("", value, _AN_ID)
    return id_


def optional_count(value: int | None) -> int | None:
    """Check a count, an integer from 0 to 2^63 - 1, that may be left out."""
    if value is None:
        return None
    count = plain_int(value, _A_COUNT)
    if not 0 <= count <= MAX_ID:
        raise InvalidInput("", value, _A_COUNT)
    return count


def record_ids(value: Sequence[int]) -> list[int]:
    """Check a list of records' ids; refuse an iterator, which a retry would find exhausted."""
    if not is_instance(value, Sequence):
        raise InvalidInput("", value, "a list of records' ids")
    return [record_id(each) for each in value]


_AN_ID: Final = "a record's id, a whole number"
_A_COUNT: Final = "a count, a whole number that is 0 or above"


def boolean(value: bool) -> bool:
    """Check that a value is True or False."""
    if value is not True and value is not False:
        raise InvalidInput("", value, "True or False")
    return value


def json_object(value: Mapping[str, Json]) -> dict[str, Json]:
    """Convert a mapping to a JSON object in the form that every database returns; see `json_value`."""
    if not is_instance(value, Mapping):
        raise InvalidInput("", value, "a mapping of names to JSON values")
    return cast("dict[str, Json]", json_value(value))


def optional_json_object(value: Mapping[str, Json] | None) -> dict[str, Json] | None:
    """Convert a mapping to a JSON object, or pass None through."""
    return None if value is None else json_object(value)


def json_value(value: Json) -> Json:
    """Convert a value to JSON in the form that every database returns.

    Decimals become plain text, datetimes ISO 8601 in UTC, tuples lists, and floats of 1e16 and more
    integers, because PostgreSQL's JSONB returns them without an exponent.

    Raises:
        InvalidInput: not a JSON type, a non-finite number, or larger or deeper than the limits.
    """
    return _jsonable(value, MAX_JSON_DEPTH, [MAX_JSON])


def event_payload(value: Mapping[str, Json]) -> dict[str, Json]:
    """Convert an event's payload, which may hold a record's JSON before and after a change."""
    if type(value) is not dict and not is_instance(value, Mapping):
        raise InvalidInput("", value, "a mapping of names to JSON values")
    return cast("dict[str, Json]", _jsonable(value, MAX_JSON_DEPTH + 3, [3 * MAX_JSON]))


def _jsonable(value: Json, depth: int, budget: list[int]) -> Json:
    budget[0] -= 1
    if depth < 0 or budget[0] < 0:
        _too_large()
    kind = type(value)  # `isinstance` would trust a false `__class__`
    if issubclass(kind, str):
        return _json_text(value if kind is str else plain_text(value), budget)
    if issubclass(kind, Decimal):
        return _json_text(format(amount(value), "f"), budget)
    if value is None or value is True or value is False:
        return value
    if issubclass(kind, int):
        return _json_int(int.__index__(value))
    if issubclass(kind, float):
        return _json_float(float.__float__(value))
    if issubclass(kind, datetime):
        return utc(value).isoformat()
    if issubclass(kind, list | tuple):
        return [_jsonable(item, depth - 1, budget) for item in value]
    if issubclass(kind, Mapping):
        return {
            _json_key(k, budget): _jsonable(item, depth - 1, budget) for k, item in value.items()
        }
    raise InvalidInput("", value, "a JSON value")


def _too_large() -> NoReturn:
    raise InvalidInput(
        "", "the value", f"JSON of at most {MAX_JSON} characters, nested {MAX_JSON_DEPTH} deep"
    )


def _json_text(value: str, budget: list[int]) -> str:
    budget[0] -= len(value)
    if budget[0] < 0:
        _too_large()
    return _checked_text(value, MAX_JSON)


def _json_key(value: Any, budget: list[int]) -> str:
    if type(value) is not str and not is_instance(value, str):
        raise InvalidInput("", value, "text as the key of a JSON object")
    key = _checked_text(value, MAX_NAME)
    budget[0] -= len(key)
    return key


def _json_int(value: int) -> int:
    if value.bit_length() > 2048 or not -_TOO_LONG < value < _TOO_LONG:
        raise InvalidInput("", value, f"an integer of at most {MAX_JSON_DIGITS} digits")
    return value


_TOO_LONG: Final = 10**MAX_JSON_DIGITS


def _json_float(value: float) -> float | int:
    if not math.isfinite(value):
        raise InvalidInput("", value, "a finite number")
    return int(Decimal(repr(value))) if abs(value) >= 1e16 else value


def argument(field: str, convert: Callable[[_In], _Out], value: _In) -> _Out:
    """Convert an argument; a refusal names the argument."""
    try:
        return convert(value)
    except InvalidInput as error:
        raise InvalidInput(field, error.value, error.expected) from None
