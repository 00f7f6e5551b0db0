"""A book whose clock the test turns, and a diary of what it said after each thing that was done."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from tests.support.backends import within
from tradebook import CallContext, Portfolio, PortfolioPosition, Position, Snapshot, handlers
from tradebook.domain.entity import Entity
from tradebook.service_layer.book import Book

BEGIN = datetime(2026, 3, 2, 9, tzinfo=UTC)
RATES = {"EUR": "1.1"}
_UNKNOWN = ("id", "version", "current_price", "marked_at", "mark_source")
_OF_RECORDS = ("id", "portfolio_id", "source")

Facts = list[dict[str, Any]]


def facts(positions: list[Position]) -> Facts:
    """What can be known of positions later: all but marks."""
    return [_without(_UNKNOWN, position) for position in positions]


def worth(portfolio: Portfolio, positions: list[PortfolioPosition]) -> Facts:
    """All that a snapshot says, whether it was kept or worked out later."""
    return [_without(_OF_RECORDS, record) for record in (portfolio, *positions)]


def _without(names: tuple[str, ...], entity: Entity) -> dict[str, Any]:
    return attrs.asdict(entity, filter=lambda attribute, _: attribute.name not in names)


def held(found: list[Position]) -> dict[str, Any]:
    """What is held, by symbol."""
    return {position.symbol: position.quantity for position in found}


def amended(snapshot: Snapshot | None) -> list[tuple[str, int, int | None]]:
    """The symbol of each trade that was amended, its entry, and that of the one in its place."""
    assert snapshot is not None
    return [
        (a.busted.symbol, a.busted.sequence or 0, a.correction and a.correction.sequence)
        for a in snapshot.amendments
    ]


class Diary:
    """Does things on a book at the times that it says.

    Attributes:
        now: the time of the last thing.
        said: the positions after each, by its time.
        snapshots: what each said when it was taken, by its time.
    """

    def __init__(self, book: Book) -> None:
        self.book = book
        self.now = BEGIN
        self.said: dict[datetime, Facts] = {}
        self.snapshots: dict[datetime, Facts] = {}

    def do(
        self, handler: Callable[..., Any], *, after: timedelta = timedelta(minutes=1), **terms: Any
    ) -> Any:
        """Call a handler, some time after the last one."""
        self.now += after
        context = CallContext(at=self.now, actor="diarist")
        with self.book.unit_of_work(context=context) as uow:
            result = within(uow, handler, **terms)
            uow.commit()
        self.said[self.now] = facts(self.book.get_positions())
        return result

    def trade(self, symbol: str, action: str, quantity: object, price: object, **terms: Any) -> Any:
        """Record a trade."""
        trade = {"symbol": symbol, "action": action, "quantity": quantity, "price": price}
        return self.do(handlers.record_trade, **trade, **terms)

    def bust(self, trade: Any) -> Any:
        """Bust a trade."""
        return self.do(handlers.bust_trade, trade_id=trade.id, reason="cancelled")

    def correct(self, trade: Any, **terms: Any) -> Any:
        """Correct a trade."""
        return self.do(handlers.correct_trade, trade_id=trade.id, reason="misread", **terms)

    def snapshot(self, **terms: Any) -> Portfolio:
        """Take a snapshot."""
        taken: Portfolio = self.do(handlers.take_snapshot, **terms)
        self.snapshots[self.now] = worth(taken, self.book.get_portfolio_positions(taken.id))
        return taken


def trading_day(diary: Diary) -> None:
    """Trades, busts, corrections, cash, marks and snapshots."""
    deposit = {"kind": "DEPOSIT", "amount": 10_000}
    diary.snapshot()
    diary.do(handlers.record_cash_flow, **deposit)
    one = diary.trade("AAPL", "BUY", 10, 100, fee=1)
    two = diary.trade("AAPL", "BUY", 5, 120)
    diary.snapshot()
    gone = diary.trade("MSFT", "SELL", 3, 50)
    diary.trade("SAP", "BUY", 2, 90, currency="EUR", multiplier=10, settlement="MARGINED")
    diary.do(handlers.mark_prices, prices={"AAPL": 130, "MSFT": 55})
    diary.snapshot(rates=RATES)
    right = diary.correct(two, price=110, quantity=6)
    diary.bust(gone)
    diary.snapshot(rates={"EUR": "1.2"})
    diary.trade("AAPL", "SELL", 20, 125)
    diary.do(handlers.record_cash_flow, **deposit, currency="EUR")
    diary.correct(right, fee="0.5")
    diary.snapshot(rates=RATES)
    diary.bust(one)
    diary.trade("MSFT", "BUY", 1, 5, currency="EUR")
    diary.snapshot(rates=RATES)
