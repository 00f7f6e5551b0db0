"""Numbers of real bots, on every backend: booked, imported, marked, sealed and exported digit for digit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.backends import within
from tradebook import (
    AgentDecision,
    CashFlow,
    Event,
    InvalidInput,
    Position,
    Trade,
    exact,
    handlers,
)
from tradebook.domain.numbers import ZERO, number, plain
from tradebook.service_layer.book import Book

PRICE: Final = 0.00010074887218045112
RATE: Final = 0.00075
"""A fee is this share of the notional, computed in floats as bots do."""

REAL: Final[list[dict[str, Any]]] = [
    {"action": "BUY", "quantity": 12345.678901234567, "price": PRICE},
    {"action": "BUY", "quantity": "0.1234567890123456789012345678901234567", "price": PRICE * 3},
    {"action": "SELL", "quantity": 1 / 3, "price": PRICE * 1.1},
    {"action": "SELL", "quantity": 9007199254740993, "price": "0." + "0" * 39 + "1"},
    {"action": "BUY", "quantity": 1e-40, "price": 1e-40},
    {"action": "BUY", "quantity": 1.7976931348623157e308, "price": -1.7976931348623157e308},
    {"action": "SELL", "quantity": 1.2345678901234567e-30, "price": 2.2250738585072014e-30},
]
"""Fills of one symbol that open, add, reduce and flip, of sizes as far apart as they may be."""


def fills(symbol: str, settlement: str = "CASH") -> list[Any]:
    """The fills of a symbol, each with its fee and an order of its own."""
    return [
        {
            "symbol": symbol,
            "settlement": settlement,
            "multiplier": 2.220446049250313e-16,
            "fee": max(RATE * float(terms["quantity"]) * PRICE, 1e-40),
            "order_id": f"{symbol}-{place}",
            **terms,
        }
        for place, terms in enumerate(REAL)
    ]


def booked_one_by_one(book: Book, rows: list[Any]) -> None:
    for row in rows:
        book.record_trade(**row)


def booked_together(book: Book, rows: list[Any]) -> None:
    assert book.record_trades(rows).booked == len(rows)


def imported(book: Book, rows: list[Any]) -> None:
    assert book.import_trades(rows).booked == len(rows)


def filled_orders(book: Book, rows: list[Any]) -> None:
    for row in rows:
        book.record_trade(**row, status="PENDING")
        terms = {name: row[name] for name in ("quantity", "price", "fee")}
        book.execute_trade(order_id=row["order_id"], **terms)


WAYS: Final = [booked_one_by_one, booked_together, imported, filled_orders]


@pytest.mark.parametrize("book_all", WAYS)
def test_fills_of_a_real_bot_are_kept_digit_for_digit(book: Book, book_all: Any) -> None:
    rows = [*fills("SHIB"), *fills("PEPE-PERP", "MARGINED")]
    book_all(book, rows)
    for row in rows:
        [trade] = [
            t for t in book.get_trades_by_symbol(row["symbol"]) if t.order_id == row["order_id"]
        ]
        for name in ("quantity", "price", "fee", "multiplier"):
            assert getattr(trade, name).as_tuple() == number(row[name]).as_tuple(), name
    position = book.get_position_by_symbol("SHIB")
    assert position is not None
    with exact():
        paid = ZERO
        for row in rows[: len(REAL)]:
            size = number(row["quantity"]) * (1 if row["action"] == "BUY" else -1)
            paid += size * number(row["price"]) * number(row["multiplier"]) + number(row["fee"])
        assert position.cash_flow == -paid
        assert position.realized_pnl - position.fees == position.cash_flow + position.cost_basis
    assert book.verify().proven


def test_the_whole_life_of_such_a_trade_is_proven_sealed_and_rebuilt(book: Book) -> None:
    book.import_trades(fills("SHIB"))
    book.record_cash_flow("DEPOSIT", 0.1 + 0.2, reference="wire")
    book.mark_prices({"SHIB": PRICE})
    book.take_snapshot()
    book.correct_trade(order_id="SHIB-1", price=PRICE / 7, reason="misread")
    book.bust_trade(order_id="SHIB-5", reason="not ours")
    book.take_snapshot()
    decision = book.record_decision("ann", "SHIB", "BUY", quantity=1e-40, price=PRICE, cost=1e-9)
    assert book.get(AgentDecision, decision.id).price == number(PRICE)  # type: ignore[union-attr]
    assert book.get_all(CashFlow)[0].amount == Decimal("0.30000000000000004")
    before = position_of(book)
    rebuilt = book.rebuild()
    assert (rebuilt.positions, rebuilt.restated) == ((), 0)
    assert position_of(book) == before
    assert book.verify().proven
    book.seal()
    assert book.check_seals().sound


def position_of(book: Book) -> dict[str, Any]:
    return attrs.asdict(book.get_position_by_symbol("SHIB"))  # type: ignore[arg-type]


def test_a_product_has_as_many_decimals_as_its_factors_together(book: Book) -> None:
    finest = "1e-40"
    terms = {"action": "BUY", "quantity": finest, "price": finest, "multiplier": finest}
    book.record_trade(symbol="TINY", **terms)  # type: ignore[arg-type]
    book.mark_prices({"TINY": "9e-40"})
    position = book.get_position_by_symbol("TINY")
    assert position is not None
    assert (position.cost_basis, position.cash_flow) == (Decimal("1e-120"), Decimal("-1e-120"))
    assert position.unrealized_pnl == Decimal("8e-120")
    assert book.take_snapshot().positions_value == Decimal("9e-120")
    assert book.get_cash_balances()[0].balance == Decimal("-1e-120")
    book.record_trade(symbol="TINY", **{**terms, "action": "SELL", "price": 1e-39})  # type: ignore[arg-type]
    assert book.get_position_by_symbol("TINY").realized_pnl == Decimal("9e-120")  # type: ignore[union-attr]
    assert book.verify().proven
    book.record_trade(symbol="TINY", **terms)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"^cost_basis: .*1E-120.*'text'"):
        book.to_arrow(Position)
    [kept] = book.to_arrow(Position, decimals="text")["cost_basis"].to_pylist()
    assert kept == plain(Decimal("1e-120"))


def test_events_hold_every_digit_as_plain_text(book: Book) -> None:
    book.record_trade(symbol="SHIB", action="BUY", quantity=1e-9, price=PRICE, fee=1e-40)
    [event] = [e for e in book.get_all(Event) if e.event_type == "TradeRecorded"]
    assert event.payload["price"] == "0.00010074887218045112"
    assert event.payload["quantity"] == "0.000000001"
    assert event.payload["fee"] == "0." + "0" * 39 + "1"


@pytest.mark.parametrize("given", [5e-324, 1e-41, "1e-41", Decimal("9.9e-41")])
def test_what_is_closer_to_zero_than_the_last_decimal_is_refused_by_name(
    book: Book, given: Any
) -> None:
    with pytest.raises(InvalidInput, match=r"^price: .* at least 1e-40") as refused:
        book.record_trade(symbol="SHIB", action="BUY", quantity=1, price=given)
    assert refused.value.value == given
    assert book.count(Trade) == 0


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.floats(allow_nan=False, allow_infinity=False).filter(lambda f: not f or abs(f) >= 1e-40),
        min_size=1,
        max_size=8,
    )
)
def test_every_finite_float_is_kept_by_its_shortest_repr(book: Book, prices: list[float]) -> None:
    with book.unit_of_work() as uow:
        for price in prices:
            trade = within(uow, record_priced, price)
            assert trade.price == Decimal(repr(price))
        uow.commit()
    assert {t.price for t in book.iterate(Trade)} >= {number(price) for price in prices}


def record_priced(uow: Any, price: float) -> Trade:
    return handlers.record_trade(uow, symbol="F", action="BUY", quantity=1, price=price)
