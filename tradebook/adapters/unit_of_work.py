"""The unit of work on an asyncio session: the synchronous one, run inside `run_sync`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from tradebook.adapters.commit_outcome import clear_commit_marker
from tradebook.adapters.errors import translated, translated_commit, translated_errors
from tradebook.adapters.ledger.ledger import SqlLedger
from tradebook.adapters.ledger.position_cache import PositionCache
from tradebook.adapters.repositories.base import SqlRepository
from tradebook.adapters.repositories.repositories import (
    SqlAccountRepository,
    SqlAlertRepository,
    SqlDecisionRepository,
    SqlEventRepository,
    SqlPortfolioRepository,
    SqlPositionRepository,
    SqlSealRepository,
    SqlSignalRepository,
    SqlTradeRepository,
)
from tradebook.adapters.repositories.row_security import require_visible
from tradebook.domain.agents import AgentAction, AgentDecision
from tradebook.domain.alerts import Alert
from tradebook.domain.cash import Account, CashFlow
from tradebook.domain.entity import DEFAULT_ACCOUNT, Entity
from tradebook.domain.errors import DatabaseCorrupt
from tradebook.domain.events import Event
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.portfolio import Portfolio, PortfolioPosition
from tradebook.domain.positions import Position
from tradebook.domain.seals import Seal
from tradebook.domain.signals import Signal
from tradebook.domain.trades import Trade
from tradebook.service_layer.call_context import DEFAULT_BASE_CURRENCY, CallContext
from tradebook.service_layer.instrumentation import note_commit, note_rollback
from tradebook.service_layer.unit_of_work import AbstractAsyncUnitOfWork, AbstractUnitOfWork

P = ParamSpec("P")
R = TypeVar("R")


class AsyncUnitOfWork(AbstractAsyncUnitOfWork):
    """One database transaction of asyncio. Entities stay readable after it ends.

    Args:
        new_session: makes the asyncio session.
        new_unit_of_work: makes the synchronous unit of work on the session inside it.
        context: the time, actor and correlation id of the call; the time now by default.

    Attributes:
        session: the `AsyncSession`, for queries of your own; open while the unit of work is.
    """

    session: AsyncSession

    def __init__(
        self,
        new_session: Callable[[], AsyncSession],
        new_unit_of_work: Callable[..., AbstractUnitOfWork],
        context: CallContext | None = None,
    ) -> None:
        self._new_session = new_session
        self._new_unit_of_work = new_unit_of_work
        self._context = context

    async def __aenter__(self) -> Self:
        self.session = self._new_session()
        self._uow = self._new_unit_of_work(lambda: self.session.sync_session, context=self._context)
        self._uow.__enter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with translated_errors():
            # Not close(): this one finishes, the connection returned, though the task is cancelled.
            await self.session.__aexit__(exc_type, exc, traceback)
        self._uow.__exit__(exc_type, exc, traceback)

    async def run(
        self,
        function: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        return await self.session.run_sync(lambda _: function(self._uow, *args, **kwargs))

    async def commit(self) -> None:
        await self.session.run_sync(lambda _: self._uow.commit())

    async def rollback(self) -> None:
        await self.session.run_sync(lambda _: self._uow.rollback())


_DAMAGES_SHOWN: Final = 5


_REPOSITORIES: Final[Mapping[str, tuple[type[SqlRepository[Any]], type[Entity]]]] = {
    "accounts": (SqlAccountRepository, Account),
    "actions": (SqlRepository, AgentAction),
    "alerts": (SqlAlertRepository, Alert),
    "cash_flows": (SqlRepository, CashFlow),
    "decisions": (SqlDecisionRepository, AgentDecision),
    "events": (SqlEventRepository, Event),
    "metrics": (SqlRepository, PerformanceMetric),
    "portfolio_positions": (SqlRepository, PortfolioPosition),
    "portfolios": (SqlPortfolioRepository, Portfolio),
    "positions": (SqlPositionRepository, Position),
    "seals": (SqlSealRepository, Seal),
    "signals": (SqlSignalRepository, Signal),
    "trades": (SqlTradeRepository, Trade),
}


class SqlAlchemyUnitOfWork(AbstractUnitOfWork):
    """One database transaction. Entities stay readable after it ends.

    Attributes:
        session: the SQLAlchemy session, for queries of your own; open while the unit of work is.
    """

    session: Session

    def __init__(
        self,
        new_session: Callable[[], Session],
        account: str = DEFAULT_ACCOUNT,
        base_currency: str = DEFAULT_BASE_CURRENCY,
        context: CallContext | None = None,
        position_cache: PositionCache | None = None,
    ) -> None:
        super().__init__(account, base_currency, context)
        self._new_session = new_session
        self._position_cache = position_cache
        self._new_around: Callable[[], AbstractContextManager[object]] = nullcontext
        self._around: AbstractContextManager[object] = nullcontext()

    def surround(self, new_around: Callable[[], AbstractContextManager[object]]) -> Self:
        """Let it begin inside what `new_around` gives, and end there, each time that it is entered."""
        self._new_around = new_around
        return self

    def __enter__(self) -> Self:
        for name in _REPOSITORIES:
            vars(self).pop(name, None)
        self.session = self._new_session()
        self.ledger: SqlLedger = SqlLedger(
            self.session, self.account, self.context, self._position_cache
        )
        self._around = self._new_around()
        self._around.__enter__()
        return self

    def __getattr__(self, name: str) -> Any:
        """A repository is made when it is first asked for; most units of work need few."""
        if name not in _REPOSITORIES:
            raise AttributeError(f"{type(self).__name__} has no {name}")
        repository, kind = _REPOSITORIES[name]
        made = repository(self.session, self.account, kind)
        setattr(self, name, made)
        return made

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            with translated_errors():
                self.session.close()  # not rollback(), which would expire what was read
            meaning = None if exc is None else translated(exc)
            if meaning is not None:
                raise meaning from exc
        finally:
            self._around.__exit__(exc_type, exc, traceback)

    def require_visible(self) -> None:
        require_visible(self.session.connection(), self.account)

    def require_intact(self) -> None:
        connection = self.session.connection()
        if connection.dialect.name == "sqlite":
            found = connection.exec_driver_sql(f"PRAGMA integrity_check({_DAMAGES_SHOWN})")
            damages = [" ".join(str(damage).split()) for damage in found.scalars()]
            if damages != ["ok"]:
                raise DatabaseCorrupt("; ".join(damages))

    def commit(self) -> None:
        with translated_errors():
            self.session.flush()
        with translated_commit():
            self.session.commit()
        clear_commit_marker(self.session)
        self.ledger.committed()
        note_commit()

    def rollback(self) -> None:
        with translated_errors():
            self.session.expunge_all()  # entities keep their values
            self.session.rollback()
        clear_commit_marker(self.session)
        self.ledger.rolled_back()
        note_rollback()
