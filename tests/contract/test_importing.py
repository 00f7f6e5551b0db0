"""Many trades at a time, on every backend: what `record_trade` makes of each, one by one."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final

import attrs
import pytest

from tests.support.backends import within
from tradebook import (
    AgentDecision,
    CallContext,
    DuplicateOrder,
    Event,
    InstrumentMismatch,
    InvalidInput,
    InvalidTransition,
    NotFound,
    Trade,
    TradebookError,
    handlers,
)
from tradebook.domain.entity import Entity
from tradebook.testing import FakeBook

Terms = dict[str, Any]

NINE: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)
BUY: Final[Terms] = {"symbol": "AAPL", "action": "BUY", "quantity": 1, "price": "1.50"}
BATCH: Final = 30
"""So that a few hundred rows are many batches."""
ODD_NAMES: Final = {
    "symbol": "Ö\\N\t'\"{x}",
    "venue": "a\\b",
    "order_id": 'o\n"1"',
    "execution_id": "\\.",
    "strategy": "tab\there",
}
CONSTANTS: Final[list[Terms]] = [
    {},
    {"currency": "EUR"},
    {"multiplier": "50", "settlement": "MARGINED", "currency": "JPY"},
    {"venue": "kraken", "strategy": "dip", "details": {"note": 'a\\"b\n', "n": [1, None]}},
]


def fills(count: int, symbols: int = 6) -> list[Terms]:
    """Plain fills that open, add, reduce, close and flip positions in several currencies."""
    draw, at = random.Random(20260302), NINE - timedelta(days=30)
    rows: list[Terms] = []
    for number in range(count):
        at += timedelta(microseconds=draw.randrange(1, 10**9))
        place = draw.randrange(symbols)
        rows.append(
            {
                "symbol": f"S{place}",
                "action": draw.choice(["BUY", "sell".upper()]),
                "quantity": draw.choice([1, "2", "0.750", Decimal("1.5"), draw.randrange(1, 9)]),
                "price": draw.choice([f"{draw.randrange(1, 10**6) / 1000}", 3, "-0.25", 0.1]),
                "fee": draw.choice([0, "0.01", "-0.005"]),
                "executed_at": at,
                "order_id": f"o{number // 2}",
                "execution_id": f"e{number}",
                **CONSTANTS[place % len(CONSTANTS)],
            }
        )
    return rows


def mixed(count: int, decision_ids: Iterable[int] = ()) -> list[Terms]:
    """Fills among orders, fills of those, replays, and what else only an entity can tell."""
    draw, rows = random.Random(7), fills(count)
    for number, row in enumerate(list(rows)):
        order: Terms = {**row, "order_id": f"p{number}", "execution_id": "", "quantity": 5}
        kind = draw.randrange(60)
        if kind == 0:
            rows.insert(draw.randrange(number, len(rows)), dict(row))
        elif kind == 1:
            rows += [{**order, "status": "PENDING"}, {**order, "execution_id": "x"}]
        elif kind == 2:
            rows.insert(number + 1, {**order, "status": "PENDING", "strategy": "waits"})
            rows.append({name: order[name] for name in (*BUY, "order_id", "execution_id")})
        elif kind == 3:
            rows.append({name: row[name] for name in row if name != "fee"})
    rows += [{**BUY, **ODD_NAMES}, {**BUY, "symbol": "no order id"}]
    for place, id_ in enumerate(decision_ids):
        rows.append({**BUY, "decision_id": id_, "order_id": f"d{place}"})
    rows.append({**BUY, "executed_at": NINE.astimezone(timezone(timedelta(hours=5)))})
    return rows + draw.sample(rows, count // 5)


def imported(book: Any, rows: Iterable[Terms], at: datetime = NINE) -> handlers.ImportedTrades:
    """Import at a time."""
    with book.unit_of_work(context=_call(at)) as uow:
        result: handlers.ImportedTrades = within(uow, handlers.import_trades, rows, batch=BATCH)
        uow.commit()
    return result


def one_by_one(
    rows: Iterable[Terms], at: datetime = NINE, book: FakeBook | None = None
) -> FakeBook:
    """A book in memory with the same rows, each recorded by itself, at that time."""
    book = book or FakeBook(actor="tester")
    with book.unit_of_work(context=_call(at)) as uow:
        for row in rows:
            handlers.record_trade(uow, **row)
        uow.commit()
    return book


def _call(at: datetime) -> CallContext:
    return CallContext(at=at, token="t", correlation_id="request-1")


def _decision(book: Any) -> AgentDecision:
    decision: AgentDecision = book.record_decision("a", "AAPL", "BUY")
    return decision


def state(book: Any) -> dict[str, Any]:
    """All that a book says, but for the ids of records."""
    trades = {trade.id: trade for trade in book.iterate(Trade)}
    names = {id_: (t.symbol, t.venue, t.order_id, t.execution_id) for id_, t in trades.items()}
    events = [event for event in book.iterate(Event) if event.entity == "Trade"]
    return {
        "trades": sorted((names[t.id], _facts(t)) for t in trades.values()),
        "positions": [_facts(position) for position in book.get_positions()],
        "events": sorted((names[e.entity_id], e.event_type, _facts(e)) for e in events),
    }


def in_order(book: Any) -> dict[str, list[int]]:
    """For each symbol the entries in its ledger, in the order of their events."""
    entries: dict[str, list[int]] = {}
    for event in book.get_events(limit=1000, entity="Trade"):
        entries.setdefault(event.payload["symbol"], []).insert(0, event.payload["sequence"])
    return entries


def _facts(entity: Entity) -> str:
    unknown = ("id", "account", "entity_id", "decision_id")
    facts = attrs.asdict(entity, filter=lambda field, _: field.name not in unknown)
    payload = {k: v for k, v in facts.pop("payload", {}).items() if k not in unknown}
    return json.dumps({**facts, "payload": payload}, sort_keys=True, default=str)


def test_many_fills_are_booked_as_one_by_one(book: Any) -> None:
    rows = fills(160)

    result = imported(book, iter(rows))

    assert (result.booked, result.duplicates) == (160, 0)
    assert result.symbols == {f"S{place}" for place in range(6)}
    assert all(entries == sorted(entries) for entries in in_order(book).values())
    assert state(book) == state(one_by_one(rows))
    assert book.verify().proven


def test_the_same_rows_again_change_nothing(book: Any) -> None:
    rows = fills(200)
    imported(book, rows)
    before = state(book)

    again = imported(book, rows, NINE + timedelta(days=1))

    assert (again.booked, again.duplicates, again.symbols) == (0, 200, frozenset())
    assert state(book) == before


def test_a_book_that_has_a_part_gets_the_rest(book: Any) -> None:
    rows = fills(200)
    later = NINE + timedelta(days=1)
    imported(book, rows[:70])

    result = imported(book, rows, later)

    assert (result.booked, result.duplicates) == (130, 70)
    assert state(book) == state(one_by_one(rows, later, one_by_one(rows[:70])))
    assert book.verify().proven


def test_rows_of_all_kinds_are_booked_as_one_by_one(book: Any) -> None:
    other = FakeBook(actor="tester")
    ids, other_ids = ([_decision(each).id for _ in range(3)] for each in (book, other))

    rows = mixed(150, ids)
    result = imported(book, rows)

    expected = one_by_one(mixed(150, other_ids), book=other)
    assert state(book) == state(expected)
    assert result.booked + result.duplicates == len(rows)
    assert [d.status for d in book.get_decisions()] == ["EXECUTED"] * 3
    assert book.verify().proven


def test_a_fill_that_comes_again_in_a_later_batch_is_a_duplicate(book: Any) -> None:
    rows = fills(120)
    rows.insert(115, dict(rows[3]))

    result = imported(book, rows)

    assert (result.booked, result.duplicates) == (120, 1)
    assert state(book) == state(one_by_one(rows))


def test_what_was_folded_after_a_fill_that_had_come_before_is_folded_again(book: Any) -> None:
    both, only_a, only_b = fills(29, 2), fills(100, 2), fills(100, 2)
    rows = [*both, {**BUY, "symbol": "S0"}]
    for symbol, later in (("S0", only_a), ("S1", only_b)):
        rows += [r for r in later[29:] if r["symbol"] == symbol][:29]
        rows.append(dict(next(row for row in both if row["symbol"] == symbol)))

    result = imported(book, rows)

    assert (result.booked, result.duplicates) == (88, 2)
    assert state(book) == state(one_by_one(rows))


def test_a_booking_time_is_never_before_the_last_one(book: Any) -> None:
    rows = fills(60)
    later = NINE + timedelta(hours=1)
    imported(book, rows[:30], later)

    imported(book, rows[30:], NINE)

    assert state(book) == state(one_by_one(rows[30:], NINE, one_by_one(rows[:30], later)))


@pytest.mark.parametrize(
    ("bad", "refusal"),
    [
        ({"quantity": "-1"}, InvalidInput),
        ({"quantity": True}, InvalidInput),
        ({"price": "NaN"}, InvalidInput),
        ({"price": None}, InvalidInput),
        ({"action": "HOLD"}, InvalidInput),
        ({"symbol": ""}, InvalidInput),
        ({"order_id": " x"}, InvalidInput),
        ({"venue": 5}, InvalidInput),
        ({"currency": ""}, InvalidInput),
        ({"details": []}, InvalidInput),
        ({"executed_at": "noon"}, InvalidInput),
        ({"side": "BUY"}, InvalidInput),
        ({"action": "BUY", "fee": 77, "fee_currency": "S0"}, InvalidInput),
        ({"status": "CANCELLED"}, InvalidInput),
        ({"multiplier": 3}, InstrumentMismatch),
        ({"order_id": "o3", "execution_id": "e6"}, DuplicateOrder),
        ({"order_id": "o25", "execution_id": "e50"}, DuplicateOrder),
        ({"order_id": "gone"}, InvalidTransition),
        ({"decision_id": 12345}, NotFound),
    ],
)
def test_one_bad_row_in_the_middle_books_nothing_and_says_what_record_trade_says(
    book: Any, bad: Terms, refusal: type[TradebookError]
) -> None:
    gone: Terms = {**fills(1)[0], "order_id": "gone", "execution_id": "", "status": "PENDING"}
    good = [row for row in fills(150) if row["symbol"] == gone["symbol"]]
    wrong = {**good[0], "execution_id": "", "order_id": "b", "quantity": "77", **bad}
    reference = FakeBook(account=book.account)
    for each in (book, reference):
        each.record_trade(**gone)
        each.cancel_trade(order_id="gone")
    before = state(book)
    if refusal is DuplicateOrder:
        taken = next(r for r in fills(150) if r["execution_id"] == bad["execution_id"])
        good, wrong = fills(150), {**taken, "quantity": "77"}
    with pytest.raises(refusal) as expected:
        one_by_one([*good[:60], wrong], book=reference)

    with pytest.raises(refusal) as refused:
        imported(book, [*good[:60], wrong, *good[60:]])

    assert refused.value.args == expected.value.args
    assert refused.value.index == len(good[:60])
    assert state(book) == before


def test_a_later_mark_stays_when_a_position_opens_from_flat(book: Any) -> None:
    round_trip = [{**BUY, "order_id": "in"}, {**BUY, "action": "SELL", "order_id": "out"}]
    early = {**BUY, "executed_at": NINE - timedelta(days=1), "order_id": "early"}
    late = {**BUY, "executed_at": NINE + timedelta(hours=9), "order_id": "late", "symbol": "B"}
    imported(book, round_trip)
    book.mark_prices({"AAPL": "7"}, at=NINE + timedelta(hours=1))

    imported(book, [early, late])

    marks = {p.symbol: (p.current_price, p.marked_at) for p in book.get_positions()}
    assert marks["AAPL"] == (7, NINE + timedelta(hours=1))
    assert marks["B"] == (Decimal("1.5"), NINE + timedelta(hours=9))


def test_more_positions_than_are_kept_are_written_and_read_again(
    book: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers.importing, "_MOST_POSITIONS", 2)
    rows = sorted(fills(120), key=lambda row: str(row["symbol"]))
    rows += [{**row, "order_id": f"again {place}"} for place, row in enumerate(rows)]

    imported(book, rows)

    assert state(book) == state(one_by_one(rows))


def test_a_fill_takes_over_an_order_that_came_earlier_in_its_batch(book: Any) -> None:
    rows = fills(25, symbols=1)
    order = {**rows[0], "order_id": "waits", "execution_id": ""}
    rows.insert(3, {**order, "status": "PENDING"})
    rows.append({**order, "execution_id": "first fill"})

    imported(book, rows)

    assert state(book) == state(one_by_one(rows))
    assert [t.status for t in book.get_trades(order_id="waits")] == ["EXECUTED"]
