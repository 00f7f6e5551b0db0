"""The write guard: changes that only handlers may make are refused before anything is written.

Sessions that this package makes are `GuardedSession`s and are checked before each flush. Our mapped
classes check each record themselves when another session flushes them, one that an application made
on an engine of its own; no other class or session is hooked. Handlers write the book past the
flush, with one exception: pending orders that a fill takes over, which `permitted` allows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn, cast

from sqlalchemy import ClauseElement, RowMapping, TextClause, UpdateBase, event, inspect, select
from sqlalchemy.orm import ORMExecuteState, Session, object_session
from sqlalchemy.sql import visitors
from typing_extensions import override

from tradebook.adapters.orm import mapped
from tradebook.adapters.repositories.entity_rows import (
    UNCOMMITTED,
    max_ahead,
    table_of,
    write_marks,
)
from tradebook.adapters.repositories.read_sessions import ReadSession
from tradebook.domain.edit_rules import (
    check_changes,
    check_consistent,
    check_new,
    check_removal,
    check_transition,
)
from tradebook.domain.entity import Entity
from tradebook.domain.errors import InvalidInput, InvalidTransition
from tradebook.domain.positions import MARK, MarkSource, Position
from tradebook.domain.trades import BOOKED, Trade
from tradebook.domain.validation import utc_now

_FIXED: Final = frozenset({"id", "account", "created_at"})
_PERMITTED: Final = "tradebook_permitted"
_WRITES: Final = re.compile(r"\s*(INSERT|UPDATE|DELETE|MERGE|REPLACE)\b", re.IGNORECASE).match


class GuardedSession(Session):
    """A session whose writes are checked: the base of all sessions that this package makes."""

    @override
    def bulk_save_objects(self, *_args: Any, **_options: Any) -> NoReturn:
        raise InvalidTransition(
            "the bulk methods of a session would pass by the book's rules; use add_all, or call "
            "bulk_create or bulk_update"
        )

    bulk_insert_mappings = bulk_update_mappings = bulk_save_objects


@contextmanager
def permitted(session: Session, trades: Collection[Trade]) -> Iterator[None]:
    """Let `session` flush these trades unchecked inside: a handler booked them."""
    session.info[_PERMITTED] = trades
    try:
        yield
    finally:
        del session.info[_PERMITTED]


def is_permitted(session: Session, entity: Entity) -> bool:
    """Return whether a handler booked the trade that a flush is about to write."""
    return entity in session.info.get(_PERMITTED, ())


def changed_fields(entity: Entity) -> set[str]:
    """Return the fields of a record that a flush would write."""
    return {name for name, field in inspect(entity).attrs.items() if field.history.has_changes()}


def stored(session: Session, entity: Entity) -> RowMapping | None:
    """Read a record's row as it is now, locked until the transaction ends; None where there is none."""
    table = table_of(type(entity))
    account, record_id = inspect(entity).identity or (entity.account, entity.id)
    statement = select(table).where(table.c.account == account, table.c.id == record_id)
    found = session.connection().execute(statement.with_for_update())
    return found.mappings().one_or_none()


def records(entities: Iterable[object]) -> list[Entity]:
    """Return those of a session's objects that are records of the book."""
    return [entity for entity in entities if isinstance(entity, Entity)]


def _check_flush(session: Session, _context: object, _instances: object) -> None:
    for entity in records(session.new):
        _check_new(session, entity)
    for entity in records(session.deleted):
        _check_removed(session, entity)
    changed = records(session.dirty)
    for entity in changed:
        _check_changed(session, entity)
    _take_marks(session, changed)


def _check_new(session: Session, entity: Entity) -> None:
    # An id ahead of the identity sequence would collide with a later INSERT.
    if cast("int | None", entity.id) is not None:
        raise InvalidInput("id", entity.id, "none: the database gives ids; build the entity anew")
    entity.convert_fields()
    check_new(entity, max_ahead(session))
    if isinstance(entity, Position) and entity.current_price is not None:
        entity.marked_at = entity.marked_at or utc_now()
        entity.mark_source = MarkSource.QUOTE


def _check_removed(session: Session, entity: Entity) -> None:
    check_removal(entity)
    if isinstance(entity, Trade):
        _require_unbooked(entity, stored(session, entity))


def _check_changed(session: Session, entity: Entity) -> None:
    if is_permitted(session, entity):
        return
    entity.convert_fields()
    changed = changed_fields(entity)
    if isinstance(entity, Trade | Position) and changed.difference(MARK):
        # Compared with the row, not with what was read: another writer may have booked on it since,
        # and the history of an attribute that has expired has no value before the change.
        row = stored(session, entity)
        if row is None:
            return  # the flush fails with StaleDataError
        changed = {field for field in changed if getattr(entity, field) != row[field]}
        if isinstance(entity, Trade) and changed:
            _require_unbooked(entity, row)
            check_transition(entity, row["status"], entity.status)
    check_changes(entity, changed - {"updated_at"} or changed)
    check_consistent(entity, max_ahead(session))
    fixed = _FIXED if not isinstance(entity, Position) else changed.difference(MARK)
    for field in sorted(changed & fixed):
        raise InvalidTransition(f"{type(entity).__name__} {entity.id}: {field} cannot change")


def _require_unbooked(trade: Trade, row: RowMapping | None) -> None:
    if row is not None and row["status"] in BOOKED:
        raise InvalidTransition(
            f"order {trade.identity} is {row['status']}: what was booked neither changes nor goes "
            "away; bust_trade or correct_trade puts a wrong one right"
        )


def _take_marks(session: Session, changed: Iterable[Entity]) -> None:
    # Past the flush, whose check of the version would fail where a trade was booked since the read.
    marked = [
        p for p in changed if isinstance(p, Position) and changed_fields(p).intersection(MARK)
    ]
    for position in marked:
        if position.current_price is None:
            raise InvalidInput("current_price", None, "a price: a mark is not taken back")
        if "marked_at" not in changed_fields(position) or position.marked_at is None:
            position.marked_at = utc_now()  # a price given without its time is of now
        position.mark_source = MarkSource.QUOTE
    write_marks(session, marked)
    for position in marked:
        session.refresh(position, MARK)  # a later mark in the database stands


def _check_statement(state: ORMExecuteState) -> None:
    # All of it, 20 us for a short one: a CTE may write too, and stand in any subquery.
    for part in visitors.iterate(cast("ClauseElement", state.statement)):
        if isinstance(part, UpdateBase) or (isinstance(part, TextClause) and _WRITES(part.text)):
            state.session.info[UNCOMMITTED] = True
        entity = part.entity_description.get("entity") if isinstance(part, UpdateBase) else None
        kind = object if entity is None else inspect(entity).mapper.class_
        if issubclass(kind, Entity):
            raise InvalidTransition(
                f"a statement that writes {kind.__name__} records would pass by the book's rules; add, "
                "change or delete the objects in the session, or call create, update or delete"
            )


def _note_flush(session: Session, _context: object) -> None:
    session.info[UNCOMMITTED] = True


def _in_other_sessions(check: Callable[[Session, Entity], None]) -> Callable[..., None]:
    def listener(_mapper: object, _connection: object, entity: Entity) -> None:
        session = object_session(entity)
        if session is not None and not isinstance(session, GuardedSession):
            check(session, entity)

    return listener


def _check_changed_alone(session: Session, entity: Entity) -> None:
    _check_changed(session, entity)
    _take_marks(session, [entity])


event.listen(GuardedSession, "before_flush", _check_flush)
event.listen(GuardedSession, "after_flush", _note_flush)
event.listen(GuardedSession, "do_orm_execute", _check_statement)
event.listen(ReadSession, "do_orm_execute", _check_statement)
for _mapper in mapped:
    event.listen(_mapper, "before_insert", _in_other_sessions(_check_new))
    event.listen(_mapper, "before_update", _in_other_sessions(_check_changed_alone))
    event.listen(_mapper, "before_delete", _in_other_sessions(_check_removed))
