"""Laws of busts and corrections: the book is as if the wrong fill had never been, and remembers that it was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support import examples
from tests.support.diary import Diary, facts, worth
from tests.support.histories import RATES, histories
from tradebook import Trade, TradeAction, handlers
from tradebook.domain.folding import AMOUNTS
from tradebook.domain.positions import INSTRUMENT
from tradebook.entrypoints.cli.book.csv_export import IMPORTED, fills_to_import
from tradebook.service_layer.handlers import TradeTerms
from tradebook.service_layer.ports.paging import Filter
from tradebook.testing import FakeBook, strategies

law = examples.law(40)

Terms = dict[str, Any]
STAYS = (*AMOUNTS, *INSTRUMENT, "status", "opened_at", "closed_at")


class Amended:
    """A book in which fills are busted and corrected, and what it would be had they been right.

    Attributes:
        diary: does it all to the book.
        right: the fills that count, by order id, in order of booking.
        booked: the id of the trade that counts, by order id.
    """

    def __init__(self) -> None:
        self.diary = Diary(FakeBook())
        self.right: dict[str, Terms] = {}
        self.booked: dict[str, int] = {}
        self.done: list[str] = []

    def __repr__(self) -> str:
        return "\n".join(["a book to which was done:", *self.done])

    def do(self, handler: Callable[..., Any], **terms: Any) -> Any:
        """Call a handler."""
        self.done.append(f"{handler.__name__}(**{terms})")
        return self.diary.do(handler, **terms)

    def record(self, terms: TradeTerms, order_id: str) -> None:
        """Book a fill."""
        given: Terms = {**terms, "order_id": order_id}
        self.booked[order_id] = self.do(handlers.record_trade, **given).id
        self.right[order_id] = given

    def bust(self, order_id: str) -> None:
        """Take a fill out."""
        self.do(handlers.bust_trade, trade_id=self.booked.pop(order_id), reason="cancelled")
        del self.right[order_id]

    def correct(self, order_id: str, changes: Terms) -> None:
        """Put a fill right; a fee in kind could be more than the new quantity."""
        terms = self.right[order_id]
        if terms["fee_currency"] == terms["symbol"]:
            changes = {**changes, "fee": 0}
        wrong = self.booked[order_id]
        right = self.do(handlers.correct_trade, trade_id=wrong, reason="misread", **changes)
        self.booked[order_id] = right.id
        self.right[order_id] |= changes

    def snapshot(self) -> None:
        """Take a snapshot."""
        self.done.append("take_snapshot")
        self.diary.snapshot(rates=RATES)


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "action": st.sampled_from(TradeAction),
        "quantity": strategies.quantities(),
        "price": strategies.prices(),
        "fee": strategies.fees(),
        "executed_at": strategies.instants(),
    },
).filter(bool)


@st.composite
def amended(draw: st.DrawFn) -> Amended:
    """A history of fills, in which some are busted or corrected, some of these again, at any time."""
    book = Amended()
    for place, terms in enumerate(draw(histories())):
        book.record(terms, f"o-{place}")
        for amend in draw(st.lists(st.sampled_from(["bust", "correct", "snapshot"]), max_size=2)):
            if amend == "snapshot":
                book.snapshot()
            elif book.right:
                order_id = draw(st.sampled_from(sorted(book.right)))
                if amend == "bust":
                    book.bust(order_id)
                else:
                    book.correct(order_id, draw(CHANGES))
    return book


def says(book: FakeBook) -> dict[str, object]:
    """What the trades that count make of positions, P&L and cash; nothing of what never was."""
    positions = {p.symbol: p for p in book.get_positions() if p.has_trades}
    trades = book.get_all(Trade, 1000, status="EXECUTED")
    return {
        "positions": {
            symbol: {name: getattr(position, name) for name in STAYS}
            for symbol, position in positions.items()
        },
        "realized": {trade.order_id: trade.realized_pnl for trade in trades},
        "cash": {c.currency: c.balance for c in book.get_cash_balances() if c.balance},
    }


@examples.law(10)
@given(amended())
def test_what_an_amended_book_exports_for_import_makes_the_same_positions(amended: Amended) -> None:
    with amended.diary.book.unit_of_work(read_only=True) as uow:
        everything = Filter.from_arguments(Trade, None, None, {})
        fills = [fill for batch in fills_to_import(uow, everything) for fill in batch]
    other = FakeBook()
    other.import_trades([{name: getattr(fill, name) for name in IMPORTED} for fill in fills])  # type: ignore[misc]

    assert says(amended.diary.book) == says(other)


@law
@given(amended())
def test_an_amended_book_is_the_one_that_had_it_right_from_the_start(amended: Amended) -> None:
    other = FakeBook()
    other.record_trades([*amended.right.values()])  # type: ignore[list-item]

    assert says(amended.diary.book) == says(other)
    for position in amended.diary.book.get_positions():
        assert position.has_trades or not any(getattr(position, name) for name in AMOUNTS)


@law
@given(amended())
def test_an_amended_book_is_proven_and_needs_no_repair(amended: Amended) -> None:
    book = amended.diary.book

    assert book.verify().differences == ()
    assert book.rebuild().positions == ()


@examples.law(30)
@given(amended())
def test_as_of_any_time_is_what_the_book_and_its_snapshots_said_then(amended: Amended) -> None:
    diary = amended.diary

    for time, said in diary.said.items():
        assert facts(diary.book.positions_as_of(time)) == said
        before_the_next = time + timedelta(seconds=59)
        assert facts(diary.book.positions_as_of(before_the_next)) == said
    for time, taken in diary.snapshots.items():
        valued = diary.book.portfolio_as_of(time)
        assert worth(valued.portfolio, valued.positions) == taken
