"""Points of time at which something is looked at: at equal steps, or where a day, a month or another period begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import islice
from typing import Final, TypeAlias, cast
from zoneinfo import ZoneInfo

from tradebook.domain.durations import duration
from tradebook.domain.errors import InvalidInput
from tradebook.domain.plain_values import is_instance, plain_text

Frequency: TypeAlias = str | timedelta

MAX_POINTS: Final = 100_000
"""The most points of one period: 11 years of hours."""

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_EPOCH: Final = datetime(1, 1, 1, tzinfo=UTC)


def _next_month(day: date, months: int = 1) -> date:
    """Return the first day of the next month, quarter or year."""
    month = (day.month - 1) // months * months + months
    return date(day.year + month // 12, month % 12 + 1, 1)


_NEXT_DAYS: Final[Mapping[str, Callable[[date], date]]] = {
    "day": lambda day: day + _DAY,
    "week": lambda day: day + timedelta(days=7 - day.weekday()),
    "month": _next_month,
    "quarter": lambda day: _next_month(day, 3),
    "year": lambda day: _next_month(day, 12),
}
"""For each period the day on which the next one begins; a week begins on Monday."""
_EXPECTED: Final = "hour, day, week, month, quarter or year, or a duration such as 15m"


def zone(name: str) -> tzinfo:
    """Return a time zone by its name in the IANA database, such as `America/New_York`.

    Raises:
        InvalidInput: there is no such time zone on this machine.
    """
    text = plain_text(name)
    try:
        return UTC if text == "UTC" else ZoneInfo(text)
    except (OSError, ValueError, KeyError):
        raise InvalidInput("", text, "the name of a time zone, such as America/New_York") from None


def point_times(
    start: datetime, end: datetime, frequency: Frequency, time_zone: tzinfo = UTC
) -> list[datetime]:
    """Return the points from `start` to `end`, both included, sorted and in UTC.

    Args:
        start: the first point, UTC.
        end: the last point, UTC, not before the first.
        frequency: "hour", "day", "week" (from Monday), "month", "quarter" or "year" for the times at which one begins; or
            a duration for equal steps from the start.
        time_zone: in which these begin. A day may have 23 or 25 hours; where midnight comes twice, the first one
            counts, and where there is none, the time to which clocks are set.

    Raises:
        InvalidInput: the frequency is refused, or there would be more than 100,000 points.
    """
    between = islice(_between(start, end, frequency, time_zone), MAX_POINTS)
    times = sorted({start, end, *between})
    if len(times) > MAX_POINTS:
        expected = f"at most {MAX_POINTS:,} points from {start.isoformat()} to {end.isoformat()}"
        raise InvalidInput("", str(frequency), expected)
    return times


def _between(
    start: datetime, end: datetime, frequency: Frequency, time_zone: tzinfo
) -> Iterator[datetime]:
    name = plain_text(cast("str", frequency)) if is_instance(frequency, str) else ""
    if name == "hour":
        return _steps(start - (start - _EPOCH) % _HOUR, end, _HOUR)
    if name in _NEXT_DAYS:
        return _days(start, end, _NEXT_DAYS[name], time_zone)
    try:
        return _steps(start, end, duration(frequency))
    except InvalidInput:
        raise InvalidInput("", frequency, _EXPECTED) from None


def _steps(start: datetime, end: datetime, step: timedelta) -> Iterator[datetime]:
    count = (end - start) // step
    return (start + number * step for number in range(1, count + 1))


def _days(
    start: datetime, end: datetime, following: Callable[[date], date], time_zone: tzinfo
) -> Iterator[datetime]:
    day = start.astimezone(time_zone).date()
    while day < date.max - timedelta(days=367):
        day = following(day)
        at = datetime(day.year, day.month, day.day, tzinfo=time_zone).astimezone(UTC)
        if at >= end:
            return
        if at > start:
            yield at
