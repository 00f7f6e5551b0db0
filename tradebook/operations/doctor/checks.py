"""What a check finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

from attrs import frozen
from sqlalchemy import Connection, Engine, Row, text

from tradebook.config import DatabaseConfig


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


PartProgress: TypeAlias = Callable[[str, int, int], None]
"""Takes what is being looked at, how much of it is done, and of how much."""


@frozen
class CheckTarget:
    """A database.

    Attributes:
        connection: to it, for one check.
        config: of it.
        engine: that the connection is of.
        account: whose book is looked at.
    """

    connection: Connection
    config: DatabaseConfig
    engine: Engine
    account: str

    def rows(self, query: str, **values: Any) -> list[Row[Any]]:
        """What a query gives."""
        return list(self.connection.execute(text(query), values))

    def row(self, query: str, **values: Any) -> Row[Any]:
        """The only row that a query gives."""
        return self.connection.execute(text(query), values).one()

    def value(self, query: str, **values: Any) -> Any:
        """The only value that a query gives."""
        return self.row(query, **values)[0]

    def settings(self, *names: str) -> dict[str, str]:
        """Settings of a PostgreSQL server, those of them that it knows and shows."""
        query = "SELECT name, setting FROM pg_settings WHERE name = ANY(:names)"
        return {row.name: row.setting for row in self.rows(query, names=list(names))}

    @property
    def is_local(self) -> bool:
        """Whether a server runs on this machine."""
        host = self.config.host or "localhost"
        return host.startswith("/") or host in ("localhost", "127.0.0.1", "::1")

    @property
    def file(self) -> Path:
        """Of a SQLite database."""
        return Path(str(self.config.path))


Check: TypeAlias = Callable[[CheckTarget], Iterable[Finding]]
