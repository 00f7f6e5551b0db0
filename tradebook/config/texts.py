"""Converters for the texts of a configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final

from tradebook.config.secrets import HIDDEN, Secret, is_sendable
from tradebook.domain.errors import InvalidInput

TRANSACTION: Final = "transaction"
SESSION: Final = "session"
POOLERS: Final = (TRANSACTION, SESSION)
SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def text(value: str | None) -> str | None:
    """Check a text that is not empty and can be sent to a server."""
    if value is None:
        return None
    if not isinstance(value, str) or not value or not is_sendable(value):
        raise InvalidInput("", value, "Unicode text that is not empty, without NUL characters")
    return value


def host(value: str | None) -> str | None:
    """Check the name or address of a host, or the folder of a socket."""
    name = text(value)
    if name is not None and not all(name.split(",")):
        raise InvalidInput("", name, "a name in each place of a list of hosts")
    if name is None or name.startswith("/"):
        return name
    name = name.removeprefix("[").removesuffix("]")
    if not re.fullmatch(r"[^\s/@?#\[\]]+", name):  # perhaps a URL, with a password in it
        expected = "a host's name or address, or the folder of a socket; from_url() takes a URL"
        raise InvalidInput("", HIDDEN, expected)
    return name


def urls(value: str | Sequence[str] | None) -> str | None:
    """Keep URLs, given in a list or with blanks between them, as a secret."""
    if value is None or isinstance(value, str):
        return url(value)
    if not all(isinstance(each, str) for each in value):
        raise InvalidInput("", HIDDEN, "a URL, or a list of URLs")
    return url(" ".join(value))


def url(value: str | None) -> str | None:
    """Keep a URL as a secret: it may hold a password."""
    return None if value is None or value == "" else Secret(value)


def pooler(value: str | None) -> str | None:
    """Check how a pooler gives out the server's connections."""
    return _one_of(value, POOLERS)


def ssl_mode(value: str | None) -> str | None:
    """Check a value of libpq's `sslmode`."""
    return _one_of(value, SSL_MODES)


def path(value: str | os.PathLike[str] | None) -> str | None:
    """Check the path of a file."""
    return text(os.fspath(value) if isinstance(value, os.PathLike) else value)


def _one_of(value: str | None, choices: tuple[str, ...]) -> str | None:
    if value is not None and value not in choices:
        raise InvalidInput("", value, "one of " + ", ".join(choices))
    return value
