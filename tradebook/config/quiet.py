"""No frame that knows a password stands in the traceback of an error."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

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
