"""Laws of reconciled statements: mended, the book is that of one who booked what the venue says."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.property.test_import_laws import batches, state
from tests.support import examples
from tradebook import VenueStatement
from tradebook.domain.trades import TERMS
from tradebook.testing import FakeBook

AMOUNTS = st.integers(-5, 5).filter(bool)


def counting(book: FakeBook) -> list[Any]:
    """The terms of all trades and cash flows that count."""
    trades = [
        tuple(getattr(each, name) for name in TERMS) for each in book.get_trades(status="EXECUTED")
    ]
    return [sorted(map(str, trades)), [each.income for each in book.get_cash_balances()]]


@examples.law(40)
@given(venue=batches(("A", "B")), data=st.data())
def test_a_mended_book_is_that_of_the_venue(venue: list[Any], data: st.DataObject) -> None:
    """Some fills are left out, some are booked on other terms, and some come that the venue does not have."""
    flows = [
        {"kind": "FUNDING", "amount": amount, "reference": f"f-{number}"}
        for number, amount in enumerate(data.draw(st.lists(AMOUNTS, max_size=3)))
    ]
    right, wrong = FakeBook(), FakeBook()
    right.import_trades(venue)
    for flow in flows:
        right.record_cash_flow(**flow)
    fates = []
    for fill in venue:
        fate = data.draw(st.sampled_from(["kept", "lost", "misread", "twice"]))
        fates.append(fate)
        booked = {**fill, "fee": 7, "price": 3} if fate == "misread" else fill
        if fate != "lost":
            wrong.record_trade(**booked)
        if fate == "twice":
            wrong.record_trade(**{**fill, "order_id": f"{fill['order_id']} again"})
    for flow in flows:
        if data.draw(st.booleans()):
            shift = data.draw(st.integers(0, 1)) * 100
            wrong.record_cash_flow(**{**flow, "amount": flow["amount"] + shift})
    said = VenueStatement(trades=venue, cash_flows=flows)

    found = wrong.reconcile_statement(said)
    wrong.mend(found.mends, reason="as the venue says")

    assert wrong.reconcile_statement(said).agrees
    assert counting(wrong) == counting(right)
    if "lost" not in fates:  # a fill that is recorded late is folded after those before it
        assert state(wrong) == state(right)
    assert wrong.verify().proven
