"""The unit of work and its runner on real databases: boundaries, conflicts, retries, drivers' errors."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import URL, text
from sqlalchemy.exc import InvalidRequestError, OperationalError

from tradebook import (
    AbstractUnitOfWork,
    BookBusy,
    CallContext,
    ConcurrentUpdate,
    ConstraintViolated,
    DatabaseFailure,
    DatabaseManager,
    DatabaseUnavailable,
    handlers,
)
from tradebook.adapters.runner import retries
from tradebook.adapters.unit_of_work import SqlAlchemyUnitOfWork


@pytest.fixture(params=["sqlite", "postgresql"])
def manager(request: pytest.FixtureRequest) -> Iterator[DatabaseManager]:
    name = "sqlite_book" if request.param == "sqlite" else "postgresql_book"
    with DatabaseManager(request.getfixturevalue(name), account=uuid4().hex) as made:
        yield made


def buy(uow: AbstractUnitOfWork, order_id: str = "o") -> None:
    handlers.record_trade(uow, symbol="X", action="BUY", quantity=1, price=1, order_id=order_id)


def sql(uow: AbstractUnitOfWork, statement: str) -> None:
    assert isinstance(uow, SqlAlchemyUnitOfWork)
    uow.session.execute(text(statement))


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_rolls_back_uncommitted_work_by_default(manager: DatabaseManager) -> None:
    with manager.unit_of_work() as uow:
        buy(uow)
    assert manager.get_positions() == []


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_commits_what_it_is_told_to(manager: DatabaseManager) -> None:
    with manager.unit_of_work() as uow:
        buy(uow)
        uow.commit()
        buy(uow, "second, not committed")
    [position] = manager.get_positions()
    assert position.quantity == 1


def test_entities_stay_readable_and_keep_their_values(manager: DatabaseManager) -> None:
    with manager.unit_of_work() as uow:
        trade = handlers.record_trade(uow, symbol="X", action="BUY", quantity=1, price=1)
        alert = handlers.raise_alert(uow, "a", "INFO", "text")
        uow.rollback()
        assert (trade.price, alert.message) == (1, "text")
    assert (trade.price, alert.message) == (1, "text")


def test_signals_of_a_decision_are_loaded_when_asked_for_and_raise_otherwise(
    manager: DatabaseManager,
) -> None:
    signal = manager.record_signal("X", "BUY")
    decision = manager.record_decision("bot", "X", "BUY", signals=[signal.id])
    [read] = manager.get_decisions()
    with pytest.raises(InvalidRequestError, match="lazy"):
        _ = read.signals
    with manager.unit_of_work(read_only=True) as uow:
        assert [s.id for s in uow.decisions.with_signals.get(decision.id).signals] == [signal.id]


def test_a_read_only_unit_of_work_waits_for_no_writer(manager: DatabaseManager) -> None:
    with manager.unit_of_work() as writing:
        buy(writing)
        with manager.unit_of_work(read_only=True) as reading:
            assert reading.positions.all() == []
        writing.commit()
    assert len(manager.get_positions()) == 1


def test_a_read_only_unit_of_work_sees_one_instant(manager: DatabaseManager) -> None:
    manager.record_trade(symbol="X", action="BUY", quantity=1, price=1)
    with manager.unit_of_work(read_only=True) as reading:
        assert reading.trades.count_booked() == 1
        manager.record_trade(symbol="X", action="BUY", quantity=1, price=1)
        assert reading.trades.count_booked() == 1
    assert manager.verify().trades == 2


def test_writing_in_a_read_only_unit_of_work_fails_on_postgresql(postgresql_book: URL) -> None:
    with (
        DatabaseManager(postgresql_book, account=uuid4().hex) as manager,
        pytest.raises(DatabaseFailure, match="read-only"),
        manager.unit_of_work(read_only=True) as uow,
    ):
        handlers.raise_alert(uow, "a", "INFO")


def test_a_conflict_runs_the_whole_unit_of_work_again_with_the_same_ids(
    manager: DatabaseManager,
) -> None:
    attempts: list[tuple[str, object]] = []

    def contested(uow: AbstractUnitOfWork) -> str:
        trade = handlers.record_trade(uow, symbol="X", action="BUY", quantity=1, price=1)
        attempts.append((trade.order_id, uow.now()))
        if len(attempts) < 3:
            raise ConcurrentUpdate("somebody was first")
        return trade.order_id

    order_id = manager.run(contested)
    assert attempts == [(order_id, attempts[0][1])] * 3
    [position] = manager.get_positions()
    assert position.sequence == 1


def test_conflicts_without_end_raise_book_busy_with_the_cause(
    manager: DatabaseManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "_AFTER_CONFLICT", (0.001, 0.001))
    attempts = []

    def hopeless(uow: AbstractUnitOfWork) -> None:
        attempts.append(uow)
        buy(uow)
        raise ConcurrentUpdate("somebody was first")

    with pytest.raises(BookBusy, match="20 times") as busy:
        manager.run(hopeless)
    assert isinstance(busy.value.__cause__, ConcurrentUpdate)
    assert len(attempts) == retries.MAX_ATTEMPTS
    assert manager.get_positions() == []


def test_a_deadlock_is_retried_until_both_are_booked(postgresql_book: URL) -> None:
    with DatabaseManager(postgresql_book, account=uuid4().hex) as manager:
        for symbol in ("A", "B"):
            manager.record_trade(symbol=symbol, action="BUY", quantity=1, price=1)
        both_hold_one = threading.Barrier(2)
        waited: set[int] = set()

        def both(uow: AbstractUnitOfWork, first: str, second: str) -> None:
            handlers.record_trade(uow, symbol=first, action="BUY", quantity=1, price=1)
            if threading.get_ident() not in waited:
                waited.add(threading.get_ident())
                both_hold_one.wait(timeout=10)
            handlers.record_trade(uow, symbol=second, action="BUY", quantity=1, price=1)

        threads = [
            threading.Thread(target=manager.run, args=(both, *order)) for order in ("AB", "BA")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
        assert [p.quantity for p in manager.get_positions()] == [3, 3]
        assert manager.verify().proven


def test_an_open_page_of_the_ledger_keeps_other_writers_waiting(postgresql_book: URL) -> None:
    with DatabaseManager(postgresql_book, account=uuid4().hex) as manager:
        manager.record_trade(symbol="X", action="BUY", quantity=1, price=1)
        with manager.unit_of_work() as first, manager.unit_of_work() as second:
            first.ledger.open("X", [])
            sql(second, "SET LOCAL lock_timeout = '50ms'")
            with pytest.raises(OperationalError, match="lock timeout"):
                second.ledger.open("X", [])


def test_a_record_read_with_lock_keeps_other_writers_waiting(postgresql_book: URL) -> None:
    with DatabaseManager(postgresql_book, account=uuid4().hex) as manager:
        alert = manager.raise_alert("a", "INFO")
        with manager.unit_of_work() as first, manager.unit_of_work() as second:
            first.alerts.get(alert.id, lock=True)
            sql(second, "SET LOCAL lock_timeout = '50ms'")
            assert second.alerts.get(alert.id).id == alert.id
            with pytest.raises(OperationalError, match="lock timeout"):
                second.alerts.get(alert.id, lock=True)


def test_on_sqlite_writers_queue_when_they_begin_and_readers_never_do(
    sqlite_book: str, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "book.db", timeout=0, isolation_level=None)
    with DatabaseManager(sqlite_book) as manager:
        with manager.unit_of_work(read_only=True) as reading:
            reading.positions.all()
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
        with manager.unit_of_work() as writing:
            writing.positions.all()
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
    other.close()


def test_a_later_mark_of_another_writer_is_not_overwritten(postgresql_book: URL) -> None:
    now = datetime.now(UTC)
    with DatabaseManager(postgresql_book, account=uuid4().hex) as manager:
        manager.record_trade(symbol="X", action="BUY", quantity=1, price=1, executed_at=now)
        with manager.unit_of_work() as slow:
            [position] = slow.ledger.marked(["X"])
            assert position.mark(2, now + timedelta(seconds=1))
            manager.mark_prices({"X": 3}, at=now + timedelta(seconds=2))
            slow.ledger.mark([position])
            slow.commit()
        [read] = manager.get_positions()
        assert read.current_price == 3


def test_a_stale_version_is_a_concurrent_update(manager: DatabaseManager) -> None:
    manager.record_trade(symbol="X", action="BUY", quantity=1, price=1)
    with manager.unit_of_work() as uow:
        position = uow.positions.by_symbol("X")
        sql(uow, "UPDATE positions SET version = version + 1")
        assert position is not None
        position.version += 1
        with pytest.raises(ConcurrentUpdate):
            uow.commit()


def test_a_row_that_the_schema_refuses_names_the_constraint(manager: DatabaseManager) -> None:
    manager.record_trade(symbol="X", action="BUY", quantity=1, price=1)
    with (
        pytest.raises(ConstraintViolated, match="ck_trades_booked_has_sequence"),
        manager.unit_of_work() as uow,
    ):
        sql(uow, "UPDATE trades SET sequence = NULL")


def test_what_the_schema_refuses_is_not_lost_in_handlers_of_another_account(
    manager: DatabaseManager,
) -> None:
    trade = manager.record_trade(symbol="X", action="BUY", quantity=1, price=1)
    alert = manager.raise_alert("a", "INFO")
    stranger = DatabaseManager(manager.config, account=uuid4().hex)
    assert stranger.get_positions() == []
    assert stranger.get_alerts() == []
    with pytest.raises(LookupError):
        stranger.resolve_alert(alert.id, "mine now")
    with pytest.raises(LookupError):
        stranger.cancel_trade(trade_id=trade.id)
    stranger.close()
    assert manager.get_unresolved_alerts()[0].id == alert.id


@pytest.mark.usefixtures("brief_outages")
def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    with (
        DatabaseManager("postgresql://me:secret@127.0.0.1:1/book") as manager,
        pytest.raises(DatabaseUnavailable) as refused,
    ):
        manager.get_positions()
    assert "secret" not in str(refused.value)


def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing of a database\n" * 100)
    with (
        DatabaseManager(f"sqlite:///{path}") as manager,
        pytest.raises(DatabaseFailure, match="not a database"),
    ):
        manager.get_positions()
    assert path.read_text().startswith("nothing")


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with (
        DatabaseManager(f"sqlite:///{tmp_path}/nowhere/book.db") as manager,
        pytest.raises(DatabaseUnavailable, match="check the path"),
    ):
        manager.get_positions()


def test_sqlite_is_told_to_keep_what_is_acknowledged(sqlite_book: str, tmp_path: Path) -> None:
    with DatabaseManager(sqlite_book) as manager, manager.unit_of_work() as uow:
        assert isinstance(uow, SqlAlchemyUnitOfWork)
        pragmas = {
            name: uow.session.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    with sqlite3.connect(tmp_path / "book.db") as plain_tool:  # no function of ours in the schema
        assert plain_tool.execute("SELECT count(*) FROM trades").fetchone() == (0,)
        assert plain_tool.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    plain_tool.close()


def test_the_time_of_a_call_can_be_given(manager: DatabaseManager) -> None:
    noon = datetime(2020, 1, 1, 12, tzinfo=UTC)
    with manager.unit_of_work(context=CallContext(at=noon, correlation_id="c-1")) as uow:
        buy(uow)
        snapshot = handlers.take_snapshot(uow)
        uow.commit()
    [trade] = manager.get_trades_by_symbol("X")
    assert trade.booked_at == trade.executed_at == snapshot.timestamp == noon
    [position] = manager.get_positions()
    assert position.updated_at == position.marked_at == noon
    [event, *_] = manager.read(lambda uow: uow.events.of("Trade", trade.id))
    assert (event.correlation_id, event.occurred_at) == ("c-1", noon)
