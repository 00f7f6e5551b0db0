"""Conversion of callers' values to plain Python values, by their real type.

A subclass may override comparison, `len` or `str`, and an object may lie about its `__class__`. A check
that called such methods could be passed by one value and store another, so the plain value inside is
taken first, and everything else is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, cast

from tradebook.domain.errors import InvalidInput

V = TypeVar("V")

_A_TIME: Final = "a datetime, or an ISO 8601 text such as 2024-05-17T14:30:00Z"
_LONGEST_TIME: Final = 64
_PARTS: Final = ("year", "month", "day", "hour", "minute", "second", "microsecond")


def is_instance(value: object, kind: type) -> bool:
    """Return whether the type of `value` is `kind` or a subclass; `isinstance` would trust `__class__`."""
    return issubclass(type(value), kind)


def plain_text(value: str) -> str:
    """Return text as a plain `str`, also from a subclass."""
    if not is_instance(value, str):
        raise InvalidInput("", value, "text")
    return str.__str__(value)


def plain_int(value: int, expected: str) -> int:
    """Return an integer as a plain `int`, also from a subclass; refuse True and False."""
    if not is_instance(value, int) or is_instance(value, bool):
        raise InvalidInput("", value, expected)
    return int.__index__(value)


def plain_datetime(value: datetime | str) -> datetime:
    """Return a time, also of an ISO 8601 text, as a plain `datetime` in UTC; a naive one is taken as UTC.

    Raises:
        InvalidInput: neither a datetime nor such a text, or its time zone has no offset, or the time in UTC
            is outside the years 1 to 9999.
    """
    if type(value) is str or is_instance(value, str):
        value = _iso_time(str.__str__(value))
        if value.tzinfo is UTC:
            return value
    if not is_instance(value, datetime):
        raise InvalidInput("", value, _A_TIME)
    value = cast("datetime", value)
    try:
        if value.utcoffset() is None:
            return _rebuilt(value.replace(tzinfo=UTC, fold=0))
        return _rebuilt(value.astimezone(UTC))
    except OverflowError:
        raise InvalidInput("", value, "a datetime within the years 1 to 9999 in UTC") from None
    except Exception as error:  # a caller's time zone may raise anything
        raise InvalidInput("", value, "a datetime whose time zone has an offset") from error


def _iso_time(text: str) -> datetime:
    # A text of digits may be seconds since 1970, and would pass for a date such as 20240517.
    if text.isdigit() or len(text) > _LONGEST_TIME:
        raise InvalidInput("", text, _A_TIME)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput("", text, _A_TIME) from None


def _rebuilt(value: datetime) -> datetime:
    if type(value) is datetime:
        return value
    return datetime(**{part: getattr(value, part) for part in _PARTS}, tzinfo=UTC)


def mapping(value: Mapping[Any, V]) -> Mapping[Any, V]:
    """Check that a value is a mapping, without reading its keys."""
    if not is_instance(value, Mapping):
        raise InvalidInput("", value, "a mapping")
    return value


def optional_mapping(value: Mapping[Any, V] | None) -> Mapping[Any, V]:
    """Check a mapping that may be left out; None becomes an empty one."""
    return {} if value is None else mapping(value)


def entries(value: Iterable[V]) -> list[V]:
    """Collect the items of any iterable in a list."""
    if not is_instance(value, Iterable):
        raise InvalidInput("", value, "a list")
    return list(value)


def function(value: V) -> V:
    """Check that a value can be called."""
    if not callable(value):
        raise InvalidInput("", value, "a function")
    return value


def optional_function(value: V) -> V:
    """Check a function that may be left out."""
    return value if value is None else function(value)
