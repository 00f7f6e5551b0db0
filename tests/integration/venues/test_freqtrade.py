"""Orders as freqtrade's callbacks give them, made of the rows that its ORM wrote: recorded once, with the balances of an import."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.venue_moves import SAMPLES, expected_balances
from tradebook import InvalidInput, Trade
from tradebook.testing import FakeBook
from tradebook.venues.freqtrade import sync, terms

SAMPLE = "freqtrade/orm.sql"


def bot_trades() -> list[Any]:
    """The trades of the sample with their orders, with the properties that freqtrade's classes have."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = sqlite3.Row
        connection.executescript((SAMPLES / SAMPLE).read_text())
        trades = [dict(row) for row in connection.execute("SELECT * FROM trades ORDER BY id")]
        orders = [dict(row) for row in connection.execute("SELECT * FROM orders ORDER BY id")]
    for order in orders:
        for name in ("order_date", "order_filled_date", "order_update_date"):
            order[name] = order[name] and datetime.fromisoformat(order[name])
        prices = ("average", "price", "stop_price", "ft_price")
        order["safe_price"] = next(order[name] for name in prices if order[name])
    return [
        SimpleNamespace(
            **trade,
            entry_side="sell" if trade["is_short"] else "buy",
            exit_side="buy" if trade["is_short"] else "sell",
            orders=[SimpleNamespace(**row) for row in orders if row["ft_trade_id"] == trade["id"]],
        )
        for trade in trades
    ]


def test_orders_are_recorded_once_with_the_balances_that_their_rows_say() -> None:
    book, trades = FakeBook(base_currency="USDT"), bot_trades()

    first = sync(book, trades[:9])
    rest = sync(book, trades)
    again = sync(book, trades)

    assert first.booked + rest.booked == book.count(Trade) == 69
    assert rest.duplicates == first.booked
    assert (again.booked, again.duplicates, again.cash_flows) == (0, 69, 0)
    held = {each.asset: Fraction(each.balance) for each in book.get_balances() if each.balance}
    assert held == expected_balances(SAMPLE)
    assert book.verify().proven


def test_an_order_that_is_recorded_stays_when_freqtrade_learns_another_rate() -> None:
    book, [trade, *_] = FakeBook(base_currency="USDT"), bot_trades()
    sync(book, [trade])
    paid = [each.fee for each in book.iterate(Trade)]

    trade.fee_open = trade.fee_close = 0.0004
    sync(book, [trade])

    assert [each.fee for each in book.iterate(Trade)] == paid


def test_an_inverse_contract_is_refused_by_name() -> None:
    [trade, *_] = bot_trades()
    trade.pair = "BTC/USD:BTC"
    with pytest.raises(InvalidInput, match="inverse contract"):
        terms(trade, trade.orders[0])
