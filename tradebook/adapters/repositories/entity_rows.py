"""Writing entities past the ORM's flush: an insert that recognises what is recorded already."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, TypeVar

from sqlalchemy import Insert, Table, bindparam, inspect, or_, update
from sqlalchemy.orm import Session, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

from tradebook.domain.entity import Entity
from tradebook.domain.events import Event
from tradebook.domain.positions import Position

E = TypeVar("E", bound=Entity)

MARK: Final = frozenset({"current_price", "marked_at"})
"""What prices change of a position."""

COMMIT_MARKER: Final = "tradebook_witness"
"""Where a session keeps the row of the event that it wrote last."""


STATE: Final = "_sa_instance_state"
"""Where SQLAlchemy keeps what it knows of an object."""


def values_of(entity: Entity) -> dict[str, Any]:
    """An entity's columns; the id only when it has one."""
    held = vars(entity)  # past the ORM's attributes, but for what it would have to load
    values = {
        column: held[column] if column in held else getattr(entity, column)
        for column in columns_of(type(entity))
    }
    if values["id"] is None:
        del values["id"]
    return values


def columns_of(kind: type[Entity]) -> list[str]:
    """The names of an entity's mapped columns."""
    return [attribute.key for attribute in inspect(kind).column_attrs]


def as_stored(kind: type[E], values: Mapping[str, Any]) -> E:
    """An entity with values that came from one: past its converters, which made them what they are."""
    entity: E = inspect(kind).class_manager.new_instance()
    vars(entity).update(values)
    return entity


def table_of(kind: type[Entity]) -> Table:
    """The table that an entity is mapped to."""
    table = inspect(kind).local_table
    assert isinstance(table, Table)
    return table


def insert_if_new(session: Session, table: Table) -> Insert:
    """`INSERT ... ON CONFLICT DO NOTHING`: a taken identity inserts nothing and breaks nothing."""
    dialect = import_module(f"sqlalchemy.dialects.{session.get_bind().dialect.name}")
    statement: Insert = dialect.insert(table).on_conflict_do_nothing()
    return statement


def add_if_new(session: Session, entity: Entity) -> bool:
    """Insert `entity` unless a unique key of it is taken; then it has its id and is persistent."""
    table = table_of(type(entity))
    statement = insert_if_new(session, table).returning(table.c.id)
    new_id = session.connection().scalar(statement, values_of(entity))
    if new_id is None:
        return False
    entity.id = new_id
    remember(session, entity, new_id)
    attach(session, entity)
    return True


def insert_all(session: Session, entities: Sequence[Entity]) -> None:
    """Insert entities of one kind that have no identity to clash with; they get no ids."""
    if entities:
        table = table_of(type(entities[0]))
        statement = table.insert().returning(table.c.id)
        ids = session.connection().scalars(statement, [values_of(e) for e in entities])
        remember(session, entities[-1], max(ids))


def remember(session: Session, entity: Entity, id_: int | None) -> None:
    """Any of the events that one unit of work writes will do as its witness: they have one time."""
    if isinstance(entity, Event) and id_ is not None:
        session.info[COMMIT_MARKER] = {**values_of(entity), "id": id_}


def write_marks(session: Session, positions: Collection[Position]) -> None:
    """Write the marks of positions, whatever their version, except where a later mark is."""
    if not positions:
        return
    columns = table_of(Position).c
    statement = (
        update(table_of(Position))
        .where(
            columns.account == bindparam("of_account"),
            columns.id == bindparam("of_id"),
            or_(columns.marked_at.is_(None), columns.marked_at <= bindparam("seen_at")),
        )
        .values(current_price=bindparam("price"), marked_at=bindparam("seen_at"))
    )
    # By symbol, the order in which trades lock: two writers cannot wait for each other.
    marks = [
        {"of_account": p.account, "of_id": p.id, "price": p.current_price, "seen_at": p.marked_at}
        for p in sorted(positions, key=lambda position: position.symbol)
    ]
    session.connection().execute(statement, marks)
    for position in positions:
        bring_up_to_date(session, position, MARK)


def attach(session: Session, entity: Entity) -> None:
    """Make an entity that was written past the flush persistent in `session`."""
    make_transient_to_detached(entity)
    session.add(entity)


def bring_up_to_date(session: Session, entity: Entity, columns: Collection[str]) -> None:
    """Give what `session` has loaded of this record the values that were written past it."""
    key = inspect(type(entity)).identity_key_from_primary_key((entity.account, entity.id))
    loaded = session.identity_map.get(key)
    if loaded is not None:
        for column in columns:
            set_committed_value(loaded, column, getattr(entity, column))
