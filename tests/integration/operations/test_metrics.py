"""Metrics of both managers on real databases: commits, retries, waits and durations."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import attrs
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import URL

from tests.integration.adapters.engine.test_pool import until
from tests.support.cut_connections import CUTS, CuttingFront
from tests.support.servers import configured
from tradebook import (
    Alert,
    AsyncDatabaseManager,
    BookBusy,
    ConcurrentUpdate,
    DatabaseManager,
    DuplicateOrder,
    Trade,
    handlers,
)
from tradebook.adapters.runner import retries
from tradebook.operations import metrics

BUY: dict[str, Any] = {"symbol": "AAPL", "action": "BUY", "quantity": 1, "price": 10}
NewManager = Callable[..., Any]


class Metrics:
    """A registry, and access to its values."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def watch(self, manager: Any, **options: Any) -> None:
        """Instrument a manager of any kind."""
        metrics.instrument(getattr(manager, "target", manager), registry=self.registry, **options)

    def __call__(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"tradebook_{name}", labels) or 0.0


@pytest.fixture
def value() -> Metrics:
    return Metrics()


@pytest.fixture
def watched(manager: Any, value: Metrics) -> Any:
    """Return a manager that is instrumented before its first call."""
    value.watch(manager, pool="here")
    return manager


def test_trades_duplicates_busts_and_alerts_are_counted(watched: Any, value: Metrics) -> None:
    for order in ("o-1", "o-2", "o-2", "o-3"):
        watched.record_trade(**BUY, order_id=order)
    watched.record_trades([{**BUY, "order_id": order} for order in ("o-3", "o-4")])
    watched.import_trades([{**BUY, "order_id": order} for order in ("o-4", "o-5", "o-6")])
    watched.bust_trade(order_id="o-1", reason="wrong")
    watched.correct_trade(order_id="o-2", price=11, reason="misread")
    for _ in range(2):
        watched.raise_alert("drawdown", "CRITICAL", dedup_key="d")
    watched.create(Alert(alert_type="drawdown", severity="INFO"))
    assert value("trades_total") == 3 + 1 + 2 + 1
    assert value("duplicates_total") == 1 + 1 + 1
    assert value("busts_total") == 2
    assert value("alerts_total", severity="CRITICAL") == 1
    assert value("alerts_total", severity="INFO") == 1
    done = {"outcome": "done"}
    assert value("unit_of_work_seconds_count", handler="record_trade", **done) == 4
    assert value("unit_of_work_seconds_count", handler="import_trades", **done) == 1


def test_a_manager_that_is_instrumented_twice_counts_once(watched: Any, value: Metrics) -> None:
    value.watch(watched, pool="again")
    watched.record_trade(**BUY)
    assert value("trades_total") == 1
    done = {"handler": "record_trade", "outcome": "done"}
    assert value("unit_of_work_seconds_count", **done) == 1
    assert value("pool_size", pool="again") == 0
    assert value("pool_size", pool="here") == 10


def test_what_is_refused_is_no_trade(watched: Any, value: Metrics) -> None:
    watched.record_trade(**BUY, order_id="o-1")
    with pytest.raises(DuplicateOrder):
        watched.record_trade(**{**BUY, "price": 11}, order_id="o-1")
    assert value("trades_total") == 1
    failed = {"handler": "record_trade", "outcome": "failed"}
    assert value("unit_of_work_seconds_count", **failed) == 1


def test_reads_are_timed_by_query_and_statements_by_verb_and_table(
    watched: Any, value: Metrics
) -> None:
    watched.record_trade(**BUY)  # on a new file it runs the migrations, which copy tables
    before = value("query_seconds_count", statement="insert trades")
    watched.record_trade(**BUY)
    watched.get_open_positions()
    watched.verify()
    for handler in ("get_open_positions", "verify"):
        assert value("unit_of_work_seconds_count", handler=handler, outcome="done") == 1
    booked = value("query_seconds_count", statement="insert trades") - before
    assert booked == 1 + prepared(watched)
    assert value("query_seconds_count", statement="select positions") >= 2
    assert value("query_seconds_sum", statement="insert trades") > 0


def prepared(manager: Any) -> int:
    """Return 1 where a PREPARE precedes the booking statement, which psycopg2 does not prepare by itself; else 0."""
    return int(type(manager) is DatabaseManager and "postgresql" in manager.url)


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_a_unit_of_work_counts_what_it_committed(manager: Any, value: Metrics) -> None:
    if not isinstance(manager, DatabaseManager):
        asyncio.run(commit_and_discard(manager.config, value))
    else:
        value.watch(manager)
        with manager.unit_of_work() as uow:
            handlers.record_trade(uow, **BUY)
            uow.commit()
            handlers.record_trade(uow, **BUY)
        with manager.unit_of_work() as uow:
            handlers.record_trade(uow, **BUY)
            uow.rollback()
            uow.commit()
    assert value("trades_total") == 1
    done = {"handler": "unit_of_work", "outcome": "done"}
    assert value("unit_of_work_seconds_count", **done) == 2


async def commit_and_discard(config: Any, value: Metrics) -> None:
    async with AsyncDatabaseManager(config, uuid4().hex) as manager:
        value.watch(manager)
        async with manager.unit_of_work() as uow:
            await uow.run(handlers.record_trade, **BUY)
            await uow.commit()
            await uow.run(handlers.record_trade, **BUY)
        async with manager.unit_of_work() as uow:
            await uow.run(handlers.record_trade, **BUY)
            await uow.rollback()
            await uow.commit()


def test_a_unit_of_work_that_is_entered_again_counts_again(
    value: Metrics, sqlite_book: str
) -> None:
    with DatabaseManager(sqlite_book) as book:
        value.watch(book)
        uow = book.unit_of_work()
        for order in ("o-1", "o-2"):
            with uow:
                handlers.record_trade(uow, **BUY, order_id=order)
                uow.commit()
        assert book.count(Trade) == 2
    assert value("trades_total") == 2


def test_sessions_by_hand_and_functions_of_others_are_counted(watched: Any, value: Metrics) -> None:
    with watched.get_session():
        pass
    watched.run(lambda uow: handlers.record_trade(uow, **BUY))
    done = {"outcome": "done"}
    assert value("unit_of_work_seconds_count", handler="session", **done) == 1
    assert value("unit_of_work_seconds_count", handler="custom", **done) == 1
    assert value("trades_total") == 1


def test_conflicts_and_retries_are_counted(
    watched: Any, value: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "MAX_ATTEMPTS", 3)
    conflicts = iter([True, True, False])

    def sometimes(uow: Any) -> None:
        handlers.record_trade(uow, **BUY)
        if next(conflicts, True):
            raise ConcurrentUpdate("another was first")

    watched.run(sometimes)
    assert value("retries_total", reason="conflict") == watched.retries == 2
    assert (value("conflicts_total"), value("trades_total")) == (2, 1)
    with pytest.raises(BookBusy):
        watched.run(sometimes)
    assert (value("conflicts_total"), value("trades_total")) == (5, 1)


@pytest.mark.parametrize("moment", CUTS)
def test_a_connection_lost_at_commit_is_a_retry_and_what_was_done_counts_once(
    new_manager: NewManager, postgresql_book: URL, value: Metrics, moment: str
) -> None:
    with CuttingFront(postgresql_book) as front:
        manager = new_manager(front.url, uuid4().hex)
        manager.record_trade(**BUY)
        value.watch(manager)
        front.cut_next(moment)
        manager.raise_alert("cut", "INFO")
        assert value("alerts_total", severity="INFO") == 1
        assert value("retries_total", reason="lost connection") == front.cuts == 1


def test_who_waits_for_a_connection_is_counted(value: Metrics, sqlite_book: str) -> None:
    config = attrs.evolve(configured(sqlite_book), pool_size=1, max_overflow=0)
    with DatabaseManager(config) as manager, ThreadPoolExecutor(1) as threads:
        value.watch(manager, pool="small")
        with manager.unit_of_work(read_only=True) as uow:
            uow.session.connection()
            waiting = threads.submit(manager.get_open_positions)
            until(lambda: value("pool_waiting", pool="small") == 1)
            assert value("pool_checked_out", pool="small") == 1
        assert waiting.result() == []
        assert value("pool_waits_total", pool="small") == 1
        assert value("pool_wait_seconds_total", pool="small") > 0
        assert value("pool_waiting", pool="small") == 0


def test_a_statement_that_fails_is_counted(watched: Any, value: Metrics) -> None:
    def wrong(uow: Any) -> None:
        uow.session.connection().exec_driver_sql("SELECT nothing FROM trades")

    with pytest.raises(Exception, match="nothing"):
        watched.read(wrong)
    assert value("query_failures_total", statement="select trades") == 1


def test_two_watched_threads_do_not_take_each_others_counts(
    sqlite_book: str, value: Metrics
) -> None:
    with DatabaseManager(sqlite_book) as manager:
        value.watch(manager)
        met = threading.Barrier(2)

        def book(order: str) -> None:
            def work(uow: Any) -> None:
                met.wait(10)

            manager.read(work)
            manager.record_trade(**BUY, order_id=order)

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(book, ["a", "b"]))
        assert value("trades_total") == 2
        assert value("unit_of_work_seconds_count", handler="custom", outcome="done") == 2


def test_a_manager_that_nobody_watches_has_none_of_it(manager: Any) -> None:
    inner = getattr(manager, "target", manager)
    manager.record_trade(**BUY)
    container = inner._container
    engine = (
        container.engine() if isinstance(inner, DatabaseManager) else container.engine().sync_engine
    )
    assert not engine.dispatch.before_cursor_execute
    assert not engine.dispatch.after_cursor_execute
    assert container.observers() == []
