"""Records as plain values: for who reads many, and changes none."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Any, ClassVar, Final

from attrs import fields

from tradebook.domain.fields import Entity


class Row(tuple[Any, ...]):
    """A record as a named tuple of its fields, in their order: `row.symbol`, `row._asdict()`; never changed.

    The values are those of the entity: exact decimals, times in UTC, members of enumerations. What an entity
    derives from them, such as `Position.market_value`, and lists of other records it does not have.
    """

    __slots__ = ()

    _kind: ClassVar[type[Entity]]
    _fields: ClassVar[tuple[str, ...]]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

        def _asdict(self) -> dict[str, Any]: ...

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._kind, tuple(self))


def row_type(kind: type[Entity]) -> type[Row]:
    """The rows of a kind of record."""
    if kind not in _TYPES:
        named: Any = namedtuple  # as a function: its fields are those of the kind
        bases = (Row, named("Values", row_names(kind)))
        _TYPES[kind] = type(f"{kind.__name__}Row", bases, {"__slots__": (), "_kind": kind})
    return _TYPES[kind]


_TYPES: Final[dict[type[Entity], type[Row]]] = {}


def row_names(kind: type[Entity]) -> list[str]:
    """The fields that the rows of a kind have."""
    return [field.name for field in fields(kind) if field.name != "signals"]


def _again(kind: type[Entity], values: tuple[Any, ...]) -> Row:
    return tuple.__new__(row_type(kind), values)
