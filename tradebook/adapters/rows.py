"""Entities made from rows, past the ORM: what is only read needs no identity map and no history.

They come detached, as from a session that was closed: readable, and another session takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Row, Select, bindparam, inspect, select
from sqlalchemy.orm import InstanceState, Session, configure_mappers

from tradebook.adapters.sessions import table_of
from tradebook.domain.fields import Entity
from tradebook.service_layer.garbage import no_collecting

E = TypeVar("E", bound=Entity)


class ReadingSession(Session):
    """A session of a unit of work that only reads: its repositories make entities from rows."""

    def entities(self, kind: type[E], statement: Select[Any]) -> list[E]:
        """What a statement selects of the kind's table, whole rows.

        Two entities for the same row are two objects; changing one changes no record.
        """
        with no_collecting():
            return _maker_of(kind)(self.connection().execute(statement).all())

    def by_id(self, kind: type[E], account: str, record_id: int) -> list[E]:
        """The record with this id, if there is one."""
        if kind not in _BY_ID:
            columns = table_of(kind).c
            key = columns.account == bindparam("of_account"), columns.id == bindparam("of_id")
            _BY_ID[kind] = select(table_of(kind)).where(*key)
        key_given = {"of_account": account, "of_id": record_id}
        rows = self.connection().execute(_BY_ID[kind], key_given).all()
        return _maker_of(kind)(rows)


_STATE: Final = "_sa_instance_state"
"""Where SQLAlchemy keeps what it knows of an object."""
_BY_ID: Final[dict[type[Entity], Select[Any]]] = {}
_MAKERS: Final[dict[Any, Callable[[Sequence[Row[Any]]], list[Any]]]] = {}


def _maker_of(kind: type[E]) -> Callable[[Sequence[Row[Any]]], list[E]]:
    if kind not in _MAKERS:
        _MAKERS[kind] = _maker(kind)
    return _MAKERS[kind]


def _maker(kind: type[E]) -> Callable[[Sequence[Row[Any]]], list[E]]:
    configure_mappers()  # what the ORM does before its first query
    mapper = inspect(kind)
    manager = mapper.class_manager
    key_class, _, token = mapper.identity_key_from_primary_key(("", 0))
    names = tuple(table_of(kind).columns.keys())
    blank = dict.fromkeys(
        (*names, _STATE)
    )  # a copy has room for all: a dict that grows costs as much again
    fill = object.__setattr__  # past the entities' own, which checks what is assigned

    def make(rows: Sequence[Row[Any]]) -> list[E]:
        made = []
        for row in rows:
            entity = object.__new__(kind)
            values = blank.copy()
            values.update(zip(names, row, strict=True))
            state = values[_STATE] = InstanceState(entity, manager)
            state.key = (key_class, (values["account"], values["id"]), token)
            fill(entity, "__dict__", values)
            made.append(entity)
        return made

    return make
