"""Methods that are made when they are first asked for: what few programs call, few programs import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

T = TypeVar("T")


class _Late:
    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner, self._name = owner, name

    def __get__(self, instance: object, owner: type) -> Any:
        method = self._make()
        setattr(self._owner, self._name, method)
        return method.__get__(instance, owner)


def late(make: Callable[[], T]) -> T:
    """In the body of a class: the method that `make` returns, made when it is first asked for."""
    return cast("T", _Late(make))
