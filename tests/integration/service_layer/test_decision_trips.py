"""Round trips to PostgreSQL of a block that records a decision and its trade, counted on the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL

from tests.support.counted_trips import CountingFront

PRICE = "150.25"


@pytest.fixture
def front(own_postgresql_book: URL) -> Iterator[CountingFront]:
    with CountingFront(own_postgresql_book) as made:
        yield made


def decide(book: Any, *, actions: int = 0) -> None:
    """Record a decision with three inputs and its trade."""
    with book.decision("momentum", "AAPL", strategy="trend") as d:
        for name in ("close", "news", "position"):
            d.input(name, {"value": name})
        for _ in range(actions):
            with d.model_call("gpt-x") as call:
                call.output = "yes"
        d.decide("BUY", quantity=1, price=PRICE)
        d.record_trade(price=PRICE)


@pytest.mark.parametrize(("actions", "most"), [(0, 6), (2, 7)])
def test_a_decision_with_three_inputs_and_its_trade_takes_six_round_trips(
    front: CountingFront, new_manager: Callable[..., Any], actions: int, most: int
) -> None:
    book = new_manager(front.url, uuid4().hex)
    book.record_trade(symbol="AAPL", action="BUY", quantity=1, price=PRICE)
    for _ in range(2):  # the drivers prepare their statements
        decide(book, actions=actions)
    before = front.trips
    decide(book, actions=actions)
    assert front.trips - before <= most
    assert len(book.get_inputs()) == 9
    assert book.verify().proven


def test_the_same_by_single_calls_takes_more(
    front: CountingFront, new_manager: Callable[..., Any]
) -> None:
    book = new_manager(front.url, uuid4().hex)
    counted = []
    for _ in range(3):
        before = front.trips
        decision = book.record_decision("momentum", "AAPL", "BUY", quantity=1)
        for name in ("close", "news", "position"):
            book.record_inputs(decision.id, [{"name": name, "value": name}])
        book.record_trade(
            symbol="AAPL", action="BUY", quantity=1, price=PRICE, decision_id=decision.id
        )
        counted.append(front.trips - before)
    assert counted[-1] >= 17
