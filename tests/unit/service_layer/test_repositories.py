"""What every repository does by itself: pages, walks, counts, and trades in the order in which they count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tradebook import InvalidInput
from tradebook.testing import FakeBook

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TIMES = [NOON + timedelta(hours=hours) for hours in range(5)]


@pytest.fixture
def signals(book: FakeBook) -> FakeBook:
    """Five signals an hour apart; their strengths are 0 to 4, the even ones are of A."""
    for strength, at in enumerate(TIMES):
        symbol = "B" if strength % 2 else "A"
        book.record_signal(symbol, "BUY", strength=strength, generated_at=at)
    return book


def strengths(found: Any) -> list[int]:
    return [int(signal.strength) for signal in found]


def test_a_page_has_what_was_asked_for_and_leads_to_the_next(signals: FakeBook) -> None:
    with signals.unit_of_work() as uow:
        page = uow.signals.page(limit=2)
        rest = uow.signals.page(limit=3, after=page.after)

    assert (strengths(page), strengths(rest), rest.after) == ([4, 3], [2, 1, 0], None)


def test_pages_walks_and_counts_keep_to_the_time_range_and_the_values(signals: FakeBook) -> None:
    window: Any = {"since": TIMES[1], "until": TIMES[4]}

    with signals.unit_of_work() as uow:
        for batch in (1, 2, 10):
            assert strengths(uow.signals.iterate(batch=batch, **window)) == [3, 2, 1]
        assert strengths(uow.signals.iterate(symbol="A")) == [4, 2, 0]
        assert strengths(uow.signals.page(**window, symbol="B")) == [3, 1]
        assert uow.signals.count(**window) == 3
        assert uow.signals.count(**window, symbol="A") == 1
        assert uow.signals.count() == 5


def test_a_walk_names_its_batch_when_it_is_refused(signals: FakeBook) -> None:
    with signals.unit_of_work() as uow, pytest.raises(InvalidInput, match=r"^batch: 0 "):
        uow.signals.iterate(batch=0)


def of_order(trades: Any, order_id: str) -> list[Any]:
    return [trade for trade in trades if trade.order_id == order_id]


@pytest.fixture
def corrected(book: FakeBook) -> FakeBook:
    """Three trades: one corrected twice, one busted, one as it was."""
    for order_id in ("one", "two", "three"):
        book.record_trade(symbol="X", action="BUY", quantity=1, price=1, order_id=order_id)
    book.correct_trade(order_id="one", reason="typo", price=2)
    book.correct_trade(order_id="one", reason="typo", price=3)
    book.bust_trade(order_id="two", reason="never happened")
    return book


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_each_correction_comes_right_after_what_it_corrects(
    corrected: FakeBook, batch: int
) -> None:
    with corrected.unit_of_work() as uow:
        found = [
            (trade.order_id, trade.price) for trade in uow.trades.in_fold_order("X", batch=batch)
        ]

    assert found == [("one", 1), ("one", 2), ("one", 3), ("two", 1), ("three", 1)]


def test_corrections_are_found_with_those_that_correct_them(corrected: FakeBook) -> None:
    with corrected.unit_of_work() as uow:
        booked = uow.trades.booked("X")
        one = of_order(booked, "one")
        found = uow.trades.correcting_any_of([one[0]])
        none = uow.trades.correcting_any_of([one[2], *of_order(booked, "two")])

    assert {was: trade.id for was, trade in found.items()} == {
        one[0].id: one[1].id,
        one[1].id: one[2].id,
    }
    assert none == {}
