"""The unit of work on a SQLAlchemy session; the same for sync use and inside `run_sync`."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from sqlalchemy.orm import Session

from tradebook.adapters.errors import translated, translated_commit, translated_errors
from tradebook.adapters.ledger import SqlLedger
from tradebook.adapters.outcome import forget_witness
from tradebook.adapters.remembered import RememberedPositions
from tradebook.adapters.repositories import (
    SqlAccountRepository,
    SqlAlertRepository,
    SqlDecisionRepository,
    SqlEventRepository,
    SqlPortfolioRepository,
    SqlPositionRepository,
    SqlRepository,
    SqlSignalRepository,
    SqlTradeRepository,
)
from tradebook.adapters.seals import SqlSealRepository
from tradebook.domain.agents import AgentAction, AgentDecision
from tradebook.domain.alerts import Alert
from tradebook.domain.cash import Account, CashFlow
from tradebook.domain.errors import DatabaseCorrupt
from tradebook.domain.events import Event
from tradebook.domain.fields import DEFAULT_ACCOUNT
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

_DAMAGES_SHOWN: Final = 5


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

    def __enter__(self) -> Self:
        session, account = self._new_session(), self.account
        self.session = session
        self.accounts = SqlAccountRepository(session, account, Account)
        self.actions = SqlRepository(session, account, AgentAction)
        self.alerts = SqlAlertRepository(session, account, Alert)
        self.cash_flows = SqlRepository(session, account, CashFlow)
        self.decisions = SqlDecisionRepository(session, account, AgentDecision)
        self.events = SqlEventRepository(session, account, Event)
        self.ledger: SqlLedger = SqlLedger(session, account, self.context, self._remembered)
        self.metrics = SqlRepository(session, account, PerformanceMetric)
        self.portfolio_positions = SqlRepository(session, account, PortfolioPosition)
        self.portfolios = SqlPortfolioRepository(session, account, Portfolio)
        self.positions = SqlPositionRepository(session, account, Position)
        self.seals = SqlSealRepository(session, account, Seal)
        self.signals = SqlSignalRepository(session, account, Signal)
        self.trades = SqlTradeRepository(session, account, Trade)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with translated_errors():
            self.session.close()  # not rollback(), which would expire what was read
        meaning = None if exc is None else translated(exc)
        if meaning is not None:
            raise meaning from exc

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

    def rollback(self) -> None:
        with translated_errors():
            self.session.expunge_all()  # entities keep their values
            self.session.rollback()
        forget_witness(self.session)
        self.ledger.rolled_back()
