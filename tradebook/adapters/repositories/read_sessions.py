"""Entities made from rows, past the ORM: a record that is only read needs no identity map and no history.

They come detached, as from a session that was closed: readable, and another session takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any, Final, SupportsIndex, TypeVar

from sqlalchemy import Connection, Engine, Select, inspect
from sqlalchemy.orm import Session
from typing_extensions import override

from tradebook.adapters.orm import COLUMNS
from tradebook.adapters.repositories.entity_rows import STATE, StateOnDemand
from tradebook.domain.entity import Entity
from tradebook.service_layer.gc_pause import no_collecting

E = TypeVar("E", bound=Entity)

_MANY: Final = 500
"""Rows from which on making entities is worth a pause of the garbage collector."""


class ReadSession(Session):
    """A session of a unit of work that only reads: its repositories make entities from rows."""

    def entities(
        self, kind: type[E], statement: Select[Any], values: Mapping[str, Any] | None = None
    ) -> list[E]:
        """Return what a statement selects, whole rows of the kind's table, as entities.

        Two entities for the same row are two objects; changing one changes no record.
        """
        # A page of fewer rows is made before the collector starts once more.
        is_few = values is not None and values.get("at_most", _MANY) < _MANY
        with nullcontext() if is_few else no_collecting():
            return entities_from(kind, self.connection().execute(statement, values).all())


class StatementReadSession(ReadSession):
    """A session for one statement, which needs a connection and none of the ORM's transactions."""

    _connection: Connection | None = None

    @override
    def connection(self, *_arguments: Any, **_options: Any) -> Connection:
        if self._connection is None:
            assert isinstance(self.bind, Engine)
            self._connection = self.bind.connect()
        return self._connection

    @override
    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self.in_transaction():  # the ORM was used, too
            super().close()


def _reduced(entity: Entity, protocol: SupportsIndex) -> Any:
    values = vars(entity)
    if STATE in values:
        return object.__reduce_ex__(entity, protocol)
    return _restored, (type(entity), dict(values))


def _restored(kind: type[Entity], values: dict[str, Any]) -> Entity:
    # In the process that unpickles: importing this module mapped the class, `_maker` configures it.
    _maker(kind)
    entity = object.__new__(kind)
    vars(entity).update(values)
    return entity


def entities_from(kind: type[E], rows: Sequence[Sequence[Any]]) -> list[E]:
    """Return whole rows of the kind's table, the columns in their order, as detached entities."""
    made: list[E] = _maker(kind)(rows)
    return made


def _new_maker(kind: Any) -> Callable[[Sequence[Sequence[Any]]], list[Any]]:
    """Return the function that makes entities of a kind of rows."""
    inspect(kind).registry.configure(cascade=True)  # as the ORM does before its first query
    setattr(kind, STATE, StateOnDemand())
    kind.__reduce_ex__ = _reduced
    names = COLUMNS[kind]
    blank = dict.fromkeys(names)  # a copy has room for all: a dict that grows costs as much again
    fill = object.__setattr__  # past the entities' own, which checks what is assigned

    def make(rows: Sequence[Sequence[Any]]) -> list[Any]:
        made = []
        for row in rows:
            entity = object.__new__(kind)
            values = blank.copy()
            values.update(zip(names, row, strict=True))
            fill(entity, "__dict__", values)
            made.append(entity)
        return made

    return make


_maker: Final[Callable[[Any], Callable[[Sequence[Sequence[Any]]], list[Any]]]] = cache(_new_maker)
