"""The sessions of `get_session`: bound to one account, committed at the end, with events as handlers leave.

The write guard refuses changes that only handlers may make, `edit_events` records an event for each of the
others, and a session here reads one account only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import LoaderCriteriaOption, ORMExecuteState, Session, with_loader_criteria
from typing_extensions import override

from tradebook.adapters.errors import translated_commit, translated_errors
from tradebook.adapters.orm import mapped
from tradebook.adapters.sessions.edit_events import AUTHOR, Author
from tradebook.adapters.sessions.write_guard import GuardedSession

_ACCOUNT: Final = "tradebook_account"


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
        _attend(session, Author(account, actor, correlation_id, refuses_stale=True))
        yield session
        session.commit()


@asynccontextmanager
async def async_ad_hoc_session(
    new_session: Callable[[], AsyncSession], account: str, actor: str, correlation_id: str = ""
) -> AsyncIterator[AsyncSession]:
    """Open a session as `ad_hoc_session` does; with `sync_session_class=AdHocSession`, `get` takes plain ids."""
    with translated_errors():
        async with new_session() as session:
            _attend(
                session.sync_session, Author(account, actor, correlation_id, refuses_stale=True)
            )
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


def _attend(session: Session, author: Author) -> None:
    session.info[_ACCOUNT] = author.account
    session.info[AUTHOR] = author
    event.listen(session, "do_orm_execute", _restrict_to_account)


def _restrict_to_account(state: ORMExecuteState) -> None:
    account: str = state.session.info[_ACCOUNT]
    state.statement = state.statement.options(*_criteria(account))
