"""Busts and corrections, on every backend: as if the wrong fill had never been, and all of it on record."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.support.backends import run_together, within
from tradebook import (
    DuplicateOrder,
    InvalidInput,
    InvalidTransition,
    NotFound,
    Position,
    Trade,
    handlers,
)
from tradebook.domain.folding import AMOUNTS
from tradebook.service_layer.book import Book

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def fill(order_id: str, action: str, quantity: object, price: object, **terms: Any) -> Any:
    return {
        "symbol": "AAPL",
        "order_id": order_id,
        "action": action,
        "quantity": quantity,
        "price": price,
        "executed_at": NOON,
        **terms,
    }


FILLS = [
    fill("one", "BUY", 10, 100, fee=1),
    fill("two", "BUY", 10, 120, fee=1),
    fill("three", "SELL", 10, 130, fee=1),
]


def state(book: Book, symbol: str = "AAPL") -> dict[str, object]:
    """What a symbol's trades made: its position, and what each trade that counts realized."""
    position = book.get_position_by_symbol(symbol)
    assert position is not None
    trades = [t for t in book.get_trades_by_symbol(symbol) if t.status == "EXECUTED"]
    return {
        **{field: getattr(position, field) for field in AMOUNTS},
        "status": position.status,
        "opened_at": position.opened_at,
        "closed_at": position.closed_at,
        "trades": {t.order_id.removeprefix(symbol): t.realized_pnl for t in trades},
    }


def booked(book: Book, fills: list[Any], symbol: str) -> dict[str, object]:
    """The state after other fills, in a symbol of their own."""
    for each in fills:
        book.record_trade(**{**each, "symbol": symbol, "order_id": symbol + each["order_id"]})
    return state(book, symbol)


def test_a_busted_trade_is_as_if_it_had_never_been_and_stays_on_record(book: Book) -> None:
    for each in FILLS:
        book.record_trade(**each)
    busted = book.bust_trade(order_id="two", reason="the venue cancelled it")
    assert state(book) == booked(book, [FILLS[0], FILLS[2]], "MSFT")
    kept = book.get(Trade, busted.id)
    assert kept is not None
    assert (kept.status, kept.bust_reason, kept.busted_by) == (
        "BUSTED",
        "the venue cancelled it",
        "tester",
    )
    assert (kept.price, kept.sequence, kept.bust_sequence) == (Decimal(120), 2, 4)
    assert kept.busted_at is not None
    assert kept.realized_pnl == 0
    assert book.verify().proven
    [event] = book.get_events(event_type="TradeBusted")
    assert (event.entity, event.entity_id, event.actor) == ("Trade", busted.id, "tester")
    assert event.payload["before"]["realized_pnl"] == "200"
    assert event.payload["after"]["realized_pnl"] == "300"


def test_a_corrected_trade_counts_as_if_it_had_been_booked_so_at_first(book: Book) -> None:
    for each in FILLS:
        book.record_trade(**each)
    before = state(book)
    right = book.correct_trade(order_id="one", price=90, fee="0.5", reason="misread")
    assert state(book) == booked(book, [fill("one", "BUY", 10, 90, fee="0.5"), *FILLS[1:]], "MSFT")
    wrong = book.get(Trade, right.corrects_id)
    assert wrong is not None
    assert (wrong.status, wrong.bust_reason, wrong.revision) == ("BUSTED", "misread", 0)
    assert (right.status, right.revision, right.order_id) == ("EXECUTED", 1, "one")
    assert (wrong.sequence, wrong.bust_sequence, right.sequence) == (1, 4, 5)
    assert book.verify().proven
    again = book.correct_trade(order_id="one", price=100, fee=1, reason="it was right")
    assert again.revision == 2
    assert state(book) == before
    assert book.verify().proven
    [last, _] = book.get_events(event_type="TradeCorrected")
    assert last.payload["corrects"] == right.id
    assert last.payload["changes"] == {"price": ["90", "100"], "fee": ["0.5", "1"]}


def test_a_corrected_fee_moves_no_price_pnl(book: Book) -> None:
    for each in FILLS:
        book.record_trade(**each)
    before = state(book)
    book.correct_trade(order_id="one", fee="1.75", reason="late fee")
    after = state(book)
    assert (after["fees"], after["cash_flow"]) == (Decimal("3.75"), Decimal("-903.75"))
    moved = {"fees", "cash_flow"}
    assert {**after, **dict.fromkeys(moved)} == {**before, **dict.fromkeys(moved)}


def test_the_side_quantity_and_time_can_be_corrected_and_the_position_flip(book: Book) -> None:
    for each in FILLS:
        book.record_trade(**each)
    later = NOON.replace(hour=13)
    book.correct_trade(
        order_id="two", action="SELL", quantity="25.5", executed_at=later, reason="a sale"
    )
    right = fill("two", "SELL", "25.5", 120, fee=1, executed_at=later)
    assert state(book) == booked(book, [FILLS[0], right, FILLS[2]], "MSFT")
    position = book.get_position_by_symbol("AAPL")
    assert position is not None
    assert (position.quantity, position.opened_at) == (Decimal("-25.5"), later)
    assert book.verify().proven


def test_the_same_bust_or_correction_again_changes_nothing(book: Book) -> None:
    for each in FILLS:
        book.record_trade(**each)
    right = book.correct_trade(order_id="one", price=90, reason="misread")
    busted = book.bust_trade(order_id="two", reason="cancelled")
    before, events = state(book), len(book.get_events())
    assert book.correct_trade(order_id="one", price=90, reason="misread").id == right.id
    assert book.correct_trade(trade_id=right.corrects_id, price="90.0", reason="x").id == right.id
    assert book.bust_trade(trade_id=busted.id, reason="cancelled").id == busted.id
    assert (state(book), len(book.get_events())) == (before, events)


def test_another_bust_of_what_is_busted_is_refused_and_names_the_first(book: Book) -> None:
    book.record_trade(**FILLS[0])
    busted = book.bust_trade(order_id="one", reason="cancelled")
    with pytest.raises(InvalidTransition, match=r"busted before, at .* by tester: 'cancelled'"):
        book.bust_trade(trade_id=busted.id, reason="something else")
    with pytest.raises(InvalidTransition, match="'cancelled'; record what counts as a fill"):
        book.correct_trade(order_id="one", price=5, reason="no")
    book.record_trade(**FILLS[1])
    right = book.correct_trade(order_id="two", price=5, reason="misread")
    with pytest.raises(InvalidTransition, match=f"corrected by trade {right.id}, its revision 1"):
        book.bust_trade(trade_id=right.corrects_id, reason="misread")
    assert book.bust_trade(order_id="two", reason="misread").id == right.id
    assert book.verify().proven


def test_what_is_replayed_after_its_bust_or_correction_is_recognised(book: Book) -> None:
    [one, two] = [book.record_trade(**each) for each in FILLS[:2]]
    book.bust_trade(order_id="two", reason="cancelled")
    right = book.correct_trade(order_id="one", price=90, reason="misread")
    before = state(book)
    assert book.record_trade(**FILLS[0]).id == one.id
    assert book.record_trade(**FILLS[1]).id == two.id
    assert book.record_trade(**{**FILLS[0], "price": 90}).id == right.id  # the venue's correction
    with pytest.raises(DuplicateOrder, match="price"):
        book.record_trade(**{**FILLS[0], "price": 91})
    assert state(book) == before


def test_one_fill_of_many_is_busted_by_its_execution_id(book: Book) -> None:
    for execution_id in ("a", "b", "c"):
        book.record_trade(**fill("one", "BUY", 10, 100, execution_id=execution_id))
    with pytest.raises(InvalidInput, match="one of the 3 fills of 'one'"):
        book.bust_trade(order_id="one", reason="which?")
    with pytest.raises(NotFound, match="execution 'd'"):
        book.bust_trade(order_id="one", execution_id="d", reason="none")
    busted = book.bust_trade(order_id="one", execution_id="b", reason="cancelled")
    assert busted.execution_id == "b"
    assert state(book)["quantity"] == 20


def test_only_what_was_booked_is_busted_or_corrected(book: Book) -> None:
    book.record_trade(**FILLS[0], status="PENDING")
    with pytest.raises(InvalidTransition, match="PENDING and was never booked; cancel_trade"):
        book.bust_trade(order_id="one", reason="no")
    with pytest.raises(InvalidTransition, match="never booked"):
        book.correct_trade(order_id="one", price=1, reason="no")
    with pytest.raises(NotFound, match="nothing"):
        book.bust_trade(order_id="nothing", reason="no")
    with pytest.raises(NotFound):
        book.correct_trade(trade_id=999_999, price=1, reason="no")


@pytest.mark.parametrize(
    "wrong",
    [
        {"reason": ""},
        {"reason": None},
        {"reason": "x", "price": "NaN"},
        {"reason": "x", "quantity": -1},
        {"reason": "x", "action": "HOLD"},
        {"reason": "x", "executed_at": "noon"},
    ],
    ids=str,
)
def test_bad_input_is_refused_and_leaves_the_book_as_it_was(
    book: Book, wrong: dict[str, Any]
) -> None:
    book.record_trade(**FILLS[0])
    before, events = state(book), len(book.get_events())
    with pytest.raises(InvalidInput):
        book.correct_trade(order_id="one", **{"price": 5, **wrong})
    with pytest.raises(InvalidInput, match="to correct"):
        book.correct_trade(order_id="one", reason="nothing given")
    assert (state(book), len(book.get_events())) == (before, events)


def test_when_all_is_busted_the_symbol_can_begin_again_with_other_constants(book: Book) -> None:
    book.record_trade(**FILLS[0], currency="USD")
    book.bust_trade(order_id="one", reason="wrong currency")
    position = book.get_position_by_symbol("AAPL")
    assert position is not None
    assert all(getattr(position, amount) == 0 for amount in AMOUNTS)
    assert (position.status, position.opened_at, position.closed_at) == ("CLOSED", None, None)
    right = fill("two", "BUY", 10, 100, currency="EUR", multiplier=5, settlement="MARGINED")
    book.record_trade(**right)
    position = book.get_position_by_symbol("AAPL")
    assert position is not None
    assert (position.currency, position.multiplier, position.settlement) == ("EUR", 5, "MARGINED")
    assert book.verify().proven


def test_snapshots_stay_as_they_are_and_stay_proven(book: Book) -> None:
    book.record_cash_flow("DEPOSIT", 10_000)
    book.take_snapshot()
    for each in FILLS:
        book.record_trade(**each)
        book.take_snapshot()
    taken = {p.id: (p.total_value, p.realized_pnl, p.fees) for p in book.get_portfolio_history()}
    book.correct_trade(order_id="two", price=110, reason="misread")
    book.take_snapshot()
    book.bust_trade(order_id="one", reason="cancelled")
    book.record_trade(**fill("four", "BUY", 3, 140))
    book.take_snapshot()
    book.correct_trade(order_id="two", price=111, reason="misread again")
    book.take_snapshot()
    book.bust_trade(order_id="three", reason="cancelled")
    book.record_trade(**fill("five", "SELL", 13, 150))  # flat
    book.take_snapshot()
    now = {p.id: (p.total_value, p.realized_pnl, p.fees) for p in book.get_portfolio_history()}
    assert len(now) == 9 - 1
    assert {id_: now[id_] for id_ in taken} == taken
    found = book.verify()
    assert found.differences == ()
    assert found.trades == 7


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_a_book_with_a_bust_in_one_transaction_with_other_things_is_whole(book: Book) -> None:
    with book.unit_of_work() as uow:
        for each in FILLS:
            within(uow, handlers.record_trade, **each)
        within(uow, handlers.bust_trade, order_id="two", reason="cancelled")
        within(uow, handlers.correct_trade, order_id="three", price=131, reason="misread")
        within(uow, handlers.record_trade, **fill("four", "SELL", 1, 5))
        uow.commit()
    right = [FILLS[0], fill("three", "SELL", 10, 131, fee=1), fill("four", "SELL", 1, 5)]
    assert state(book) == booked(book, right, "MSFT")
    assert book.verify().proven
    with book.unit_of_work() as uow:
        within(uow, handlers.bust_trade, order_id="one", reason="not meant")
    assert state(book) == state(book, "MSFT")


def test_busts_and_bookings_at_the_same_time_lose_nothing(book: Book) -> None:
    for number in range(8):
        book.record_trade(**fill(f"old {number}", "BUY", 1, 100 + number))
    run_together(
        book,
        lambda uow, **call: call.pop("do")(uow, **call),
        [{"do": handlers.bust_trade, "order_id": f"old {n}", "reason": "x"} for n in range(4)]
        + [
            {"do": handlers.correct_trade, "order_id": f"old {n}", "price": n, "reason": "x"}
            for n in range(4, 8)
        ]
        + [{"do": handlers.record_trade, **fill(f"new {n}", "SELL", 1, 90)} for n in range(4)],
    )
    position = book.get_position_by_symbol("AAPL")
    assert position is not None
    assert (position.quantity, position.sequence) == (0, 8 + 4 + 2 * 4 + 4)
    assert position.cash_flow == 4 * 90 - (4 + 5 + 6 + 7)
    assert book.verify().proven


def test_progress_is_told_up_to_the_last_trade(book: Book) -> None:
    for each in FILLS:
        book.record_trade(**each)
    told: list[tuple[int, int]] = []
    book.bust_trade(order_id="one", reason="x", progress=lambda *done: told.append(done))
    book.rebuild(progress=lambda *done: told.append(done))
    assert told == [(3, 3), (3, 3)]


def test_rebuilding_a_sound_book_changes_nothing(book: Book) -> None:
    for each in FILLS:
        book.record_trade(**each)
    book.record_trade(**{**FILLS[0], "symbol": "MSFT"})
    book.correct_trade(order_id="two", price=110, reason="misread")
    before, events = state(book), len(book.get_events())
    rebuilt = book.rebuild()
    assert (rebuilt.trades, rebuilt.positions, rebuilt.restated) == (5, (), 0)
    assert book.rebuild("AAPL").trades == 4
    assert (state(book), len(book.get_events())) == (before, events)
    with pytest.raises(NotFound, match="XYZ"):
        book.rebuild("XYZ")


def test_marks_outlive_busts(book: Book) -> None:
    book.record_trade(**FILLS[0])
    book.record_trade(**FILLS[1])
    book.mark_prices({"AAPL": 125})
    book.bust_trade(order_id="one", reason="x")
    [position] = book.get_open_positions()
    assert isinstance(position, Position)
    assert (position.current_price, position.unrealized_pnl) == (Decimal(125), Decimal(50))
