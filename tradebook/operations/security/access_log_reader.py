"""Reader of the access log: connections and statements, from the server's log files or through SQL."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from tradebook.adapters.engine.connect_errors import sqlstate
from tradebook.adapters.engine.poolers import BEGIN_SESSION
from tradebook.adapters.errors import translated_errors
from tradebook.domain.errors import InvalidInput, NotPermitted, SchemaNotReady
from tradebook.operations.security.access_logging import LOG_FILES, LOG_PART

_CHUNK: Final = 1 << 20  # bytes


class AccessKind(StrEnum):
    """Kind of an entry in the access log."""

    CONNECT = "connect"
    DISCONNECT = "disconnect"
    STATEMENT = "statement"
    REFUSED = "refused"
    AUDIT = "audit"


_PREFIXES: Final = (
    ("connection authorized", AccessKind.CONNECT),
    ("disconnection", AccessKind.DISCONNECT),
    ("statement: ", AccessKind.STATEMENT),
    ("execute ", AccessKind.STATEMENT),
    ("fastpath ", AccessKind.STATEMENT),
    ("AUDIT: ", AccessKind.AUDIT),
)
_LIST_FILES: Final = f"SELECT name, size FROM {LOG_FILES}()"  # noqa: S608, a name of ours
_SET_LIMITS: Final = "SELECT set_config(name, value, false) FROM (VALUES"
"""How it began in earlier versions, whose programs may still run."""
_BY_ITSELF: Final = re.compile(
    rf"({re.escape(BEGIN_SESSION)}|{re.escape(_SET_LIMITS)}).*|{re.escape(_LIST_FILES)}|SELECT {re.escape(LOG_PART)}\('[^']*', \d+, \d+\)"
)
_DRIVER_STATEMENTS: Final = frozenset(
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
"""Statements that psycopg2 and SQLAlchemy send by themselves; `_BY_ITSELF` are those of this package."""
_REFUSALS: Final = re.compile("28|42501|53300|3D000")
"""SQLSTATEs of refused connections and missing privileges."""


@frozen
class Access:
    """One entry of the access log.

    Attributes:
        at: time by the server's clock, in UTC.
        role: role that logged in.
        address: address of the client; `[local]` for a socket.
        application: `application_name`, which a client can set to anything.
        process: process id of the server's backend, one for each connection.
        text: the statement, or the server's message.
        detail: parameters of a statement, or details of a refusal.
        state: SQLSTATE of a refusal.
    """

    at: datetime
    kind: AccessKind
    role: str
    database: str
    address: str
    application: str
    process: int
    text: str
    detail: str = ""
    state: str = ""


@frozen
class AccessFilter:
    """Conditions that entries of the access log must meet; None accepts every value.

    Attributes:
        since: earliest time.
        until: time before which it must be.
        include_noise: whether to include statements that drivers send by themselves, transactions without a
            statement, and the reading of this log.
    """

    role: str | None = None
    kind: AccessKind | None = None
    database: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    include_noise: bool = False

    def matches(self, access: Access) -> bool:
        """Check whether an entry meets the conditions, apart from `include_noise`."""
        return (
            self.role in (None, access.role)
            and self.kind in (None, access.kind)
            and self.database in (None, access.database)
            and (self.since is None or access.at >= self.since)
            and (self.until is None or access.at < self.until)
        )


def read_files(path: Path) -> Iterator[bytes]:
    """Yield the lines of a JSON log of PostgreSQL, or of every `.json` file in a folder, ordered by name."""
    is_log = False
    try:
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        is_empty = bool(files) and not any(file.stat().st_size for file in files)
        for file in files:
            with file.open("rb") as lines:
                for line in lines:
                    is_log = is_log or "session_id" in _entry(line)
                    yield line
    except OSError as error:
        expected = f"a file that can be read ({error.strerror})"
        raise InvalidInput("log", str(path), expected) from None
    if not (is_log or is_empty):
        expected = "what PostgreSQL writes with log_destination = 'jsonlog'"
        raise InvalidInput("log", str(path), expected)


def read_server(engine: Engine) -> Iterator[bytes]:
    """Yield the lines of the server's log, read by the functions that `tradebook db roles --log-access` makes."""
    if engine.dialect.name != "postgresql":
        raise InvalidInput(
            "database", engine.url.database, "a PostgreSQL database: a file has no log of accesses"
        )
    part = text(f"SELECT {LOG_PART}(:file, :start, :length)")
    with translated_errors(), engine.connect() as connection:
        try:
            files = connection.execute(text(_LIST_FILES)).all()
        except DBAPIError as error:
            raise _advised(error) from error
        for file, size in files:
            rest = b""
            # Up to the size at the beginning: these statements are logged too, and the file would never end.
            for start in range(0, size, _CHUNK):
                where = {"file": file, "start": start, "length": min(_CHUNK, size - start)}
                *lines, rest = (rest + bytes(connection.scalar(part, where) or b"")).split(b"\n")
                yield from lines
            if rest:
                yield rest


def _advised(error: DBAPIError) -> Exception:
    state = sqlstate(error.orig)
    if state in ("42883", "3F000"):  # no such function, no such schema
        return SchemaNotReady(
            "the functions that read the server's log are missing: run `tradebook db roles --log-access` "
            "as a superuser, or name the log's files with --log"
        )
    if state == "42501":
        return NotPermitted(
            "this role may not read the server's log: connect as the auditor, or name its files with "
            "--log"
        )
    return error


def parse_accesses(lines: Iterable[bytes], accepted: AccessFilter) -> Iterator[Access]:
    """Parse the entries of a log that meet the conditions; refuse a log whose times are not in UTC."""
    busy: set[int] = set()
    for line in lines:
        access = _access(_entry(line))
        if access is None:
            continue
        is_noise = _is_noise(access, busy)  # for each entry, also those that do not match
        if accepted.matches(access) and (accepted.include_noise or not is_noise):
            yield access


def _is_noise(access: Access, busy: set[int]) -> bool:
    """Check whether an entry is noise, and keep in `busy` the processes whose transaction has a statement."""
    if access.kind in (AccessKind.CONNECT, AccessKind.DISCONNECT):
        busy.discard(access.process)
        return False
    if access.kind is AccessKind.STATEMENT:
        statement = " ".join(access.text.split())
        if statement in _DRIVER_STATEMENTS or _BY_ITSELF.fullmatch(statement):
            return True
        if statement in ("COMMIT", "ROLLBACK"):
            is_empty = access.process not in busy
            busy.discard(access.process)
            return is_empty
    busy.add(access.process)
    return False


def _entry(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:  # the server may be writing the last line
        return {}
    return entry if isinstance(entry, dict) else {}


def _access(entry: dict[str, Any]) -> Access | None:
    message, state = str(entry.get("message", "")), str(entry.get("state_code", ""))
    is_refused = _REFUSALS.match(state) is not None
    kinds = (kind for prefix, kind in _PREFIXES if message.startswith(prefix))
    kind = AccessKind.REFUSED if is_refused else next(kinds, None)
    if kind is None or "user" not in entry:
        return None
    statement = message.partition("statement: ")[2] if kind is AccessKind.STATEMENT else ""
    return Access(
        at=_utc_time(str(entry.get("timestamp"))),
        kind=kind,
        role=str(entry["user"]),
        database=str(entry.get("dbname", "")),
        address=str(entry.get("remote_host", "")),
        application=str(entry.get("application_name", "")),
        process=int(entry.get("pid", 0)),
        text=statement or message,
        detail=str((entry.get("statement") if is_refused else None) or entry.get("detail", "")),
        state=state if is_refused else "",
    )


def _utc_time(written: str) -> datetime:
    stamp, _, zone = written.rpartition(" ")
    # Short names of other zones are ambiguous: IST is the time of India, Ireland and Israel.
    if zone not in ("UTC", "GMT"):
        raise InvalidInput("log", written, "times in UTC: set log_timezone = 'UTC' at the server")
    return datetime.fromisoformat(stamp).replace(tzinfo=UTC)
