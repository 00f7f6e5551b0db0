"""Passwords that show in no `repr`, log or traceback."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Final, ParamSpec, Self, TypeAlias, TypeVar

from typing_extensions import override

from tradebook.domain.errors import DatabaseUnavailable, InvalidInput

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Password: TypeAlias = str | Callable[[], str] | None
"""A password, or a function that is called for it."""
HIDDEN: Final = "(the value given)"
"""Replaces a value that a message must not show."""


def hide_traceback(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that handles passwords: its errors carry none of its frames.

    Error trackers send the local variables of every frame of a traceback, and so the password.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as refused:
            error = refused.with_traceback(None)
        # Chained errors keep frames of their own, and this frame is in the new traceback: neither may
        # hold the arguments.
        error.__cause__ = error.__context__ = None
        del args, kwargs
        raise error

    return call


def hide_init_traceback(cls: type[T]) -> type[T]:
    """Decorate a class so that the errors of its constructor carry none of its frames."""
    cls.__init__ = hide_traceback(cls.__init__)  # type: ignore[method-assign]
    return cls


class Secret(str):
    """Text whose `repr` is masked; only `str()` returns it.

    Attributes:
        shown: the text that its `repr` shows instead.
    """

    shown: str

    def __new__(cls, value: str, shown: str = "***") -> Self:
        """Wrap a text."""
        secret = super().__new__(cls, value)
        secret.shown = shown
        return secret

    @override
    def __repr__(self) -> str:
        return repr(self.shown)

    @override
    def __reduce__(self) -> tuple[type[Secret], tuple[str, str]]:
        return type(self), (str(self), self.shown)


def is_sendable(value: str) -> bool:
    """Return whether PostgreSQL accepts the text: neither NUL nor a lone surrogate."""
    return re.search("[\x00\ud800-\udfff]", value) is None


def optional_password(value: Password) -> Password:
    """Convert a password to a `Secret`; an empty one counts as none, a function is kept."""
    if callable(value):
        return value
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not is_sendable(value):
        raise InvalidInput("", HIDDEN, "Unicode text without NUL characters")
    return Secret(value)


def secret_from_file(file: str) -> Secret:
    """Read a secret from a file, without the line break at its end.

    Raises:
        DatabaseUnavailable: the file cannot be read, or is empty.
    """
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatabaseUnavailable(f"the file {file} cannot be read: {error}") from None
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise DatabaseUnavailable(f"the file {file} is empty")
    return Secret(secret)


def secret_from_function(function: Callable[[], str]) -> Secret:
    """Call the function that returns a password.

    Raises:
        DatabaseUnavailable: it failed, or returned no password.
    """
    try:
        password = optional_password(function())
    except Exception as error:  # a vault's client may raise anything
        kind = type(error).__name__  # without its text, which may hold the secret
        raise DatabaseUnavailable(f"the function that gives the password failed: {kind}") from None
    if not isinstance(password, Secret):
        raise DatabaseUnavailable("the function that gives the password gave none")
    return password
