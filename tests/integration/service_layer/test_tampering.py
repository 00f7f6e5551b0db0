"""What raw SQL changes, removes or inserts is found and named, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from tests.support.backends import in_full_runs
from tests.support.tampering import a_day, change, forge, remove, reseal, rows, swap
from tradebook import DatabaseManager, InvalidInput, Settlement
from tradebook.service_layer.verification.findings import Finding

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def sqlite_book(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One file for all tests: each has an account of its own."""
    return f"sqlite:///{tmp_path_factory.mktemp('tampering') / 'book.db'}"


@pytest.fixture(params=["sqlite_book", in_full_runs("postgresql_book")])
def book(request: pytest.FixtureRequest) -> Iterator[DatabaseManager]:
    with DatabaseManager(request.getfixturevalue(request.param), uuid4().hex, actor="ann") as made:
        a_day(made)
        checked = made.check_seals()
        assert (checked.findings, checked.seals, checked.unsealed) == ((), 4, 1)
        yield made


def first(book: DatabaseManager, kept: Any = None) -> Finding:
    """The first thing that was tampered with, which there must be."""
    checked = book.check_seals(kept)
    assert not checked.sound
    return checked.findings[0]


def event_of(book: DatabaseManager, event_type: str) -> dict[str, Any]:
    return rows(book, "events", event_type=event_type)[0]


EVENT = {
    "payload": {"forged": True},
    "actor": "bob",
    "correlation_id": "c",
    "event_type": "AlertRaised",
    "entity": "Alert",
    "entity_id": 5,
    "occurred_at": NOON,
    "created_at": NOON,
    "updated_at": NOON,
}


def test_a_changed_event_is_named(book: DatabaseManager) -> None:
    for event_type in ("CashFlowRecorded", "TradeCorrected"):
        event = event_of(book, event_type)
        for column, value in EVENT.items():
            change(book, "events", {column: value}, id=event["id"])
            found = first(book)
            assert (found.entity, found.key, found.what) == ("Event", str(event["id"]), "changed")
            change(book, "events", {column: event[column]}, id=event["id"])
    assert book.check_seals().sound


def test_a_removed_event_is_named(book: DatabaseManager) -> None:
    for event_type in ("CashFlowRecorded", "AlertResolved", "TradeBusted"):
        event = event_of(book, event_type)
        remove(book, "events", id=event["id"])
        found = first(book)
        assert (found.entity, found.key, found.what) == ("Event", str(event["id"]), "removed")
        forge(book, "events", event)
    assert book.check_seals().sound


def test_an_event_of_another_id_is_both_removed_and_inserted(book: DatabaseManager) -> None:
    event = event_of(book, "CashFlowRecorded")
    change(book, "events", {"id": -event["id"]}, id=event["id"])
    found = [(f.key, f.what) for f in book.check_seals().findings]
    assert found == [(str(event["id"]), "removed"), (str(-event["id"]), "inserted")]


def test_swapped_events_are_both_named(book: DatabaseManager) -> None:
    one, other = event_of(book, "AlertRaised")["id"], event_of(book, "AlertResolved")["id"]
    swap(book, one, other)
    found = book.check_seals().findings
    of_events = {(f.key, f.what) for f in found if f.entity == "Event"}
    assert of_events == {(str(one), "changed"), (str(other), "changed")}


def test_an_event_that_is_inserted_among_sealed_ones_is_named(book: DatabaseManager) -> None:
    event = event_of(book, "AlertRaised")
    forge(book, "events", event, id=-event["id"], actor="bob")
    found = first(book)
    assert (found.entity, found.key, found.what) == ("Event", str(-event["id"]), "inserted")
    assert book.seal().events == 1  # that of the trade: none is laundered
    assert first(book).key == found.key


def test_a_trade_booked_twice_by_events_is_named(book: DatabaseManager) -> None:
    event = event_of(book, "TradeRecorded")
    id_ = rows(book, "events")[-1]["id"] + 10
    forge(book, "events", event, id=id_)
    found = book.check_seals().findings[-1]
    assert (found.entity, found.key, found.what) == ("Event", str(id_), "inserted")
    assert f"trade {event['entity_id']} was booked" in found.detail


TERMS = {
    "price": Decimal(1),
    "quantity": Decimal(7),
    "fee": Decimal(7),
    "action": "SELL",
    "symbol": "MSFT",
    "venue": "XNYS",
    "order_id": "other",
    "execution_id": "other",
    "revision": 7,
    "currency": "EUR",
    "fee_currency": "EUR",
    "multiplier": Decimal(7),
    "settlement": Settlement.MARGINED,
    "executed_at": NOON,
    "booked_at": NOON,
    "strategy": "other",
    "details": {"note": 99},
    "sequence": 77,
}


@pytest.mark.parametrize("order", ["o-0", "filled", "unsealed"])
def test_a_changed_term_of_a_trade_is_named(book: DatabaseManager, order: str) -> None:
    [trade] = rows(book, "trades", order_id=order)
    for column, value in TERMS.items():
        change(book, "trades", {column: value}, id=trade["id"])
        found = first(book)
        assert (found.entity, found.what) == ("Trade", "changed"), column
        assert found.key.startswith(f"{trade['id']} ")
        assert column in found.detail
        change(book, "trades", {column: trade[column]}, id=trade["id"])
    assert book.check_seals().sound


BUST: list[dict[str, object]] = [
    {"bust_reason": "other"},
    {"busted_by": "bob"},
    {"busted_at": NOON},
    {"bust_sequence": 77},
    {"price": Decimal(1)},
    {"status": "EXECUTED", "bust_sequence": None},
]


@pytest.mark.parametrize("order", ["o-1", "o-2"])
def test_a_changed_bust_is_named(book: DatabaseManager, order: str) -> None:
    trade = rows(book, "trades", order_id=order)[0]
    for values in BUST:
        change(book, "trades", values, id=trade["id"])
        found = first(book)
        assert (found.entity, found.what) == ("Trade", "changed"), values
        assert found.key.startswith(f"{trade['id']} ")
        change(book, "trades", {name: trade[name] for name in values}, id=trade["id"])
    assert book.check_seals().sound


def test_a_bust_without_an_event_is_named(book: DatabaseManager) -> None:
    bust = {"status": "BUSTED", "bust_sequence": 99, "bust_reason": "x", "busted_at": NOON}
    change(book, "trades", bust, order_id="o-5")
    assert "no event says that it was busted" in first(book).detail


def test_a_removed_trade_is_named(book: DatabaseManager) -> None:
    [trade] = rows(book, "trades", order_id="o-5")
    remove(book, "trades", id=trade["id"])
    book.rebuild()  # positions are made to fit
    found = first(book)
    assert (found.entity, found.what) == ("Trade", "removed")
    assert found.key == f"{trade['id']} (order 'o-5')"


def test_an_inserted_trade_is_named(book: DatabaseManager) -> None:
    row = rows(book, "trades", order_id="o-5")[0]
    for id_ in (row["id"] + 100_000, -row["id"]):
        forge(book, "trades", row, id=id_, order_id="forged", sequence=99)
        book.rebuild()
        found = first(book)
        assert (found.entity, found.what) == ("Trade", "inserted")
        assert found.key.startswith(f"{id_} (order 'forged'")
        remove(book, "trades", id=id_)


def test_a_trade_that_is_no_longer_booked_is_named(book: DatabaseManager) -> None:
    change(book, "trades", {"status": "PENDING", "sequence": None, "booked_at": None},
           order_id="o-5")  # fmt: skip
    assert "it is PENDING" in first(book).detail


def test_a_pending_trade_made_executed_is_named(book: DatabaseManager) -> None:
    change(book, "trades", {"status": "EXECUTED", "sequence": 99, "booked_at": NOON},
           order_id="open")  # fmt: skip
    assert first(book).what == "inserted"


SEAL: dict[str, object] = {
    "previous_hash": "0" * 64,
    "events_hash": "0" * 64,
    "seal_hash": "0" * 64,
    "settled_id": 0,
    "horizon": 99999999,
    "from_id": 0,
    "to_id": 99999999,
    "count": 1,
    "actor": "bob",
    "correlation_id": "c",
    "sealed_at": NOON,
    "covered": [],
}


def test_a_changed_seal_is_named(book: DatabaseManager) -> None:
    [seal] = rows(book, "seals", number=2)
    nonsense: list[object] = [{"a": 1}, [1], [[1]], ["ab"], [[None, None]]]
    for column, value in [*SEAL.items(), *(("covered", value) for value in nonsense)]:
        change(book, "seals", {column: value}, number=2)
        found = first(book)
        assert (found.entity, found.key, found.what) == ("Seal", "2", "changed"), (column, value)
        change(book, "seals", {column: seal[column]}, number=2)
    assert book.check_seals().sound


def test_a_seal_that_is_linked_to_another_is_named(book: DatabaseManager) -> None:
    seal = rows(book, "seals", number=1)[0]
    change(book, "seals", {"previous_hash": seal["seal_hash"]}, number=3)
    assert first(book).key == "3"


def test_a_chain_that_is_rewritten_up_to_a_seal_is_found_at_the_next(
    book: DatabaseManager,
) -> None:
    change(book, "events", {"actor": "bob"}, id=rows(book, "events")[5]["id"])
    reseal(book, up_to=2)
    [found] = book.check_seals().findings
    assert str(found) == "Seal 3 was changed: it does not follow the seal before it"


def test_a_removed_seal_is_named(book: DatabaseManager) -> None:
    remove(book, "seals", number=2)
    assert [(f.key, f.what) for f in book.check_seals().findings] == [
        ("2", "removed"),
        ("3", "changed"),
    ]


def test_an_event_changed_along_with_what_its_seal_says_of_it_is_found(
    book: DatabaseManager,
) -> None:
    event = event_of(book, "CashFlowRecorded")
    change(book, "events", {"actor": "bob"}, id=event["id"])
    with book.unit_of_work(read_only=True) as uow:
        [seal] = uow.seals.covering(event["id"], event["id"])
    before = rows(book, "seals", id=seal.id)[0]
    reseal(book)
    after = rows(book, "seals", id=seal.id)[0]
    change(book, "seals", {**before, "covered": after["covered"]}, id=seal.id)
    assert str(first(book)).startswith(f"Seal {seal.number} was changed")


@pytest.fixture
def kept(book: DatabaseManager) -> Any:
    document = book.export_seals()
    book.seal()
    book.record_trade(symbol="X", action="BUY", quantity=1, price=1)
    assert book.check_seals(document).sound
    return document


def test_a_rewritten_chain_is_found_with_what_was_exported(
    book: DatabaseManager, kept: Any
) -> None:
    event = rows(book, "events")[5]
    change(book, "events", {"actor": "bob"}, id=event["id"])
    reseal(book)
    assert book.check_seals().sound  # nothing in the book itself can show it
    found = first(book, kept)
    assert (found.entity, found.key, found.what) == ("Seal", "2", "changed")
    assert "another one was exported" in found.detail


def test_a_chain_cut_short_is_found_with_what_was_exported(
    book: DatabaseManager, kept: Any
) -> None:
    seals = rows(book, "seals")
    for left in (3, 1, 0):
        for seal in seals[left:]:
            remove(book, "seals", id=seal["id"])
        assert book.check_seals().sound  # nothing in the book itself can show it
        found = first(book, kept)
        assert (found.entity, found.key, found.what) == ("Seal", str(left + 1), "removed")


def test_another_chain_of_the_same_account_is_found(
    book: DatabaseManager, kept: Any, sqlite_url: str
) -> None:
    with DatabaseManager(sqlite_url + ".other", book.account) as other:
        a_day(other)
        assert first(other, kept).key == "1"


def test_what_was_exported_of_another_account_is_refused(book: DatabaseManager, kept: Any) -> None:
    with pytest.raises(InvalidInput, match=book.account):
        book.check_seals({**kept, "account": "other"})


def test_nothing_is_found_after_more_was_done_and_sealed(book: DatabaseManager, kept: Any) -> None:
    for hour in range(3):
        book.record_trade(symbol="X", action="SELL", quantity=1, price=hour)
        book.seal()
    book.bust_trade(order_id="o-0", reason="late")
    book.correct_trade(order_id="unsealed", price=9, reason="late")
    assert book.check_seals(kept).sound
    assert book.verify().proven


def test_sealing_and_checking_leave_no_event(book: DatabaseManager) -> None:
    before = len(rows(book, "events"))
    book.seal(batch=3)
    book.check_seals()
    assert len(rows(book, "events")) == before
