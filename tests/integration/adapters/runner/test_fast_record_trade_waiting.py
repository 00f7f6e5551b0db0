"""`record_trade` at once while another connection holds the position, and behind a pooler: on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL, event, text

from tests.support.statements import statements
from tradebook import DatabaseManager, handlers
from tradebook.adapters.ledger import single_trade
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

BUY: dict[str, Any] = {"symbol": "X", "action": "BUY", "quantity": 1, "price": 10}


def wait_for(uow: Any, condition: str) -> None:
    """Ask again until it is so; there is no better sign that another connection waits for a lock."""
    for _ in range(100_000):
        uow.session.execute(
            text("SELECT pg_stat_clear_snapshot()")
        )  # else it is always the first answer
        if uow.session.scalar(
            text(f"SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE {condition})")
        ):
            return
    raise AssertionError(f"never: {condition}")


WAITING = "wait_event_type = 'Lock' AND query SIMILAR TO '(WITH opened|EXECUTE)%' AND datname = current_database()"


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
def pair(postgresql_book: URL) -> Iterator[tuple[DatabaseManager, DatabaseManager]]:
    with (
        DatabaseManager(postgresql_book, account := uuid4().hex) as mine,
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
        lambda uow: handlers.mark_prices(uow, {"X": 99}, at=uow.now() + timedelta(hours=1)),
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


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_connections_come_back_with_transactions(
    pair: tuple[DatabaseManager, DatabaseManager],
) -> None:
    mine, _ = pair
    mine.record_trade(**BUY)
    with mine.unit_of_work() as uow:
        handlers.record_trade(uow, **BUY)
    [position] = mine.get_positions()
    assert position.quantity == 2


def test_a_pooler_that_keeps_no_prepared_statement_is_lived_with(
    postgresql_book: URL,
) -> None:
    with DatabaseManager(postgresql_book, uuid4().hex) as manager:
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
        assert [statement[:11] for statement in sent] == ["WITH opened"]
        [position] = manager.get_positions()
        assert position.quantity == 4
        assert manager.verify().proven


@contextmanager
def monkeypatched_writers() -> Iterator[None]:
    """What writers learn meanwhile is forgotten."""
    before = dict(single_trade._writers)
    single_trade._writers.clear()
    try:
        yield
    finally:
        single_trade._writers.clear()
        single_trade._writers.update(before)
