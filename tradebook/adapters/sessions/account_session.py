"""The sessions of `get_session`: bound to one account, committed at the end, with events as handlers leave.

The write guard refuses changes that only handlers may make. A session here also keeps the others in one
account, records an event for each, and refuses to overwrite what another writer changed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

from attrs import define, field
from sqlalchemy import RowMapping, event, inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import LoaderCriteriaOption, ORMExecuteState, Session, with_loader_criteria
from typing_extensions import override

from tradebook.adapters.errors import translated_commit, translated_errors
from tradebook.adapters.orm import mapped
from tradebook.adapters.repositories.entity_rows import columns_of, insert_all
from tradebook.adapters.sessions.write_guard import GuardedSession, changed_fields, records, stored
from tradebook.domain.edit_rules import check_transition
from tradebook.domain.entity import DEFAULT_ACCOUNT, Entity
from tradebook.domain.errors import InvalidInput, StaleRecord
from tradebook.domain.events import DomainEvent, Event, RecordCreated, RecordDeleted, RecordUpdated
from tradebook.domain.validation import utc_now

_ACCOUNT: Final = "tradebook_account"
_BOOKKEEPING: Final = ("id", "account", "created_at", "updated_at")
_TICK: Final = timedelta(microseconds=1)


@contextmanager
def ad_hoc_session(
    new_session: Callable[[], Session], account: str, actor: str, correlation_id: str = ""
) -> Iterator[Session]:
    """Open a session on one account; it is committed at the end, rolled back on an error, and closed.

    Args:
        new_session: makes the session; with `AdHocSession`, `get` takes plain ids too.
        account: the only account whose entities the session reads and writes. Statements on tables
            and SQL text are not restricted.
        actor: the author of the changes, for the events.
        correlation_id: shared by the events.

    Raises:
        TradebookError: the database, or the book, refused a change; nothing was written.
    """
    with translated_errors(), new_session() as session:
        _Work(account, actor, correlation_id).attend(session)
        yield session
        session.commit()


@asynccontextmanager
async def async_ad_hoc_session(
    new_session: Callable[[], AsyncSession], account: str, actor: str, correlation_id: str = ""
) -> AsyncIterator[AsyncSession]:
    """Open a session as `ad_hoc_session` does; with `sync_session_class=AdHocSession`, `get` takes plain ids."""
    with translated_errors():
        async with new_session() as session:
            _Work(account, actor, correlation_id).attend(session.sync_session)
            yield session
            await session.commit()


class AdHocSession(GuardedSession):
    """A session in which `get(Trade, 5)` finds a record of the account by its id alone.

    Losing the connection during its COMMIT raises `CommitUnknown`.
    """

    @override
    def commit(self) -> None:
        self.flush()
        with translated_commit():
            super().commit()

    @override
    def get(self, entity: Any, ident: Any, **options: Any) -> Any:
        if isinstance(ident, int) and _ACCOUNT in self.info:
            ident = (self.info[_ACCOUNT], ident)
        return super().get(entity, ident, **options)


@lru_cache
def _criteria(account: str) -> list[LoaderCriteriaOption]:
    kinds = [mapper.class_ for mapper in mapped]
    return [
        with_loader_criteria(kind, kind.account == account, include_aliases=True) for kind in kinds
    ]


@define
class _Work:
    """The changes made in one session, and their author."""

    account: str
    actor: str
    correlation_id: str
    _done: list[tuple[Entity, DomainEvent | None]] = field(factory=list, init=False)

    def attend(self, session: Session) -> None:
        session.info[_ACCOUNT] = self.account
        event.listen(session, "do_orm_execute", self._restrict_to_account)
        event.listen(session, "before_flush", self._before_flush)  # runs after the write guard's
        event.listen(session, "after_flush", self._after_flush)

    def _restrict_to_account(self, state: ORMExecuteState) -> None:
        state.statement = state.statement.options(*_criteria(self.account))

    def _before_flush(self, session: Session, _context: object, _instances: object) -> None:
        self._done = []
        for entity in records(session.new):
            if entity.account == DEFAULT_ACCOUNT:
                entity.account = self.account
            self._require_own(entity)
            self._done.append((entity, None))  # the event is made when the id is known
        for entity in records(session.dirty):
            changes = self._changes(session, entity)
            if changes:
                self._done.append((entity, RecordUpdated(changes=changes)))
        for entity in records(session.deleted):
            self._require_own(entity)
            self._done.append((entity, RecordDeleted(values=_values(entity))))

    def _after_flush(self, session: Session, _context: object) -> None:
        insert_all(
            session,
            [
                self._event(entity, change or RecordCreated(values=_values(entity)))
                for entity, change in self._done
            ],
        )

    def _changes(self, session: Session, entity: Entity) -> dict[str, list[Any]]:
        """Return [before, after] for each field that changes, and advance the record's `updated_at`."""
        changed = changed_fields(entity)
        row = stored(session, entity) if changed else None
        if row is None:
            return {}
        self._require_own(entity)
        _require_fresh(entity, changed, row)
        changes = {
            name: [row[name], getattr(entity, name)]
            for name in sorted(changed.difference(_BOOKKEEPING))
            if row[name] != getattr(entity, name)
        }
        if "status" in changes:
            check_transition(entity, *changes["status"])
        if changes:
            entity.updated_at = max(utc_now(), row["updated_at"] + _TICK)
        return changes

    def _require_own(self, entity: Entity) -> None:
        if entity.account != self.account:
            raise InvalidInput(
                "account", entity.account, f"{self.account!r}: a session writes one account"
            )

    def _event(self, entity: Entity, change: DomainEvent) -> Event:
        return Event(
            account=self.account,
            event_type=type(change).__name__,
            entity=type(entity).__name__,
            entity_id=entity.id,
            payload=change.payload(),
            actor=self.actor,
            correlation_id=self.correlation_id,
            occurred_at=utc_now(),
        )


def _require_fresh(entity: Entity, changed: Iterable[str], row: RowMapping) -> None:
    for name in sorted(changed):
        read = inspect(entity).attrs[name].history.deleted
        if read and read[0] != row[name]:
            raise StaleRecord(
                f"{type(entity).__name__} {entity.id}: another writer changed {name} since it was "
                "read; read it again"
            )


def _values(entity: Entity) -> dict[str, Any]:
    names = [name for name in columns_of(type(entity)) if name not in _BOOKKEEPING]
    return {name: getattr(entity, name) for name in names}
