"""Snapshots with all that belongs to them, and what became of the trades that they hold."""

from __future__ import annotations

from collections.abc import Mapping

from tradebook.domain.portfolio import BOOK, Amendment, Portfolio, PortfolioPosition, Snapshot
from tradebook.domain.trades import Trade, TradeStatus
from tradebook.domain.validation import argument, record_id
from tradebook.service_layer import queries
from tradebook.service_layer.ports.paging import BATCH
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


def get_snapshot(uow: AbstractUnitOfWork, portfolio_id: int | None = None) -> Snapshot | None:
    """A snapshot as it was taken, and which busts and corrections since then touch the trades it holds.

    Args:
        uow: the unit of work.
        portfolio_id: which one; the last by default.

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
    if portfolio.source != BOOK:  # what is built by hand says nothing of the book's trades
        return []
    open_ones = {position.symbol: position.sequence for position in positions}
    busted = uow.trades.busted_after({**portfolio.closed_sequences, **open_ones})
    corrections: dict[int | None, Trade] = {}
    for start in range(0, len(busted), BATCH):
        corrections |= uow.trades.correcting_any_of(busted[start : start + BATCH])
    return [Amendment(trade, _in_its_place(trade, corrections)) for trade in busted]


def _in_its_place(trade: Trade, corrections: Mapping[int | None, Trade]) -> Trade | None:
    following = corrections.get(trade.id)
    while following is not None and following.status is not TradeStatus.EXECUTED:
        following = corrections.get(following.id)
    return following
