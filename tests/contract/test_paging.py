"""Lists as pages, counts and streams, on every backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.support.assorted_records import KINDS, NOON, at, fill
from tradebook import (
    AgentDecision,
    Alert,
    CashFlow,
    ConcurrentUpdate,
    ConstraintViolated,
    Event,
    InvalidInput,
    PerformanceMetric,
    PortfolioPosition,
    Position,
    Seal,
    Signal,
    Trade,
)
from tradebook.domain.entity import Entity
from tradebook.service_layer.book import Book
from tradebook.service_layer.ports.paging import Page, sort_keys


def order(book: Book, number: int, minute: int = 0, **terms: Any) -> Trade:
    given = {"symbol": "AAPL", "action": "BUY", "quantity": 1, "price": 100, "status": "PENDING"}
    return book.record_trade(**{**given, **terms}, order_id=f"o-{number}", executed_at=at(minute))


def pages(read: Callable[[str | None], Page[Any]]) -> Iterator[Page[Any]]:
    page = read(None)
    yield page
    while page.after is not None:
        page = read(page.after)
        yield page


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_pages_have_every_record_once_newest_first(filled_book: Book, kind: type[Entity]) -> None:
    book = filled_book
    everything: list[Any] = book.read(lambda uow: uow.records(kind).in_order())
    key = lambda record: tuple(getattr(record, name) for name in sort_keys(kind))  # noqa: E731
    expected = [record.id for record in sorted(everything, key=key, reverse=True)]
    assert expected
    for limit in (1, 2, 3, len(expected), 100):
        read = list(pages(lambda after, n=limit: book.get_all(kind, n, after)))  # type: ignore[misc]
        assert [record.id for page in read for record in page] == expected
        assert [len(page) for page in read[:-1]] == [limit] * (len(read) - 1)
        assert len(read[-1]) > 0
    assert [record.id for record in book.iterate(kind, batch=2)] == expected
    assert book.count(kind) == len(expected)
    assert book.exists(kind)
    assert book.get(kind, expected[0]).id == expected[0]  # type: ignore[union-attr]
    assert book.get(kind, 2**63 - 1) is None


def test_an_empty_book_has_one_empty_page_of_everything(book: Book) -> None:
    for kind in KINDS:
        page: Page[Any] = book.get_all(kind)
        assert (page, page.after, book.count(kind), book.exists(kind)) == ([], None, 0, False)
        assert list(book.iterate(kind)) == []


def test_records_that_arrive_meanwhile_move_no_page(book: Book) -> None:
    for number in range(6):
        order(book, number, minute=number // 3)
    seen = []
    for step, trade in enumerate(book.iterate(Trade, batch=2)):
        seen.append(trade.order_id)
        order(book, 10 + step, minute=5)  # newer than all
    assert seen == ["o-5", "o-4", "o-3", "o-2", "o-1", "o-0"]


def test_records_that_arrive_behind_are_read_once(book: Book) -> None:
    for number in range(4):
        order(book, number, minute=number)
    walk = book.iterate(Trade, batch=2)
    seen = [next(walk).order_id, next(walk).order_id]
    order(book, 9, minute=-1)
    assert [*seen, *(trade.order_id for trade in walk)] == ["o-3", "o-2", "o-1", "o-0", "o-9"]


FILTERS: list[tuple[type[Entity], dict[str, Any], int]] = [
    (Trade, {"symbol": "AAPL"}, 2),
    (Trade, {"symbol": "AAPL", "since": at(1)}, 1),
    (Trade, {"since": at(1), "until": at(2), "status": "EXECUTED"}, 2),
    (Trade, {"since": at(0), "until": at(1)}, 2),
    (Trade, {"until": at(0)}, 0),
    (Trade, {"action": "SELL"}, 1),
    (Trade, {"status": "PENDING"}, 1),
    (Trade, {"sequence": None}, 1),
    (Trade, {"sequence": 2}, 2),
    (Trade, {"price": 1.5}, 4),
    (Trade, {"price": Decimal("1.500"), "executed_at": at(1).replace(tzinfo=None)}, 2),
    (Trade, {"decision_id": None}, 5),
    (Trade, {"symbol": "aapl"}, 0),
    (Trade, {"symbol": "%"}, 0),
    (Trade, {"account": "other"}, 0),
    (Position, {"quantity": 2}, 2),
    (Position, {"status": "OPEN"}, 2),
    (Position, {"sequence": 0}, 1),
    (Position, {"current_price": None}, 1),
    (Position, {"since": NOON - timedelta(days=9000)}, 3),
    (Position, {"until": NOON - timedelta(days=9000)}, 0),
    (CashFlow, {"kind": "DEPOSIT"}, 4),
    (CashFlow, {"amount": "10.5", "reference": "1"}, 1),
    (CashFlow, {"symbol": None}, 4),
    (Alert, {"resolved": False}, 4),
    (Alert, {"resolved": True}, 0),
    (Alert, {"severity": "WARNING", "symbol": "AAPL"}, 2),
    (Alert, {"symbol": None}, 2),
    (AgentDecision, {"agent": "a1", "status": "PROPOSED"}, 2),
    (PerformanceMetric, {"name": "m0", "since": at(1)}, 1),
    (Event, {"entity": "Trade", "event_type": "TradeRecorded"}, 4),
    (Event, {"since": NOON - timedelta(days=9000), "entity": "Account"}, 1),
    (Event, {"until": NOON - timedelta(days=9000)}, 0),
    (PortfolioPosition, {"symbol": "AAPL"}, 3),
    (Seal, {"number": 2, "actor": "tester"}, 1),
    (Seal, {"previous_hash": ""}, 1),
]


def test_lists_are_filtered_by_any_field_and_counted_alike(filled_book: Book) -> None:
    book = filled_book
    for kind, wanted, expected in FILTERS:
        read = list(pages(lambda after, k=kind, w=wanted: book.get_all(k, 1, after, **w)))  # type: ignore[misc]
        ids = [record.id for page in read for record in page]
        assert len(ids) == len(set(ids)) == expected, (kind, wanted)
        assert ids == [record.id for record in book.get_all(kind, **wanted)]
        assert book.count(kind, **wanted) == expected
        assert book.exists(kind, **wanted) is (expected > 0)


def test_what_cannot_be_asked_is_refused_by_name(book: Book) -> None:
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("colour", {"colour": "red"}),
        ("details", {"details": {}}),
        ("action", {"action": "HOLD"}),
        ("status", {"status": None}),
        ("since", {"since": "noon"}),
        ("limit", {"limit": 0}),
        ("after", {"after": "nonsense"}),
    ]
    for name, wanted in wrong:
        with pytest.raises(InvalidInput, match=rf"^{name}: "):
            book.get_all(Trade, **wanted)
    with pytest.raises(InvalidInput, match=r"^market_value: .*derived"):
        book.count(Position, market_value=1)
    with pytest.raises(InvalidInput, match=r"^kind: "):
        book.count(int)  # type: ignore[type-var]


def test_the_cursor_of_another_list_is_refused(filled_book: Book) -> None:
    book = filled_book
    after = book.get_signals(limit=1).after
    with pytest.raises(InvalidInput, match=r"^after: "):
        book.get_trades(after=after)
    assert book.get_signals(limit=1, after=after)


def test_trades_by_symbol_action_status_strategy_and_time(book: Book) -> None:
    order(book, 1, minute=1, strategy="s")
    order(book, 2, minute=2, action="SELL")
    order(book, 3, minute=3, status="EXECUTED")
    order(book, 4, minute=4, symbol="MSFT")

    def numbers(**wanted: Any) -> list[str]:
        return [trade.order_id[2:] for trade in book.get_trades(**wanted)]

    assert numbers() == ["4", "3", "2", "1"]
    assert numbers(symbol="AAPL") == ["3", "2", "1"]
    assert numbers(action="SELL") == ["2"]
    assert numbers(status="PENDING", symbol="AAPL") == ["2", "1"]
    assert numbers(strategy="s") == ["1"]
    assert numbers(since=at(2), until=at(4)) == ["3", "2"]
    first = book.get_trades(limit=3)
    assert [trade.order_id for trade in book.get_trades(limit=3, after=first.after)] == ["o-1"]
    assert [t.order_id for t in book.get_trades_by_symbol("AAPL", limit=1, since=at(1))] == ["o-3"]


def test_recent_trades_and_snapshots_go_on_after_a_page(book: Book) -> None:
    for _ in range(3):
        book.record_trade(symbol="X", action="BUY", quantity=1, price=1)
        book.take_snapshot()
    for read in (
        lambda after: book.get_recent_trades(2, 1, after=after),
        lambda after: book.get_portfolio_history(1, limit=2, after=after),
        lambda after: book.get_unresolved_alerts("INFO", limit=2, after=after),
    ):
        sizes = [len(page) for page in pages(read)]  # type: ignore[arg-type]
        assert sizes in ([2, 1], [0])
    assert len(book.get_portfolio_history(30)) == 3


def test_alerts_by_severity_symbol_and_whether_they_are_resolved(book: Book) -> None:
    fill(book)
    newest = book.get_alerts(limit=1)[0]
    book.resolve_alert(newest.id, resolution="seen")
    assert [alert.id for alert in book.get_alerts(resolved=True)] == [newest.id]
    assert len(book.get_alerts(resolved=False)) == len(book.get_unresolved_alerts()) == 3
    assert len(book.get_alerts(severity="INFO")) == 2
    assert len(book.get_alerts(symbol="AAPL", severity="INFO")) == 0
    assert len(book.get_unresolved_alerts("WARNING")) == 1


def test_decisions_come_with_their_signals_when_asked_for(book: Book) -> None:
    signals = [book.record_signal(symbol="X", action="BUY").id for _ in range(3)]
    for number in range(3):
        book.record_decision(
            agent="a", symbol="X", action="BUY", decided_at=at(number), signals=signals[:number]
        )
    page = book.get_decisions(with_signals=True, limit=2)
    assert [[s.id for s in decision.signals] for decision in page] == [signals[:2], signals[:1]]
    [last] = book.get_decisions(with_signals=True, limit=2, after=page.after)
    assert last.signals == []
    read = book.get_decision(page[0].id)
    assert read is not None
    assert [s.id for s in read.signals] == signals[:2]
    assert book.get_decision(2**40) is None


def test_decisions_with_signals_can_be_locked(book: Book) -> None:
    signal = book.record_signal(symbol="X", action="BUY")
    decision = book.record_decision(agent="a", symbol="X", action="BUY", signals=[signal.id])
    locked = book.run(lambda uow: uow.decisions.with_signals.get(decision.id, lock=True))
    assert [s.id for s in locked.signals] == [signal.id]


def test_actions_signals_cash_flows_metrics_and_events_by_their_own_filters(
    filled_book: Book,
) -> None:
    book = filled_book
    decision = book.get_decisions(agent="a1", status="PROPOSED", action="BUY", symbol="AAPL")[0]
    assert len(book.get_actions(decision_id=decision.id, agent="a", action_type="call")) == 1
    assert len(book.get_signals(symbol="AAPL", action="BUY", since=at(1))) == 2
    assert len(book.get_cash_flows(kind="DEPOSIT", until=at(1))) == 2
    assert len(book.get_metrics(name="m1", limit=1)) == 1
    trade = book.get_trades(symbol="NEW")[0]
    [submitted] = book.get_events(entity="Trade", entity_id=trade.id)
    assert submitted.event_type == "TradeSubmitted"
    newest = book.get_events(limit=3)
    assert [event.id for event in newest] == sorted((e.id for e in newest), reverse=True)
    assert {event.event_type for event in book.get_events(event_type="SnapshotTaken")} == {
        "SnapshotTaken"
    }


# Removal


def test_a_record_that_is_removed_is_gone_and_its_id_is_not_used_again(book: Book) -> None:
    signal = book.record_signal(symbol="X", action="BUY")
    book.run(lambda uow: uow.signals.remove(uow.signals.get(signal.id, lock=True)))
    assert book.get(Signal, signal.id) is None
    assert book.record_signal(symbol="X", action="BUY").id > signal.id


def test_a_record_that_another_refers_to_is_not_removed(book: Book) -> None:
    signal = book.record_signal(symbol="X", action="BUY")
    decision = book.record_decision(agent="a", symbol="X", action="BUY", signals=[signal.id])
    action = book.record_action(agent="a", action_type="call", decision_id=decision.id)
    with pytest.raises(ConstraintViolated):
        book.run(lambda uow: uow.signals.remove(uow.signals.get(signal.id)))
    with pytest.raises(ConstraintViolated):
        book.run(lambda uow: uow.decisions.remove(uow.decisions.get(decision.id)))
    assert book.count(Signal) == book.count(AgentDecision) == 1
    book.run(lambda uow: uow.actions.remove(uow.actions.get(action.id)))
    book.run(lambda uow: uow.decisions.remove(uow.decisions.get(decision.id)))
    book.run(lambda uow: uow.signals.remove(uow.signals.get(signal.id)))
    assert book.count(Signal) == book.count(AgentDecision) == 0


def test_a_record_that_nothing_refers_to_any_more_is_removed(book: Book) -> None:
    decision = book.record_decision(agent="a", symbol="AAPL", action="BUY")
    trade = order(book, 1, decision_id=decision.id)

    def let_go(uow: Any) -> None:
        uow.trades.get(trade.id).decision_id = None
        removed = uow.decisions.get(decision.id)
        uow.decisions.remove(removed)
        removed.status = "EXPIRED"  # says nothing to the book any more

    book.run(let_go)
    assert book.count(AgentDecision) == 0
    assert book.get_trades()[0].decision_id is None


def test_a_record_is_removed_once(book: Book) -> None:
    signal = book.record_signal(symbol="X", action="BUY")

    def remove_twice(uow: Any) -> str:
        found = uow.signals.get(signal.id)
        uow.signals.remove(found)
        with pytest.raises(ConcurrentUpdate):
            uow.signals.remove(found)
        return "refused"

    assert book.run(remove_twice) == "refused"
