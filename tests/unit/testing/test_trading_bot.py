"""A small trading bot, and how its author tests it: no database, no mocks."""

from __future__ import annotations

from decimal import Decimal

from tradebook import Book
from tradebook.testing import FakeBook


class DipBot:
    """Buys 10 on a dip of 5 %, sells all on a rise of 10 %, and calls for help at a loss of 20 %."""

    def __init__(self, book: Book, symbol: str, usual_price: Decimal) -> None:
        self.book = book
        self.symbol = symbol
        self.usual_price = usual_price

    def on_price(self, price: Decimal) -> None:
        self.book.mark_prices({self.symbol: price})
        position = self.book.get_position_by_symbol(self.symbol)
        entry_price = position.entry_price if position else None
        if position is None or entry_price is None:
            if price <= self.usual_price * Decimal("0.95"):
                self.trade("BUY", Decimal(10), price)
        elif price >= entry_price * Decimal("1.10"):
            self.trade("SELL", position.quantity, price)
        elif price <= entry_price * Decimal("0.80"):
            self.book.raise_alert(
                "loss", "CRITICAL", symbol=self.symbol, dedup_key=f"loss-{self.symbol}"
            )

    def trade(self, action: str, quantity: Decimal, price: Decimal) -> None:
        self.book.record_trade(
            symbol=self.symbol, action=action, quantity=quantity, price=price, strategy="dip"
        )


def bot_after(*prices: int) -> FakeBook:
    book = FakeBook()
    bot = DipBot(book, "AAPL", usual_price=Decimal(100))
    for price in prices:
        bot.on_price(Decimal(price))
    return book


def test_waits_for_a_dip() -> None:
    assert bot_after(100, 99, 96).get_positions() == []


def test_buys_the_dip_once() -> None:
    (position,) = bot_after(100, 94, 93).get_open_positions()

    assert position.quantity == 10
    assert position.unrealized_pnl == -10


def test_sells_on_the_rise() -> None:
    book = bot_after(100, 90, 95, 99)

    position = book.get_position_by_symbol("AAPL")
    assert position is not None
    assert position.quantity == 0
    assert position.realized_pnl == 90
    assert book.verify().proven


def test_calls_for_help_once_until_somebody_does() -> None:
    book = bot_after(90, 72, 71, 70)

    (alert,) = book.get_unresolved_alerts()
    assert alert.severity == "CRITICAL"
    book.resolve_alert(alert.id, "closed by hand")
    assert book.get_unresolved_alerts() == []
