"""Who connected and what they sent: the server's log, read from its files or through the server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Connection, Engine, text

from tradebook.adapters.errors import translated_errors
from tradebook.domain.errors import InvalidInput, NotPermitted, SchemaNotReady
from tradebook.operations.security.access_logging import LOG_FILES, LOG_PART
from tradebook.operations.security.roles import SCHEMA

_PIECE: Final = 1 << 20
_ZONES: Final = ("UTC", "GMT")


class Kind(StrEnum):
    """What a line of the log is about."""

    CONNECT = "connect"
    DISCONNECT = "disconnect"
    STATEMENT = "statement"
    REFUSED = "refused"
    AUDIT = "audit"


_BEGINNINGS: Final = (
    ("connection authorized", Kind.CONNECT),
    ("disconnection", Kind.DISCONNECT),
    ("statement: ", Kind.STATEMENT),
    ("execute ", Kind.STATEMENT),
    ("fastpath ", Kind.STATEMENT),
    ("AUDIT: ", Kind.AUDIT),
)
_READING: Final = re.compile(
    rf"SELECT name, size FROM {SCHEMA}\.{LOG_FILES}\(\)"  # noqa: S608  # a pattern, sent to nobody
    rf"|SELECT {SCHEMA}\.{LOG_PART}\('[^']*', \d+, \d+\)"
)
_PREPARING: Final = frozenset(
    {
        "BEGIN",
        "SET TIME ZONE 'UTC'",
        "select current_schema()",
        "select pg_catalog.version()",
        "show standard_conforming_strings",
        "show transaction isolation level",
        "SELECT t.oid, typarray FROM pg_type t JOIN pg_namespace ns ON typnamespace = ns.oid "
        "WHERE typname = 'hstore';",
    }
)
"""What the driver and SQLAlchemy send before anything is asked of them."""
_ENDS: Final = ("COMMIT", "ROLLBACK")
_REFUSALS: Final = re.compile("28|42501|53300|3D000")
"""SQLSTATEs of who may not connect, and of who may not do it."""


@frozen
class Access:
    """One thing that somebody did, or was kept from doing.

    Attributes:
        at: when the server says it was, in UTC.
        kind: what it was.
        role: who logged in.
        database: where.
        address: from where; `[local]` through a socket.
        application: what the client calls itself; anybody can say anything.
        process: the server's process, one for each connection.
        text: the statement, or what the server said.
        detail: the values that a statement was given, or more about a refusal.
        state: the SQLSTATE of a refusal.
    """

    at: datetime
    kind: Kind
    role: str
    database: str
    address: str
    application: str
    process: int
    text: str
    detail: str = ""
    state: str = ""


@frozen
class Wanted:
    """Which accesses are asked for.

    Attributes:
        role, kind, database: the only one; all when None.
        since, until: from then on, and before then.
        trifles: also what drivers send to begin, transactions in which nothing was sent, and the reading
            of this log, which would fill it.
    """

    role: str | None = None
    kind: Kind | None = None
    database: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    trifles: bool = False

    def holds(self, access: Access) -> bool:
        """Whether it is one of them."""
        return (
            self.role in (None, access.role)
            and self.kind in (None, access.kind)
            and self.database in (None, access.database)
            and (self.since is None or access.at >= self.since)
            and (self.until is None or access.at < self.until)
        )


def read_files(place: Path) -> Iterator[bytes]:
    """The lines of a log file, or of every `.json` in a folder, in the order of their names.

    Raises:
        InvalidInput: it cannot be read, or is something else than a log of PostgreSQL in JSON.
    """
    is_log = is_empty = False
    try:
        files = sorted(place.glob("*.json")) if place.is_dir() else [place]
        is_empty = bool(files) and not any(file.stat().st_size for file in files)
        for file in files:
            with file.open("rb") as lines:
                for line in lines:
                    is_log = is_log or "session_id" in (_entry(line) or {})
                    yield line
    except OSError as error:
        raise InvalidInput(
            "log", str(place), f"a file that can be read ({error.strerror})"
        ) from None
    if not (is_log or is_empty):
        raise InvalidInput(
            "log", str(place), "what PostgreSQL writes with log_destination = 'jsonlog'"
        )


def read_server(engine: Engine) -> Iterator[bytes]:
    """The lines of the server's log, through the functions that `tradebook db roles --log-access` made.

    Raises:
        InvalidInput: it is no PostgreSQL: nobody logs who opens a file.
        SchemaNotReady: there are no such functions.
        NotPermitted: the role is neither the auditor nor a superuser.
    """
    if engine.dialect.name != "postgresql":
        raise InvalidInput(
            "database", engine.url.database, "a PostgreSQL database: nobody logs who opens a file"
        )
    with translated_errors(), engine.connect() as connection:
        try:
            files = list(_files(connection))
        except Exception as error:
            raise _meant(error) from error
        for file, size in files:
            yield from _lines(_pieces(connection, file, size))


def _files(connection: Connection) -> list[tuple[str, int]]:
    found = connection.execute(text(f"SELECT name, size FROM {SCHEMA}.{LOG_FILES}()"))  # noqa: S608, names of ours
    return [(str(file), int(size)) for file, size in found]


def _pieces(connection: Connection, file: str, size: int) -> Iterator[bytes]:
    """No further than it was: the server logs that it is read."""
    part = text(f"SELECT {SCHEMA}.{LOG_PART}(:file, :start, :length)")
    for start in range(0, size, _PIECE):
        given = {"file": file, "start": start, "length": min(_PIECE, size - start)}
        yield bytes(connection.scalar(part, given) or b"")


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _meant(error: Exception) -> Exception:
    state = getattr(getattr(error, "orig", None), "pgcode", None)
    if state in ("42883", "3F000"):
        return SchemaNotReady(
            "nothing here reads the server's log: run `tradebook db roles --log-access` as a superuser, "
            "or name its files with --log"
        )
    if state == "42501":
        return NotPermitted(
            "this role may not read the server's log: connect as the auditor, or name its files with "
            "--log"
        )
    return error


def accesses(lines: Iterable[bytes], wanted: Wanted) -> Iterator[Access]:
    """What the lines of a log say that is wanted; of other matters it says nothing.

    Raises:
        InvalidInput: a time is of a zone that the log gives by its short name only.
    """
    trifles = _Trifles()
    for line in lines:
        entry = _entry(line)
        access = None if entry is None else _access(entry)
        if access is None:
            continue
        is_trifle = trifles.has(access)
        if wanted.holds(access) and (wanted.trifles or not is_trifle):
            yield access


class _Trifles:
    """Tells what is sent for its own sake; the end of a transaction is one where nothing else was sent in it."""

    def __init__(self) -> None:
        self._busy: set[int] = set()

    def has(self, access: Access) -> bool:
        """Whether it is one; to be asked of each access in turn."""
        if access.kind in (Kind.CONNECT, Kind.DISCONNECT):
            self._busy.discard(access.process)
            return False
        if access.kind is Kind.STATEMENT:
            sent = " ".join(access.text.split())
            if sent in _PREPARING or _READING.fullmatch(sent):
                return True
            if sent in _ENDS:
                is_empty = access.process not in self._busy
                self._busy.discard(access.process)
                return is_empty
        self._busy.add(access.process)
        return False


def _entry(line: bytes) -> dict[str, Any] | None:
    """The last line may be half written."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _access(entry: dict[str, Any]) -> Access | None:
    message = str(entry.get("message", ""))
    kind = _kind(message, str(entry.get("state_code", "")))
    if kind is None or "user" not in entry:
        return None
    is_refused = kind is Kind.REFUSED
    return Access(
        at=_time(str(entry.get("timestamp"))),
        kind=kind,
        role=str(entry["user"]),
        database=str(entry.get("dbname", "")),
        address=str(entry.get("remote_host", "")),
        application=str(entry.get("application_name", "")),
        process=int(entry.get("pid", 0)),
        text=message.partition("statement: ")[2] or message if kind is Kind.STATEMENT else message,
        detail=str((entry.get("statement") if is_refused else None) or entry.get("detail", "")),
        state=str(entry["state_code"]) if is_refused else "",
    )


def _kind(message: str, state: str) -> Kind | None:
    if _REFUSALS.match(state):
        return Kind.REFUSED
    return next((kind for begins, kind in _BEGINNINGS if message.startswith(begins)), None)


def _time(written: str) -> datetime:
    stamp, _, zone = written.rpartition(" ")
    if zone not in _ZONES:
        raise InvalidInput("log", written, "times in UTC: set log_timezone = 'UTC' at the server")
    return datetime.fromisoformat(stamp).replace(tzinfo=UTC)
