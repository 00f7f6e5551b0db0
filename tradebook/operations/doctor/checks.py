"""The parts that every check is made of: its target, its findings and their levels."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeAlias

from attrs import frozen
from sqlalchemy import Connection, Engine, Row, text

from tradebook.config import DatabaseConfig

_VERY_LITTLE_FREE: Final = 0.05
_LITTLE_FREE: Final = 0.15
"""Shares of a disk."""


class Level(StrEnum):
    """The severity of a finding."""

    GREEN = "green"
    YELLOW = "yellow"
    """It works, but should be mended."""
    RED = "red"
    """Money can be lost, or the book cannot be used."""
    UNKNOWN = "unknown"
    """It cannot be checked from here."""


@frozen
class Finding:
    """The outcome of one check.

    Attributes:
        check: the name of the check.
        level: its severity.
        what: the state that was found.
        fix: what to do about it; `""` where nothing needs doing.
    """

    check: str
    level: Level
    what: str
    fix: str = ""


def green(check: str, what: str) -> Finding:
    """Return a finding with nothing to mend."""
    return Finding(check, Level.GREEN, what)


def yellow(check: str, what: str, fix: str) -> Finding:
    """Return a finding that should be mended."""
    return Finding(check, Level.YELLOW, what, fix)


def red(check: str, what: str, fix: str) -> Finding:
    """Return a finding that must be mended."""
    return Finding(check, Level.RED, what, fix)


PartProgress: TypeAlias = Callable[[str, int, int], None]
"""Called with the name of the check, how much of it is done, and how much there is."""


@frozen
class CheckTarget:
    """The database and the account that a check examines.

    Attributes:
        connection: to the database, for one check.
        config: the configuration of the database.
        engine: the engine that the connection is of.
        account: whose book is examined.
    """

    connection: Connection
    config: DatabaseConfig
    engine: Engine
    account: str

    def rows(self, query: str, **values: Any) -> list[Row[Any]]:
        """Run a query and return its rows."""
        return list(self.connection.execute(text(query), values))

    def row(self, query: str, **values: Any) -> Row[Any]:
        """Run a query and return its only row."""
        return self.connection.execute(text(query), values).one()

    def value(self, query: str, **values: Any) -> Any:
        """Run a query and return the first value of its only row."""
        return self.row(query, **values)[0]

    def settings(self, *names: str) -> dict[str, str]:
        """Read settings of a PostgreSQL server: those that it has and shows to this role."""
        query = "SELECT name, setting FROM pg_settings WHERE name = ANY(:names)"
        return {row.name: row.setting for row in self.rows(query, names=list(names))}

    @property
    def is_local(self) -> bool:
        """True if the server runs on this machine."""
        host = self.config.host or "localhost"
        return host.startswith("/") or host in ("localhost", "127.0.0.1", "::1")

    @property
    def file(self) -> Path:
        """The file of a SQLite database."""
        return Path(str(self.config.path))


Check: TypeAlias = Callable[[CheckTarget], Iterable[Finding]]


def free_disk(folder: Path) -> Finding:
    """Check how much room is left on the disk of a folder."""
    usage = shutil.disk_usage(folder)
    what = f"{usage.free / 2**30:,.1f} GiB free of {usage.total / 2**30:,.1f}"
    fix = "make room, or move to a larger disk, before writes are refused"
    if usage.free >= usage.total * _LITTLE_FREE:
        return green("free disk", what)
    level = red if usage.free < usage.total * _VERY_LITTLE_FREE else yellow
    return level("free disk", what, fix)
