"""Both managers, asyncio or not: how they are made, their sessions, units of work, schema and pool."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL, Engine, make_url, select, text

from tests.support.backends import Driven, new_book, within
from tradebook import (
    AsyncDatabaseManager,
    BookBusy,
    CallContext,
    CashFlow,
    ConstraintViolated,
    DatabaseFailure,
    DatabaseManager,
    InvalidInput,
    SchemaNotReady,
    Signal,
    Trade,
    handlers,
)
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.adapters.runner import retries
from tradebook.config import DatabaseConfig
from tradebook.service_layer import queries

MANAGERS = [DatabaseManager, AsyncDatabaseManager]
ONE_TRADE: dict[str, Any] = {"symbol": "X", "action": "BUY", "quantity": 1, "price": 1}


# Making one


def test_a_manager_takes_a_url_a_configuration_or_what_the_environment_says(
    new_manager: Callable[..., Any], sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADEBOOK_DATABASE_URL", sqlite_url)
    config = DatabaseConfig.from_url(sqlite_url)
    new_manager(sqlite_url).record_trade(**ONE_TRADE)
    assert len(new_manager(config).get_positions()) == 1
    assert len(new_manager(make_url(sqlite_url)).get_positions()) == 1
    assert len(new_manager().get_positions()) == 1
    assert len(new_manager(None, "desk").get_positions()) == 0
    assert new_manager(config).config is config


def test_where_nothing_is_said_the_book_is_a_file_in_the_working_directory(
    new_manager: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("TRADEBOOK_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    manager = new_manager()
    assert manager.pool_status().checked_in == 0
    assert [*tmp_path.iterdir()] == []  # making one connects to nothing
    manager.record_trade(**ONE_TRADE)
    assert (tmp_path / "tradebook.db").is_file()
    assert manager.pool_status().checked_in == 1


@pytest.mark.parametrize("kind", MANAGERS)
@pytest.mark.parametrize(
    "config", [5, b"sqlite://", "mysql://x/y", "not a url", make_url("mysql://x/y"), {}]
)
def test_what_is_no_database_is_refused(kind: type[Any], config: Any) -> None:
    with pytest.raises(InvalidInput):
        kind(config)


@pytest.mark.parametrize("kind", MANAGERS)
@pytest.mark.parametrize(
    "options", [{"account": 5}, {"account": ""}, {"base_currency": 5}, {"actor": 5}]
)
def test_what_names_nobody_is_refused(kind: type[Any], options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        kind("sqlite://", **options)


@pytest.mark.parametrize("kind", MANAGERS)
def test_a_manager_shows_its_account_and_no_password(kind: type[Any]) -> None:
    manager = kind("postgresql://me:secret@nowhere.invalid/book?sslpassword=secret", "desk")
    assert "secret" not in manager.url + repr(manager) + repr(vars(manager))
    assert "'desk'" in repr(manager)


@pytest.mark.parametrize("kind", MANAGERS)
@pytest.mark.parametrize("refused", [{"config": "not a url"}, {"config": "sqlite://", "actor": 5}])
def test_a_manager_whose_constructor_failed_can_be_shown(
    kind: type[Any], refused: dict[str, Any]
) -> None:
    manager = kind.__new__(kind)  # as a debugger, or a log of all variables, finds it
    with pytest.raises(InvalidInput):
        manager.__init__(**refused)
    assert "constructor failed" in repr(manager)


def test_both_managers_share_a_database_in_memory_when_made_from_one_configuration() -> None:
    config = DatabaseConfig.from_url("sqlite://")
    with DatabaseManager(config) as manager, new_book(AsyncDatabaseManager, config) as other:
        other.record_trade(**ONE_TRADE)
        assert len(manager.get_positions()) == 1
        close(other)
        assert len(manager.get_positions()) == 1
        assert len(other.get_positions()) == 1
        manager.close()
        assert len(other.get_positions()) == 1


# The schema


def test_a_server_without_the_schema_is_refused_until_it_is_upgraded(
    new_manager: Callable[..., Any], new_database: Callable[[], URL]
) -> None:
    manager = new_manager(new_database())
    for _ in range(2):
        with pytest.raises(SchemaNotReady, match="tradebook db upgrade"):
            manager.get_positions()
        with pytest.raises(SchemaNotReady), manager.unit_of_work() as uow:
            within(uow, handlers.record_trade, **ONE_TRADE)
        with pytest.raises(SchemaNotReady), manager.get_session():
            pass
    manager.upgrade()
    manager.upgrade()
    assert manager.get_positions() == []
    assert manager.pool_status().checked_out == 0


def test_a_new_database_in_memory_can_be_upgraded_before_it_is_used(
    new_manager: Callable[..., Any],
) -> None:
    manager = new_manager("sqlite://")
    manager.upgrade()
    assert manager.health().schema == "current"
    assert manager.get_positions() == []


def test_the_event_loop_goes_on_while_a_database_is_upgraded(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade, begun, gone_on = migrations.upgrade, threading.Event(), threading.Event()

    def slow_upgrade(engine: Engine) -> None:
        begun.set()
        assert gone_on.wait(timeout=10)
        upgrade(engine)

    async def main() -> None:
        async with AsyncDatabaseManager(sqlite_url) as manager:
            first_call = asyncio.create_task(manager.get_positions())
            while not begun.is_set():
                await asyncio.sleep(0)
            gone_on.set()
            assert await first_call == []

    monkeypatch.setattr(migrations, "upgrade", slow_upgrade)
    asyncio.run(main())


# Closing


def close(manager: Any) -> None:
    """Close the connections, not the event loop."""
    manager.aclose() if isinstance(manager, Driven) else manager.close()


def test_a_closed_manager_can_be_used_again(manager: Any) -> None:
    manager.record_trade(**ONE_TRADE)
    close(manager)
    assert manager.pool_status().checked_out == 0
    assert len(manager.get_positions()) == 1


def test_a_database_in_memory_ends_with_close_and_another_begins(
    new_manager: Callable[..., Any],
) -> None:
    manager = new_manager("sqlite://")
    manager.record_trade(**ONE_TRADE)
    close(manager)
    assert manager.get_positions() == []


@pytest.mark.parametrize("url", ["sqlite_url", "postgresql_book"])
def test_an_async_manager_serves_one_event_loop_after_another_when_closed_between(
    url: str, request: pytest.FixtureRequest
) -> None:
    manager = AsyncDatabaseManager(request.getfixturevalue(url), uuid4().hex)

    async def trades() -> int:
        async with manager:
            calls = (manager.record_trade(**ONE_TRADE) for _ in range(3))
            await asyncio.gather(*calls)
            return len(await manager.get_trades_by_symbol("X"))

    assert [asyncio.run(trades()), asyncio.run(trades())] == [3, 6]


def test_an_async_manager_in_a_second_event_loop_says_so(sqlite_url: str) -> None:
    manager = AsyncDatabaseManager(sqlite_url)
    with asyncio.Runner() as first:
        first.run(manager.get_positions())
        with pytest.raises(RuntimeError, match="another event loop"), asyncio.Runner() as second:
            second.run(manager.get_positions())
        first.run(manager.aclose())


# Sessions and units of work


def add_signal(session: Any) -> None:
    session.add(Signal(symbol="X", action="BUY"))


def test_a_session_commits_at_its_end(manager: Any) -> None:
    with manager.get_session() as session:
        add_signal(session)
        session.flush()
        assert manager.pool_status().checked_out == 1
    assert len(manager.get_signals()) == 1
    assert manager.pool_status().checked_out == 0


def test_a_session_rolls_back_on_an_error(manager: Any) -> None:
    def fails_in_a_session() -> None:
        with manager.get_session() as session:
            add_signal(session)
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails_in_a_session()
    assert manager.get_signals() == []
    assert manager.pool_status().checked_out == 0


def test_a_session_that_is_rolled_back_and_goes_on_commits_the_rest(manager: Any) -> None:
    with manager.get_session() as session:
        add_signal(session)
        session.rollback()
        session.add(Signal(symbol="Y", action="SELL"))
    assert [signal.symbol for signal in manager.get_signals()] == ["Y"]


def test_a_session_whose_commit_fails_leaves_nothing_and_returns_its_connection(
    manager: Any,
) -> None:
    def pays_twice() -> None:
        with manager.get_session() as session:
            add_signal(session)
            for amount in (1, 2):
                session.add(CashFlow(kind="DEPOSIT", amount=amount, reference="r"))

    with pytest.raises(ConstraintViolated):
        pays_twice()
    assert (manager.get_signals(), manager.get_cash_flows()) == ([], [])
    assert manager.pool_status().checked_out == 0


def test_a_session_that_the_guard_refuses_leaves_nothing_and_returns_its_connection(
    manager: Any,
) -> None:
    def books_past_the_ledger() -> None:
        with manager.get_session() as session:
            add_signal(session)
            session.flush()
            session.add(Trade(**ONE_TRADE, status="EXECUTED"))

    with pytest.raises(InvalidInput, match="record_trade"):
        books_past_the_ledger()
    assert (manager.get_signals(), manager.get_trades()) == ([], [])
    assert manager.pool_status().checked_out == 0


def test_what_a_session_read_and_wrote_stays_readable(manager: Any) -> None:
    recorded = manager.record_signal("X", "BUY")
    with manager.get_session() as session:
        [read] = session.execute(select(Signal)).scalars().all()
        written = Signal(symbol="Y", action="SELL")
        session.add(written)
    assert (read.id, read.symbol, read.account) == (recorded.id, "X", manager.account)
    assert (written.symbol, written.account) == ("Y", manager.account)
    assert manager.get(Signal, written.id).symbol == "Y"


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_what_a_unit_of_work_read_stays_readable_after_commit_rollback_and_error(
    manager: Any,
) -> None:
    with manager.unit_of_work() as uow:
        booked = within(uow, handlers.record_trade, **ONE_TRADE)
        uow.commit()
        discarded = within(uow, handlers.record_trade, **{**ONE_TRADE, "symbol": "Y"})
        uow.rollback()
        refused = within(uow, handlers.record_trade, **{**ONE_TRADE, "symbol": "Z"})
        with pytest.raises(InvalidInput):
            within(uow, handlers.record_trade, **{**ONE_TRADE, "price": "dear"})
    assert [trade.symbol for trade in (booked, discarded, refused)] == ["X", "Y", "Z"]
    assert [position.symbol for position in manager.get_positions()] == ["X"]


@pytest.mark.parametrize("commits", [True, False])
def test_a_read_only_unit_of_work_refuses_to_write_and_the_next_one_writes(
    manager: Any, commits: bool
) -> None:
    def writes() -> None:
        with manager.unit_of_work(read_only=True) as uow:
            within(uow, handlers.record_trade, **ONE_TRADE)
            if commits:
                uow.commit()

    manager.get_positions()
    with pytest.raises(DatabaseFailure, match=r"read-?only"):
        writes()
    assert manager.get_positions() == []
    manager.record_trade(**ONE_TRADE)
    assert len(manager.get_positions()) == 1
    assert manager.pool_status().checked_out == 0


def test_a_call_has_the_context_that_it_is_given_or_the_actor_of_the_manager(manager: Any) -> None:
    at = datetime(2026, 3, 2, tzinfo=UTC)
    with manager.unit_of_work(context=CallContext(at=at, actor="ann")) as uow:
        within(uow, handlers.raise_alert, "given", "INFO")
        uow.commit()
    manager.raise_alert("own", "INFO")
    own, given = manager.get_events(entity="Alert")
    assert (given.occurred_at, given.actor, own.actor) == (at, "ann", "tester")


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_a_unit_of_work_discards_what_was_not_committed(manager: Any) -> None:
    with manager.unit_of_work() as uow:
        within(uow, handlers.record_trade, **ONE_TRADE)
        uow.rollback()
        within(uow, handlers.raise_alert, "kept", "INFO")
        uow.commit()
        within(uow, handlers.raise_alert, "lost", "INFO")
    assert manager.get_positions() == []
    assert [alert.alert_type for alert in manager.get_alerts()] == ["kept"]
    assert manager.pool_status().checked_out == 0


def test_a_unit_of_work_translates_errors_and_returns_its_connection(manager: Any) -> None:
    def nonsense(uow: Any) -> None:
        uow.session.execute(text("SELECT 1 FROM nowhere"))

    with pytest.raises(SchemaNotReady), manager.unit_of_work() as uow:
        within(uow, nonsense)
    assert manager.pool_status().checked_out == 0


def test_a_commit_that_finds_sqlite_busy_leaves_no_transaction_open(
    new_manager: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "_AFTER_CONFLICT", (0.001, 0.001))
    manager = new_manager(DatabaseConfig(path=":memory:", lock_timeout=1))
    manager.record_trade(**ONE_TRADE)
    with manager.unit_of_work(read_only=True) as reading:
        within(reading, queries.get_positions)  # readers keep a writer in memory from committing
        with pytest.raises(BookBusy, match="locked"):
            manager.record_trade(**ONE_TRADE)
    manager.record_trade(**ONE_TRADE)
    assert (manager.get_position_by_symbol("X").quantity, manager.verify().proven) == (2, True)


# Health and the pool


def test_health_and_pool_are_told_before_and_after_first_use(manager: Any) -> None:
    assert manager.health().reachable
    manager.get_positions()
    assert (manager.health().ok, manager.health().schema) == (True, "current")
    status = manager.pool_status()
    assert (status.size, status.checked_out, status.waiting) == (10, 0, 0)
