"""Imports of trades that name their decisions, on every backend: what `record_trade` makes of each, one by one."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest

from tests.contract.test_importing import BATCH, BUY, NINE, Terms, fills, imported, one_by_one
from tests.contract.test_importing import state as state_of_trades
from tests.support.backends import each_backend, within
from tradebook import AgentDecision, Event, NotFound, Trade, handlers
from tradebook.testing import FakeBook

pytestmark = pytest.mark.parametrize(
    "book", each_backend(only_in_full_runs=["sqlite-async", "postgresql-async"]), indirect=True
)
STATUSES = ("PROPOSED", "APPROVED", "REJECTED", "EXPIRED")


def decided(book: Any, count: int = 12) -> list[int]:
    """Record decisions of every status, and return their ids."""
    ids = []
    for number in range(count):
        made = book.record_decision(
            "bot", "S1", "BUY", reasoning="ü" * 90 * number, inputs={"n": [number]}, decided_at=NINE
        )
        ids.append(made.id)
        verdict = STATUSES[number % len(STATUSES)]
        if verdict != "PROPOSED":
            book.decide(made.id, verdict)
    return ids


def naming(rows: Sequence[Terms], ids: Sequence[int]) -> list[Terms]:
    """Name decisions in most of the rows, several times each."""
    draw = random.Random(3)
    return [
        {**row, "decision_id": draw.choice(ids)} if draw.random() < 0.7 else dict(row)
        for row in rows
    ]


def state(book: Any, ids: Sequence[int]) -> Any:
    """All of the trades, and of the decisions what they are and what happened to them, without ids and times."""
    places = {id_: place for place, id_ in enumerate(ids)}
    orders = {trade.id: (trade.order_id, trade.execution_id) for trade in book.iterate(Trade)}
    named = {
        orders[t.id]: places[t.decision_id] for t in book.iterate(Trade) if t.decision_id in places
    }
    happened = []
    for event in book.iterate(Event):
        if event.event_type == "DecisionExecuted":
            payload = dict(event.payload)
            record = payload["evidence"]["record"]
            assert record == book.get_decision(event.entity_id).evidence()
            assert (record["updated_at"], event.occurred_at) == (NINE.isoformat(), NINE)
            times = ("created_at", "updated_at", "decided_at")
            known = {name: value for name, value in record.items() if name not in times}
            about = (event.actor, event.correlation_id, payload["changes"], known)
            happened.append((places[event.entity_id], orders[payload["trade_id"]], about))
    statuses = [book.get_decision(id_).status for id_ in ids]
    return state_of_trades(book), named, sorted(happened, key=str), statuses


@cache
def one_by_one_of(rows_of: Callable[[Sequence[int]], list[Terms]]) -> Any:
    """Return the state of a book in memory in which rows that name its decisions are recorded one by one."""
    book = FakeBook(actor="tester")
    ids = decided(book)
    return state(one_by_one(rows_of(ids), book=book), ids)


def many(ids: Sequence[int]) -> list[Terms]:
    return naming(fills(100), ids)


def test_decisions_are_executed_by_their_first_trade_as_one_by_one(book: Any) -> None:
    ids = decided(book)

    result = imported(book, many(ids))

    assert result.booked == 100
    assert state(book, ids) == one_by_one_of(many)
    assert [d.status for d in book.get_decisions(limit=12)][::-1] == [
        *(["EXECUTED", "EXECUTED", "REJECTED", "EXPIRED"] * 3)
    ]
    assert book.verify().proven
    assert book.check_seals().findings == ()


def test_the_same_again_and_a_decision_that_comes_again_change_nothing(book: Any) -> None:
    ids = decided(book)
    rows = naming(fills(70), ids)
    imported(book, rows)
    before = state(book, ids)

    again = imported(book, rows)
    more = imported(book, [{**BUY, "decision_id": id_, "order_id": f"n{id_}"} for id_ in ids])

    assert (again.booked, again.duplicates, more.booked) == (0, 70, 12)
    assert state(book, ids)[2:] == before[2:]


def with_repeats(ids: Sequence[int]) -> list[Terms]:
    rows = naming(fills(4 * BATCH), ids[:6])
    rows[BATCH + 2] = {**rows[1], "decision_id": ids[8]}  # only a repeat names it
    rows[BATCH + 5]["decision_id"] = rows[2 * BATCH + 3]["decision_id"] = ids[9]
    rows[2 * BATCH + 4]["decision_id"] = ids[4]
    return rows


def test_a_fill_that_comes_twice_executes_its_decision_once(book: Any) -> None:
    """The unique key finds it in the second batch, which is booked again, and the one folded after it."""
    ids = decided(book)

    imported(book, with_repeats(ids))

    assert state(book, ids) == one_by_one_of(with_repeats)
    assert book.get_decision(ids[8]).status == "PROPOSED"


def with_orders(ids: Sequence[int]) -> list[Terms]:
    rows = fills(3 * BATCH)
    order = {**rows[0], "order_id": "p", "execution_id": "", "decision_id": ids[0]}
    fill = {name: order[name] for name in (*BUY, "order_id")}
    late = {**rows[5], "order_id": "late", "decision_id": ids[0]}
    named = naming(rows, ids[1:])
    named[20:20] = [{**order, "status": "PENDING"}, fill, late]
    named[70:70] = [{**late, "order_id": "later"}, {**late, "venue": "v"}]
    return named


def test_orders_and_entities_between_execute_theirs_in_turn(book: Any) -> None:
    ids = decided(book)

    imported(book, with_orders(ids))

    # Without the trades: what was submitted states the id of its decision.
    assert state(book, ids)[1:] == one_by_one_of(with_orders)[1:]
    assert book.verify().proven


@pytest.mark.parametrize("place", [5, 2 * BATCH + 5])
def test_a_decision_that_is_not_there_is_refused_at_its_place_and_nothing_changes(
    book: Any, place: int
) -> None:
    ids = decided(book)
    rows = naming(fills(3 * BATCH), ids)
    rows[place]["decision_id"] = 10**9
    before = state(book, ids)

    with pytest.raises(NotFound, match="no AgentDecision") as refused:
        imported(book, rows)

    assert (refused.value.index, refused.value.order_id) == (place, rows[place]["order_id"])
    assert state(book, ids) == before


def test_a_decision_in_hand_is_what_the_import_made_of_it(book: Any) -> None:
    [id_] = decided(book, 1)
    with book.unit_of_work() as uow:
        held: AgentDecision = within(uow, lambda uow: uow.decisions.get(id_, lock=True))
        within(uow, handlers.import_trades, [{**BUY, "decision_id": id_}])
        uow.commit()
    assert held.status == "EXECUTED"
    assert held.evidence() == book.get_decision(id_).evidence()
