"""What callers give, taken for what it is: its type decides, not what it says of itself.

A subclass may compare, print or measure itself as it likes, and an object may pretend to be of another
class; what is kept is the plain value inside, and all else is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from tradebook.domain.errors import InvalidInput

V = TypeVar("V")
_Given = TypeVar("_Given")


def is_instance(value: object, kind: type) -> bool:
    """Whether `value` is of a class; `isinstance` would believe its `__class__`."""
    return issubclass(type(value), kind)


def plain_text(value: str) -> str:
    """The text itself, of a subclass too."""
    if not is_instance(value, str):
        raise InvalidInput("", value, "text")
    return str.__str__(value)


def plain_int(value: int, expected: str) -> int:
    """The integer itself, of a subclass too; no truth value."""
    if not is_instance(value, int) or is_instance(value, bool):
        raise InvalidInput("", value, expected)
    return int.__index__(value)


def plain_datetime(value: datetime) -> datetime:
    """The time itself, of a subclass too, in UTC; one without an offset is taken as UTC.

    Raises:
        InvalidInput: no datetime, or its time zone gives no offset, or one that leads out of the calendar.
    """
    if not is_instance(value, datetime):
        raise InvalidInput("", value, "a datetime")
    try:
        if value.utcoffset() is None:
            return _rebuilt(value.replace(tzinfo=UTC, fold=0))
        return _rebuilt(value.astimezone(UTC))
    except OverflowError:
        raise InvalidInput("", value, "a datetime within the years 1 to 9999 in UTC") from None
    except Exception as error:  # whatever a time zone raises
        raise InvalidInput("", value, "a datetime whose time zone knows its offset") from error


def _rebuilt(value: datetime) -> datetime:
    if type(value) is datetime:
        return value
    return datetime(
        value.year,
        value.month,
        value.day,
        value.hour,
        value.minute,
        value.second,
        value.microsecond,
        tzinfo=UTC,
    )


def mapping(value: Mapping[Any, V]) -> Mapping[Any, V]:
    """A mapping; its keys are not looked at."""
    if not is_instance(value, Mapping):
        raise InvalidInput("", value, "a mapping")
    return value


def optional_mapping(value: Mapping[Any, V] | None) -> Mapping[Any, V]:
    """A mapping; empty where there is none."""
    return {} if value is None else mapping(value)


def entries(value: Iterable[V]) -> list[V]:
    """All that a list, or anything else that can be gone through, holds."""
    if not is_instance(value, Iterable):
        raise InvalidInput("", value, "a list")
    return list(value)


def function(value: _Given) -> _Given:
    """What can be called."""
    if not callable(value):
        raise InvalidInput("", value, "a function")
    return value


def optional_function(value: _Given) -> _Given:
    """What can be called, or none."""
    return value if value is None else function(value)
