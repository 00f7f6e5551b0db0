"""Reading database URLs: of the forms that people and tools write, and of our own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from attrs import fields

from tradebook.config.database import MEMORY, POSTGRESQL, POSTGRESQL_ONLY, SQLITE, DatabaseConfig
from tradebook.config.secrets import GIVEN
from tradebook.domain.errors import InvalidInput

ACCEPTED: Final = "a URL such as sqlite:///book.db or postgresql://user:password@host/book"
_BACKENDS: Final = {
    "sqlite": SQLITE,
    "sqlite+pysqlite": SQLITE,
    "sqlite+aiosqlite": SQLITE,
    "postgresql": POSTGRESQL,
    "postgresql+psycopg2": POSTGRESQL,
    "postgresql+asyncpg": POSTGRESQL,
    "postgres": POSTGRESQL,
}
ENCODED: Final = (
    f"{ACCEPTED}, with special characters percent-encoded: @ as %40, / as %2F, ? as %3F, % as %25"
)
_URL: Final = re.compile(
    r"(?P<scheme>[\w+]+)://(?P<server>[^/?]*)(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
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
_SETTABLE: Final = {f.name for f in fields(DatabaseConfig)} - {
    "path",
    "parameters",
    "read_url",
    "_memory",
}
_WHOLE: Final = {
    "port",
    "pool_size",
    "max_overflow",
    "pool_recycle",
    "statement_timeout",
    "lock_timeout",
}
_TRUTHS: Final = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def parts_of(url: str) -> dict[str, Any]:
    """The fields of `DatabaseConfig` that a URL states.

    Raises:
        InvalidInput: it is no URL of a database that is supported; passwords do not show.
    """
    found = _URL.fullmatch(url.strip()) if isinstance(url, str) else None
    backend = _BACKENDS.get(found["scheme"].lower()) if found else None
    if found is None or backend is None:
        raise InvalidInput("database", GIVEN, ACCEPTED)
    try:
        return (_of_file if backend == SQLITE else _of_server)(found)
    except UnicodeDecodeError:
        raise InvalidInput("database", GIVEN, ENCODED) from None


def read_text(name: str, text: str, *, called: str) -> Any:
    """The value of a field from text: numbers and truths are read, the rest is kept.

    Args:
        name: of the field.
        text: as written.
        called: what to call it in a refusal.

    Raises:
        InvalidInput: it is no number, or neither yes nor no.
    """
    if name in _WHOLE:
        try:
            return int(text)
        except ValueError:
            raise InvalidInput(called, text, "a whole number") from None
    if name in ("pool_timeout", "slow_query_seconds"):
        try:
            return float(text)
        except ValueError:
            raise InvalidInput(called, text, "a number of seconds") from None
    if name in ("echo", "pool_pre_ping"):
        if text.strip().lower() not in _TRUTHS:
            raise InvalidInput(called, text, "yes or no (" + ", ".join(_TRUTHS) + ")")
        return _TRUTHS[text.strip().lower()]
    return text


def _of_file(found: re.Match[str]) -> dict[str, Any]:
    if found["server"]:
        raise InvalidInput(
            "database", GIVEN, "three slashes before a SQLite file: sqlite:///book.db"
        )
    query = _query_of(found["query"])
    path = unquote(found["database"] or "", errors="strict") or MEMORY
    ours = _MEMORY_NAME.fullmatch(path)
    if ours and query.get("vfs") == "memdb":
        del query["vfs"], query["uri"]
        return {"path": MEMORY, "memory": ours[1], **_of_sqlite(query)}
    return {"path": path, **_of_sqlite(query)}


def _of_sqlite(query: dict[str, str]) -> dict[str, Any]:
    """The driver's `timeout`, in seconds, is our `lock_timeout`."""
    seconds = query.pop("timeout", None)
    parts = _fields_in(query)
    if seconds is not None:
        waited = read_text("pool_timeout", seconds, called="timeout")
        parts["lock_timeout"] = round(waited * 1000) if isfinite(waited) else waited
    return parts


def _of_server(found: re.Match[str]) -> dict[str, Any]:
    server = _SERVER.fullmatch(found["server"])
    database = found["database"] or ""
    encoded = found["server"] + database
    if server is None or "@" in database or re.search("%(?![0-9A-Fa-f]{2})", encoded):
        raise InvalidInput("database", GIVEN, ENCODED)
    stated = server.groupdict() | {"database": database}
    stated["host"] = stated.pop("ipv6") or stated["host"]
    parts: dict[str, Any] = {n: unquote(t, errors="strict") for n, t in stated.items() if t}
    query = _query_of(found["query"])
    query |= _query_of(query.pop("dsn", "").partition("?")[2])  # where our own holds asyncpg's
    if "port" in query:  # of several hosts: one for each, or one for all
        query["port"] = ",".join(dict.fromkeys(query["port"].split(",")))
    parts |= _fields_in({_ALIASES.get(n, n): text for n, text in query.items()})
    if "port" in parts:
        parts["port"] = read_text("port", str(parts["port"]), called="port")
    return parts if parts.keys() & set(POSTGRESQL_ONLY) else {"host": "localhost", **parts}


def _query_of(text: str | None) -> dict[str, str]:
    """The parameters of a query; an empty one counts as not given."""
    if any(part and "=" not in part for part in (text or "").split("&")):
        raise InvalidInput("database", GIVEN, ENCODED)
    return dict(parse_qsl(text or "", errors="strict"))


def _fields_in(query: Mapping[str, str]) -> dict[str, Any]:
    """The fields that a query names; the rest is `parameters`."""
    parts: dict[str, Any] = {}
    others: dict[str, str] = {}
    for name, text in query.items():
        if name in _SETTABLE:
            parts[name] = read_text(name, text, called=name)
        else:
            others[name] = text
    return {**parts, "parameters": others} if others else parts
