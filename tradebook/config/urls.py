"""Database URLs: read in the forms that people, tools and `DatabaseConfig` itself write."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from tradebook.config.secrets import HIDDEN
from tradebook.domain.errors import InvalidInput

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
MEMORY: Final = ":memory:"
TLS: Final = ("sslmode", "sslrootcert", "sslcert", "sslkey")
_SERVER_FIELDS: Final = ("host", "port", "database", "username", "password")
POSTGRESQL_ONLY: Final = (
    *_SERVER_FIELDS,
    *TLS,
    "password_file",
    "read_url",
    "direct_url",
    "pooler",
)
"""Fields of `DatabaseConfig` that a SQLite file does not have."""
_A_URL: Final = "a URL such as sqlite:///book.db or postgresql://user:password@host/book"
ACCEPTED: Final = f"{_A_URL}, or the path of a SQLite file such as book.db or ./book"
_BACKENDS: Final = {
    **dict.fromkeys(("sqlite", "sqlite+pysqlite", "sqlite+aiosqlite"), SQLITE),
    **dict.fromkeys(("postgresql", "postgresql+psycopg2", "postgresql+asyncpg"), POSTGRESQL),
    "postgres": POSTGRESQL,
}
ENCODED: Final = (
    f"{_A_URL}, with special characters percent-encoded: @ as %40, / as %2F, ? as %3F, % as %25"
)
_URL: Final = re.compile(
    r"(?P<scheme>[\w+]+)://(?P<server>[^/?]*)(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_PATH: Final = re.compile(
    rf"{MEMORY}|(?:[A-Za-z]:[\\/])?[^:@?\0]*(?:[\\/][^:@?\0]+|\.(?:db|db3|sqlite|sqlite3))",
    re.IGNORECASE,
)
"""Matches the path of a file: no other text, such as the name of a host or a URL with a part missing."""
_SERVER: Final = re.compile(
    r"(?:(?P<username>[^:@]*)(?::(?P<password>[^@]*))?@)?"
    r"(?:\[(?P<ipv6>[^\]@]+)\]|(?P<host>[^:@\[\]]*))(?::(?P<port>[0-9]*))?",
    re.DOTALL,
)
_MEMORY_NAME: Final = re.compile(r"file:/(tradebook-[0-9a-f]{32})")
_ALIASES: Final = {
    "user": "username",
    "dbname": "database",
    "ssl": "sslmode",
    "timeout": "connect_timeout",
}
_TRUTHS: Final = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def _number(convert: Callable[[str], float], expected: str) -> Callable[[str, str], float]:
    def read(text: str, called: str) -> float:
        try:
            return convert(text)
        except ValueError:
            raise InvalidInput(called, text, expected) from None

    return read


def _truth(text: str, called: str) -> bool:
    truth = _TRUTHS.get(text.strip().lower())
    if truth is None:
        raise InvalidInput(called, text, "yes or no (" + ", ".join(_TRUTHS) + ")")
    return truth


def _text(text: str, _called: str) -> str:
    return text


_READERS: Final[Mapping[str, Callable[[str, str], Any]]] = {
    **dict.fromkeys(("host", "database", "username", "password", "password_file"), _text),
    **dict.fromkeys((*TLS, "application_name", "seal_witness", "pooler"), _text),
    **dict.fromkeys(
        (
            *(
                "port",
                "pool_size",
                "max_overflow",
                "pool_recycle",
                "processes",
                "max_seconds_ahead",
            ),
            *("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"),
        ),
        _number(int, "a whole number"),
    ),
    **dict.fromkeys(("pool_timeout", "slow_query_seconds"), _number(float, "a number of seconds")),
    **dict.fromkeys(("echo", "pool_pre_ping", "group_commit"), _truth),
}
"""For each field of `DatabaseConfig` that a URL's query may name, the function that reads its text."""


def read_text(name: str, text: str, *, called: str) -> Any:
    """Convert the text of a field to its value; a refusal names the parameter or variable `called` so."""
    return _READERS.get(name, _text)(text, called)


def parts_of(url: str | os.PathLike[str]) -> dict[str, Any]:
    """Parse a URL, or the path of a SQLite file, into the fields of `DatabaseConfig` that it states.

    Raises:
        InvalidInput: not a URL of a supported database; the message shows no password.
    """
    if isinstance(url, os.PathLike):
        return {"path": url}
    text = url.strip() if isinstance(url, str) else ""
    if _PATH.fullmatch(text):
        return {"path": text}
    found = _URL.fullmatch(text)
    backend = _BACKENDS.get(found["scheme"].lower()) if found else None
    if found is None or backend is None:
        raise InvalidInput("database", HIDDEN, ACCEPTED)
    try:
        return (_file_parts if backend == SQLITE else _server_parts)(found)
    except UnicodeDecodeError:
        raise InvalidInput("database", HIDDEN, ENCODED) from None


def _file_parts(found: re.Match[str]) -> dict[str, Any]:
    if found["server"]:
        raise InvalidInput(
            "database", HIDDEN, "three slashes before a SQLite file: sqlite:///book.db"
        )
    query = _parameters_of(found["query"])
    path = unquote(found["database"] or "", errors="strict") or MEMORY
    own = _MEMORY_NAME.fullmatch(path)
    if own and query.get("vfs") == "memdb":
        del query["vfs"], query["uri"]
        return {"path": MEMORY, "memory": own[1], **_sqlite_fields(query)}
    return {"path": path, **_sqlite_fields(query)}


def _sqlite_fields(query: dict[str, str]) -> dict[str, Any]:
    """Convert the driver's `timeout`, in seconds, to `lock_timeout`, in milliseconds."""
    seconds = query.pop("timeout", None)
    parts = _split_fields(query)
    if seconds is not None:
        waited = read_text("pool_timeout", seconds, called="timeout")
        parts["lock_timeout"] = round(waited * 1000) if isfinite(waited) else waited
    return parts


def _server_parts(found: re.Match[str]) -> dict[str, Any]:
    server = _SERVER.fullmatch(found["server"])
    database = found["database"] or ""
    encoded = found["server"] + database
    if server is None or "@" in database or re.search("%(?![0-9A-Fa-f]{2})", encoded):
        raise InvalidInput("database", HIDDEN, ENCODED)
    stated = server.groupdict() | {"database": database}
    stated["host"] = stated.pop("ipv6") or stated["host"]
    parts: dict[str, Any] = {n: unquote(t, errors="strict") for n, t in stated.items() if t}
    query = _parameters_of(found["query"])
    query |= _parameters_of(query.pop("dsn", "").partition("?")[2])  # see `_async_url`
    if "port" in query:  # of several hosts: a port for each of them, or one for all
        query["port"] = ",".join(dict.fromkeys(query["port"].split(",")))
    parts |= _split_fields({_ALIASES.get(n, n): text for n, text in query.items()})
    if "port" in parts:
        parts["port"] = read_text("port", str(parts["port"]), called="port")
    return parts if parts.keys() & set(POSTGRESQL_ONLY) else {"host": "localhost", **parts}


def _parameters_of(text: str | None) -> dict[str, str]:
    """Parse the parameters of a query; empty ones count as not given."""
    if any(part and "=" not in part for part in (text or "").split("&")):
        raise InvalidInput("database", HIDDEN, ENCODED)
    return dict(parse_qsl(text or "", errors="strict"))


def _split_fields(query: Mapping[str, str]) -> dict[str, Any]:
    """Separate the fields that a query names from further `parameters`."""
    parts: dict[str, Any] = {}
    others: dict[str, str] = {}
    for name, text in query.items():
        if name in _READERS:
            parts[name] = read_text(name, text, called=name)
        else:
            others[name] = text
    return {**parts, "parameters": others} if others else parts
