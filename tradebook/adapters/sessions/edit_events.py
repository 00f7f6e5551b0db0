"""Events of direct edits: each change of a record that a session flushes leaves one, as handlers' changes do.

The sessions of this package record them with the author of the session; our mapped classes record them by
themselves where an application flushes them in a session on an engine of its own, whose author is not known.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Connection, RowMapping, event, inspect
from sqlalchemy.orm import Session, object_session

from tradebook.adapters.orm import events, mapped
from tradebook.adapters.repositories.entity_rows import HANDLED, UNRECORDED, insert_all, values_of
from tradebook.adapters.sessions.write_guard import (
    GuardedSession,
    changed_fields,
    is_permitted,
    records,
    stored,
)
from tradebook.domain.domain_event import DomainEvent
from tradebook.domain.edit_rules import check_transition
from tradebook.domain.edits import BOOKKEEPING, created, deleted
from tradebook.domain.entity import DEFAULT_ACCOUNT, Entity
from tradebook.domain.errors import InvalidInput, StaleRecord
from tradebook.domain.events import (
    Event,
    RecordUpdated,
)
from tradebook.domain.positions import Position
from tradebook.domain.validation import utc_now

AUTHOR: Final = "tradebook_author"
_EDITS: Final = "tradebook_edits"
_TICK: Final = timedelta(microseconds=1)


@frozen
class Author:
    """The author of the changes in a session.

    Attributes:
        account: the only account whose records the session writes.
        actor: the person or program, for the events.
        correlation_id: shared by the events.
        refuses_stale: whether a change is refused of a field that another writer changed since it was read; a
            unit of work leaves that to its transaction.
    """

    account: str
    actor: str = ""
    correlation_id: str = ""
    refuses_stale: bool = False

    def event(self, happened: DomainEvent, entity: Entity) -> Event:
        """Return the audit record of a change, which happened now."""
        return Event(
            account=self.account,
            event_type=type(happened).__name__,
            entity=type(entity).__name__,
            entity_id=entity.id,
            payload=happened.payload_about(entity),
            actor=self.actor,
            correlation_id=self.correlation_id,
            occurred_at=utc_now(),
        )


def _before_flush(session: Session, _context: object, _instances: object) -> None:
    # The events of new records are made when their ids are known.
    edits: list[tuple[Entity, DomainEvent | None]] = []
    for entity in records(session.new):
        author = _author(session, entity)
        if entity.account == DEFAULT_ACCOUNT:
            entity.account = author.account
        _require_own(author, entity)
        edits.append((entity, None))
    for entity in records(session.dirty):
        if not is_permitted(session, entity) and not _is_handled(session, entity):
            changes = _changes(session, _author(session, entity), entity)
            if changes:
                edits.append((entity, RecordUpdated(changes=changes)))
    for entity in records(session.deleted):
        _require_own(_author(session, entity), entity)
        edits.append((entity, deleted(entity)))
    session.info[_EDITS] = edits


def _after_flush(session: Session, _context: object) -> None:
    edits = sorted(session.info.pop(_EDITS, ()), key=lambda edit: _place(edit[0]))
    made = [_author(session, one).event(edit or created(one), one) for one, edit in edits]
    insert_all(session, made)


def _place(entity: Entity) -> tuple[str, int]:
    """Return the place of a record's event among those of one flush, whose records have no order."""
    return type(entity).__name__, entity.id


def _author(session: Session, entity: Entity) -> Author:
    """Return the author of the changes in a session; one that was given none writes any account."""
    author: Author | None = session.info.get(AUTHOR)
    return author or Author(entity.account)


def record_rest(session: Session) -> None:
    """Record an event of each record that a repository added or removed without one.

    Handlers record theirs right after; this is for functions of applications.
    """
    rest: dict[tuple[str, int], tuple[Entity, bool]] = session.info.pop(UNRECORDED, {})
    made = [
        _author(session, one).event(created(one) if is_new else deleted(one), one)
        for _, (one, is_new) in sorted(rest.items())
    ]
    insert_all(session, made)


def _is_handled(session: Session, entity: Entity) -> bool:
    """Return whether a handler changed the record, and has recorded the event of it."""
    handled = session.info.get(HANDLED, {}).get((type(entity).__name__, entity.id))
    return handled is not None and handled == entity.evidence()


def _changes(session: Session, author: Author, entity: Entity) -> dict[str, list[Any]]:
    """Return [before, after] for each field that changes, and advance the record's `updated_at`."""
    changed = changed_fields(entity)
    row = stored(session, entity) if changed else None
    if row is None:
        return {}
    _require_own(author, entity)
    if author.refuses_stale:
        _require_fresh(entity, changed, row)
    changes = {
        name: [row[name], getattr(entity, name)]
        for name in sorted(changed.difference(BOOKKEEPING))
        if row[name] != getattr(entity, name)
    }
    if "status" in changes:
        check_transition(entity, *changes["status"])
    if changes:
        entity.updated_at = max(utc_now(), row["updated_at"] + _TICK)
    return changes


def _require_own(author: Author, entity: Entity) -> None:
    if entity.account != author.account:
        raise InvalidInput(
            "account", entity.account, f"{author.account!r}: a session writes one account"
        )


def _require_fresh(entity: Entity, changed: Iterable[str], row: RowMapping) -> None:
    for name in sorted(changed):
        read = inspect(entity).attrs[name].history.deleted
        if read and read[0] != row[name]:
            raise StaleRecord(
                f"{type(entity).__name__} {entity.id}: another writer changed {name} since it was "
                "read; read it again"
            )


def _written_elsewhere(connection: Connection, entity: Entity, happened: DomainEvent) -> None:
    made = Author(entity.account).event(happened, entity)
    connection.execute(events.insert(), values_of(made))


def _is_elsewhere(entity: Entity) -> bool:
    session = object_session(entity)
    return session is not None and not isinstance(session, GuardedSession)


def _inserted(_mapper: object, connection: Connection, entity: Entity) -> None:
    if _is_elsewhere(entity):
        _written_elsewhere(connection, entity, created(entity))


def _updated(_mapper: object, connection: Connection, entity: Entity) -> None:
    if _is_elsewhere(entity) and not isinstance(entity, Position):
        fields = {f.key: f.history for f in inspect(entity).attrs if f.history.has_changes()}
        changes = {
            name: [history.deleted[0] if history.deleted else None, getattr(entity, name)]
            for name, history in fields.items()
            if name not in (*BOOKKEEPING, "signals")
        }
        if changes:
            _written_elsewhere(connection, entity, RecordUpdated(changes=changes))


def _deleted(_mapper: object, connection: Connection, entity: Entity) -> None:
    if _is_elsewhere(entity):
        _written_elsewhere(connection, entity, deleted(entity))


event.listen(GuardedSession, "before_flush", _before_flush)  # after the write guard's
event.listen(GuardedSession, "after_flush", _after_flush)
for _mapper in mapped:
    event.listen(_mapper, "after_insert", _inserted)
    event.listen(_mapper, "after_update", _updated)
    event.listen(_mapper, "after_delete", _deleted)
