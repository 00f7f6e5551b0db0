"""Queries of trades, positions, cash and snapshots."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Final, Unpack

from attrs import frozen

from tradebook.domain import validation
from tradebook.domain.cash import CashFlow, CashFlowKind
from tradebook.domain.errors import InvalidInput
from tradebook.domain.numbers import EXACT, ZERO, canonical, sums_by_name
from tradebook.domain.plain_values import plain_int
from tradebook.domain.portfolio import Portfolio, PortfolioPosition
from tradebook.domain.positions import Position
from tradebook.domain.trades import Trade, TradeAction, TradeStatus
from tradebook.domain.validation import argument
from tradebook.service_layer.handlers._common import given
from tradebook.service_layer.ports.paging import DEFAULT_LIMIT, Page, Window
from tradebook.service_layer.queries.records import LONG
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork, single_statement

_DAYS: Final = "a whole number of days within the calendar"


@frozen
class CashBalance:
    """An account's cash in one currency: `balance = external + income + trading`.

    Attributes:
        currency: of all amounts.
        external: deposits, withdrawals and transfers.
        income: dividends, interest, funding and other cash flows.
        trading: the cash flows of positions: paid, received and fees.
        balance: the sum of the three; not buying power.
    """

    currency: str
    external: Decimal
    income: Decimal
    trading: Decimal
    balance: Decimal


@single_statement
def get_trades(
    uow: AbstractUnitOfWork,
    *,
    symbol: str | None = None,
    action: TradeAction | str | None = None,
    status: TradeStatus | str | None = None,
    strategy: str | None = None,
    **window: Unpack[Window],
) -> Page[Trade]:
    """Return trades by trade time, newest first; of one symbol, action, status and strategy, or of any."""
    return uow.trades.page(
        **window, **given(symbol=symbol, action=action, status=status, strategy=strategy)
    )


@single_statement
def get_recent_trades(
    uow: AbstractUnitOfWork, limit: int = DEFAULT_LIMIT, days: int = 7, *, after: str | None = None
) -> Page[Trade]:
    """Return the trades of the last `days` days by trade time, newest first."""
    return uow.trades.page(limit=limit, after=after, since=_days_ago(uow, days))


@single_statement
def get_trades_by_symbol(
    uow: AbstractUnitOfWork, symbol: str, **window: Unpack[Window]
) -> Page[Trade]:
    """Return the trades of a symbol by trade time, newest first."""
    return uow.trades.page(**window, symbol=symbol)


@single_statement
def get_open_positions(uow: AbstractUnitOfWork) -> list[Position]:
    """Return the positions with a quantity, sorted by symbol."""
    return uow.positions.all(open_only=True)


@single_statement
def get_positions(uow: AbstractUnitOfWork) -> list[Position]:
    """Return every position that was ever traded, open or closed, sorted by symbol."""
    return uow.positions.all()


@single_statement
def get_position_by_symbol(uow: AbstractUnitOfWork, symbol: str) -> Position | None:
    """Return the position in a symbol, open or closed; None when it was never traded."""
    return uow.positions.by_symbol(argument("symbol", validation.identifier, symbol))


@single_statement
def get_cash_flows(
    uow: AbstractUnitOfWork,
    *,
    kind: CashFlowKind | str | None = None,
    symbol: str | None = None,
    **window: Unpack[Window],
) -> Page[CashFlow]:
    """Return cash flows, newest first; of one kind and symbol, or of any."""
    return uow.cash_flows.page(**window, **given(kind=kind, symbol=symbol))


@single_statement
def get_cash_balances(uow: AbstractUnitOfWork) -> list[CashBalance]:
    """Return the account's cash, sorted by currency."""
    holdings = uow.ledger.holdings()
    cash = {total.currency: (total.external, total.income) for total in holdings.cash}
    trading = sums_by_name(moved for p in holdings.positions for moved in p.cash_moved)
    balances = []
    for currency in sorted(cash.keys() | trading.keys()):
        external, income = cash.get(currency, (ZERO, ZERO))
        traded = trading.get(currency, ZERO)
        balance = canonical(EXACT.add(EXACT.add(external, income), traded))
        balances.append(CashBalance(currency, external, income, traded, balance))
    return balances


@single_statement
def get_latest_portfolio(uow: AbstractUnitOfWork) -> Portfolio | None:
    """Return the last snapshot, or None before the first."""
    return next(iter(uow.portfolios.page(limit=1)), None)


@single_statement
def get_portfolio_history(
    uow: AbstractUnitOfWork, days: int = 30, *, limit: int = LONG, after: str | None = None
) -> Page[Portfolio]:
    """Return the snapshots of the last `days` days, newest first."""
    return uow.portfolios.page(limit=limit, after=after, since=_days_ago(uow, days))


@single_statement
def get_portfolio_positions(uow: AbstractUnitOfWork, portfolio_id: int) -> list[PortfolioPosition]:
    """Return the open positions in a snapshot, sorted by symbol."""
    id_ = argument("portfolio_id", validation.record_id, portfolio_id)
    return uow.portfolios.positions_of([id_])


def _days_ago(uow: AbstractUnitOfWork, days: int) -> datetime:
    if type(days) is not int:
        days = argument("days", partial(plain_int, expected=_DAYS), days)
    try:
        return uow.now() - timedelta(days=days)
    except OverflowError:
        raise InvalidInput("days", days, _DAYS) from None
