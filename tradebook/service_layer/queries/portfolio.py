"""What an account traded, holds and has: trades, positions, cash, snapshots."""

from __future__ import annotations

from decimal import Decimal
from typing import Unpack

from attrs import frozen

from tradebook.domain import validation
from tradebook.domain.cash import CashFlow, CashFlowKind
from tradebook.domain.numbers import EXACT, ZERO, canonical
from tradebook.domain.portfolio import Portfolio, PortfolioPosition
from tradebook.domain.positions import Position
from tradebook.domain.trades import Trade, TradeAction, TradeStatus
from tradebook.domain.validation import argument
from tradebook.service_layer.ports.paging import DEFAULT_LIMIT, Page, Window
from tradebook.service_layer.queries.records import LONG, asked, days_ago
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


def get_trades(
    uow: AbstractUnitOfWork,
    *,
    symbol: str | None = None,
    action: TradeAction | str | None = None,
    status: TradeStatus | str | None = None,
    strategy: str | None = None,
    **window: Unpack[Window],
) -> Page[Trade]:
    """Trades by trade time, newest first; of one symbol, action, status and strategy, or of any."""
    wanted = asked(symbol=symbol, action=action, status=status, strategy=strategy)
    return uow.trades.page(**window, **wanted)


def get_recent_trades(
    uow: AbstractUnitOfWork, limit: int = DEFAULT_LIMIT, days: int = 7, *, after: str | None = None
) -> Page[Trade]:
    """Trades whose trade time is within the last `days` days, newest first."""
    return uow.trades.page(limit=limit, after=after, since=days_ago(uow, days))


def get_trades_by_symbol(
    uow: AbstractUnitOfWork, symbol: str, **window: Unpack[Window]
) -> Page[Trade]:
    """Trades of a symbol by trade time, newest first."""
    return uow.trades.page(**window, symbol=symbol)


def get_open_positions(uow: AbstractUnitOfWork) -> list[Position]:
    """Positions with a quantity, by symbol."""
    return uow.positions.all(open_only=True)


def get_positions(uow: AbstractUnitOfWork) -> list[Position]:
    """Every position that was ever traded, open or closed, by symbol."""
    return uow.positions.all()


def get_position_by_symbol(uow: AbstractUnitOfWork, symbol: str) -> Position | None:
    """The position in a symbol, open or closed; None when it was never traded."""
    return uow.positions.by_symbol(argument("symbol", validation.identifier, symbol))


def get_cash_flows(
    uow: AbstractUnitOfWork,
    *,
    kind: CashFlowKind | str | None = None,
    symbol: str | None = None,
    **window: Unpack[Window],
) -> Page[CashFlow]:
    """Cash flows, newest first; of one kind and symbol, or of any."""
    return uow.cash_flows.page(**window, **asked(kind=kind, symbol=symbol))


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
    return next(iter(uow.portfolios.page(limit=1)), None)


def get_portfolio_history(
    uow: AbstractUnitOfWork, days: int = 30, *, limit: int = LONG, after: str | None = None
) -> Page[Portfolio]:
    """Snapshots of the last `days` days, newest first."""
    return uow.portfolios.page(limit=limit, after=after, since=days_ago(uow, days))


def get_portfolio_positions(uow: AbstractUnitOfWork, portfolio_id: int) -> list[PortfolioPosition]:
    """The open positions in a snapshot, by symbol."""
    id_ = argument("portfolio_id", validation.record_id, portfolio_id)
    return uow.portfolios.positions_of([id_])
