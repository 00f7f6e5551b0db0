"""Laws of imports: undone, they have never been; imported again, they are the same as imported once."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support import examples
from tradebook.domain.folding import AMOUNTS
from tradebook.domain.positions import INSTRUMENT, MARK
from tradebook.testing import FakeBook, strategies

STAYS = (*AMOUNTS, *INSTRUMENT, *MARK, "status", "opened_at", "closed_at", "other_fees")


def state(book: FakeBook) -> list[Any]:
    """All that trades decide: of positions that were ever moved, of trades that count, and the balances."""
    positions = [
        {name: getattr(position, name) for name in ("symbol", *STAYS)}
        for position in book.get_positions()
        if position.opened_at is not None
    ]
    counting = book.get_trades(status="EXECUTED", limit=1000)
    realized = {trade.fill_key._replace(revision=0): trade.realized_pnl for trade in counting}
    balances = [b for b in book.get_balances() if b.positions or b.cash]
    return [positions, realized, balances]


@st.composite
def batches(draw: st.DrawFn, symbols: tuple[str, ...]) -> list[Any]:
    """Fills of some symbols, one after the other, each with an order id."""
    found = []
    for symbol in symbols:
        for number, terms in enumerate(draw(strategies.fills(symbol, max_size=5))):
            found.append({**terms, "order_id": f"{symbol}-{number}"})
    return found


@examples.law(40)
@given(batch=batches(("A", "B")), others=batches(("C",)), data=st.data())
def test_import_undo_and_import_again_is_the_book_of_one_import(
    batch: list[Any], others: list[Any], data: st.DataObject
) -> None:
    once, twice, never = FakeBook(), FakeBook(), FakeBook()
    for book in (once, twice, never):
        book.record_trades(others)
    once.import_trades(batch)

    for _ in range(data.draw(st.integers(1, 2))):
        done = twice.import_trades(batch, source="f.csv")
        assert done.import_id is not None
        assert state(twice) == state(once)
        assert twice.undo_import(done.import_id, reason="wrong").trades == len(batch)
        assert state(twice) == state(never)
    again = twice.import_trades(batch, source="f.csv")

    assert (again.booked, again.duplicates) == (len(batch), 0)
    assert state(twice) == state(once)
    assert twice.verify().differences == ()
