"""Portfolios of several accounts, valued in one currency and added up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import frozen

from tradebook.domain.cash import ALL_ACCOUNTS
from tradebook.domain.numbers import ZERO, Number, exact
from tradebook.domain.portfolio import (
    Holdings,
    Portfolio,
    PortfolioPosition,
    Rates,
    value_holdings,
)

CONSOLIDATED: Final = "consolidated"
"""The source of a portfolio that is computed with those of other accounts, and never stored."""

_AMOUNTS: Final = (
    *("cash_balance", "positions_value", "total_value", "gross_exposure", "net_exposure"),
    *("realized_pnl", "unrealized_pnl", "fees", "external_flows", "income"),
)


@frozen
class ConsolidatedPortfolio:
    """What several accounts hold and are worth together, in one currency; computed, not recorded.

    Attributes:
        total: the sums over the accounts; its account is "all", its source "consolidated".
        portfolios: the portfolio of each account, sorted by account.
        positions: their open positions, sorted by account and symbol, in their own currencies.
    """

    total: Portfolio
    portfolios: list[Portfolio]
    positions: list[PortfolioPosition]


def consolidate(
    holdings: Mapping[str, Holdings], base_currency: str, rates: Mapping[str, Number], at: datetime
) -> ConsolidatedPortfolio:
    """Value the holdings of accounts in one currency, and add them up exactly.

    Args:
        holdings: by account.
        base_currency: of all amounts in the result.
        rates: the value of one unit of each other currency in the base currency, above 0.
        at: the time of the valuation, UTC.

    Raises:
        MissingRate: naming the currency that has no rate.
        InvalidInput: a rate is refused.
        InvalidTransition: an open position has no current price.
    """
    valued = [
        value_holdings(
            holdings[account],
            account=account,
            rates=Rates(base_currency, rates),
            at=at,
            source=CONSOLIDATED,
        )
        for account in sorted(holdings)
    ]
    portfolios = [portfolio for portfolio, _ in valued]
    total = _total(portfolios, base_currency, at)
    positions = [PortfolioPosition(**row) for _, rows in valued for row in rows]
    return ConsolidatedPortfolio(total, portfolios, positions)


def _total(portfolios: Sequence[Portfolio], currency: str, at: datetime) -> Portfolio:
    with exact():
        sums: dict[str, Any] = {
            name: sum((getattr(each, name) for each in portfolios), start=ZERO) for name in _AMOUNTS
        }
    return Portfolio(
        account=ALL_ACCOUNTS,
        created_at=at,
        currency=currency,
        rates={name: rate for each in portfolios for name, rate in each.rates.items()},
        source=CONSOLIDATED,
        timestamp=at,
        **sums,
    )
