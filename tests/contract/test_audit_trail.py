"""Every handler that changes something leaves events that say who did it, and what changed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import frozen

import tradebook
from tests.support.backends import within
from tests.support.direct_edits import new_record
from tests.support.tampering import ORDER
from tradebook import Alert, CashFlow, Event, InvalidInput, Mend, Seal, Signal, Trade, handlers
from tradebook.service_layer.book import Book

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TERMS: dict[str, Any] = {**ORDER, "price": 10}


@frozen
class Given:
    """What a call works on: ids of records, and order ids."""

    alert: int
    decision: int
    open: str
    wrong: str
    flow: int


def prepare(book: Any, name: str) -> Given:
    """New records for a call."""
    alert = book.raise_alert("drawdown", "WARNING").id
    decision = book.record_decision("agent", "AAPL", "BUY").id
    wrong = book.record_trade(**TERMS, order_id=f"wrong: {name}").order_id
    pending = book.record_trade(**TERMS, order_id=f"open: {name}", status="PENDING").order_id
    flow = book.record_cash_flow("DEPOSIT", 1, reference=f"wrong: {name}").id
    return Given(alert, decision, pending, wrong, flow)


def _update(book: Any, given: Given) -> object:
    alert = book.get(Alert, given.alert)
    alert.message = "worse"
    return book.update(alert)


def _bulk_update(book: Any, given: Given) -> object:
    alert = book.get(Alert, given.alert)
    alert.source = "elsewhere"
    return book.bulk_update([alert])


def _fill_by_update(book: Any, given: Given) -> object:
    [trade] = book.get_all(Trade, order_id=given.open)
    trade.status = "EXECUTED"
    return book.update(trade)


def _undo(book: Any, _: Given) -> object:
    done = book.import_trades([TERMS], source="f.csv")
    return book.undo_import(done.import_id, reason="x")


def _spoilt_rebuild(book: Any, _: Given) -> object:
    def spoil(uow: Any) -> None:
        page = uow.ledger.open("AAPL", ())
        page.position.refold({"fees": page.position.fees + 1})
        page.position.version += 1
        assert uow.ledger.book(page, [])

    book.run(spoil)
    return book.rebuild()


Call = Callable[[Any, Given], object]
CALLS: dict[str, tuple[Call, dict[str, set[str]]]] = {
    # What each call leaves: the types of its events, each with the fields whose change it shows.
    "record_trade": (lambda book, _: book.record_trade(**TERMS), {"TradeRecorded": set()}),
    "record_trade of a pending order": (
        lambda book, given: book.record_trade(**{**TERMS, "price": 9}, order_id=given.open),
        {"TradeRecorded": {"status", "price", "sequence"}},
    ),
    "record_trade of a decision": (
        lambda book, given: book.record_trade(**TERMS, decision_id=given.decision),
        {"TradeRecorded": set(), "DecisionExecuted": {"status"}},
    ),
    "import_trades": (lambda book, _: book.import_trades([TERMS]), {"TradeRecorded": set()}),
    "record_trades": (lambda book, _: book.record_trades([TERMS]), {"TradeRecorded": set()}),
    "execute_trade": (
        lambda book, given: book.execute_trade(order_id=given.open, price=9),
        {"TradeRecorded": {"status", "price", "sequence"}},
    ),
    "cancel_trade": (
        lambda book, given: book.cancel_trade(order_id=given.open),
        {"TradeCancelled": {"status"}},
    ),
    "reject_trade": (
        lambda book, given: book.reject_trade(order_id=given.open),
        {"TradeRejected": {"status"}},
    ),
    "bust_trade": (
        lambda book, given: book.bust_trade(order_id=given.wrong, reason="x"),
        {"TradeBusted": {"status", "busted_at", "bust_reason", "bust_sequence"}},
    ),
    "correct_trade": (
        lambda book, given: book.correct_trade(order_id=given.wrong, price=9, reason="x"),
        {"TradeBusted": {"status"}, "TradeCorrected": {"price"}},
    ),
    "undo_import": (
        _undo,
        {
            "ImportStarted": set(),
            "TradeRecorded": set(),
            "ImportFinished": {"status", "booked", "finished_at"},
            "TradeBusted": {"status"},
            "ImportUndone": {"status", "undone_at", "undo_reason"},
        },
    ),
    "mend": (
        lambda book, given: book.mend(
            [Mend("bust_cash_flow", {"cash_flow_id": given.flow}), Mend("record_trade", TERMS)],
            reason="x",
        ),
        {
            "CashFlowBusted": set(),
            "CashFlowRecorded": set(),
            "ImportStarted": set(),
            "TradeRecorded": set(),
            "ImportFinished": {"status", "booked", "finished_at"},
        },
    ),
    "rebuild": (_spoilt_rebuild, {"PositionRebuilt": set()}),
    "mark_prices": (lambda book, _: book.mark_prices({"AAPL": 11}), {}),
    "update_position": (
        lambda book, _: book.update_position("AAPL", {"current_price": 12}),
        {},
    ),
    "record_cash_flow": (
        lambda book, _: book.record_cash_flow("DEPOSIT", 5),
        {"CashFlowRecorded": set()},
    ),
    "bust_cash_flow": (
        lambda book, given: book.bust_cash_flow(cash_flow_id=given.flow, reason="x"),
        {"CashFlowBusted": set(), "CashFlowRecorded": set()},
    ),
    "take_snapshot": (lambda book, _: book.take_snapshot(), {"SnapshotTaken": set()}),
    "raise_alert": (lambda book, _: book.raise_alert("a", "INFO"), {"AlertRaised": set()}),
    "resolve_alert": (
        lambda book, given: book.resolve_alert(given.alert, "done"),
        {"AlertResolved": {"resolved", "resolution", "resolved_at"}},
    ),
    "record_signal": (lambda book, _: book.record_signal("X", "BUY"), {"SignalRecorded": set()}),
    "record_decision": (
        lambda book, _: book.record_decision("agent", "X", "BUY"),
        {"DecisionRecorded": set()},
    ),
    "decide": (
        lambda book, given: book.decide(given.decision, "APPROVED"),
        {"DecisionResolved": {"status"}},
    ),
    "record_inputs": (
        lambda book, given: book.record_inputs(given.decision, [{"name": "close", "value": 1}]),
        {"InputRecorded": set()},
    ),
    "record_action": (
        lambda book, _: book.record_action("agent", "act"),
        {"ActionRecorded": set()},
    ),
    "record_metric": (
        lambda book, _: book.record_metric("m", 1, period_start=NOON, period_end=NOON),
        {"MetricRecorded": set()},
    ),
    "create": (
        lambda book, _: book.create(CashFlow(kind="DEPOSIT", amount=1, reference="r")),
        {"CashFlowRecorded": set()},
    ),
    "create an alert": (
        lambda book, _: book.create(Alert(alert_type="a", severity="INFO")),
        {"AlertRaised": set()},
    ),
    "bulk_create": (
        lambda book, _: book.bulk_create([Signal(symbol="X", action="BUY"), Trade(**TERMS)]),
        {"SignalRecorded": set(), "TradeSubmitted": set()},
    ),
    "update": (_update, {"RecordUpdated": {"message"}}),
    "update to executed": (_fill_by_update, {"TradeRecorded": {"status", "sequence"}}),
    "bulk_update": (_bulk_update, {"RecordUpdated": {"source"}}),
    "delete": (
        lambda book, given: book.delete(book.get(Alert, given.alert)),
        {"RecordDeleted": set()},
    ),
    "seal": (lambda book, _: book.seal(), {}),
}


def test_every_handler_is_called_here() -> None:
    names = {name for name in handlers.__all__ if inspect.isfunction(getattr(handlers, name))}
    assert names <= CALLS.keys()


def test_each_change_leaves_events_with_who_did_it_for_what_and_what_changed(book: Book) -> None:
    for name, (call, expected) in CALLS.items():
        given = prepare(book, name)
        before = {event.id for event in book.iterate(Event)}
        with tradebook.context(actor="ann", correlation_id=name):
            call(book, given)
        left = [event for event in book.iterate(Event) if event.id not in before]
        assert {event.event_type for event in left} == expected.keys(), name
        for event in left:
            assert event.actor == "ann"
            # What an import recorded has the import's own reference.
            assert event.correlation_id == name or event.correlation_id.startswith("import ")
            changes = event.payload.get("changes") or {}
            assert expected[event.event_type] <= changes.keys(), (name, event.payload)
            assert all(was != is_now for was, is_now in changes.values()), (name, changes)
    assert book.verify().proven
    assert book.check_seals().sound


def test_events_and_seals_are_written_by_handlers_only(book: Any) -> None:
    forged = new_record(Event, event_type="TradeRecorded", entity="Trade", actor="ann")
    for entity in (forged, new_record(Seal)):
        several = [Signal(symbol="X", action="BUY"), entity]
        terms = {"symbol": "X", "action": "BUY", "quantity": 1, "price": 1}
        with pytest.raises(InvalidInput, match=r"handlers|`seal`"):
            book.create(entity)
        with pytest.raises(InvalidInput, match=r"handlers|`seal`"):
            book.bulk_create(several)
        with (
            book.unit_of_work() as uow,
            pytest.raises(InvalidInput, match=r"handlers|`seal`"),
        ):
            within(uow, handlers.bulk_create, several)
        for call in (book.record_trades, book.import_trades, book.bulk_update):
            with pytest.raises(InvalidInput):
                call([entity] if call == book.bulk_update else [terms, entity])
    assert book.count(Event) == book.count(Seal) == book.count(Signal) == 0
