"""The unit of work on a SQLAlchemy session; the same for sync use and inside `run_sync`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Final, Self

from sqlalchemy.orm import Session

from tradebook.adapters.decisions import SqlDecisionRepository
from tradebook.adapters.errors import translated, translated_commit, translated_errors
from tradebook.adapters.ledger import SqlLedger
from tradebook.adapters.outcome import forget_witness
from tradebook.adapters.remembered import RememberedPositions
from tradebook.adapters.repositories import (
    SqlAccountRepository,
    SqlAlertRepository,
    SqlEventRepository,
    SqlPortfolioRepository,
    SqlPositionRepository,
    SqlRepository,
    SqlSignalRepository,
    SqlTradeRepository,
)
from tradebook.adapters.seals import SqlSealRepository
from tradebook.adapters.sight import require_sight
from tradebook.domain.agents import AgentAction, AgentDecision
from tradebook.domain.alerts import Alert
from tradebook.domain.cash import Account, CashFlow
from tradebook.domain.errors import DatabaseCorrupt
from tradebook.domain.events import Event
from tradebook.domain.fields import DEFAULT_ACCOUNT, Entity
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.portfolio import Portfolio, PortfolioPosition
from tradebook.domain.positions import Position
from tradebook.domain.seals import Seal
from tradebook.domain.signals import Signal
from tradebook.domain.trades import Trade
from tradebook.service_layer.unit_of_work import (
    DEFAULT_BASE_CURRENCY,
    AbstractUnitOfWork,
    CallContext,
)
from tradebook.service_layer.watching import note_commit, note_rollback

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
        remembered: RememberedPositions | None = None,
    ) -> None:
        super().__init__(account, base_currency, context)
        self._new_session = new_session
        self._remembered = remembered
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
            self.session, self.account, self.context, self._remembered
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

    def require_sight(self) -> None:
        require_sight(self.session.connection(), self.account)

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
        forget_witness(self.session)
        self.ledger.committed()
        note_commit()

    def rollback(self) -> None:
        with translated_errors():
            self.session.expunge_all()  # entities keep their values
            self.session.rollback()
        forget_witness(self.session)
        self.ledger.rolled_back()
        note_rollback()
