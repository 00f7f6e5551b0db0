"""`record_trade` in one statement, on a position that its manager remembers: when that stands, and when it does not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL, Engine, event, make_url, text
from sqlalchemy.exc import OperationalError

from tests.contract.backends import run_together
from tradebook import (
    DatabaseManager,
    DuplicateOrder,
    InstrumentMismatch,
    InvalidInput,
    Trade,
    handlers,
)
from tradebook.adapters import at_once, bookings, remembered
from tradebook.adapters.bookings import _processor
from tradebook.adapters.orm import events, positions, trades
from tradebook.adapters.remembered import Remembered, RememberedPositions, ThreadTurn
from tradebook.adapters.sessions import columns_of
from tradebook.domain.positions import Position
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

BUY: dict[str, Any] = {"symbol": "X", "action": "BUY", "quantity": 1, "price": 10}
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NewManager = Callable[..., Any]


@pytest.fixture
def account() -> str:
    return uuid4().hex


@pytest.fixture(params=["sqlite_url", "postgresql_book"])
def two(request: pytest.FixtureRequest, new_manager: NewManager, account: str) -> tuple[Any, Any]:
    """Two managers of one account that has traded, as in two processes; both remember its position."""
    url = request.getfixturevalue(request.param)
    managers = new_manager(url, account), new_manager(url, account)
    for manager in managers:
        manager.record_trade(**BUY)
    managers[0].record_trade(**BUY)
    return managers


@contextmanager
def statements() -> Iterator[list[str]]:
    """What is sent to any database meanwhile."""
    sent: list[str] = []

    def listen(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", listen)


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
    new_manager: NewManager, sqlite_url: str, account: str
) -> None:
    manager = new_manager(sqlite_url, account)
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


def test_marks_between_disturb_nothing_and_stay(two: tuple[Any, Any]) -> None:
    mine, others = two
    others.mark_prices({"X": 99})
    assert not ordinary(mine)
    assert mine.get_position_by_symbol("X").current_price == 99


def test_a_mark_of_the_same_instant_stays(two: tuple[Any, Any]) -> None:
    mine, others = two
    marked_at = mine.get_position_by_symbol("X").marked_at
    others.mark_prices({"X": 99}, at=marked_at)
    assert not ordinary(mine)
    assert mine.get_position_by_symbol("X").current_price == 99


@pytest.mark.parametrize(("hours", "price"), [(-1, 30), (1, 99)])
def test_opening_again_marks_at_the_fill_unless_there_is_a_later_mark(
    two: tuple[Any, Any], hours: int, price: int
) -> None:
    mine, others = two
    now = datetime.now(UTC) + timedelta(days=1)
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
    with pytest.raises(InvalidInput, match="fee_currency"):
        manager.record_trade(**BUY, fee=1, fee_currency="EUR")
    assert manager.get_position_by_symbol("X").quantity == 3
    assert not ordinary(manager)


def test_a_decision_is_executed_with_its_trade(two: tuple[Any, Any]) -> None:
    manager = two[0]
    decision = manager.record_decision("bot", "X", "BUY")
    manager.decide(decision.id, "APPROVED")
    manager.record_trade(**BUY, decision_id=decision.id)
    assert manager.get_decision(decision.id).status == "EXECUTED"


def test_what_was_rolled_back_is_not_remembered(sqlite_url: str) -> None:
    with DatabaseManager(sqlite_url) as manager:
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
    assert ordinary(manager)


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
    really = at_once.book_one

    def lost(*args: Any, **options: Any) -> bool:
        monkeypatch.setattr(at_once, "book_one", really)
        really(*args, **options)
        raise OperationalError("INSERT", {}, Exception("the server closed the connection"))

    manager = two[0]
    monkeypatch.setattr(at_once, "book_one", lost)
    trade = manager.record_trade(**BUY)
    assert manager.get_position_by_symbol("X").sequence == trade.sequence == 4
    assert manager.verify().proven


# Waiting, on PostgreSQL


def wait_for(uow: Any, condition: str) -> None:
    """Ask again until it is so; there is no better sign that another connection waits for a lock."""
    for _ in range(100_000):
        if uow.session.scalar(
            text(f"SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE {condition})")
        ):
            return
    raise AssertionError(f"never: {condition}")


WAITING = "wait_event_type = 'Lock' AND query SIMILAR TO '(WITH page|EXECUTE)%' AND datname = current_database()"


def meanwhile(
    holder: DatabaseManager,
    hold: Callable[[AbstractUnitOfWork], object],
    call: Callable[[], object],
    then: Callable[[Any], object] = lambda _: None,
) -> None:
    """Make a call that is booked at once wait for what `hold` does, and commit that."""
    with DatabaseManager(holder.config) as watch, holder.unit_of_work() as uow:
        hold(uow)
        thread = threading.Thread(target=call)
        thread.start()
        with watch.unit_of_work() as watching:
            wait_for(watching, WAITING)
            then(watching)
        uow.commit()
        thread.join(timeout=30)
        assert not thread.is_alive()


@pytest.fixture
def pair(postgresql_book: URL, account: str) -> Iterator[tuple[DatabaseManager, DatabaseManager]]:
    with (
        DatabaseManager(postgresql_book, account) as mine,
        DatabaseManager(postgresql_book, account) as others,
    ):
        mine.record_trade(**BUY)
        yield mine, others


def test_an_order_submitted_while_its_fill_waits_is_taken_over(
    pair: tuple[DatabaseManager, DatabaseManager],
) -> None:
    mine, others = pair
    meanwhile(
        others,
        lambda uow: handlers.record_trade(uow, **BUY, order_id="o", status="PENDING"),
        lambda: mine.record_trade(**BUY, order_id="o", execution_id="e-1"),
    )
    [trade] = mine.read(lambda uow: uow.trades.of_order("o"))
    assert (trade.status, trade.execution_id) == ("EXECUTED", "e-1")
    assert mine.verify().proven


def test_a_trade_booked_while_another_waits_is_not_lost(
    pair: tuple[DatabaseManager, DatabaseManager],
) -> None:
    mine, others = pair
    meanwhile(
        others,
        lambda uow: handlers.record_trade(uow, **BUY),
        lambda: mine.record_trade(**BUY),
    )
    [position] = mine.get_positions()
    assert position.quantity == 3
    assert mine.verify().proven


def test_a_mark_made_while_a_trade_waits_stays(
    pair: tuple[DatabaseManager, DatabaseManager],
) -> None:
    mine, others = pair
    meanwhile(
        others,
        lambda uow: handlers.mark_prices(uow, {"X": 99}),
        lambda: mine.record_trade(**BUY),
    )
    [position] = mine.get_positions()
    assert (position.quantity, position.current_price) == (2, 99)
    assert mine.verify().proven


def test_a_connection_lost_while_it_waits_is_replaced(
    pair: tuple[DatabaseManager, DatabaseManager],
) -> None:
    mine, others = pair
    end = text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {WAITING}")
    meanwhile(
        others,
        lambda uow: uow.ledger.open("X", ()),
        lambda: mine.record_trade(**BUY),
        lambda watching: watching.session.execute(end),
    )
    [position] = mine.get_positions()
    assert position.quantity == 2
    assert mine.verify().proven


def test_connections_come_back_with_transactions(
    pair: tuple[DatabaseManager, DatabaseManager],
) -> None:
    mine, _ = pair
    mine.record_trade(**BUY)
    with mine.unit_of_work() as uow:
        handlers.record_trade(uow, **BUY)
    [position] = mine.get_positions()
    assert position.quantity == 2


# What is remembered


def position(symbol: str, version: int = 1) -> Position:
    return Position(symbol=symbol, version=version)


def test_memory_is_bounded_and_forgets_what_was_used_longest_ago(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remembered, "MOST", 2)
    memory = RememberedPositions()
    for symbol in "AB":
        memory.keep(position(symbol))
    memory.of("A")
    memory.keep(position("C"))
    assert [memory.of(symbol).values is None for symbol in "ACB"] == [False, False, True]


def test_a_later_version_is_kept() -> None:
    memory = RememberedPositions()
    for version in (2, 3, 1):
        memory.keep(position("A", version))
    copy = memory.of("A").copy()
    assert copy is not None
    assert copy.version == 3


def test_copies_are_the_callers_own() -> None:
    memory = RememberedPositions()
    memory.keep(position("A"))
    first, second = memory.of("A").copy(), memory.of("A").copy()
    assert first is not None
    assert second is not None
    first.quantity = Decimal(5)
    assert second.quantity == 0


def test_guesses_rest_the_longer_the_more_of_them_were_wrong() -> None:
    symbol = Remembered(ThreadTurn())
    rests = []
    for _ in range(8):
        symbol.was_wrong()
        rests.append(symbol.rest)
    assert rests == [0, 2, 6, 14, 30, 62, 64, 64]
    symbol.was_right()
    symbol.was_wrong()
    assert symbol.rest == 0


def test_a_symbol_at_rest_is_asked_of_the_database() -> None:
    symbol = Remembered(ThreadTurn(), values={"symbol": "A"}, rest=1)
    assert symbol.copy() is None
    assert symbol.copy() is not None


def test_a_turn_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "_PATIENCE", 0.001)
    turn = ThreadTurn()
    assert turn.acquire()
    assert not turn.acquire()
    turn.release()
    assert turn.acquire()


@pytest.mark.parametrize("url", ["sqlite://", "postgresql+psycopg2://", "postgresql+asyncpg://"])
def test_values_reach_the_driver_as_their_columns_types_send_them(url: str) -> None:
    dialect = make_url(url).get_dialect()()
    samples: list[Any] = [
        Decimal("0.000000000000000001"),
        Decimal("1234567890123456789"),
        NOON,
        NOON.replace(year=33, microsecond=7),
        None,
        "BUY",
        {"a": [1, "ü"]},
    ]
    for column in [*trades.c, *positions.c, *events.c]:
        exact = column.type.dialect_impl(dialect).bind_processor(dialect)
        quick = _processor(column, dialect)
        for sample in samples if column.nullable else [s for s in samples if s is not None]:
            try:
                sent = exact(sample) if exact else sample
            except (InvalidInput, AttributeError, TypeError):
                continue  # of another type
            assert quick(sample) == sent, column


def test_a_pooler_that_keeps_no_prepared_statement_is_lived_with(
    postgresql_book: URL, account: str
) -> None:
    with DatabaseManager(postgresql_book, account) as manager:
        manager.record_trade(**BUY)
        manager.record_trade(**BUY)

        def forgets(connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            if statement.startswith("EXECUTE"):
                connection.connection.dbapi_connection.cursor().execute("DEALLOCATE ALL")

        with monkeypatched_writers():
            event.listen(manager._container.engine(), "before_cursor_execute", forgets)
            manager.record_trade(**BUY)
            with statements() as sent:
                manager.record_trade(**BUY)
        assert [statement[:9] for statement in sent] == ["WITH page"]
        [position] = manager.get_positions()
        assert position.quantity == 4
        assert manager.verify().proven


@contextmanager
def monkeypatched_writers() -> Iterator[None]:
    """What writers learn meanwhile is forgotten."""
    before = dict(bookings._writers)
    bookings._writers.clear()
    try:
        yield
    finally:
        bookings._writers.clear()
        bookings._writers.update(before)
