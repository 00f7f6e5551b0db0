"""Laws of orders: nothing of an order is lost, whatever the parts and however they are delivered."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support import examples
from tradebook import Order
from tradebook.domain.numbers import exact
from tradebook.testing import FakeBook, strategies

law = examples.law(40)
Terms = dict[str, Any]
SIZES = st.decimals("0.00000001", 10**9, places=8)
"""Sizes of fills, short enough that their sum is a quantity of at most 38 digits."""


@st.composite
def orders(draw: st.DrawFn) -> list[Terms]:
    """An order, and fills that add up to less than it or to all of it."""
    sizes = draw(st.lists(SIZES, min_size=1, max_size=6))
    action = draw(st.sampled_from(["BUY", "SELL"]))
    with exact():
        total = sum(sizes)
    common = {"symbol": "X", "action": action, "order_id": "o"}
    fills = [
        {
            **common,
            "quantity": size,
            "price": draw(strategies.prices()),
            "fee": draw(strategies.fees()),
            "execution_id": f"e-{number}",
        }
        for number, size in enumerate(sizes)
    ]
    filled = draw(st.integers(0, len(fills)))
    return [{**common, "quantity": total, "price": 1, "status": "PENDING"}, *fills[:filled]]


def order_of(book: FakeBook) -> Order:
    order = book.get_order("o")
    assert order is not None
    return order


def money(book: FakeBook) -> list[Any]:
    return [(p.symbol, p.balance, p.entry_price) for p in book.get_positions()]


@law
@given(orders(), st.data())
def test_fills_and_rest_are_what_was_ordered_in_any_order_of_delivery(
    rows: list[Terms], data: st.DataObject
) -> None:
    in_order, book = FakeBook(), FakeBook()
    in_order.record_trades(rows)
    delivered = data.draw(st.permutations([*rows, *data.draw(st.lists(st.sampled_from(rows)))]))

    for terms in delivered:
        book.record_trade(**terms)
        order = order_of(book)
        with exact():
            assert order.filled + order.remaining == order.ordered
            assert order.filled == sum((fill.quantity for fill in order.fills), Decimal())

    expected, order = order_of(in_order), order_of(book)
    for name in ("status", "ordered", "filled", "remaining", "average_price", "fees"):
        assert getattr(order, name) == getattr(expected, name)
    assert order.ordered == rows[0]["quantity"]
    assert money(book) == money(in_order)
    assert book.verify().proven


@law
@given(orders())
def test_an_order_changes_nothing_of_what_its_fills_do_to_cash_and_pnl(rows: list[Terms]) -> None:
    with_order, without = FakeBook(), FakeBook()

    for terms in rows:
        with_order.record_trade(**terms)
    without.record_trades(rows[1:])

    assert money(with_order) == money(without)
    assert order_of(with_order).fees == ({} if len(rows) == 1 else order_of(without).fees)


@law
@given(orders(), st.data())
def test_an_order_keeps_what_was_ordered_when_it_is_cancelled_and_its_fills_busted(
    rows: list[Terms], data: st.DataObject
) -> None:
    book = FakeBook()
    book.record_trades(rows)
    before = order_of(book)
    if before.remaining:
        book.cancel_trade(order_id="o")
    busted = data.draw(st.sets(st.sampled_from([row.get("execution_id", "") for row in rows])))

    for execution_id in busted - {""}:
        book.bust_trade(order_id="o", execution_id=execution_id, reason="cancelled")

    order = order_of(book)
    counting = [row["quantity"] for row in rows[1:] if row["execution_id"] not in busted]
    with exact():
        assert order.filled == sum(counting, Decimal())
    assert (order.ordered, order.remaining) == (before.ordered, 0)
    assert order.status == ("CANCELLED" if before.remaining else "FILLED")
    assert book.verify().proven
