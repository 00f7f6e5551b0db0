"""Converters for the numbers of a configuration, each with its bounds."""

from __future__ import annotations

from tradebook.domain.errors import InvalidInput
from tradebook.domain.plain_values import plain_int


def whole(value: int, least: int, most: int) -> int:
    """Check that a value is a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidInput("", value, f"a whole number from {least} to {most:,}")
    return value


def port(value: int | None) -> int | None:
    """Check the port of a server."""
    return None if value is None else whole(value, 1, 65_535)


def milliseconds(value: int | None) -> int | None:
    """Check a timeout in milliseconds; 0 stands for no timeout."""
    return None if value is None else whole(value, 0, 2**31 - 1)


def wait(value: int) -> int:
    """Check a time to wait in milliseconds, up to a minute."""
    return whole(plain_int(value, "a whole number of milliseconds"), 0, 60_000)


def pool_size(value: int) -> int:
    """Check a number of connections of which at least one is needed."""
    return whole(value, 1, 10_000)


def overflow_size(value: int) -> int:
    """Check a number of connections that may be 0."""
    return whole(value, 0, 10_000)


def whole_seconds(value: int) -> int:
    """Check a duration of at least one whole second."""
    return whole(value, 1, 2**31 - 1)


def seconds_ahead(value: int) -> int:
    """Check how many seconds ahead of the clock a time may be; up to a hundred years."""
    return whole(plain_int(value, "a whole number of seconds"), 0, 100 * 366 * 86_400)


def seconds(value: float) -> float:
    """Check a duration in seconds, 0 or more, with fractions."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise InvalidInput("", value, "a number of seconds, 0 or more")
    return value


def optional_seconds(value: float | None) -> float | None:
    """Check a duration in seconds that may be left out."""
    return None if value is None else seconds(value)
