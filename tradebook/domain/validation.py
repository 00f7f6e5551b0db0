"""What a field of an entity accepts besides numbers: text, times, enumerations, JSON; and the base entity."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
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
    MAX_TEXT,
)
from tradebook.domain.numbers import amount
from tradebook.domain.plain_values import is_instance, plain_datetime, plain_int, plain_text

Json: TypeAlias = Any
"""None, bool, int, float, str, or a list or a str-keyed dict of those."""
_PLAIN_NAME: Final = re.compile(r"[!-~]([ -~]{0,198}[!-~])?").fullmatch
"""Matches names in printable ASCII: nearly all of them."""

_Choice = TypeVar("_Choice", bound=StrEnum)
_Given = TypeVar("_Given")
_Converted = TypeVar("_Converted")


def utc_now() -> datetime:
    """The time now, timezone-aware UTC."""
    return datetime.now(UTC)


def utc(value: datetime) -> datetime:
    """The same instant in UTC; a naive `datetime` is taken as UTC."""
    return value if type(value) is datetime and value.tzinfo is UTC else plain_datetime(value)


def optional_utc(value: datetime | None) -> datetime | None:
    """`utc`, or none."""
    return None if value is None else utc(value)


def _checked_text(value: str, limit: int) -> str:
    if type(value) is str and len(value) <= limit and value.isascii() and "\x00" not in value:
        return value
    value = plain_text(value)
    if len(value) > limit:
        raise InvalidInput("", value, f"at most {limit} characters")
    if "\x00" in value or not _encodable(value):
        raise InvalidInput("", value, "text without NUL characters or lone surrogates")
    return value


def _encodable(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def identifier(value: str) -> str:
    """Text of 1 to 200 characters, without blanks around it."""
    if type(value) is str and _PLAIN_NAME(value):
        return value
    value = short_text(value)
    if not value or value != value.strip():
        raise InvalidInput("", value, "text that is not empty and has no blanks around it")
    return value


def short_text(value: str) -> str:
    """Text of 0 to 200 characters; `""` stands for none."""
    value = _checked_text(value, MAX_NAME)
    if not value.isascii() and len(value.encode()) > MAX_NAME_BYTES:
        raise InvalidInput("", value, f"at most {MAX_NAME_BYTES} bytes in UTF-8")
    return value


def optional_identifier(value: str | None) -> str | None:
    """`name`, or none."""
    return None if value is None else identifier(value)


def long_text(value: str) -> str:
    """Text of any kind, up to 100,000 characters."""
    return _checked_text(value, MAX_TEXT)


def optional_long_text(value: str | None) -> str | None:
    """`text`, or none."""
    return None if value is None else long_text(value)


def enum_member(kind: type[_Choice], value: _Choice | str) -> _Choice:
    """The member of a string enumeration that `value` names."""
    if type(value) is kind:
        return value
    try:
        return kind(value if type(value) is str else plain_text(value))
    except ValueError:  # InvalidInput is one
        raise InvalidInput("", value, "one of " + ", ".join(kind)) from None


def optional_id(value: int | None) -> int | None:
    """A record's id, or none."""
    return None if value is None else record_id(value)


def record_id(value: int) -> int:
    """A record's id: an integer from 0 to 2^63 - 1."""
    if type(value) is int and 0 <= value <= MAX_ID:
        return value
    id_ = plain_int(value, _AN_ID)
    if not 0 <= id_ <= MAX_ID:
        raise InvalidInput("", value, _AN_ID)
    return id_


def record_ids(value: Sequence[int]) -> list[int]:
    """A list of records' ids; no iterator, which could not be gone through again on a retry."""
    if not is_instance(value, Sequence):
        raise InvalidInput("", value, "a list of records' ids")
    return [record_id(each) for each in value]


_AN_ID: Final = "a record's id, a whole number"


def boolean(value: bool) -> bool:
    """True or False."""
    if value is not True and value is not False:
        raise InvalidInput("", value, "True or False")
    return value


def json_object(value: Mapping[str, Json]) -> dict[str, Json]:
    """A JSON object, in the form in which every database gives it back (see `json_value`)."""
    if not is_instance(value, Mapping):
        raise InvalidInput("", value, "a mapping of names to JSON values")
    return cast("dict[str, Json]", json_value(value))


def json_value(value: Json) -> Json:
    """A JSON value, in the form in which every database gives it back.

    Decimals become their plain text, datetimes ISO 8601 in UTC, tuples lists, and floats of 1e16 and
    more integers (PostgreSQL's JSONB writes them so).

    Raises:
        InvalidInput: another type, a non-finite number, or deeper or larger than the limits.
    """
    return _jsonable(value, MAX_JSON_DEPTH, [MAX_JSON])


def event_payload(value: Mapping[str, Json]) -> dict[str, Json]:
    """As `json_object`, with room for what a record's own JSON was before a change and is after it."""
    if type(value) is not dict and not is_instance(value, Mapping):
        raise InvalidInput("", value, "a mapping of names to JSON values")
    return cast("dict[str, Json]", _jsonable(value, MAX_JSON_DEPTH + 3, [3 * MAX_JSON]))


def _jsonable(value: Json, depth: int, budget: list[int]) -> Json:
    budget[0] -= 1
    if depth < 0 or budget[0] < 0:
        _too_large()
    kind = type(value)  # not `isinstance`, which would believe its `__class__`
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


def argument(field: str, convert: Callable[[_Given], _Converted], value: _Given) -> _Converted:
    """An argument as a converter makes it; a refusal names the argument."""
    try:
        return convert(value)
    except InvalidInput as error:
        raise InvalidInput(field, error.value, error.expected) from None
