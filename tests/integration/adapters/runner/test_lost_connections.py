"""Connections of both managers that are cut at COMMIT: each change is done once, whatever became of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from sqlalchemy import URL

from reliability.changes import BUY, contents, every_change
from tests.support.backends import in_full_runs, within
from tests.support.cut_connections import AFTER, BEFORE, CUTS, HELD, CuttingFront
from tradebook import (
    Alert,
    BookBusy,
    CommitUnknown,
    ConcurrentUpdate,
    DatabaseManager,
    DatabaseUnavailable,
    handlers,
)
from tradebook.adapters import commit_outcome
from tradebook.adapters.repositories.entity_rows import COMMIT_MARKER
from tradebook.adapters.runner import retries

NewManager = Callable[..., Any]


@pytest.fixture
def front(postgresql_book: URL) -> Iterator[CuttingFront]:
    """What stands between the managers and the server."""
    with CuttingFront(postgresql_book) as front:
        yield front


@pytest.fixture
def manager(new_manager: NewManager, front: CuttingFront) -> Any:
    """A manager behind the front, of a book that is open."""
    manager = new_manager(front.url, uuid4().hex)
    manager.record_trade(**BUY)
    return manager


@pytest.mark.parametrize("moment", [CUTS[0], *map(in_full_runs, CUTS[1:])])
def test_every_change_whose_commit_is_cut_off_is_done_once(
    new_manager: NewManager, front: CuttingFront, moment: str
) -> None:
    manager, undisturbed = new_manager(front.url, uuid4().hex), new_manager("sqlite://")
    changes = list(every_change(undisturbed))
    for _ in every_change(manager):
        front.cut_next(moment)
    # Without "decided trade": one statement, which no COMMIT ends. Where the one before it is found to be committed, the
    # position is no longer known, and a transaction reads it.
    assert front.cuts == manager.retries == len(changes) - (moment == BEFORE)
    assert contents(manager) == contents(undisturbed)
    assert (manager.verify().proven, manager.pool_status().checked_out) == (True, 0)


@pytest.mark.parametrize("moment", CUTS)
def test_a_call_whose_commit_is_cut_off_gives_the_record_that_is_in_the_book(
    manager: Any, front: CuttingFront, moment: str
) -> None:
    front.cut_next(moment)
    trade = manager.record_trade(**BUY)
    [recorded, _] = manager.get_trades()
    assert (recorded.id, recorded.order_id) == (trade.id, trade.order_id)
    assert (recorded.sequence, recorded.booked_at) == (2, trade.booked_at)


def test_a_commit_that_the_server_is_still_at_is_waited_for(
    manager: Any, front: CuttingFront, postgresql_book: URL
) -> None:
    front.cut_next(HELD)
    releasing = threading.Thread(target=release_when_awaited, args=(front, postgresql_book))
    releasing.start()
    raised = manager.raise_alert("drawdown", "WARNING")
    releasing.join()
    assert [alert.id for alert in manager.get_alerts()] == [raised.id]
    assert (front.cuts, manager.retries) == (1, 1)


def test_a_commit_that_the_server_is_at_for_long_is_asked_for_again(
    manager: Any, front: CuttingFront, postgresql_book: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_outcome, "_LOCK_TIMEOUT", "100ms")
    front.cut_next(HELD)
    asked_twice = (front, postgresql_book, lambda: manager.retries >= 2)
    releasing = threading.Thread(target=release_when_awaited, args=asked_twice)
    releasing.start()
    raised = manager.raise_alert("drawdown", "WARNING")
    releasing.join()
    assert [alert.id for alert in manager.get_alerts()] == [raised.id]
    assert manager.retries >= 2


def release_when_awaited(
    front: CuttingFront, server: URL, and_when: Callable[[], bool] = lambda: True
) -> None:
    """Let the held COMMIT go on as soon as a transaction waits for the one that it ends."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
    with psycopg2.connect(
        server.set(drivername="postgresql").render_as_string(False)
    ) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for _ in range(100_000):
                cursor.execute(waiting)
                [found] = cursor.fetchone() or (0,)
                if found and and_when():
                    break
    connection.close()
    front.release()


def test_a_commit_that_cannot_be_asked_about_is_named_and_the_same_call_repeats_nothing(
    manager: Any, front: CuttingFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "MAX_OUTAGE", 0.2)
    front.cut_next(AFTER)
    front.is_open = False
    with pytest.raises(CommitUnknown, match=r"not known.*cannot connect.*order ids") as unknown:
        manager.record_cash_flow("DEPOSIT", 5, reference="r-1")
    assert unknown.value.attempts > 1
    front.is_open = True
    assert manager.record_cash_flow("DEPOSIT", 5, reference="r-1").amount == 5
    assert len(manager.get_cash_flows()) == 1


def test_a_server_that_stays_away_is_sought_for_as_long_as_said(
    manager: Any, front: CuttingFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "MAX_OUTAGE", 0.2)
    front.is_open = False
    front.drop()
    with pytest.raises(DatabaseUnavailable, match="cannot connect") as away:
        manager.record_cash_flow("DEPOSIT", 5, reference="r-1")
    assert type(away.value) is DatabaseUnavailable
    assert away.value.attempts == manager.retries + 1 > 1
    front.is_open = True
    assert manager.get_position_by_symbol("A").sequence == 1


def test_the_first_call_of_a_manager_waits_for_a_server_that_restarts_as_later_ones_do(
    new_manager: NewManager, front: CuttingFront, caplog: pytest.LogCaptureFixture
) -> None:
    cold = new_manager(front.url, uuid4().hex)
    front.is_open = False
    restarting = threading.Timer(0.2, setattr, (front, "is_open", True))
    restarting.start()
    assert cold.raise_alert("drawdown", "INFO").id
    restarting.join()
    assert cold.retries >= 1
    assert {record.name for record in caplog.records} == {"tradebook.retries"}


@pytest.mark.usefixtures("brief_outages")
def test_a_first_call_ends_as_later_ones_where_no_server_comes(
    new_manager: NewManager, front: CuttingFront
) -> None:
    cold = new_manager(front.url, uuid4().hex)
    front.is_open = False
    with pytest.raises(DatabaseUnavailable, match="cannot connect") as away:
        cold.get_positions()
    assert away.value.attempts == cold.retries + 1 > 1


@pytest.mark.parametrize("moment", CUTS)
def test_who_commits_himself_is_told_that_the_outcome_is_not_known(
    manager: Any, front: CuttingFront, moment: str
) -> None:
    def two_trades() -> None:
        with manager.unit_of_work() as uow:
            within(uow, handlers.record_trade, **BUY, order_id="o-1")
            within(uow, handlers.record_trade, **BUY, order_id="o-2")
            uow.commit()

    front.cut_next(moment)
    with pytest.raises(CommitUnknown, match="was lost"):
        two_trades()
    two_trades()
    assert manager.get_position_by_symbol("A").sequence == 3
    assert (manager.verify().proven, manager.retries) == (True, 0)


@pytest.mark.parametrize("commits_early", [False, True])
def test_who_works_by_hand_is_told_too(
    manager: Any, front: CuttingFront, commits_early: bool
) -> None:
    def add_alert() -> None:
        with manager.get_session() as session:
            session.add(Alert(alert_type="drawdown", severity="INFO", message="down 5 %"))
            if commits_early:
                session.commit()

    front.cut_next(BEFORE)
    with pytest.raises(CommitUnknown):
        add_alert()
    assert manager.get_alerts() == []


def test_an_event_of_an_earlier_transaction_is_no_witness(
    manager: Any, front: CuttingFront
) -> None:
    def two_transactions(uow: Any) -> None:
        handlers.raise_alert(uow, "drawdown", "WARNING", dedup_key="once")
        uow.commit()
        if not front.cuts:
            front.cut_next(BEFORE)
        handlers.mark_prices(uow, {"A": 7})

    manager.run(two_transactions)
    assert manager.get_position_by_symbol("A").current_price == 7
    assert (front.cuts, len(manager.get_alerts())) == (1, 1)


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_an_id_that_a_promoted_server_gave_to_another_event_is_no_witness(
    postgresql_book: URL,
) -> None:
    with DatabaseManager(postgresql_book, account=uuid4().hex) as manager:
        manager.record_trade(**BUY)
        with manager.unit_of_work() as uow:
            handlers.raise_alert(uow, "drawdown", "WARNING")
            lost = uow.session.info.get(COMMIT_MARKER)
        assert lost is not None
        with manager.unit_of_work() as uow:
            assert not commit_outcome.was_committed(uow.session, lost)
        other = {**lost, "id": manager.get_events()[0].id}
        with manager.unit_of_work() as uow:
            assert not commit_outcome.was_committed(uow.session, other)


def test_retries_are_counted_and_exhausted_ones_say_how_many(
    postgresql_book: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "MAX_ATTEMPTS", 3)

    def hopeless(_: object) -> None:
        raise ConcurrentUpdate("somebody was first")

    with DatabaseManager(postgresql_book, account=uuid4().hex) as manager:
        with pytest.raises(BookBusy, match="3 times") as busy:
            manager.run(hopeless)
        assert (busy.value.attempts, manager.retries) == (3, 2)
