"""Snapshots of the portfolio."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from tradebook.domain.numbers import Number
from tradebook.domain.portfolio import Holdings, Portfolio, Rates, value_holdings
from tradebook.service_layer.handlers.accounts import open_account
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


def take_snapshot(
    uow: AbstractUnitOfWork, *, rates: Mapping[str, Number] | None = None
) -> Portfolio:
    """Value everything the account holds, at one instant, and keep the result.

    Args:
        uow: the unit of work.
        rates: for each currency other than the account's base currency, what one unit is worth in the
            base currency, above 0.

    Returns:
        The snapshot, in the base currency. Its time is never before the last one's, nor before the
        booking of a trade that it holds, though the clock went back.

    Raises:
        MissingRate: naming the currency that has no rate.
        InvalidInput: a rate is refused.
    """
    holdings = uow.ledger.holdings()
    base_currency = holdings.base_currency or open_account(uow).base_currency
    portfolio, positions = value_holdings(
        holdings,
        account=uow.account,
        rates=Rates(base_currency, {} if rates is None else rates),
        at=_time_of(uow, holdings),
    )
    uow.portfolios.add(portfolio, positions)
    uow.record(portfolio.taken(), portfolio)
    return portfolio


def _time_of(uow: AbstractUnitOfWork, holdings: Holdings) -> datetime:
    entries = [position.updated_at for position in holdings.positions]
    return max(uow.now(), holdings.snapshot_at or uow.now(), *entries)
