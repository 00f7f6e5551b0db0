"""The unit of work on a SQLAlchemy session; the same for sync use and inside `run_sync`."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from sqlalchemy.orm import Session

from tradebook.adapters.errors import translated, translated_errors
from tradebook.adapters.ledger import SqlLedger
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
from tradebook.domain.agents import AgentAction, AgentDecision
from tradebook.domain.alerts import Alert
from tradebook.domain.cash import Account, CashFlow
from tradebook.domain.events import Event
from tradebook.domain.fields import DEFAULT_ACCOUNT
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.portfolio import Portfolio, PortfolioPosition
from tradebook.domain.positions import Position
from tradebook.domain.signals import Signal
from tradebook.domain.trades import Trade
from tradebook.service_layer.unit_of_work import (
    DEFAULT_BASE_CURRENCY,
    AbstractUnitOfWork,
    CallContext,
)


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
    ) -> None:
        super().__init__(account, base_currency, context)
        self._new_session = new_session

    def __enter__(self) -> Self:
        session, account = self._new_session(), self.account
        self.session = session
        self.accounts = SqlAccountRepository(session, account, Account)
        self.actions = SqlRepository(session, account, AgentAction)
        self.alerts = SqlAlertRepository(session, account, Alert)
        self.cash_flows = SqlRepository(session, account, CashFlow)
        self.decisions = SqlDecisionRepository(session, account, AgentDecision)
        self.events = SqlEventRepository(session, account, Event)
        self.ledger = SqlLedger(session, account, self.context)
        self.metrics = SqlRepository(session, account, PerformanceMetric)
        self.portfolio_positions = SqlRepository(session, account, PortfolioPosition)
        self.portfolios = SqlPortfolioRepository(session, account, Portfolio)
        self.positions = SqlPositionRepository(session, account, Position)
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

    def commit(self) -> None:
        with translated_errors():
            self.session.commit()

    def rollback(self) -> None:
        with translated_errors():
            self.session.expunge_all()  # entities keep their values
            self.session.rollback()
