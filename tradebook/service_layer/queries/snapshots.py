"""Snapshots with their positions, and the later busts and corrections of the trades that they hold."""

from __future__ import annotations

from collections.abc import Mapping

from tradebook.domain.portfolio import BOOK, Amendment, Portfolio, PortfolioPosition, Snapshot
from tradebook.domain.trades import Trade, TradeStatus
from tradebook.domain.validation import argument, record_id
from tradebook.service_layer import queries
from tradebook.service_layer.ports.paging import BATCH
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


def get_snapshot(uow: AbstractUnitOfWork, portfolio_id: int | None = None) -> Snapshot | None:
    """Return a snapshot as it was taken, with the later busts and corrections of the trades it holds.

    Args:
        uow: the unit of work.
        portfolio_id: the snapshot's id; the last snapshot by default.

    Returns:
        The snapshot, or None when there is none.
    """
    if portfolio_id is None:
        portfolio = queries.get_latest_portfolio(uow)
    else:
        portfolio = queries.get(uow, Portfolio, argument("portfolio_id", record_id, portfolio_id))
    if portfolio is None:
        return None
    positions = queries.get_portfolio_positions(uow, portfolio.id)
    return Snapshot(portfolio, positions, _amendments(uow, portfolio, positions))


def _amendments(
    uow: AbstractUnitOfWork, portfolio: Portfolio, positions: list[PortfolioPosition]
) -> list[Amendment]:
    if portfolio.source != BOOK:  # an external snapshot is no fold of the book's trades
        return []
    open_ones = {position.symbol: position.sequence for position in positions}
    busted = uow.trades.busted_after({**portfolio.closed_sequences, **open_ones})
    corrections: dict[int | None, Trade] = {}
    for start in range(0, len(busted), BATCH):
        corrections |= uow.trades.correcting_any_of(busted[start : start + BATCH])
    return [Amendment(trade, _replacement(trade, corrections)) for trade in busted]


def _replacement(trade: Trade, corrections: Mapping[int | None, Trade]) -> Trade | None:
    following = corrections.get(trade.id)
    while following is not None and following.status is not TradeStatus.EXECUTED:
        following = corrections.get(following.id)
    return following
