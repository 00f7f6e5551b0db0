"""Units of work on SQLAlchemy sessions; the one for asyncio runs the other inside `run_sync`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, sessionmaker
from typing_extensions import override

from tradebook.adapters.engine.transactions import READ_ONLY
from tradebook.adapters.errors import translated, translated_commit, translated_errors
from tradebook.adapters.ledger.ledger import SqlLedger
from tradebook.adapters.ledger.position_cache import PositionCache
from tradebook.adapters.repositories.base import SqlRepository
from tradebook.adapters.repositories.entity_rows import AHEAD, COMMIT_MARKER, UNCOMMITTED
from tradebook.adapters.repositories.read_sessions import ReadSession
from tradebook.adapters.repositories.repositories import REPOSITORY_CLASSES
from tradebook.adapters.repositories.row_security import ANY, require_visible
from tradebook.adapters.sessions.edit_events import AUTHOR, Author, record_rest
from tradebook.domain.entity import DEFAULT_ACCOUNT, DEFAULT_BASE_CURRENCY
from tradebook.domain.errors import DatabaseCorrupt
from tradebook.domain.validation import MAX_AHEAD
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.instrumentation import current_call
from tradebook.service_layer.unit_of_work import (
    REPOSITORIES,
    AbstractAsyncUnitOfWork,
    AbstractUnitOfWork,
    warn_uncommitted,
)

P = ParamSpec("P")
R = TypeVar("R")

_DAMAGES_SHOWN: Final = 5
_KINDS: Final = {name: kind for kind, name in REPOSITORIES.items()}


class SqlAlchemyUnitOfWork(AbstractUnitOfWork):
    """One database transaction. Entities stay readable after it ends.

    Attributes:
        session: the SQLAlchemy session, for queries of your own; open while the unit of work is.
    """

    session: Session
    ledger: SqlLedger

    def __init__(
        self,
        new_session: Callable[[], Session],
        account: str = DEFAULT_ACCOUNT,
        base_currency: str = DEFAULT_BASE_CURRENCY,
        context: CallContext | None = None,
        position_cache: PositionCache | None = None,
        observe: Callable[[], AbstractContextManager[object]] | None = None,
        *,
        is_currency_named: bool = False,
    ) -> None:
        """Prepare a unit of work; the session is made on entering.

        At the end it updates the position cache; `observe` makes the context in which observers see it run.
        """
        super().__init__(account, base_currency, context, is_currency_named=is_currency_named)
        self._new_session = new_session
        self._position_cache = position_cache
        self._observe = observe
        self._observed: AbstractContextManager[object] | None = None

    @override
    def __enter__(self) -> Self:
        if "session" in vars(self):  # entered again: forget what belongs to the session before
            for name in (*_KINDS, "ledger"):
                vars(self).pop(name, None)
        self.session = self._new_session()
        self.max_ahead = self.session.info.get(AHEAD, MAX_AHEAD)
        by = self.context
        self.session.info[AUTHOR] = Author(self.account, by.actor, by.correlation_id)
        if self._observe is not None:
            self._observed = self._observe()
            self._observed.__enter__()
        return self

    def __getattr__(self, name: str) -> Any:
        """Make the ledger or a repository on first use; most units of work need one or two of them."""
        if name == "ledger":
            made: Any = SqlLedger(self.session, self.account, self.context, self._position_cache)
        elif name in _KINDS:
            repository = REPOSITORY_CLASSES.get(_KINDS[name], SqlRepository)
            made = repository(self.session, self.account, _KINDS[name])
        else:
            raise AttributeError(f"{type(self).__name__} has no {name}")
        setattr(self, name, made)
        return made

    @override
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        is_forgotten = exc is None and self.has_changes
        try:
            try:
                self.session.close()  # not rollback(), which would expire what was read
            except Exception:  # translated on failure only: most calls never enter the translation
                with translated_errors():
                    raise
            meaning = None if exc is None else translated(exc)
            if meaning is not None:
                raise meaning from exc
        finally:
            if self._observed is not None:
                self._observed.__exit__(exc_type, exc, traceback)
        if is_forgotten:
            warn_uncommitted(frames=1)

    @property
    def has_changes(self) -> bool:
        """True while a record was changed and the change neither committed nor rolled back."""
        session = self.session
        if isinstance(session, ReadSession):
            return False
        return (
            UNCOMMITTED in session.info
            or bool(session.new or session.deleted)
            or any(map(session.is_modified, session.dirty))
        )

    @override
    def require_visible(self, *, any_account: bool = False) -> None:
        require_visible(self.session.connection(), ANY if any_account else self.account)

    @override
    def require_intact(self) -> None:
        connection = self.session.connection()
        if connection.dialect.name == "sqlite":
            found = connection.exec_driver_sql(f"PRAGMA integrity_check({_DAMAGES_SHOWN})")
            damages = [" ".join(str(damage).split()) for damage in found.scalars()]
            if damages != ["ok"]:
                raise DatabaseCorrupt("; ".join(damages))

    @override
    def commit(self) -> None:
        try:
            record_rest(self.session)
            self.session.flush()
        except Exception:
            with translated_errors():
                raise
        finally:
            # A caller that catches a failure of COMMIT needs no warning.
            self.session.info.pop(UNCOMMITTED, None)
        try:
            self.session.commit()
        except Exception:
            with translated_commit():
                raise
        self.session.info.pop(COMMIT_MARKER, None)  # the next transaction has a marker of its own
        if "ledger" in vars(self):
            self.ledger.committed()
        call = current_call.get()
        if call is not None:
            call.commit()

    @override
    def rollback(self) -> None:
        with translated_errors():
            self.session.expunge_all()  # entities keep their values
            self.session.rollback()
        self.session.info.pop(COMMIT_MARKER, None)
        self.session.info.pop(UNCOMMITTED, None)
        if "ledger" in vars(self):
            self.ledger.rolled_back()
        call = current_call.get()
        if call is not None:
            call.rollback()


def read_unit(engine: Engine, account: str) -> SqlAlchemyUnitOfWork:
    """Make a unit of work that only reads, with one consistent view of an account."""
    reading = engine.execution_options(**{READ_ONLY: True})
    sessions = sessionmaker(reading, class_=ReadSession, expire_on_commit=False)
    return SqlAlchemyUnitOfWork(sessions, account)


class AsyncUnitOfWork(AbstractAsyncUnitOfWork):
    """One database transaction of asyncio. Entities stay readable after it ends.

    Attributes:
        session: the `AsyncSession`, for queries of your own; open while the unit of work is.
    """

    session: AsyncSession

    def __init__(
        self,
        new_session: Callable[[], AsyncSession],
        account: str = DEFAULT_ACCOUNT,
        base_currency: str = DEFAULT_BASE_CURRENCY,
        context: CallContext | None = None,
        position_cache: PositionCache | None = None,
        *,
        is_currency_named: bool = False,
    ) -> None:
        """Prepare a unit of work; the session is made on entering."""
        self._new_session = new_session
        self._uow = SqlAlchemyUnitOfWork(
            lambda: self.session.sync_session,
            account,
            base_currency,
            context,
            position_cache,
            is_currency_named=is_currency_named,
        )

    @override
    async def __aenter__(self) -> Self:
        self.session = self._new_session()
        self._uow.__enter__()
        return self

    @override
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        is_forgotten = exc is None and self._uow.has_changes
        with translated_errors():
            # Not close(): this one finishes, the connection returned, though the task is cancelled.
            await self.session.__aexit__(exc_type, exc, traceback)
        self.session.info.pop(UNCOMMITTED, None)
        self._uow.__exit__(exc_type, exc, traceback)
        if is_forgotten:
            # Past the context manager that `AsyncDatabaseManager.unit_of_work` is.
            warn_uncommitted(frames=3)

    @override
    async def run(
        self,
        function: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        return await self.session.run_sync(lambda _: function(self._uow, *args, **kwargs))
