"""Folding trades again: what they make of a position, and where a stored one differs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tradebook import Position, Trade
from tradebook.domain.folding import Fold, differing

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


def fill(action: str, quantity: Any, price: Any, minutes: int = 0, **terms: Any) -> Trade:
    at = NOW + timedelta(minutes=minutes)
    return Trade(symbol="X", action=action, quantity=quantity, price=price, executed_at=at, **terms)


def test_a_fold_tells_what_each_trade_realized_and_ends_where_its_position_does() -> None:
    fills = [fill("BUY", 10, 5), fill("SELL", 4, 8, 1), fill("SELL", 9, 7, 2), fill("BUY", 3, 6, 3)]
    position, fold = Position(symbol="X"), Fold("X")

    for each in fills:
        assert fold.apply(each) == position.apply(each, NOW).realized_pnl

    assert differing(position, fold.values()) == []
    assert (fold.opened_at, fold.closed_at) == (fills[2].executed_at, fills[3].executed_at)


def test_the_first_trade_gives_a_fold_its_constants() -> None:
    fold = Fold("X")
    assert {"currency", "multiplier", "settlement"}.isdisjoint(fold.values())

    fold.apply(fill("BUY", 1, 5, currency="JPY", multiplier=100, settlement="MARGINED"))

    values = fold.values()
    assert (values["currency"], values["multiplier"]) == ("JPY", 100)
    assert values["settlement"] == "MARGINED"


def test_a_copy_of_a_fold_goes_its_own_way() -> None:
    fold = Fold("X")
    fold.apply(fill("BUY", 1, 5))

    other = fold.copy()
    other.apply(fill("SELL", 1, 5))

    assert (fold.balance.quantity, other.balance.quantity) == (1, 0)
    assert (fold.values()["status"], other.values()["status"]) == ("OPEN", "CLOSED")


def test_the_newest_trade_gives_the_mark_unless_a_wrong_clock_dated_it() -> None:
    fold = Fold("X", clock=NOW + timedelta(minutes=5))
    for price, minutes in ((5, 3), (6, 3), (7, 2), (8, 5 + 24 * 60), (9, 6 + 24 * 60)):
        fold.apply(fill("BUY", 1, price, minutes))

    assert fold.mark == (8, NOW + timedelta(minutes=5 + 24 * 60), "TRADE")


def test_what_differs_from_the_trades_is_named() -> None:
    position, fold = Position(symbol="X"), Fold("X")
    for each in (fill("BUY", 10, 5), fill("SELL", 4, 8)):
        position.apply(each, NOW)
        fold.apply(each)

    position.fees, position.closed_at = Decimal(1), NOW

    assert differing(position, fold.values()) == ["fees", "closed_at"]
