"""What a check finds."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen


class Level(StrEnum):
    """How bad it is."""

    GREEN = "green"
    YELLOW = "yellow"
    """Works, but something should be mended."""
    RED = "red"
    """Money can be lost, or the book cannot be used."""
    UNKNOWN = "unknown"
    """Cannot be seen from here."""


@frozen
class Finding:
    """What one check found.

    Attributes:
        check: what was looked at.
        level: how bad it is.
        what: what was found.
        fix: what to do about it; `""` where nothing needs doing.
    """

    check: str
    level: Level
    what: str
    fix: str = ""


def green(check: str, what: str) -> Finding:
    """All is well."""
    return Finding(check, Level.GREEN, what)


def yellow(check: str, what: str, fix: str) -> Finding:
    """Should be mended."""
    return Finding(check, Level.YELLOW, what, fix)


def red(check: str, what: str, fix: str) -> Finding:
    """Must be mended."""
    return Finding(check, Level.RED, what, fix)


def unknown(check: str, what: str, fix: str = "") -> Finding:
    """Cannot be seen from here."""
    return Finding(check, Level.UNKNOWN, what, fix)
