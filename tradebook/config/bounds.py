"""Numbers of a configuration, and what they may be."""

from __future__ import annotations

from tradebook.domain.errors import InvalidInput


def whole(value: int, least: int, most: int) -> int:
    """A whole number between bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidInput("", value, f"a whole number from {least} to {most:,}")
    return value


def port(value: int | None) -> int | None:
    """Of a server."""
    return None if value is None else whole(value, 1, 65_535)


def milliseconds(value: int | None) -> int | None:
    """A timeout; 0 is none."""
    return None if value is None else whole(value, 0, 2**31 - 1)


def some_connections(value: int) -> int:
    """At least one."""
    return whole(value, 1, 10_000)


def more_connections(value: int) -> int:
    """None, or more."""
    return whole(value, 0, 10_000)


def whole_seconds(value: int) -> int:
    """At least one."""
    return whole(value, 1, 2**31 - 1)


def seconds(value: float) -> float:
    """0 or more, with fractions."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise InvalidInput("", value, "a number of seconds, 0 or more")
    return value
