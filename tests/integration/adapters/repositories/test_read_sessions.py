"""Reading on SQL: one statement where that is enough, entities made from rows, and times in UTC."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from unittest.mock import MagicMock
from uuid import uuid4

import pytest
from sqlalchemy import URL, event

from tests.integration.adapters.test_health import execute
from tests.support.public_calls import called, prepared, public_calls, valid_calls
from tradebook import AbstractUnitOfWork, Alert, DatabaseManager, Trade, handlers
from tradebook.domain.validation import utc_now
from tradebook.service_layer import queries
from tradebook.service_layer.queries import snapshots
from tradebook.service_layer.unit_of_work import is_single_statement, single_statement

BUY: Any = {"symbol": "AAPL", "action": "BUY", "quantity": 1, "price": "150.25"}


@pytest.fixture(params=["sqlite_book", "postgresql_book"])
def book(request: pytest.FixtureRequest) -> Any:
    with DatabaseManager(request.getfixturevalue(request.param), account=uuid4().hex) as made:
        yield made


def test_a_query_that_states_a_single_statement_sends_one(
    book: DatabaseManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = valid_calls(book, prepared(book))  # type: ignore[arg-type]
    read, statements, seen = book.read, [], set()

    def spy(query: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        statements.clear()
        found = read(query, *args, **kwargs)
        if is_single_statement(query):
            assert len(statements) == 1, (query.__name__, statements)
            seen.add(query.__name__)
        return found

    def note(*arguments: Any) -> None:
        if not arguments[2].startswith(("BEGIN", "PRAGMA")):
            statements.append(arguments[2])

    monkeypatch.setattr(book, "read", spy)
    event.listen(book._container.engine(), "before_cursor_execute", note)
    for method in sorted(m for m in public_calls() if m.startswith(("get", "count", "exists"))):
        for arguments in calls[method]:
            called(book, method, arguments)
    assert {
        "get",
        "get_all",
        "get_rows",
        "count",
        "get_trades",
        "get_cash_balances",
        "get_decisions",
    } <= seen


def test_every_query_that_states_nothing_gets_one_consistent_view(book: DatabaseManager) -> None:
    def count_twice(uow: AbstractUnitOfWork) -> tuple[int, int]:
        before = uow.alerts.count()
        book.raise_alert("raised in between", "INFO")
        return before, uow.alerts.count()

    assert book.read(count_twice) == (0, 0)
    assert book.count(Alert) == 1


def test_a_query_that_states_a_single_statement_gets_no_transaction(
    postgresql_book: URL,
) -> None:
    @single_statement
    def count_twice(uow: AbstractUnitOfWork) -> tuple[int, int]:
        before = uow.alerts.count()
        book.raise_alert("raised in between", "INFO")
        return before, uow.alerts.count()

    with DatabaseManager(postgresql_book, account=uuid4().hex) as book:
        assert book.read(count_twice) == (0, 1)


def test_an_object_that_answers_every_attribute_states_nothing() -> None:
    assert not is_single_statement(MagicMock())
    assert is_single_statement(queries.get_trades)
    assert not is_single_statement(snapshots.get_snapshot)


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_a_single_statement_leaves_the_next_unit_of_work_a_transaction(
    book: DatabaseManager,
) -> None:
    book.record_trade(**BUY)
    assert book.get_position_by_symbol("AAPL") is not None

    with book.unit_of_work() as uow:
        handlers.raise_alert(uow, "left", "INFO")

    assert list(book.get_alerts()) == []


def test_entities_that_were_read_are_free_to_change_and_to_record(book: DatabaseManager) -> None:
    order = book.record_trade(**BUY, status="PENDING")
    first, second = book.get(Trade, order.id), book.get(Trade, order.id)
    assert first is not None
    assert second is not None
    assert first is not second

    first.strategy = "mine"
    assert (second.strategy, book.get(Trade, order.id).strategy) == ("", "")  # type: ignore[union-attr]
    assert book.update(first).strategy == "mine"
    with book.get_session() as session:
        merged = session.merge(first)
        merged.strategy = "merged"

    assert book.get(Trade, order.id).strategy == "merged"  # type: ignore[union-attr]


def test_entities_that_were_read_travel_to_programs_that_have_read_nothing(
    sqlite_book: str,
) -> None:
    with DatabaseManager(sqlite_book) as book:
        book.record_trade(**BUY, status="PENDING")
        [order] = book.get_trades()
    there = (
        "import pickle, sys; order = pickle.load(sys.stdin.buffer); from tradebook import DatabaseManager;"
        "order.strategy = 'mine'; print(order.symbol, DatabaseManager(sys.argv[1]).update(order).strategy)"
    )
    done = subprocess.run(
        [sys.executable, "-c", there, sqlite_book],
        input=pickle.dumps(order),
        capture_output=True,
        check=False,
    )
    assert done.stdout.split() == [b"AAPL", b"mine"], done.stderr


def test_a_copy_of_an_entity_that_was_read_is_another_entity(book: DatabaseManager) -> None:
    order = book.record_trade(**BUY, status="PENDING")
    read = book.get(Trade, order.id)
    copied = copy.copy(read)
    assert copied is not None
    copied.strategy = "mine"
    assert book.update(copied).strategy == "mine"
    assert read is not None
    assert (read.strategy, copied.strategy) == ("", "mine")


def test_times_are_read_on_servers_that_keep_another_time(
    new_database: Callable[[], URL], new_manager: Callable[..., Any]
) -> None:
    url = new_database()
    execute(url, f"ALTER DATABASE \"{url.database}\" SET timezone = 'America/Los_Angeles'")
    manager = new_manager(url)
    manager.upgrade()
    long_ago = datetime(1, 1, 1, tzinfo=UTC)

    manager.record_signal("AAPL", "BUY", generated_at=long_ago)
    trade = manager.record_trade(**BUY, executed_at=utc_now())

    assert [s.generated_at for s in manager.get_signals()] == [long_ago]
    found = manager.get(Trade, trade.id)
    assert (found.executed_at, found.executed_at.tzinfo) == (trade.executed_at, UTC)
