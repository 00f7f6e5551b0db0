"""Connections of both managers: how they are opened, what limits them, and how they are lost."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import psycopg2
import pytest
from psycopg2 import sql
from sqlalchemy import URL, text

from tests.support.backends import within
from tests.support.guarded_servers import PASSWORD, guarded_server
from tests.support.servers import configured
from tradebook import (
    Alert,
    BookBusy,
    DatabaseConfig,
    DatabaseFailure,
    DatabaseUnavailable,
    PoolExhausted,
    StatementCancelled,
    handlers,
)
from tradebook.adapters.runner import retries
from tradebook.service_layer import queries

AWFUL = "a@b:c/d%e#f?g&h ü'\"\\%41"
ONE_TRADE: dict[str, Any] = {"symbol": "X", "action": "BUY", "quantity": 1, "price": 1}
NewManager = Callable[..., Any]


@pytest.fixture(scope="module")
def guarded() -> Iterator[DatabaseConfig]:
    """A server on TCP that asks for passwords."""
    with guarded_server() as config:
        yield config


# Opened


@pytest.mark.usefixtures("brief_outages")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"port": 1}, ["cannot connect to localhost:1", "TRADEBOOK_DB_HOST", "TRADEBOOK_DB_PORT"]),
        ({"host": "nowhere.invalid"}, ["cannot connect to nowhere.invalid", "TRADEBOOK_DB_HOST"]),
        (
            {"password": "s3cret-and-wrong"},
            ["password", "TRADEBOOK_DB_USER", "TRADEBOOK_DB_PASSWORD", "_PASSWORD_FILE"],
        ),
        (
            {"database": "missing"},
            ["does not exist", "createdb", "missing", "tradebook db upgrade"],
        ),
        ({"sslmode": "require"}, ["TLS", "TRADEBOOK_DB_SSLMODE"]),
    ],
    ids=["down", "unknown host", "wrong password", "no database", "no TLS"],
)
def test_what_cannot_be_reached_is_explained_as_the_readme_promises(
    new_manager: NewManager, guarded: DatabaseConfig, changes: dict[str, Any], words: list[str]
) -> None:
    manager = new_manager(attrs.evolve(guarded, **changes))
    with pytest.raises(DatabaseUnavailable) as refused:
        manager.get_positions()
    for word in words:
        assert word in str(refused.value)
    assert refused.value.is_lasting is changes.keys().isdisjoint(["host", "port"])
    assert manager.retries == 0 or not refused.value.is_lasting
    health = manager.health()
    assert (health.reachable, health.error) == (False, str(refused.value))
    assert manager.pool_status().checked_out == 0


@pytest.mark.usefixtures("brief_outages")
@pytest.mark.parametrize("change", [{"port": 1}, {"password": "s3cret-and-wrong"}])
def test_nothing_that_is_written_out_shows_the_password(
    new_manager: NewManager,
    guarded: DatabaseConfig,
    change: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    manager = new_manager(attrs.evolve(guarded, echo=True, **{"password": PASSWORD, **change}))
    with pytest.raises(DatabaseUnavailable) as refused:
        manager.get_positions()
    error: BaseException | None = refused.value
    while error is not None:
        assert "s3cret" not in str(error) + repr(error)
        error = error.__cause__ or error.__context__
    del change  # this test's own frame is written out too
    whole = traceback.TracebackException.from_exception(refused.value, capture_locals=True)
    assert "s3cret" not in "".join(whole.format())
    assert "s3cret" not in caplog.text + repr(manager.health())


@pytest.fixture
def awful(guarded: DatabaseConfig) -> Iterator[DatabaseConfig]:
    """A role whose name and password nobody would want to type."""
    connection = psycopg2.connect(
        host=guarded.host,
        port=guarded.port,
        dbname=guarded.database,
        user=guarded.username,
        password=str(guarded.password),
    )
    connection.autocommit = True
    role = sql.Identifier(AWFUL)
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(AWFUL)))
        yield attrs.evolve(guarded, username=AWFUL, password=AWFUL)
        cursor.execute(sql.SQL("DROP ROLE {}").format(role))
    connection.close()


def test_an_awful_name_and_password_log_in(new_manager: NewManager, awful: DatabaseConfig) -> None:
    assert new_manager(awful).health().reachable
    assert new_manager(DatabaseConfig.from_url(str(awful.url))).health().reachable
    wrong = new_manager(attrs.evolve(awful, password=AWFUL[:-1]))
    assert "password" in wrong.health().error


def drivers_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if "_connection_worker" in thread.name}


def test_a_new_sqlite_file_is_its_owners_alone_and_others_keep_their_mode(
    new_manager: NewManager, tmp_path: Path
) -> None:
    (tmp_path / "old.db").touch()
    (tmp_path / "old.db").chmod(0o640)
    for name, mode in (("new.db", 0o600), ("old.db", 0o640)):
        new_manager(f"sqlite:///{tmp_path / name}").record_trade(**ONE_TRADE)
        files = [*tmp_path.glob(f"{name}*")]  # the write-ahead log among them
        assert [each.stat().st_mode & 0o777 for each in files] == [mode] * 3


@pytest.mark.parametrize("name", ["a folder", "in no folder"])
def test_a_file_that_cannot_be_opened_is_named_and_leaves_no_thread(
    new_manager: NewManager, tmp_path: Path, name: str
) -> None:
    path = tmp_path if name == "a folder" else tmp_path / "nowhere" / "book.db"
    manager, before = new_manager(DatabaseConfig(path=path)), drivers_threads()
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable, match="check the path and its perm") as refused:
            manager.get_positions()
        assert f"cannot open {path}" in str(refused.value)
        assert drivers_threads() <= before  # one that is left answers a closed event loop
    assert manager.pool_status().checked_out == 0


# Lost


def end_every_connection(url: URL, name: str) -> None:
    connection = psycopg2.connect(url.set(drivername="postgresql").render_as_string(False))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE application_name = %s",
            [name],
        )
        assert cursor.fetchall() == [(True,)]
    connection.close()


@pytest.fixture
def config(postgresql_book: URL) -> DatabaseConfig:
    """A book on a server, whose connections have a name of their own."""
    return attrs.evolve(configured(postgresql_book), application_name=uuid4().hex)


def test_a_connection_that_is_lost_in_the_middle_is_replaced(
    new_manager: NewManager, config: DatabaseConfig, postgresql: URL
) -> None:
    manager = new_manager(config, uuid4().hex)

    def two_trades() -> None:
        with manager.unit_of_work() as uow:
            within(uow, handlers.record_trade, **ONE_TRADE)
            end_every_connection(postgresql, config.application_name or "")
            within(uow, handlers.record_trade, **ONE_TRADE)

    with pytest.raises(DatabaseUnavailable, match=r"was lost: .*the next call connects again"):
        two_trades()
    assert manager.pool_status().checked_out == 0
    assert manager.get_positions() == []


def test_a_connection_that_is_lost_before_the_commit_books_nothing(
    new_manager: NewManager, config: DatabaseConfig, postgresql: URL
) -> None:
    manager = new_manager(config, uuid4().hex)

    def add_alert() -> None:
        with manager.get_session() as session:
            session.add(Alert(alert_type="drawdown", severity="INFO", message="down 5 %"))
            session.flush()
            end_every_connection(postgresql, config.application_name or "")

    with pytest.raises(DatabaseUnavailable, match="was lost"):
        add_alert()
    assert manager.pool_status().checked_out == 0
    assert manager.get_alerts() == []


def test_a_connection_that_is_lost_at_rest_fails_no_call(
    new_manager: NewManager, config: DatabaseConfig, postgresql: URL
) -> None:
    manager = new_manager(config, uuid4().hex)
    manager.record_trade(**ONE_TRADE)
    end_every_connection(postgresql, config.application_name or "")
    assert len(manager.get_positions()) == 1
    end_every_connection(postgresql, config.application_name or "")
    manager.record_trade(**ONE_TRADE)
    assert manager.get_position_by_symbol("X").quantity == 2
    assert manager.retries == 2


def test_a_connection_that_is_checked_before_use_fails_no_call(
    new_manager: NewManager, config: DatabaseConfig, postgresql: URL
) -> None:
    manager = new_manager(attrs.evolve(config, pool_pre_ping=True), uuid4().hex)
    manager.record_trade(**ONE_TRADE)
    end_every_connection(postgresql, config.application_name or "")
    assert len(manager.get_positions()) == 1
    assert manager.retries == 0


def test_a_value_that_a_driver_cannot_send_is_no_lost_connection(manager: Any) -> None:
    with pytest.raises(DatabaseFailure) as refused, manager.get_session() as session:
        session.execute(text("SELECT :value"), {"value": object()})
    assert not isinstance(refused.value, DatabaseUnavailable)
    assert "object" in str(refused.value)


# Limited in time


def test_a_statement_that_takes_too_long_is_ended(
    new_manager: NewManager, config: DatabaseConfig
) -> None:
    manager = new_manager(attrs.evolve(config, statement_timeout=50))
    with (
        pytest.raises(StatementCancelled, match="TRADEBOOK_DB_STATEMENT_TIMEOUT"),
        manager.get_session() as session,
    ):
        session.execute(text("SELECT pg_sleep(5)"))
    assert manager.get_positions() == []


def test_a_lock_is_not_waited_for_longer_than_said(
    new_manager: NewManager, config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "MAX_ATTEMPTS", 2)
    manager = new_manager(attrs.evolve(config, lock_timeout=50), uuid4().hex)
    manager.record_trade(**ONE_TRADE)
    with manager.unit_of_work() as uow:
        within(uow, handlers.record_trade, **ONE_TRADE)
        with pytest.raises(BookBusy, match="lock"):
            manager.record_trade(**ONE_TRADE)
        uow.commit()
    assert manager.get_position_by_symbol("X").quantity == 2


def test_another_writer_on_sqlite_is_not_waited_for_longer_than_said(
    new_manager: NewManager, sqlite_book: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "MAX_ATTEMPTS", 2)
    manager = new_manager(attrs.evolve(configured(sqlite_book), lock_timeout=20))
    manager.record_trade(**ONE_TRADE)
    with manager.unit_of_work() as uow:
        within(uow, handlers.record_trade, **ONE_TRADE)
        with pytest.raises(BookBusy, match="locked"):
            manager.record_trade(**ONE_TRADE)
        uow.commit()
    with manager.get_session() as session:
        assert session.execute(text("PRAGMA busy_timeout")).scalar() == 20
    assert manager.get_position_by_symbol("X").quantity == 2


# All in use


@pytest.mark.parametrize("url", ["sqlite_book", "postgresql_book"])
def test_a_manager_whose_pool_is_exhausted_says_who_uses_it(
    new_manager: NewManager, url: str, request: pytest.FixtureRequest
) -> None:
    small = {"pool_size": 1, "max_overflow": 1, "pool_timeout": 0.05}
    manager = new_manager(attrs.evolve(configured(request.getfixturevalue(url)), **small))
    manager.get_positions()
    reading = {"read_only": True}
    with manager.unit_of_work(**reading) as first, manager.unit_of_work(**reading) as second:
        within(first, queries.get_positions)
        within(second, queries.get_positions)
        status = manager.pool_status()
        assert (status.checked_out, status.overflow, status.waiting) == (2, 1, 0)
        with pytest.raises(PoolExhausted, match=r"pool_size=1, max_overflow=1.* by (thread|task) "):
            manager.get_positions()
        assert "pool_size=1" in manager.health().error
    assert manager.pool_status().checked_out == 0
    assert manager.get_positions() == []
