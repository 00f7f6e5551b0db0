"""Durations that callers give: a `timedelta`, or text such as `1h`, `1d`, `2h30m`, or ISO 8601 such as `PT1H`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeAlias

from tradebook.domain.errors import InvalidInput
from tradebook.domain.numbers import canonical, plain
from tradebook.domain.plain_values import is_instance, plain_text

Duration: TypeAlias = timedelta | str

MAX_DURATION: Final = timedelta(days=36_525)
_MOST: Final = 20
"""Durations in one list."""
_TICK: Final = timedelta(microseconds=1)
_LONGEST_TEXT: Final = 40
_EXPECTED: Final = (
    "a duration above 0 and of at most 100 years: a timedelta, or text such as 30m, 1h, 1d, 2w or PT1H (a month has no "
    "fixed length; write days)"
)
_UNITS: Final = ("weeks", "days", "hours", "minutes", "seconds")
_SHORT: Final = re.compile(
    r"(?:(\d{1,9})w)?(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII
).fullmatch
_ISO: Final = re.compile(
    r"P(?:(\d{1,9})W)?(?:(\d{1,9})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?", re.ASCII
).fullmatch
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)


def duration(value: Duration) -> timedelta:
    """Convert a duration above 0 to a plain `timedelta`.

    Raises:
        InvalidInput: no duration, 0 or below, or longer than 100 years.
    """
    given: Any = value
    if is_instance(given, str):
        given = _parsed(plain_text(given))
    if not is_instance(given, timedelta):
        raise InvalidInput("", value, _EXPECTED)
    length = timedelta(given.days, given.seconds, given.microseconds)
    if not timedelta(0) < length <= MAX_DURATION:
        raise InvalidInput("", value, _EXPECTED)
    return length


def durations(value: Duration | Sequence[Duration]) -> tuple[timedelta, ...]:
    """Convert one duration or a list of several to different ones, the shortest first.

    Raises:
        InvalidInput: an entry is refused, or there are none or more than 20.
    """
    given: Any = value
    if is_instance(given, str) or not is_instance(given, Sequence):
        return (duration(given),)
    if not 1 <= len(given) <= _MOST:
        raise InvalidInput("", value, f"1 to {_MOST} durations")
    return tuple(sorted({duration(each) for each in given}))


def seconds(length: timedelta) -> Decimal:
    """Return a duration in seconds, exactly."""
    return canonical(Decimal(length // _TICK).scaleb(-6))


def duration_text(length: Decimal) -> str:
    """Write a duration, given in seconds, in its largest unit that needs no decimals: `30m`, `1h`, `1d`, `1.5s`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if length and not length % size:
            return f"{length // size}{unit}"
    return f"{plain(length)}s"


def shifted(time: datetime, by: timedelta) -> datetime:
    """Add a duration to a time in UTC; the result stays within the years 1 to 9999."""
    try:
        return time + by
    except OverflowError:
        return _FIRST if by < timedelta(0) else _LAST


def _parsed(text: str) -> timedelta | None:
    if len(text) > _LONGEST_TEXT:
        return None
    found = _SHORT(text) or _ISO(text)
    if found is None or not any(found.groups()):
        return None
    numbers = dict(zip(_UNITS, (int(part or 0) for part in found.groups()), strict=True))
    try:
        return timedelta(**numbers)
    except OverflowError:
        return None
