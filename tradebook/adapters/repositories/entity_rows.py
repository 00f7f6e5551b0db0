"""Writes of entities past the ORM's flush, so that an INSERT can recognise what is recorded already."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import Insert, Table, bindparam, inspect, or_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstanceState, Session, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

from tradebook.adapters.orm import COLUMNS, TABLES
from tradebook.domain.domain_event import EVIDENCE
from tradebook.domain.edits import WITHOUT_EVENTS
from tradebook.domain.entity import Entity
from tradebook.domain.events import CREATIONS, Event
from tradebook.domain.positions import MARK, MarkSource, Position
from tradebook.domain.validation import MAX_AHEAD

E = TypeVar("E", bound=Entity)
V = TypeVar("V")

COMMIT_MARKER: Final = "tradebook_witness"
"""The key in a session's `info` of the row of the event that it wrote last."""

HANDLED: Final = "tradebook_handled"
"""Key of a session's `info`: by kind and id, the evidence of the last event that a handler recorded of a record."""
UNRECORDED: Final = "tradebook_unrecorded"
"""Key of a session's `info`: by kind and id, each record that a repository added or removed without an event so far."""
UNCOMMITTED: Final = "tradebook_uncommitted"
"""The key in a session's `info` that is set by every write of records, until it is committed or rolled back."""

AHEAD: Final = "tradebook_max_ahead"
"""The key in a session's `info` of how far ahead of the clock times may be; without it, the default."""

STATE: Final = "_sa_instance_state"
"""The attribute in which SQLAlchemy keeps its state of an object."""


def max_ahead(session: Session) -> timedelta:
    """Return how far ahead of the clock the times of records may be that a session writes."""
    most: timedelta = session.info.get(AHEAD, MAX_AHEAD)
    return most


columns_of = COLUMNS.__getitem__
table_of = TABLES.__getitem__


def chunks(values: Sequence[V], size: int = 500) -> Iterator[Sequence[V]]:
    """Split values into parts of at most `size`, for statements with one parameter for each."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def values_of(entity: Entity) -> dict[str, Any]:
    """Return an entity's columns by name; the id only when it has one."""
    held = vars(entity)  # past the ORM's attributes, but for those that it would have to load
    values = {
        column: held[column] if column in held else getattr(entity, column)
        for column in COLUMNS[type(entity)]
    }
    if values["id"] is None:
        del values["id"]
    return values


def as_stored(kind: type[E], values: Mapping[str, Any]) -> E:
    """Make an entity of the values of another one, which its converters have checked already."""
    mapper = inspect(kind)
    if not mapper.configured:  # nothing else may have used the class in this process
        mapper.registry.configure(cascade=True)
    entity: E = mapper.class_manager.new_instance()
    vars(entity).update(values)
    return entity


class StateOnDemand:
    """Makes SQLAlchemy's state of an entity that came from a row when SQLAlchemy first asks for it.

    Few entities are ever added to a session or changed, and a state takes as long to make and to free
    as its entity: 10,000 trades take 1.3 times as long as with the raw driver this way, 1.6 times
    with `class_manager.new_instance()`, and half as much processor time again.
    """

    def __get__(self, entity: Entity | None, kind: type[Entity]) -> InstanceState[Any]:
        """Return the state, made now, as that of a detached entity."""
        values = {} if entity is None else vars(entity)
        if values.get("id") is None:  # new, or older than the mapping
            raise AttributeError(STATE)
        mapper = inspect(kind)
        state = InstanceState(entity, mapper.class_manager)
        state.key = mapper.identity_key_from_primary_key((values["account"], values["id"]))
        found: InstanceState[Any] = values.setdefault(STATE, state)
        return found


def insert_if_new(session: Session, table: Table) -> Insert:
    """Build `INSERT ... ON CONFLICT DO NOTHING`: where an identity is taken, it inserts nothing.

    An IntegrityError would abort the surrounding transaction on PostgreSQL.
    """
    on_sqlite = session.get_bind().dialect.name == "sqlite"
    insert = sqlite.insert if on_sqlite else postgresql.insert
    return insert(table).on_conflict_do_nothing()


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
    """Insert entities of one kind, which have no identity that could be taken; they get no ids."""
    if entities:
        table = table_of(type(entities[0]))
        statement = table.insert().returning(table.c.id)
        rows = [values_of(entity) for entity in entities]
        ids = session.connection().scalars(statement, rows).all()
        for entity in entities:
            if isinstance(entity, Event):
                note_handled(session, entity)
        remember(session, entities[-1], max(ids))


def note_written(session: Session, entity: Entity, *, is_new: bool) -> None:
    """Note a record that a repository added or removed, until the event of it is; note that event."""
    if isinstance(entity, Event):
        note_handled(session, entity)
    elif not isinstance(entity, WITHOUT_EVENTS):
        unrecorded = session.info.setdefault(UNRECORDED, {})
        unrecorded[type(entity).__name__, entity.id] = (entity, is_new)


def note_handled(session: Session, happened: Event) -> None:
    """Note the event of a handler that changed a record, so that the commit of the record leaves no second one."""
    session.info.get(UNRECORDED, {}).pop((happened.entity, happened.entity_id), None)
    evidence = happened.payload.get(EVIDENCE)
    if evidence is not None and happened.event_type not in CREATIONS:
        handled = session.info.setdefault(HANDLED, {})
        handled[happened.entity, happened.entity_id] = evidence["record"]


def remember(session: Session, entity: Entity, id_: int | None) -> None:
    """Keep the row of an event, by which a lost COMMIT can be recognised.

    Any event of a unit of work serves: all of them are of one time.
    """
    session.info[UNCOMMITTED] = True
    if isinstance(entity, Event) and id_ is not None:
        session.info[COMMIT_MARKER] = {**values_of(entity), "id": id_}


def write_marks(session: Session, positions: Collection[Position]) -> None:
    """Write quotes of positions, whatever their version, unless the database has a later mark."""
    if not positions:
        return
    table = table_of(Position)
    statement = (
        update(table)
        .where(
            table.c.account == bindparam("of_account"),
            table.c.id == bindparam("of_id"),
            or_(table.c.marked_at.is_(None), table.c.marked_at <= bindparam("seen_at")),
        )
        .values(
            current_price=bindparam("price"),
            marked_at=bindparam("seen_at"),
            mark_source=MarkSource.QUOTE,
        )
    )
    # By symbol, the order in which trades lock, so that two writers cannot deadlock.
    marks = [
        {"of_account": p.account, "of_id": p.id, "price": p.current_price, "seen_at": p.marked_at}
        for p in sorted(positions, key=lambda position: position.symbol)
    ]
    session.connection().execute(statement, marks)
    session.info[UNCOMMITTED] = True
    for position in positions:
        bring_up_to_date(session, position, MARK)


def attach(session: Session, entity: Entity) -> None:
    """Make an entity that was written past the flush persistent in `session`."""
    make_transient_to_detached(entity)
    session.add(entity)


def bring_up_to_date(session: Session, entity: Entity, columns: Collection[str]) -> None:
    """Copy values that were written past the flush to the session's own object of the same record."""
    # A working copy: past the attributes of a mapper that may not be configured yet.
    held = vars(entity)
    key = inspect(type(entity)).identity_key_from_primary_key((held["account"], held["id"]))
    loaded = session.identity_map.get(key)
    if loaded is not None:
        for column in columns:
            set_committed_value(loaded, column, held[column])
