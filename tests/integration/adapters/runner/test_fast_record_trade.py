"""`record_trade` in one statement, on a position that its manager remembers: when that stands, and when it does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import URL, text
from sqlalchemy.exc import OperationalError

from tests.support.backends import run_together
from tests.support.statements import statements
from tradebook import (
    DatabaseManager,
    DuplicateOrder,
    InstrumentMismatch,
    InvalidInput,
    Trade,
    handlers,
)
from tradebook.adapters.repositories.entity_rows import columns_of
from tradebook.adapters.runner import fast_record_trade
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

BUY: dict[str, Any] = {"symbol": "X", "action": "BUY", "quantity": 1, "price": 10}
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NewManager = Callable[..., Any]


@pytest.fixture(params=["sqlite_book", "postgresql_book"])
def two(request: pytest.FixtureRequest, new_manager: NewManager, account: str) -> tuple[Any, Any]:
    """Two managers of one account that has traded, as in two processes; both remember its position."""
    url = request.getfixturevalue(request.param)
    managers = new_manager(url, account), new_manager(url, account)
    for manager in managers:
        manager.record_trade(**BUY)
    managers[0].record_trade(**BUY)
    return managers


def ordinary(manager: Any) -> bool:
    """Whether the next trade of X is not booked at once."""
    with statements() as sent:
        manager.record_trade(**BUY)
    return any(statement.startswith("SELECT") for statement in sent)


def test_a_trade_on_postgresql_is_one_statement(
    new_manager: NewManager, postgresql_book: URL, account: str
) -> None:
    manager = new_manager(postgresql_book, account)
    for _ in range(2):  # psycopg2 prepares it once for each connection
        manager.record_trade(**BUY)
    with statements() as sent:
        trade = manager.record_trade(**BUY)
    assert len(sent) == 1
    [read] = [t for t in manager.get_trades_by_symbol("X") if t.id == trade.id]
    assert {name: vars(read)[name] for name in columns_of(Trade)} == {
        name: vars(trade)[name] for name in columns_of(Trade)
    }


def test_a_trade_on_a_file_asks_for_nothing(
    new_manager: NewManager, sqlite_book: str, account: str
) -> None:
    manager = new_manager(sqlite_book, account)
    manager.record_trade(**BUY)
    with statements() as sent:
        manager.record_trade(**BUY)
    assert [statement.split()[0] for statement in sent] == ["BEGIN", "INSERT", "UPDATE", "INSERT"]


def test_what_was_booked_at_once_is_proven_and_explained(two: tuple[Any, Any]) -> None:
    manager = two[0]
    trade = manager.record_trade(
        **BUY, strategy="s", details={"n": [1, Decimal("2.50")]}, fee="0.1"
    )
    assert manager.verify().proven
    [told] = manager.get_events(entity="Trade", entity_id=trade.id)
    assert (told.event_type, told.payload["quantity_after"]) == ("TradeRecorded", "4")
    assert told.payload["fee"] == "0.1"


def test_the_trade_can_be_used_in_a_session_of_ones_own(
    new_manager: NewManager, postgresql_book: URL, account: str
) -> None:
    manager = new_manager(postgresql_book, account)
    manager.record_trade(**BUY)
    trade = manager.record_trade(**BUY)
    with DatabaseManager(postgresql_book, account) as by_hand, by_hand.get_session() as session:
        merged = session.merge(trade, load=False)
        assert merged.price == 10
        assert session.get(Trade, trade.id) is merged


def test_a_position_that_another_process_moved_is_read_again(two: tuple[Any, Any]) -> None:
    mine, others = two
    others.record_trade(**BUY)
    trade = mine.record_trade(**BUY)
    assert trade.sequence == 5
    assert mine.get_position_by_symbol("X").quantity == 5
    assert mine.verify().proven


@pytest.mark.parametrize("change", ["bust", "correct", "flatten"])
def test_what_happened_between_is_noticed(two: tuple[Any, Any], change: str) -> None:
    mine, others = two
    fill = mine.record_trade(**BUY, order_id="o")
    if change == "bust":
        others.bust_trade(trade_id=fill.id, reason="wrong")
    elif change == "correct":
        others.correct_trade(trade_id=fill.id, price=11, reason="wrong")
    else:
        others.record_trade(**{**BUY, "action": "SELL", "quantity": 4})
    mine.record_trade(**{**BUY, "price": 20})
    expected = {"bust": 50, "correct": 61, "flatten": 20}[change]
    assert mine.get_position_by_symbol("X").cost_basis == expected
    assert mine.verify().proven


def test_a_rebuild_between_is_noticed(two: tuple[Any, Any], account: str) -> None:
    mine, others = two
    spoil = "UPDATE positions SET cost_basis = '7' WHERE account = :account"

    def spoiled(uow: Any) -> None:
        uow.session.execute(text(spoil), {"account": account})

    others.run(spoiled)
    others.rebuild("X")
    assert ordinary(mine)
    assert mine.verify().proven


def test_a_position_put_back_to_an_earlier_state_is_noticed(
    two: tuple[Any, Any], account: str
) -> None:
    mine, others = two
    mine.record_trade(**BUY)
    put_back = "UPDATE positions SET updated_at = created_at WHERE account = :account"

    def restored(uow: Any) -> None:
        uow.session.execute(text(put_back), {"account": account})

    others.run(restored)
    assert ordinary(mine)


def test_marks_between_disturb_nothing_and_stay(two: tuple[Any, Any]) -> None:
    mine, others = two
    others.mark_prices({"X": 99}, at=datetime.now(UTC) + timedelta(hours=1))
    assert not ordinary(mine)
    assert mine.get_position_by_symbol("X").current_price == 99


def test_a_quote_of_the_same_instant_stays_and_an_earlier_fill_of_it_does_not(
    two: tuple[Any, Any],
) -> None:
    mine, others = two
    at = datetime.now(UTC) + timedelta(hours=1)

    def marked_by(price: int) -> Any:
        with statements() as sent:
            mine.record_trade(**{**BUY, "price": price}, executed_at=at)
        assert not any(statement.startswith("SELECT") for statement in sent)
        return mine.get_position_by_symbol("X").last_mark

    assert marked_by(20) == (20, at, "TRADE")
    assert marked_by(21) == (21, at, "TRADE")
    others.mark_prices({"X": 99}, at=at)
    assert marked_by(22) == (99, at, "QUOTE")
    assert mine.verify().proven


@pytest.mark.parametrize(("hours", "price"), [(-1, 30), (1, 99)])
def test_a_fill_is_the_mark_unless_there_is_a_later_one(
    two: tuple[Any, Any], hours: int, price: int
) -> None:
    mine, others = two
    now = datetime.now(UTC) + timedelta(hours=12)
    mine.record_trade(**{**BUY, "action": "SELL", "quantity": 3})
    others.mark_prices({"X": 99}, at=now + timedelta(hours=hours))
    with statements() as sent:
        mine.record_trade(**{**BUY, "price": 30}, executed_at=now)
    assert not any(statement.startswith("SELECT") for statement in sent)
    assert mine.get_position_by_symbol("X").current_price == price


def test_the_same_fill_again_is_the_booked_trade_or_an_error(two: tuple[Any, Any]) -> None:
    first = two[0].record_trade(**BUY, order_id="o")
    for manager in two:
        assert manager.record_trade(**BUY, order_id="o").id == first.id
        with pytest.raises(DuplicateOrder, match="quantity is '1', given '2'"):
            manager.record_trade(**{**BUY, "quantity": 2}, order_id="o")
        with pytest.raises(DuplicateOrder, match="multiplier"):
            manager.record_trade(**BUY, multiplier=5, order_id="o")
    assert two[0].get_position_by_symbol("X").quantity == 4


def test_a_busted_fill_that_comes_again_is_still_busted(two: tuple[Any, Any]) -> None:
    mine, others = two
    mine.record_trade(**BUY, order_id="o")
    others.bust_trade(order_id="o", reason="wrong")
    again = mine.record_trade(**BUY, order_id="o")
    assert (again.status, mine.get_position_by_symbol("X").quantity) == ("BUSTED", 3)


@pytest.mark.parametrize("execution_id", ["", "e-1"])
def test_a_pending_order_is_taken_over(two: tuple[Any, Any], execution_id: str) -> None:
    mine, others = two
    order = others.record_trade(**BUY, order_id="o", status="PENDING", strategy="dip")
    mine.record_trade(**BUY)  # it knows the position again
    fill = mine.record_trade(**BUY, order_id="o", execution_id=execution_id)
    assert (fill.id, fill.strategy) == (order.id, "dip")
    assert not mine.get_trades(status="PENDING")


def test_a_pending_order_is_filled_in_parts_by_two_writers(two: tuple[Any, Any]) -> None:
    mine, others = two
    order = others.record_trade(**{**BUY, "quantity": 4}, order_id="o", status="PENDING")
    for number, manager in enumerate((mine, others, mine)):
        part = manager.record_trade(**BUY, order_id="o", execution_id=f"e-{number}")
        assert part.id != order.id
        assert mine.get_order("o").remaining == 3 - number
        manager.record_trade(**BUY)  # it knows the position again
    last = others.record_trade(**BUY, order_id="o", execution_id="e-3")
    assert (last.id, mine.get_order("o").status) == (order.id, "FILLED")
    assert not ordinary(others)
    over = others.record_trade(**BUY, order_id="o", execution_id="e-4")
    assert (over.status, mine.get_order("o").overfilled) == ("EXECUTED", 1)


def test_two_writers_who_fill_one_order_at_the_same_time_book_each_fill_once(
    two: tuple[Any, Any],
) -> None:
    mine, others = two
    mine.record_trade(**{**BUY, "quantity": 20}, order_id="o", status="PENDING")
    parts = [f"e-{number}" for number in range(18)]

    def fill(manager: Any) -> None:
        for part in parts:
            manager.record_trade(**BUY, order_id="o", execution_id=part)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(fill, (mine, others)))
    order = mine.get_order("o")
    assert (order.status, order.filled, order.remaining) == ("PARTIALLY_FILLED", 18, 2)
    assert mine.get_position_by_symbol("X").quantity == 21
    assert mine.verify().proven


@pytest.mark.parametrize("other", [{"symbol": "Y"}, {"venue": "V"}])
def test_an_order_of_the_same_name_elsewhere_is_left_alone(
    two: tuple[Any, Any], other: dict[str, Any]
) -> None:
    mine, others = two
    order = others.record_trade(**{**BUY, **other}, order_id="o", status="PENDING")
    mine.record_trade(**BUY)
    fill = mine.record_trade(**BUY, order_id="o")
    assert fill.id != order.id
    assert [t.id for t in mine.get_trades(status="PENDING")] == [order.id]


def test_what_is_refused_is_refused_by_name_and_writes_nothing(two: tuple[Any, Any]) -> None:
    manager = two[0]
    with pytest.raises(InstrumentMismatch, match="multiplier"):
        manager.record_trade(**BUY, multiplier=5)
    with pytest.raises(InvalidInput, match="quantity"):
        manager.record_trade(**{**BUY, "quantity": 0})
    with pytest.raises(InvalidInput, match="fee: "):
        manager.record_trade(**BUY, fee=10**6, fee_currency="X")
    assert manager.get_position_by_symbol("X").quantity == 3
    assert not ordinary(manager)


def test_a_decision_is_executed_with_its_trade(two: tuple[Any, Any]) -> None:
    manager = two[0]
    decision = manager.record_decision("bot", "X", "BUY")
    manager.decide(decision.id, "APPROVED")
    manager.record_trade(**BUY, decision_id=decision.id)
    assert manager.get_decision(decision.id).status == "EXECUTED"


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_what_was_rolled_back_is_not_remembered(sqlite_book: str) -> None:
    with DatabaseManager(sqlite_book) as manager:
        manager.record_trade(**BUY)
        with manager.unit_of_work() as uow:
            handlers.record_trade(uow, **BUY)
            uow.rollback()
            uow.commit()
        with manager.unit_of_work() as uow:
            handlers.record_trade(uow, **BUY)
        assert not ordinary(manager)
        assert manager.get_position_by_symbol("X").quantity == 2


def test_what_a_unit_of_work_committed_is_remembered(two: tuple[Any, Any]) -> None:
    mine, others = two

    def two_at_once(uow: AbstractUnitOfWork) -> None:
        handlers.record_trade(uow, **BUY)
        handlers.record_trade(uow, **BUY)

    others.run(two_at_once)
    assert not ordinary(others)
    assert ordinary(mine)
    assert mine.verify().proven


def test_closing_forgets(new_manager: NewManager, postgresql_book: URL, account: str) -> None:
    manager = new_manager(postgresql_book, account)
    manager.record_trade(**BUY)
    getattr(manager, "aclose", manager.close)()
    manager.get_positions()  # looks at the schema again
    assert ordinary(manager)
    assert not ordinary(manager)


def test_a_turn_that_does_not_come_is_not_waited_for(
    sqlite_book: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_record_trade, "LOCK_TIMEOUT", 0.001)
    with DatabaseManager(sqlite_book) as manager:
        manager.record_trade(**BUY)
        lock = manager._container.position_cache().entry("X").lock
        with ThreadPoolExecutor(1) as other:
            assert other.submit(lock.acquire).result()
            assert ordinary(manager)
            assert not lock.acquire(timeout=0.001)
            other.submit(lock.release).result()
        assert not ordinary(manager)


def test_every_call_at_once_books_once(two: tuple[Any, Any]) -> None:
    manager = two[0]
    calls = [{**BUY, "order_id": f"o{number % 20}"} for number in range(40)]
    booked = run_together(manager, handlers.record_trade, calls)
    assert len({trade.id for trade in booked}) == 20
    assert manager.get_position_by_symbol("X").quantity == 23
    assert manager.verify().proven


def test_a_lost_answer_is_found_in_the_book(
    two: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    really = fast_record_trade.write_trade

    def lost(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(fast_record_trade, "write_trade", really)
        really(*args, **options)
        raise OperationalError("INSERT", {}, Exception("the server closed the connection"))

    manager = two[0]
    monkeypatch.setattr(fast_record_trade, "write_trade", lost)
    trade = manager.record_trade(**BUY)
    assert manager.get_position_by_symbol("X").sequence == trade.sequence == 4
    assert manager.verify().proven


FIRST = """
import sys
from tradebook import DatabaseManager

with DatabaseManager(sys.argv[1]) as manager:
    manager.import_trades([{"symbol": "X", "action": "BUY", "quantity": 1, "price": 10}])
    trade = manager.record_trade(symbol="X", action="BUY", quantity=1, price=10)
    assert trade.price * trade.quantity == 10, trade
"""


def test_the_first_trade_of_a_process_may_be_one_of_the_fast_path(sqlite_url: str) -> None:
    for _ in range(2):  # the second process imports into a position that is there
        subprocess.run([sys.executable, "-c", FIRST, sqlite_url], check=True)
