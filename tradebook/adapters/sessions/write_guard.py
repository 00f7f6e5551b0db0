"""The guard: what only handlers may write is refused in every session, before anything is flushed.

Handlers write the book past the flush, with one exception: pending orders that a fill takes over,
which `permitted` lets through.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, cast

from sqlalchemy import RowMapping, event, inspect, select
from sqlalchemy.orm import ORMExecuteState, Session

from tradebook.adapters.repositories.entity_rows import MARK, table_of, write_marks
from tradebook.domain.edit_rules import (
    check_changes,
    check_consistent,
    check_new,
    check_removal,
    check_transition,
)
from tradebook.domain.entity import Entity
from tradebook.domain.errors import InvalidInput, InvalidTransition
from tradebook.domain.positions import Position
from tradebook.domain.trades import BOOKED, Trade
from tradebook.domain.validation import utc_now

_FIXED: Final = frozenset({"id", "account", "created_at"})
_PERMITTED: Final = "tradebook_permitted"


def install_write_guard() -> None:
    """Guard every session, those of applications too; again changes nothing."""
    if not event.contains(Session, "before_flush", _check_flush):
        event.listen(Session, "before_flush", _check_flush)
        event.listen(Session, "do_orm_execute", _check_statement)


@contextmanager
def permitted(session: Session, trades: Collection[Trade]) -> Iterator[None]:
    """Inside, `session` flushes these trades as they are: a handler booked them."""
    session.info[_PERMITTED] = trades
    try:
        yield
    finally:
        del session.info[_PERMITTED]


def changed_fields(entity: Entity) -> set[str]:
    """The fields of a record that a flush would write."""
    return {name for name, field in inspect(entity).attrs.items() if field.history.has_changes()}


def stored(session: Session, entity: Entity) -> RowMapping | None:
    """A record's row as it is now, locked until the transaction ends; None when there is none."""
    table = table_of(type(entity))
    account, record_id = inspect(entity).identity or (entity.account, entity.id)
    statement = select(table).where(table.c.account == account, table.c.id == record_id)
    found = session.connection().execute(statement.with_for_update())
    return found.mappings().one_or_none()


def _check_flush(session: Session, _context: object, _instances: object) -> None:
    for entity in records(session.new):
        _check_new(entity)
    for entity in records(session.deleted):
        check_removal(entity)
        if isinstance(entity, Trade):
            _require_unbooked(entity, stored(session, entity))
    by_handler = session.info.get(_PERMITTED, ())
    for entity in records(session.dirty):
        if entity not in by_handler:
            _check_changed(session, entity, changed_fields(entity))
    _take_marks(session)


def records(entities: Iterable[object]) -> list[Entity]:
    """Those of a session's objects that are ours."""
    return [entity for entity in entities if isinstance(entity, Entity)]


def _check_new(entity: Entity) -> None:
    # An id ahead of the database's own would later be taken for a record's.
    if cast("int | None", entity.id) is not None:
        raise InvalidInput("id", entity.id, "none: the database gives ids; build the entity anew")
    check_new(entity)


def _check_changed(session: Session, entity: Entity, changed: set[str]) -> None:
    if isinstance(entity, Trade | Position) and changed - MARK:
        # As it is now: another writer may have booked on it, and what has expired counts as changed.
        row = stored(session, entity)
        if row is None:
            return  # the flush says so
        changed = {field for field in changed if getattr(entity, field) != row[field]}
        if isinstance(entity, Trade) and changed:
            _require_unbooked(entity, row)
            check_transition(entity, row["status"], entity.status)
    check_changes(entity, changed - {"updated_at"} or changed)
    check_consistent(entity)
    fixed = _FIXED if not isinstance(entity, Position) else changed - MARK
    for field in sorted(changed & fixed):
        raise InvalidTransition(f"{type(entity).__name__} {entity.id}: {field} cannot change")


def _require_unbooked(trade: Trade, row: RowMapping | None) -> None:
    if row is not None and row["status"] in BOOKED:
        raise InvalidTransition(
            f"order {trade.identity} is {row['status']}: what was booked neither changes nor goes "
            "away; bust_trade or correct_trade puts a wrong one right"
        )


def _take_marks(session: Session) -> None:
    """Write marks past the flush, which would fail where a trade was booked since they were read."""
    for entity in records(session.new):
        if isinstance(entity, Position) and entity.current_price is not None:
            entity.marked_at = entity.marked_at or utc_now()
    marked = [p for p in session.dirty if isinstance(p, Position) and changed_fields(p) & MARK]
    for position in marked:
        if position.current_price is None:
            raise InvalidInput("current_price", None, "a price: a mark is not taken back")
        if "marked_at" not in changed_fields(position) or position.marked_at is None:
            position.marked_at = utc_now()  # a price without its time is seen now
    write_marks(session, marked)
    for position in marked:
        session.refresh(position, MARK)  # the later mark, where there was one


def _check_statement(state: ORMExecuteState) -> None:
    if not (state.is_insert or state.is_update or state.is_delete):
        return
    mapper = state.bind_mapper
    if state.is_orm_statement and mapper is not None and issubclass(mapper.class_, Entity):
        kind = mapper.class_.__name__
        raise InvalidTransition(
            f"a statement that writes {kind} records would pass by the book's rules; add, change or "
            "delete the objects in the session, or call create, update or delete"
        )
