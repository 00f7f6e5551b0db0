"""No frame that knows a password stands in the traceback of an error."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Final, ParamSpec, Self, TypeAlias, TypeVar

from tradebook.domain.errors import DatabaseUnavailable, InvalidInput

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def quiet(function: Callable[P, R]) -> Callable[P, R]:
    """The function; the errors it raises begin their traceback here, where no password is."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as refused:
            error = refused.with_traceback(None)
        # What is left of the frames below, and what this one was given.
        error.__cause__ = error.__context__ = None
        del args, kwargs
        raise error

    return call


def quiet_when_made(cls: type[T]) -> type[T]:
    """The class, its constructor `quiet`."""
    cls.__init__ = quiet(cls.__init__)  # type: ignore[method-assign]
    return cls


Password: TypeAlias = str | Callable[[], str] | None
"""A password, or a function that is called for it."""
GIVEN: Final = "(the value given)"
"""Stands in messages for what must not be shown."""


class Secret(str):
    """Text that does not show when an object, a log or a traceback is written out; `str()` has it."""

    shown: str

    def __new__(cls, value: str, shown: str = "***") -> Self:
        made = super().__new__(cls, value)
        made.shown = shown
        return made

    def __repr__(self) -> str:
        return repr(self.shown)

    def __reduce__(self) -> tuple[type[Secret], tuple[str, str]]:
        return type(self), (str(self), self.shown)


def is_sendable(value: str) -> bool:
    """Whether a server can be sent it: no NUL, and no half of a character."""
    return re.search("[\x00\ud800-\udfff]", value) is None


def password_given(value: Password) -> Password:
    """A password, or what gives one; none for an empty one."""
    if callable(value):
        return value
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not is_sendable(value):
        raise InvalidInput("", GIVEN, "Unicode text without NUL characters")
    return Secret(value)


def secret_in(file: str) -> Secret:
    """What a file holds, without the end of its line.

    Raises:
        DatabaseUnavailable: it cannot be read now, or is empty.
    """
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatabaseUnavailable(f"the file {file} cannot be read: {error}") from None
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise DatabaseUnavailable(f"the file {file} is empty")
    return Secret(secret)


def secret_from(function: Callable[[], str]) -> Secret:
    """What a function gives.

    Raises:
        DatabaseUnavailable: it gives nothing now.
    """
    try:
        password = password_given(function())
    except Exception as error:  # whatever it asks may fail in its own way
        kind = type(error).__name__  # its text may hold what was asked for
        raise DatabaseUnavailable(f"the function that gives the password failed: {kind}") from None
    if not isinstance(password, Secret):
        raise DatabaseUnavailable("the function that gives the password gave none")
    return password
