"""Entities made from rows, past the ORM: what is only read needs no identity map and no history.

They come detached, as from a session that was closed: readable, and another session takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, SupportsIndex, TypeVar

from sqlalchemy import Connection, Engine, Row, Select, bindparam, inspect, select
from sqlalchemy.orm import InstanceState, Session, configure_mappers

from tradebook.adapters.orm import start_mappers
from tradebook.adapters.repositories.entity_rows import STATE, table_of
from tradebook.domain.entity import Entity
from tradebook.service_layer.gc_pause import no_collecting

E = TypeVar("E", bound=Entity)


class ReadSession(Session):
    """A session of a unit of work that only reads: its repositories make entities from rows."""

    def entities(
        self, kind: type[E], statement: Select[Any], values: Mapping[str, Any] | None
    ) -> list[E]:
        """What a statement selects of the kind's table, whole rows.

        Two entities for the same row are two objects; changing one changes no record.
        """
        with no_collecting():
            return _maker_of(kind)(self.connection().execute(statement, values).all())

    def by_id(self, kind: type[E], account: str, record_id: int) -> list[E]:
        """The record with this id, if there is one."""
        if kind not in _BY_ID:
            columns = table_of(kind).c
            key = columns.account == bindparam("of_account"), columns.id == bindparam("of_id")
            _BY_ID[kind] = select(table_of(kind)).where(*key)
        key_given = {"of_account": account, "of_id": record_id}
        rows = self.connection().execute(_BY_ID[kind], key_given).all()
        return _maker_of(kind)(rows)


class StatementReadSession(ReadSession):
    """A session for one statement: past the ORM, it needs a connection and none of the ORM's transactions."""

    _connection: Connection | None = None

    def connection(self, *_arguments: Any, **_options: Any) -> Connection:
        """Its own until it is closed."""
        if self._connection is None:
            assert isinstance(self.bind, Engine)
            self._connection = self.bind.connect()
        return self._connection

    def close(self) -> None:
        """Return the connection, and what the ORM used, where it was asked."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self.in_transaction():
            super().close()


_BY_ID: Final[dict[type[Entity], Select[Any]]] = {}
_MAKERS: Final[dict[Any, Callable[[Sequence[Row[Any]]], list[Any]]]] = {}


class _StateWhenAsked:
    """SQLAlchemy's knowledge of an entity that was made from a row, from when SQLAlchemy first asks for it.

    Few are ever added to a session or changed, and it takes as long to make and to clear away as the entity.
    """

    def __init__(self, kind: type[Entity]) -> None:
        mapper = inspect(kind)
        self._manager = mapper.class_manager
        self._key_of = mapper.identity_key_from_primary_key

    def __get__(self, entity: Entity | None, _kind: type[Entity]) -> InstanceState[Any]:
        values = {} if entity is None else vars(entity)
        if entity is None or values.get("id") is None:  # new, or older than the mapping
            raise AttributeError(STATE)
        state = InstanceState(entity, self._manager)
        state.key = self._key_of((values["account"], values["id"]))
        found: InstanceState[Any] = values.setdefault(STATE, state)
        return found


def _reduced(entity: Entity, protocol: SupportsIndex) -> Any:
    """How one that SQLAlchemy never asked about is pickled and copied; others as SQLAlchemy has it."""
    values = vars(entity)
    if STATE in values:
        return object.__reduce_ex__(entity, protocol)
    return _again, (type(entity), dict(values))


def _again(kind: type[Entity], values: dict[str, Any]) -> Entity:
    """In a program that may have read nothing, nor mapped anything, yet."""
    start_mappers()
    _maker_of(kind)
    entity = object.__new__(kind)
    vars(entity).update(values)
    return entity


def _maker_of(kind: type[E]) -> Callable[[Sequence[Row[Any]]], list[E]]:
    if kind not in _MAKERS:
        _MAKERS[kind] = _maker(kind)
    return _MAKERS[kind]


def _maker(kind: type[E]) -> Callable[[Sequence[Row[Any]]], list[E]]:
    configure_mappers()  # what the ORM does before its first query
    setattr(kind, STATE, _StateWhenAsked(kind))
    kind.__reduce_ex__ = _reduced  # type: ignore[method-assign, assignment]
    names = tuple(table_of(kind).columns.keys())
    blank = dict.fromkeys(names)  # a copy has room for all: a dict that grows costs as much again
    fill = object.__setattr__  # past the entities' own, which checks what is assigned

    def make(rows: Sequence[Row[Any]]) -> list[E]:
        made = []
        for row in rows:
            entity = object.__new__(kind)
            values = blank.copy()
            values.update(zip(names, row, strict=True))
            fill(entity, "__dict__", values)
            made.append(entity)
        return made

    return make
