"""Entities made from rows, past the ORM: what is only read needs no identity map and no history.

They come detached, as from a session that was closed: readable, and another session takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Row, Select, inspect
from sqlalchemy.orm import InstanceState, Session, configure_mappers

from tradebook.adapters.sessions import table_of
from tradebook.domain.fields import Entity

E = TypeVar("E", bound=Entity)


class ReadingSession(Session):
    """A session of a unit of work that only reads: its repositories make entities from rows."""

    def entities(self, kind: type[E], statement: Select[Any]) -> list[E]:
        """What a statement selects of the kind's table, whole rows.

        Two entities for the same row are two objects; changing one changes no record.
        """
        if kind not in _MAKERS:
            _MAKERS[kind] = _maker(kind)
        return _MAKERS[kind](self.connection().execute(statement).all())


_MAKERS: Final[dict[Any, Callable[[Sequence[Row[Any]]], list[Any]]]] = {}


def _maker(kind: type[E]) -> Callable[[Sequence[Row[Any]]], list[E]]:
    configure_mappers()  # what the ORM does before its first query
    mapper = inspect(kind)
    manager, key_of = mapper.class_manager, mapper.identity_key_from_primary_key
    names = (*table_of(kind).columns.keys(), manager.STATE_ATTR)
    fill = object.__setattr__  # past the entities' own, which checks what is assigned

    def make(rows: Sequence[Row[Any]]) -> list[E]:
        made = []
        for row in rows:
            entity = object.__new__(kind)
            state = InstanceState(entity, manager)
            state.key = key_of((row.account, row.id))
            fill(entity, "__dict__", dict(zip(names, (*row, state), strict=True)))
            made.append(entity)
        return made

    return make
