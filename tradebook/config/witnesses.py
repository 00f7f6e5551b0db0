"""The setting `seal_witness`: the places besides the book that seals are appended to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode

from attrs import frozen

from tradebook.config.secrets import Secret, is_sendable
from tradebook.domain.errors import InvalidInput

FILE: Final = "file"
OBJECTS: Final = "objects"
GIT: Final = "git"
TIMESTAMPS: Final = "timestamps"

ACCEPTED: Final = (
    "the path of a file such as /mnt/elsewhere/seals.jsonl, s3://bucket/prefix or another URL of "
    "fsspec, git:///srv/seals.git, rfc3161+https://tsa.example.com/tsr?ca=tsa.pem&folder=tokens; "
    "several with commas between them"
)
_URL: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://(?P<rest>.+)", re.DOTALL)
_TSA: Final = {"rfc3161+http": "http", "rfc3161+https": "https"}
_PARAMETERS: Final[Mapping[str, tuple[str, ...]]] = {
    FILE: ("book",),
    OBJECTS: ("book",),
    GIT: ("book", "branch", "push"),
    TIMESTAMPS: ("book", "ca", "folder"),
}
_BOOK: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PASSWORD: Final = re.compile(r"((?::|%3A)//[^/@:\s]*):[^/@\s]*@", re.I)
_SECRET: Final = re.compile(r"([?&][^=&]*(?:password|secret|token|key|sig)[^=&]*)=[^&\s]*", re.I)


@frozen
class WitnessUrl:
    """One witness of a setting.

    Attributes:
        kind: `FILE`, `OBJECTS`, `GIT` or `TIMESTAMPS`.
        place: its path, or its URL without the parameters below.
        book: the name that tells this book's seals from those of other books in the same witness.
        parameters: the other parameters of its kind.
        shown: the setting, with passwords masked.
    """

    kind: str
    place: str
    book: str
    parameters: Mapping[str, str]
    shown: str


def witness_settings(value: str | os.PathLike[str] | Iterable[object] | None) -> tuple[Secret, ...]:
    """Convert a setting to the text of each witness; commas separate several in one text.

    Raises:
        InvalidInput: a text names no witness; its password is not shown.
    """
    given: Iterable[object]
    if value is None:
        given = ()
    elif isinstance(value, Secret) or not isinstance(value, str):
        given = value if isinstance(value, tuple | list) else (value,)
    else:
        given = value.split(",")
    texts = [os.fspath(each) if isinstance(each, os.PathLike) else each for each in given]
    found = []
    for text in texts:
        if not isinstance(text, str) or not is_sendable(text):
            raise InvalidInput("", text, ACCEPTED)
        if text.strip():
            found.append(Secret(text.strip(), witness_url(text.strip()).shown))
    return tuple(found)


def masked(text: str) -> str:
    """Mask the passwords of URLs in a text."""
    return _SECRET.sub(r"\1=***", _PASSWORD.sub(r"\1:***@", text))


def witness_url(setting: str) -> WitnessUrl:
    """Parse the text of one witness.

    Raises:
        InvalidInput: it names no witness.
    """
    text = str(setting)
    shown = masked(text)
    base, _, query = text.partition("?")
    kind, place = _kind_and_place(base, shown)
    stated = dict(parse_qsl(query, keep_blank_values=True))
    known = {name: stated.pop(name) for name in _PARAMETERS[kind] if name in stated}
    if kind == TIMESTAMPS:
        if missing := [name for name in ("ca", "folder") if not known.get(name)]:
            raise InvalidInput(
                "", shown, f"the parameter {missing[0]} too (ca: the file of the authority's "
                "certificate, folder: where tokens are kept)"
            )  # fmt: skip
        place += "?" + urlencode(stated) if stated else ""
    elif stated:
        names = ", ".join(_PARAMETERS[kind])
        raise InvalidInput("", shown, f"no parameter {next(iter(stated))!r}; there are: {names}")
    book = known.pop("book", "book")
    if not _BOOK.fullmatch(book):
        raise InvalidInput("", shown, "book=NAME of letters, digits, '.', '_' and '-'")
    return WitnessUrl(kind, Secret(place, shown), book, known, shown)


def _kind_and_place(base: str, shown: str) -> tuple[str, str]:
    url = _URL.fullmatch(base)
    if url is None:
        # Neither a word alone nor a mistyped URL is a path: `yes` would make a file of that name.
        is_path = Path(base).name != base or base.endswith((".json", ".jsonl"))
        if is_path and "://" not in base:
            return FILE, base
        raise InvalidInput("", shown, ACCEPTED)
    scheme, rest = url["scheme"].lower(), url["rest"]
    if scheme in ("file", "git"):
        if not rest.startswith("/"):
            kept = (
                "a file"
                if scheme == "file"
                else "a repository of this machine (push=REMOTE sends it on)"
            )
            raise InvalidInput("", shown, f"three slashes before the path of {kept}: {scheme}:///")
        return (FILE if scheme == "file" else GIT), unquote(rest)
    if scheme in _TSA:
        return TIMESTAMPS, f"{_TSA[scheme]}://{rest}"
    return OBJECTS, base
