"""Recording, executing and ending trades, on a book in memory."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.unit.conftest import Clock
from tradebook import (
    DuplicateOrder,
    InstrumentMismatch,
    InvalidInput,
    InvalidTransition,
    NotFound,
    TradebookError,
    TradeStatus,
    handlers,
)
from tradebook.testing import FakeBook, FakeStore

BUY: dict[str, Any] = {
    "symbol": "AAPL",
    "action": "BUY",
    "quantity": 100,
    "price": "150.25",
    "order_id": "o-1",
}


def events_of(book: FakeBook, entity: str = "Trade") -> list[str]:
    with book.unit_of_work(read_only=True) as uow:
        return [event.event_type for event in uow.events.in_order() if event.entity == entity]


def test_a_recorded_trade_moves_its_position(book: FakeBook, clock: Clock) -> None:
    trade = book.record_trade(**BUY, fee="1.5")

    assert (trade.status, trade.sequence, trade.booked_at) == ("EXECUTED", 1, clock.now)
    assert trade.executed_at == clock.now
    position = book.get_position_by_symbol("AAPL")
    assert position is not None
    assert (position.quantity, position.cost_basis, position.fees) == (100, 15025, Decimal("1.5"))


def test_the_same_fill_again_returns_the_booked_trade(book: FakeBook) -> None:
    first = book.record_trade(**BUY)

    again = book.record_trade(**BUY)

    assert again.id == first.id
    assert book.get_open_positions()[0].quantity == 100
    assert events_of(book) == ["TradeRecorded"]


def test_a_replay_need_not_repeat_what_was_left_to_defaults(book: FakeBook, clock: Clock) -> None:
    book.record_trade(**BUY, fee=1, executed_at=clock.now, currency="EUR", multiplier=2)
    clock.forward(hours=1)

    assert book.record_trade(**BUY).sequence == 1


@pytest.mark.parametrize(
    ("term", "value"),
    [
        ("action", "SELL"),
        ("quantity", 99),
        ("price", "150.26"),
        ("fee", 1),
        ("fee_currency", "EUR"),
        ("currency", "EUR"),
        ("multiplier", 2),
        ("settlement", "MARGINED"),
        ("executed_at", "an hour later"),
    ],
)
def test_the_same_fill_with_other_terms_is_refused_by_name(
    book: FakeBook, clock: Clock, term: str, value: Any
) -> None:
    book.record_trade(**BUY)
    given = clock.now + timedelta(hours=1) if term == "executed_at" else value

    with pytest.raises(
        DuplicateOrder, match=f"'o-1' for AAPL .* other terms: {term} is"
    ) as refusal:
        book.record_trade(**{**BUY, term: given})

    assert list(refusal.value.differences) == [term]
    assert book.verify().proven


@pytest.mark.parametrize("other", [{"venue": "XNAS"}, {"execution_id": "e-2"}, {"symbol": "MSFT"}])
def test_another_venue_execution_or_symbol_is_another_fill(
    book: FakeBook, other: dict[str, str]
) -> None:
    book.record_trade(**BUY)
    book.record_trade(**{**BUY, **other})

    assert len(book.get_recent_trades()) == 2


def test_trades_without_an_order_id_are_different_trades(book: FakeBook) -> None:
    terms: Any = {name: value for name, value in BUY.items() if name != "order_id"}

    assert book.record_trade(**terms).id != book.record_trade(**terms).id


def test_a_made_up_order_id_is_the_same_on_a_retry(book: FakeBook) -> None:
    terms: Any = {name: value for name, value in BUY.items() if name != "order_id"}
    order_ids = []

    def with_a_rival(uow: Any) -> None:
        order_ids.append(handlers.record_trade(uow, **terms).order_id)
        if len(order_ids) == 1:
            book.record_trade(**terms)

    book.run(with_a_rival)

    assert len(order_ids) == 2
    assert order_ids[0] == order_ids[1]


def test_constants_left_out_are_those_of_the_first_trade(book: FakeBook) -> None:
    book.record_trade(**{**BUY, "order_id": "o-0"}, currency="EUR", multiplier=10, fee=1)

    trade = book.record_trade(**BUY, fee=1)

    assert (trade.currency, trade.fee_currency, trade.multiplier) == ("EUR", "EUR", 10)


def test_constants_of_a_new_symbol_are_the_accounts_currency_one_and_cash() -> None:
    store = FakeStore()
    FakeBook(store=store, base_currency="EUR").record_cash_flow("DEPOSIT", 1)

    trade = FakeBook(store=store).record_trade(**BUY, fee=1)

    assert (trade.currency, trade.fee_currency, trade.multiplier, trade.settlement) == (
        "EUR",
        "EUR",
        1,
        "CASH",
    )


def test_within_a_batch_the_first_trade_fixes_the_constants(book: FakeBook) -> None:
    first: Any = {**BUY, "currency": "JPY", "settlement": "MARGINED"}

    result = book.record_trades([first, {**BUY, "order_id": "o-2"}])

    assert [t.currency for t in result.trades] == ["JPY", "JPY"]
    assert [t.settlement for t in result.trades] == ["MARGINED", "MARGINED"]


def test_another_currency_than_the_symbols_is_refused(book: FakeBook) -> None:
    book.record_trade(**BUY)

    with pytest.raises(InstrumentMismatch, match=r"AAPL: currency is 'USD' .* given 'EUR'"):
        book.record_trade(**{**BUY, "order_id": "o-2"}, currency="EUR")

    assert len(book.get_recent_trades()) == 1


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"quantity": 0}, "quantity: 0 is not accepted"),
        ({"quanity": 1}, "quanity: 'this name' is not accepted; expected one of symbol"),
        ({"status": "CANCELLED"}, "status: 'CANCELLED' is not accepted; expected EXECUTED"),
        ({"status": "DONE"}, "status: 'DONE' is not accepted"),
        (
            {"fee": 100, "fee_currency": "AAPL"},
            "fee: '100' is not accepted; expected less than the quantity 100",
        ),
        ({"decision_id": 404}, "no AgentDecision 404"),
    ],
)
def test_a_refused_trade_leaves_nothing(
    book: FakeBook, terms: dict[str, Any], message: str
) -> None:
    with pytest.raises(TradebookError, match=message):
        book.record_trade(**{**BUY, **terms})

    assert book.get_recent_trades() == []
    assert book.get_positions() == []
    assert events_of(book, "Account") == []


@pytest.mark.parametrize("missing", ["symbol", "action", "quantity", "price"])
def test_what_is_required_is_asked_for_by_name(book: FakeBook, missing: str) -> None:
    terms: Any = {name: value for name, value in BUY.items() if name != missing}

    with pytest.raises(InvalidInput, match=f"{missing}: None is not accepted; expected a value"):
        book.record_trade(**terms)


def test_a_batch_counts_what_was_new_and_what_was_not(book: FakeBook) -> None:
    book.record_trade(**BUY)
    second: Any = {**BUY, "order_id": "o-2"}
    other: Any = {**BUY, "symbol": "MSFT"}

    result = book.record_trades([second, BUY, other, second])  # type: ignore[list-item]

    assert (result.booked, result.duplicates) == (2, 2)
    assert [t.order_id for t in result.trades] == ["o-2", "o-1", "o-1", "o-2"]
    assert result.trades[0] is result.trades[3]
    assert book.verify().trades == 3


def test_a_batch_is_booked_in_the_order_given(book: FakeBook) -> None:
    sell: Any = {**BUY, "action": "SELL", "order_id": "o-0"}

    trades = book.record_trades([sell, BUY]).trades  # type: ignore[list-item]

    assert [t.sequence for t in trades] == [1, 2]
    assert trades[0].realized_pnl == 0


def test_a_batch_is_recorded_whole_or_not_at_all(book: FakeBook) -> None:
    bad: Any = {**BUY, "symbol": "ZZZ", "fee": 100, "fee_currency": "ZZZ"}

    with pytest.raises(InvalidInput):
        book.record_trades([BUY, bad])  # type: ignore[list-item]

    assert book.get_recent_trades() == []
    assert book.get_positions() == []


def test_an_empty_batch_does_nothing(book: FakeBook) -> None:
    result = book.record_trades([])

    assert (result.trades, result.booked, result.duplicates) == ([], 0, 0)


def test_a_pending_trade_moves_nothing(book: FakeBook) -> None:
    trade = book.record_trade(**BUY, status="PENDING")

    assert (trade.status, trade.sequence, trade.booked_at) == ("PENDING", None, None)
    assert book.get_positions() == []
    assert events_of(book) == ["TradeSubmitted"]
    assert book.record_trade(**BUY, status="PENDING").id == trade.id
    assert events_of(book) == ["TradeSubmitted"]


def test_submitting_the_same_order_on_other_terms_is_refused(book: FakeBook) -> None:
    book.record_trade(**BUY, status="PENDING")

    with pytest.raises(DuplicateOrder, match="quantity is '100', given '99'"):
        book.record_trade(**{**BUY, "quantity": 99}, status="PENDING")


def test_executing_a_pending_trade_books_it_at_the_terms_of_the_fill(
    book: FakeBook, clock: Clock
) -> None:
    pending = book.record_trade(**BUY, status="PENDING", strategy="dip")
    filled_at = clock.forward(minutes=1)

    trade = book.execute_trade(order_id="o-1", price="150.20", quantity=160, fee=1)

    assert trade.id == pending.id
    assert (trade.status, trade.price, trade.quantity, trade.fee) == (
        "EXECUTED",
        Decimal("150.2"),
        160,
        1,
    )
    assert (trade.executed_at, trade.strategy) == (filled_at, "dip")
    assert book.get_open_positions()[0].quantity == 160
    assert events_of(book) == ["TradeSubmitted", "TradeRecorded"]


def test_executing_again_returns_the_booked_trade(book: FakeBook, clock: Clock) -> None:
    pending = book.record_trade(**BUY, status="PENDING")
    book.execute_trade(trade_id=pending.id, price=150)
    clock.forward(minutes=1)

    assert book.execute_trade(trade_id=pending.id, price=150).sequence == 1
    assert book.execute_trade(order_id="o-1").sequence == 1
    with pytest.raises(DuplicateOrder, match="price is '150', given '151'"):
        book.execute_trade(order_id="o-1", price=151)


def test_a_pending_trade_executed_as_it_is_keeps_its_terms(book: FakeBook) -> None:
    book.record_trade(**BUY, status="PENDING", fee=2)

    trade = book.execute_trade(order_id="o-1")

    assert (trade.price, trade.quantity, trade.fee) == (Decimal("150.25"), 100, 2)


def test_the_last_fill_of_a_pending_order_takes_over_its_row(book: FakeBook) -> None:
    pending = book.record_trade(**BUY, status="PENDING", strategy="dip", details={"why": "dip"})

    first = book.record_trade(**{**BUY, "quantity": 60, "execution_id": "e-1"})
    last = book.record_trade(**{**BUY, "quantity": 40, "execution_id": "e-2"})

    assert last.id == pending.id
    for fill, execution_id in ((first, "e-1"), (last, "e-2")):
        assert (fill.execution_id, fill.strategy) == (execution_id, "dip")
        assert fill.details == {"why": "dip"}
    assert first.id != pending.id
    assert {t.status for t in book.get_recent_trades()} == {TradeStatus.EXECUTED}
    assert book.verify().proven


def test_a_fill_of_a_pending_order_must_point_the_same_way(book: FakeBook) -> None:
    book.record_trade(**BUY, status="PENDING")

    with pytest.raises(DuplicateOrder, match="action is 'BUY', given 'SELL'"):
        book.record_trade(**{**BUY, "action": "SELL"})

    assert book.get_recent_trades()[0].status is TradeStatus.PENDING


def test_a_pending_order_of_a_new_symbol_takes_the_constants_fixed_meanwhile(
    book: FakeBook,
) -> None:
    book.record_trade(**BUY, status="PENDING")
    book.record_trade(**{**BUY, "order_id": "o-2"}, currency="EUR", multiplier=10)

    trade = book.execute_trade(order_id="o-1")

    assert (trade.currency, trade.fee_currency, trade.multiplier) == ("EUR", "EUR", 10)


def test_an_order_and_its_fill_may_come_in_one_batch(book: FakeBook) -> None:
    submitted: Any = {**BUY, "status": "PENDING"}
    filled: Any = {**BUY, "execution_id": "e-1"}

    result = book.record_trades([submitted, filled])

    assert (result.booked, len({t.id for t in result.trades})) == (2, 1)
    assert events_of(book) == ["TradeSubmitted", "TradeRecorded"]


@pytest.mark.parametrize(
    ("end", "status", "event"),
    [
        ("cancel_trade", "CANCELLED", "TradeCancelled"),
        ("reject_trade", "REJECTED", "TradeRejected"),
    ],
)
def test_a_pending_trade_ends_once(book: FakeBook, end: str, status: str, event: str) -> None:
    book.record_trade(**BUY, status="PENDING")

    assert getattr(book, end)(order_id="o-1", reason="halted").status == status
    assert getattr(book, end)(order_id="o-1").status == status
    assert events_of(book) == ["TradeSubmitted", event]
    with pytest.raises(InvalidTransition, match=f"'o-1' for AAPL is {status}"):
        book.execute_trade(order_id="o-1")
    with pytest.raises(InvalidTransition, match="with its own execution_id"):
        book.record_trade(**BUY)


def test_an_executed_trade_cannot_be_cancelled(book: FakeBook) -> None:
    trade = book.record_trade(**BUY)

    with pytest.raises(InvalidTransition, match="is EXECUTED and cannot be cancelled"):
        book.cancel_trade(trade_id=trade.id)


def test_a_trade_is_found_by_its_order_or_its_id(book: FakeBook) -> None:
    with pytest.raises(NotFound, match="no order 'o-404' in account 'main'"):
        book.cancel_trade(order_id="o-404")
    with pytest.raises(NotFound, match="no Trade 404"):
        book.cancel_trade(trade_id=404)
    with pytest.raises(InvalidInput, match="either an order_id or a trade_id"):
        book.execute_trade()
    with pytest.raises(InvalidInput, match="either an order_id or a trade_id"):
        book.execute_trade(order_id="o-1", trade_id=1)


def test_an_order_id_shared_by_symbols_is_ambiguous(book: FakeBook) -> None:
    book.record_trade(**BUY, status="PENDING")
    other = book.record_trade(**{**BUY, "symbol": "MSFT"}, status="PENDING")

    with pytest.raises(InvalidInput, match="several symbols or venues have this order id"):
        book.execute_trade(order_id="o-1")

    assert book.execute_trade(trade_id=other.id).symbol == "MSFT"


def test_the_first_booked_trade_executes_its_decision(book: FakeBook) -> None:
    decision = book.record_decision("bot", "AAPL", "BUY")

    trade = book.record_trade(**BUY, decision_id=decision.id)
    book.record_trade(**{**BUY, "order_id": "o-2"}, decision_id=decision.id)

    assert book.get_decisions()[0].status == "EXECUTED"
    with book.unit_of_work() as uow:
        last = uow.events.of("AgentDecision", decision.id)[-1]
    assert (last.event_type, last.payload["trade_id"]) == ("DecisionExecuted", trade.id)
    assert events_of(book, "AgentDecision") == ["DecisionRecorded", "DecisionExecuted"]


def test_a_pending_trade_executes_its_decision_when_it_is_filled(book: FakeBook) -> None:
    decision = book.record_decision("bot", "AAPL", "BUY")
    book.record_trade(**BUY, decision_id=decision.id, status="PENDING")
    assert book.get_decisions()[0].status == "PROPOSED"

    book.execute_trade(order_id="o-1")

    assert book.get_decisions()[0].status == "EXECUTED"


def test_a_replay_executes_no_decision(book: FakeBook) -> None:
    book.record_trade(**BUY)
    decision = book.record_decision("bot", "AAPL", "BUY")

    book.record_trade(**BUY, decision_id=decision.id)

    assert book.get_decisions()[0].status == "PROPOSED"
