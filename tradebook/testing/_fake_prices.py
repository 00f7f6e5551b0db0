"""Pages of the prices that trades and snapshots of a fake transaction state."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter
from typing import TypeAlias

from tradebook.domain.portfolio import Portfolio, PortfolioPosition
from tradebook.domain.trades import Trade, TradeStatus
from tradebook.service_layer.ports.repositories import RecordedPrice
from tradebook.testing._fake_session import FakeSession

After: TypeAlias = RecordedPrice | None


def trade_prices(
    session: FakeSession, symbol: str, start: datetime, end: datetime, after: After, limit: int
) -> list[RecordedPrice]:
    """Return a page of the prices of executed trades."""
    prices = (
        RecordedPrice(row["executed_at"], row["price"], row["id"])
        for row in session.rows(Trade)
        if row["symbol"] == symbol and row["status"] is TradeStatus.EXECUTED
    )
    return _page(prices, start, end, after, limit)


def snapshot_prices(
    session: FakeSession, symbol: str, start: datetime, end: datetime, after: After, limit: int
) -> list[RecordedPrice]:
    """Return a page of the marks in snapshots."""
    taken = {row["id"]: row["timestamp"] for row in session.rows(Portfolio)}
    prices = (
        RecordedPrice(taken[row["portfolio_id"]], row["current_price"], row["portfolio_id"])
        for row in session.rows(PortfolioPosition)
        if row["symbol"] == symbol
    )
    return _page(prices, start, end, after, limit)


def _page(
    prices: Iterable[RecordedPrice], start: datetime, end: datetime, after: After, limit: int
) -> list[RecordedPrice]:
    place = None if after is None else (after.at, after.id)
    found = [
        each
        for each in prices
        if start <= each.at <= end and (place is None or (each.at, each.id) > place)
    ]
    return sorted(found, key=attrgetter("at", "id"))[:limit]
