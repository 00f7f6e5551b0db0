"""What is asked of the book: plain functions `query(uow, ...)` that change nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from attrs import frozen

from tradebook.domain.agents import AgentAction, AgentDecision
from tradebook.domain.alerts import Alert, Severity
from tradebook.domain.alerts import severity as severity_named
from tradebook.domain.cash import CashFlow
from tradebook.domain.errors import InvalidInput
from tradebook.domain.numbers import EXACT, ZERO, canonical
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.portfolio import Portfolio, PortfolioPosition
from tradebook.domain.positions import Position
from tradebook.domain.signals import Signal
from tradebook.domain.trades import Trade
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


@frozen
class CashBalance:
    """An account's cash in one currency: `balance = external + income + trading`.

    Attributes:
        currency: of all amounts.
        external: deposits, withdrawals and transfers.
        income: dividends, interest, funding and other cash flows.
        trading: what positions did to cash.
        balance: their sum. Not buying power.
    """

    currency: str
    external: Decimal
    income: Decimal
    trading: Decimal
    balance: Decimal


def get_recent_trades(uow: AbstractUnitOfWork, *, limit: int = 100, days: int = 7) -> list[Trade]:
    """Trades whose trade time is within the last `days` days, newest first."""
    return uow.trades.latest(since=_days_ago(uow, days), limit=limit)


def get_trades_by_symbol(uow: AbstractUnitOfWork, symbol: str, *, limit: int = 100) -> list[Trade]:
    """The latest trades of a symbol by trade time, newest first."""
    return uow.trades.latest(symbol=symbol, limit=limit)


def get_open_positions(uow: AbstractUnitOfWork) -> list[Position]:
    """Positions with a quantity, by symbol."""
    return uow.positions.all(open_only=True)


def get_positions(uow: AbstractUnitOfWork) -> list[Position]:
    """Every position that was ever traded, open or closed, by symbol."""
    return uow.positions.all()


def get_position_by_symbol(uow: AbstractUnitOfWork, symbol: str) -> Position | None:
    """The position in a symbol, open or closed; None when it was never traded."""
    return uow.positions.by_symbol(symbol)


def get_cash_flows(uow: AbstractUnitOfWork, *, limit: int = 100) -> list[CashFlow]:
    """The latest cash flows, newest first."""
    return uow.cash_flows.latest(limit=limit)


def get_cash_balances(uow: AbstractUnitOfWork) -> list[CashBalance]:
    """The account's cash, by currency."""
    holdings = uow.ledger.holdings()
    cash = {total.currency: (total.external, total.income) for total in holdings.cash}
    trading: dict[str, Decimal] = {}
    for position in holdings.positions:
        so_far = trading.get(position.currency, ZERO)
        trading[position.currency] = EXACT.add(so_far, position.cash_flow)
    return [
        _balance(currency, *cash.get(currency, (ZERO, ZERO)), trading.get(currency, ZERO))
        for currency in sorted(cash.keys() | trading.keys())
    ]


def _balance(currency: str, external: Decimal, income: Decimal, trading: Decimal) -> CashBalance:
    balance = EXACT.add(EXACT.add(external, income), trading)
    return CashBalance(currency, external, income, canonical(trading), canonical(balance))


def get_latest_portfolio(uow: AbstractUnitOfWork) -> Portfolio | None:
    """The last snapshot, or None before the first."""
    return uow.portfolios.latest()


def get_portfolio_history(
    uow: AbstractUnitOfWork, *, days: int = 30, limit: int = 1000
) -> list[Portfolio]:
    """Snapshots of the last `days` days, newest first."""
    return uow.portfolios.history(since=_days_ago(uow, days), limit=limit)


def get_portfolio_positions(uow: AbstractUnitOfWork, portfolio_id: int) -> list[PortfolioPosition]:
    """The open positions in a snapshot, by symbol."""
    return uow.portfolios.positions_of([portfolio_id])


def get_alerts(uow: AbstractUnitOfWork, *, limit: int = 100) -> list[Alert]:
    """The latest alerts, resolved or not, newest first."""
    return uow.alerts.latest(limit=limit)


def get_unresolved_alerts(
    uow: AbstractUnitOfWork, *, severity: Severity | str | None = None
) -> list[Alert]:
    """Alerts that nobody dealt with, newest first; of one severity, or of all."""
    wanted = None if severity is None else severity_named(severity)
    return uow.alerts.unresolved(severity=wanted)


def get_signals(
    uow: AbstractUnitOfWork, *, symbol: str | None = None, limit: int = 100
) -> list[Signal]:
    """The latest signals, newest first; of one symbol, or of all."""
    return uow.signals.latest(symbol=symbol, limit=limit)


def get_decisions(
    uow: AbstractUnitOfWork, *, agent: str | None = None, limit: int = 100
) -> list[AgentDecision]:
    """The latest decisions, newest first; of one agent, or of all. Their signals are not loaded."""
    return uow.decisions.latest(agent=agent, limit=limit)


def get_actions(
    uow: AbstractUnitOfWork, *, agent: str | None = None, limit: int = 100
) -> list[AgentAction]:
    """The latest steps of agents, newest first; of one agent, or of all."""
    return uow.actions.latest(agent=agent, limit=limit)


def get_metrics(
    uow: AbstractUnitOfWork, *, name: str | None = None, limit: int = 100
) -> list[PerformanceMetric]:
    """The latest metrics by the end of their period, newest first; of one name, or of all."""
    return uow.metrics.latest(name=name, limit=limit)


def _days_ago(uow: AbstractUnitOfWork, days: int) -> datetime:
    try:
        return uow.now() - timedelta(days=days)
    except OverflowError:
        raise InvalidInput("days", days, "a number of days within the calendar") from None
