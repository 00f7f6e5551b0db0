"""Queries of the balances of assets, and their comparison with what a venue says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from tradebook.domain.balances import (
    AssetBalance,
    AssetEntry,
    BalanceDifference,
    Reconciliation,
    balances_of,
    differing,
    effects_of,
    venue_balances,
)
from tradebook.domain.cash import CashFlow
from tradebook.domain.numbers import Number, non_negative
from tradebook.domain.portfolio import Holdings
from tradebook.domain.trades import Trade
from tradebook.domain.validation import argument
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork, single_statement

_SHOWN: Final = 5
"""The number of entries that are returned with a difference."""
_READ: Final = 200
"""The number of a symbol's trades that are read, at most, to find those entries."""


@single_statement
def get_balances(uow: AbstractUnitOfWork) -> list[AssetBalance]:
    """Return how much of each asset the account has, over all positions and cash, sorted by asset.

    The bitcoin of `BTC/USDT`, of `BTC/EUR` and of cash in BTC are one balance.
    """
    return balances_of(uow.ledger.holdings())


def reconcile(
    uow: AbstractUnitOfWork, balances: Mapping[str, Any], *, tolerance: Number = 0
) -> Reconciliation:
    """Compare the balances of the account with those that a venue says.

    Args:
        uow: a read-only unit of work, which has one consistent view.
        balances: the balance by asset, in units of it; or the result of ccxt's `fetch_balance`. An asset that
            is not named counts as 0.
        tolerance: the largest difference that is passed over, in units of each asset.

    Returns:
        The assets that differ, each with the last trades and cash flows that changed it.

    Raises:
        InvalidInput: a balance or the tolerance is refused.
    """
    venue = venue_balances(balances)
    passed = argument("tolerance", non_negative, tolerance)
    holdings = uow.ledger.holdings()
    book = {each.asset: each.balance for each in balances_of(holdings)}
    found = (
        BalanceDifference(asset, ours, theirs, difference, _last_entries(uow, holdings, asset))
        for asset, ours, theirs, difference in differing(book, venue, book, passed)
    )
    return Reconciliation(uow.account, len(book.keys() | venue.keys()), tuple(found))


def _last_entries(
    uow: AbstractUnitOfWork, holdings: Holdings, asset: str
) -> tuple[AssetEntry, ...]:
    """Return the last entries that changed the balance of an asset, newest first."""
    entries = [_of_cash_flow(flow) for flow in uow.cash_flows.page(limit=_SHOWN, currency=asset)]
    for position in holdings.positions:
        if asset in (position.asset, position.currency, *position.other_fees):
            entries += islice(_of_trades(uow, position.symbol, asset), _SHOWN)
    return tuple(sorted(entries, key=lambda e: (e.at, e.id), reverse=True)[:_SHOWN])


def _of_trades(uow: AbstractUnitOfWork, symbol: str, asset: str) -> Iterator[AssetEntry]:
    for trade in uow.trades.page(limit=_READ, symbol=symbol):
        if amount := effects_of(trade).get(asset):
            yield _of_trade(trade, amount)


def _of_trade(trade: Trade, amount: Decimal) -> AssetEntry:
    return AssetEntry("Trade", trade.id, trade.identity, trade.executed_at, amount)


def _of_cash_flow(flow: CashFlow) -> AssetEntry:
    name = f"{flow.kind} {flow.reference!r}"
    return AssetEntry("CashFlow", flow.id, name, flow.occurred_at, flow.amount)
