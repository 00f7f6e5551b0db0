"""Waits for locks end by themselves, and the error names who holds the lock."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import attrs
import pytest
from sqlalchemy import URL, text

from tests.support.backends import within
from tests.support.servers import configured
from tradebook import (
    BookBusy,
    ConcurrentUpdate,
    DatabaseManager,
    DatabaseUnavailable,
    handlers,
)
from tradebook.adapters.runner import retries

NewManager = Callable[..., Any]
BUY: dict[str, Any] = {"symbol": "X", "action": "BUY", "quantity": 1, "price": 10}


def limits(manager: Any) -> tuple[str, ...]:
    """Return the limits in force in a session: of waits for locks, and of idling in a transaction."""
    with manager.unit_of_work(read_only=True) as uow:
        names = ("lock_timeout", "idle_in_transaction_session_timeout")
        return tuple(
            within(uow, lambda inner, n=name: inner.session.execute(text(f"SHOW {n}")).scalar())
            for name in names
        )


def test_waits_are_limited_by_default_unless_something_else_is_said(
    new_manager: NewManager, own_postgresql_book: URL
) -> None:
    config = configured(own_postgresql_book)
    name = "idle_in_transaction_session_timeout"
    assert limits(new_manager(config)) == ("10s", "10min")
    assert limits(new_manager(attrs.evolve(config, lock_timeout=0, **{name: 0}))) == ("0", "0")
    assert limits(new_manager(attrs.evolve(config, **{name: 7000}))) == ("10s", "7s")
    with DatabaseManager(config) as manager, manager.get_session() as session:
        database = own_postgresql_book.database
        session.execute(text(f'ALTER DATABASE "{database}" SET lock_timeout = 3000'))
    assert limits(new_manager(config)) == ("3s", "10min")


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_a_writer_that_waits_for_a_unit_of_work_left_open_is_told_who_holds_the_lock(
    new_manager: NewManager, postgresql_book: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "MAX_LOCK_WAIT", 0.1)
    config, account = configured(postgresql_book), uuid4().hex
    manager = new_manager(attrs.evolve(config, lock_timeout=50), account)
    manager.record_trade(**BUY)
    forgetful = attrs.evolve(config, application_name="a forgetful bot")
    with DatabaseManager(forgetful, account) as other, other.unit_of_work() as uow:
        handlers.record_trade(uow, **BUY)
        pid = uow.session.execute(text("SELECT pg_backend_pid()")).scalar()
        named = rf"pid {pid} \('a forgetful bot'\), idle in transaction.* since \d\d:\d\d:\d\d UTC"
        with pytest.raises(BookBusy, match=named) as busy:
            manager.record_trade(**BUY)
        assert busy.value.attempts < retries.MAX_ATTEMPTS
        with pytest.raises(ConcurrentUpdate, match=named), manager.unit_of_work() as mine:
            within(mine, handlers.record_trade, **BUY)
    manager.record_trade(**BUY)
    assert manager.get_position_by_symbol("X").quantity == 2


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_a_writer_of_a_file_is_told_that_its_own_process_holds_the_lock(
    new_manager: NewManager, sqlite_book: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "MAX_LOCK_WAIT", 0.1)
    manager = new_manager(attrs.evolve(configured(sqlite_book), lock_timeout=50))
    manager.record_trade(**BUY)
    with manager.unit_of_work() as uow:
        within(uow, handlers.record_trade, **BUY)
        with pytest.raises(BookBusy, match=r"locked; held by this process; .* (thread|task) "):
            manager.record_trade(**BUY)


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="the system does not show locks")
def test_a_writer_of_a_file_is_told_which_other_process_holds_the_lock(
    new_manager: NewManager, sqlite_book: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "MAX_LOCK_WAIT", 0.1)
    config = attrs.evolve(configured(sqlite_book), lock_timeout=50)
    manager = new_manager(config)
    manager.record_trade(**BUY)
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(config.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(BookBusy, match=rf"locked; held by pid {other.pid} \('python"):
            manager.record_trade(**BUY)
    manager.record_trade(**BUY)


def test_a_session_that_idled_in_a_transaction_until_the_server_ended_it_is_explained(
    new_manager: NewManager, postgresql_book: URL
) -> None:
    config = attrs.evolve(
        configured(postgresql_book), idle_in_transaction_session_timeout=50, application_name="idle"
    )
    manager = new_manager(config, uuid4().hex)
    manager.record_trade(**BUY)
    named = r"in use for .* idles in a transaction for 0\.05 s \(TRADEBOOK_DB_IDLE_IN_TRANSACTION"

    def trade_and_idle() -> None:
        with manager.unit_of_work() as uow, DatabaseManager(postgresql_book) as watcher:
            within(uow, handlers.record_trade, **BUY)
            ended = text(
                "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'idle'"
            )
            with watcher.get_session() as session:
                while not session.execute(ended).scalar():
                    session.commit()
                    time.sleep(0.01)
            within(uow, handlers.raise_alert, "drawdown", "INFO")
            uow.commit()

    with pytest.raises(DatabaseUnavailable, match=named):
        trade_and_idle()
    assert len(manager.get_trades()) == 1
