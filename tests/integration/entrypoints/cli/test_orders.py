"""Orders, from the command line."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.command_line import Command
from tradebook import DatabaseManager

ORDER: dict[str, Any] = {"symbol": "AAPL", "action": "BUY", "quantity": 100, "order_id": "o-1"}


@pytest.fixture
def desk(tradebook: Command) -> Command:
    """The command line, on a book with an order that is filled in part, a market order and a plain trade."""
    with DatabaseManager(tradebook.url) as book:
        book.upgrade()
        book.record_trade(**ORDER, price=150, status="PENDING")
        part = {**ORDER, "quantity": 60, "execution_id": "e-1"}
        book.record_trade(**part, price="149.5", fee="0.5")
        book.record_trade(**{**ORDER, "symbol": "ES", "order_id": "o-2"}, status="PENDING")
        book.record_trade(**{**ORDER, "symbol": "ES", "order_id": "o-3"}, price=5)
    return tradebook


def test_open_orders_are_listed_with_what_is_filled(desk: Command) -> None:
    said = desk("orders").stdout
    assert said.startswith("2 open orders of account main")
    wide = desk("orders", "--wide").stdout
    [line] = [line for line in wide.splitlines() if "o-1" in line]
    assert line.split()[2:] == ["AAPL", "BUY", "100", "60", "40", "150", "149.5", "PARTIALLY_FILLED", "o-1"]  # fmt: skip
    assert "o-3" not in said
    assert "o-2" not in desk("orders", "--symbol", "AAPL").stdout
    first, second = desk.json("orders")["orders"]
    assert (first["order_id"], first["filled"], first["fees"]) == ("o-1", "60", {"USD": "0.5"})
    assert (second["price"], second["remaining"], second["fills"]) == (None, "100", [])


def test_an_order_is_shown_with_its_fills(desk: Command) -> None:
    said = desk("orders", "show", "o-1").stdout
    assert said.startswith(
        "order o-1 is PARTIALLY_FILLED: BUY 100 AAPL, filled 60 at 149.5 on average, remaining 40, "
        "fees 0.5 USD"
    )
    assert "e-1" in said
    assert "order o-2 is PENDING: BUY 100 ES" in desk("orders", "show", "o-2").stdout
    order = desk.json("orders", "show", "o-1", "--symbol", "AAPL", "--venue", "")["order"]
    assert (order["ordered"], order["remaining"], order["overfilled"]) == ("100", "40", "0")
    assert [fill["execution_id"] for fill in order["fills"]] == ["e-1"]


def test_an_overfilled_order_says_by_how_much(desk: Command) -> None:
    with DatabaseManager(desk.url) as book:
        book.record_trade(**{**ORDER, "quantity": 50}, price=151, execution_id="e-2")
    assert "remaining 0, overfilled by 10, fees" in desk("orders", "show", "o-1").stdout


def test_an_order_that_is_not_there_is_named(desk: Command) -> None:
    assert "no order 'o-9' in account 'main'" in desk.refused("orders", "show", "o-9")
    said = desk("orders", "--symbol", "MSFT").stdout
    assert said.startswith("no such open orders in account 'main'")
