"""Locks, deadlocks and serialization failures, made by real sessions: a clean retry, or a named error."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import attrs
import psycopg2
import pytest
from sqlalchemy import URL, text

from tests.support.backends import within
from tests.support.servers import configured
from tradebook import (
    AbstractUnitOfWork,
    BookBusy,
    DatabaseManager,
    StatementCancelled,
    Trade,
    handlers,
)
from tradebook.adapters.runner import retries

NewManager = Callable[..., Any]
TERMS: dict[str, Any] = {"action": "BUY", "quantity": 1, "price": 1}


def book_with(url: URL, **settings: str) -> URL:
    """The book of a database, whose sessions get some of the server's settings."""
    with DatabaseManager(url) as manager:
        for symbol in "AB":
            manager.record_trade(symbol=symbol, order_id="first", **TERMS)
    connection = psycopg2.connect(url.set(drivername="postgresql").render_as_string(False))
    with connection, connection.cursor() as cursor:
        for name, value in settings.items():
            cursor.execute(f'ALTER DATABASE "{url.database}" SET {name} = %s', [value])
    connection.close()
    return url


# Deadlock


class Crossing:
    """Two units of work that lock two symbols in opposite orders; the first tries meet in the middle.

    Attributes:
        tries: how often either began.
    """

    def __init__(self) -> None:
        self.tries = 0
        self._first_tries = threading.Barrier(2, timeout=60)
        self._lock = threading.Lock()

    def trade(self, uow: AbstractUnitOfWork, symbols: str) -> None:
        with self._lock:
            self.tries += 1
            is_first = self.tries <= 2
        first, second = symbols
        handlers.record_trade(uow, symbol=first, order_id=f"{symbols}-1", **TERMS)
        if is_first:
            self._first_tries.wait()
        handlers.record_trade(uow, symbol=second, order_id=f"{symbols}-2", **TERMS)


def test_two_units_of_work_that_lock_in_opposite_orders_are_both_booked_once(
    new_manager: NewManager, own_postgresql_book: URL
) -> None:
    url = book_with(own_postgresql_book, deadlock_timeout="20ms")
    crossing = Crossing()

    def run(symbols: str) -> None:
        manager = new_manager(url)
        manager.get_positions()
        manager.run(crossing.trade, symbols)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(run, ["AB", "BA"]))
    assert crossing.tries > 2
    with DatabaseManager(url) as book:
        booked = {trade.order_id for trade in book.iterate(Trade)}
        assert booked == {"first", "AB-1", "AB-2", "BA-1", "BA-2"}
        assert [position.quantity for position in book.get_positions()] == [3, 3]
        assert book.verify().proven


def test_a_deadlock_that_no_retry_ends_is_book_busy_and_leaves_nothing_half_written(
    new_manager: NewManager,
    own_postgresql_book: URL,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retries, "MAX_ATTEMPTS", 1)
    url = book_with(own_postgresql_book, deadlock_timeout="20ms")
    crossing = Crossing()

    def run(symbols: str) -> str:
        manager = new_manager(url)
        manager.get_positions()
        try:
            manager.run(crossing.trade, symbols)
        except BookBusy as busy:
            return str(busy)
        return symbols

    with ThreadPoolExecutor(2) as threads:
        done, busy = sorted(threads.map(run, ["AB", "BA"]), key=len)
    assert "deadlock" in busy
    with DatabaseManager(url) as book:
        booked = {trade.order_id for trade in book.iterate(Trade)}
        assert booked == {"first", f"{done}-1", f"{done}-2"}
        assert book.verify().proven


# Serialization failure


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_trade_that_cannot_be_serialized_is_tried_again(
    new_manager: NewManager, own_postgresql_book: URL, level: str
) -> None:
    url = book_with(own_postgresql_book, default_transaction_isolation=level)
    manager = new_manager(url)
    tries = []

    with DatabaseManager(url) as other:

        def behind(uow: AbstractUnitOfWork) -> None:
            handlers.record_trade(uow, symbol="A", order_id="a", **TERMS)  # now it sees an instant
            if not tries:
                other.record_trade(symbol="B", **TERMS)
            tries.append(True)
            handlers.record_trade(uow, symbol="B", order_id="b", **TERMS)

        manager.run(behind)
        assert len(tries) == 2
        assert [(p.symbol, p.quantity) for p in other.get_positions()] == [("A", 2), ("B", 3)]
        assert other.verify().proven


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_server_that_serializes_everything_loses_nothing(
    own_postgresql_book: URL, level: str
) -> None:
    url = book_with(own_postgresql_book, default_transaction_isolation=level)
    with DatabaseManager(url) as book, ThreadPoolExecutor(4) as threads:
        orders = [f"o-{number}" for number in range(40)] * 2
        list(threads.map(lambda id_: book.record_trade(symbol="X", order_id=id_, **TERMS), orders))
        assert book.get_position_by_symbol("X").quantity == 40
        assert book.verify().proven


# Lock timeout


@pytest.mark.parametrize("where", ["sqlite_book", "postgresql_book"])
def test_a_lock_that_is_let_go_of_during_the_retries_costs_nothing(
    new_manager: NewManager, where: str, request: pytest.FixtureRequest
) -> None:
    config = attrs.evolve(configured(request.getfixturevalue(where)), lock_timeout=20)
    account, tries = uuid4().hex, []
    with DatabaseManager(config, account) as other:
        other.record_trade(symbol="X", **TERMS)
        holding = other.unit_of_work()
        holding.__enter__()
        handlers.record_trade(holding, symbol="X", **TERMS)

        def wait(uow: AbstractUnitOfWork) -> None:
            tries.append(True)
            if len(tries) == 3:
                holding.commit()
                holding.__exit__(None, None, None)
            handlers.record_trade(uow, symbol="X", order_id="waited", **TERMS)

        manager = new_manager(config, account)
        manager.get_positions()
        manager.run(wait)
        assert len(tries) >= 3
        assert other.get_position_by_symbol("X").quantity == 3
        assert other.verify().proven


# Statement timeout


def test_a_unit_of_work_with_a_statement_that_took_too_long_leaves_nothing_half_written(
    new_manager: NewManager, postgresql_book: URL
) -> None:
    config = attrs.evolve(configured(postgresql_book), statement_timeout=100)
    manager = new_manager(config, uuid4().hex)

    def trade_and_dawdle(uow: Any) -> None:
        handlers.record_trade(uow, symbol="X", order_id="o-1", **TERMS)
        uow.session.execute(text("SELECT pg_sleep(30)"))

    with pytest.raises(StatementCancelled, match="TRADEBOOK_DB_STATEMENT_TIMEOUT"):
        manager.run(trade_and_dawdle)
    assert manager.get_trades() == manager.get_positions() == []
    manager.record_trade(symbol="X", order_id="o-1", **TERMS)
    assert manager.verify().trades == 1


def test_a_statement_that_somebody_cancelled_is_named(
    new_manager: NewManager, postgresql_book: URL, postgresql: URL
) -> None:
    name = uuid4().hex
    config = attrs.evolve(configured(postgresql_book), application_name=name)
    manager = new_manager(config, uuid4().hex)
    cancelling = threading.Thread(target=cancel, args=[postgresql, name])
    cancelling.start()
    with (
        pytest.raises(StatementCancelled, match="cancel"),
        manager.unit_of_work() as uow,
    ):
        within(uow, lambda inner: inner.session.execute(text("SELECT pg_sleep(60)")))
    cancelling.join()
    assert manager.get_positions() == []


def cancel(server: URL, name: str) -> None:
    """Cancel what a session sleeps on, once it does."""
    connection = psycopg2.connect(server.set(drivername="postgresql").render_as_string(False))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cancelled = None
        while cancelled is None:
            cursor.execute(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = %s AND wait_event = 'PgSleep'",
                [name],
            )
            cancelled = cursor.fetchone()
    connection.close()
