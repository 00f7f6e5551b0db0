"""Seals while others write: what is committed late is no tampering, and what cannot come any more is."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL, event, text

from reliability import audit
from tests.support.tampering import a_day, forge, remove, rows
from tradebook import DatabaseManager, Event, InvalidInput, InvalidTransition, Seal, handlers
from tradebook.adapters.repositories.repositories import SqlEventRepository
from tradebook.domain.validation import utc_now


@pytest.fixture(params=["sqlite_book", "postgresql_book"])
def book(request: pytest.FixtureRequest) -> Iterator[DatabaseManager]:
    with DatabaseManager(request.getfixturevalue(request.param), uuid4().hex) as made:
        yield made


@pytest.fixture
def server_book(postgresql_book: URL) -> Iterator[DatabaseManager]:
    with DatabaseManager(postgresql_book, uuid4().hex) as made:
        yield made


def last_seal(book: DatabaseManager) -> Seal:
    return max(book.iterate(Seal), key=lambda seal: seal.number)


def test_an_event_that_is_committed_late_is_unsealed_and_never_tampering(
    server_book: DatabaseManager,
) -> None:
    book = server_book
    with book.unit_of_work() as late:
        alert = handlers.raise_alert(late, "late", "INFO")
        [event_id] = [e.id for e in late.events.of("Alert", alert.id)]
        book.record_trade(symbol="X", action="BUY", quantity=1, price=1)
        for _ in range(3):  # however often: its transaction is running
            book.raise_alert("meanwhile", "INFO")
            book.seal()
        assert last_seal(book).settled_id < event_id < last_seal(book).from_id
        late.commit()
    checked = book.check_seals()
    assert (checked.findings, checked.unsealed) == ((), 1)
    assert book.seal().events == 1
    assert book.check_seals().unsealed == 0
    assert last_seal(book).ids == [event_id]
    assert book.check_seals().sound


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_what_is_inserted_where_nothing_could_still_come_is_named(
    server_book: DatabaseManager,
) -> None:
    book = server_book
    with book.unit_of_work() as discarded:
        alert = handlers.raise_alert(discarded, "never", "INFO")
        [gap] = [e.id for e in discarded.events.of("Alert", alert.id)]
    for number in range(3):
        book.raise_alert("a", "INFO")
        book.seal()
        assert last_seal(book).settled_id >= gap + number
    forge(book, "events", rows(book, "events")[0], id=gap)
    [found] = book.check_seals().findings
    assert (found.key, found.what) == (str(gap), "inserted")
    assert book.seal().events == 0  # and no later seal covers it up
    assert book.check_seals().findings == (found,)


FAR = 4_000_000_000_000_000_000
"""An id that no sequence will reach."""


def test_an_event_with_an_id_that_was_never_given_is_named_and_sealing_goes_on(
    server_book: DatabaseManager,
) -> None:
    book = server_book
    book.raise_alert("a", "INFO")
    forge(book, "events", rows(book, "events")[0], id=FAR)
    for _ in range(3):
        book.raise_alert("honest", "INFO")
        assert book.seal().events > 0
        [found] = book.check_seals().findings
        assert (found.key, found.what) == (str(FAR), "inserted")
    assert last_seal(book).settled_id < FAR
    remove(book, "events", id=FAR)
    assert (book.check_seals().findings, book.check_seals().unsealed) == ((), 0)


def test_a_seal_that_settled_such_an_id_before_is_put_right_by_the_next(
    server_book: DatabaseManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = server_book
    book.raise_alert("a", "INFO")
    book.seal()
    forge(book, "events", rows(book, "events")[0], id=FAR)
    with monkeypatch.context() as unbounded:
        unbounded.setattr(SqlEventRepository, "last_given_id", lambda _: None)
        book.seal()
    assert last_seal(book).settled_id == FAR
    book.raise_alert("honest", "INFO")
    assert {found.key for found in book.check_seals().findings} == {str(FAR)}
    assert book.seal().events == 1
    assert last_seal(book).settled_id < FAR
    assert {found.key for found in book.check_seals().findings} == {str(FAR)}


def test_a_file_gives_ids_above_one_that_was_inserted_so_sealing_goes_on(sqlite_book: str) -> None:
    with DatabaseManager(sqlite_book) as book:
        book.raise_alert("a", "INFO")
        forge(book, "events", rows(book, "events")[0], id=FAR)
        for _ in range(2):
            book.raise_alert("honest", "INFO")
            book.seal()
            assert (book.check_seals().findings, book.check_seals().unsealed) == ((), 0)


def test_a_statement_that_may_have_only_an_id_so_far_is_waited_for(
    server_book: DatabaseManager,
) -> None:
    book = server_book
    book.raise_alert("a", "INFO")
    with book.unit_of_work() as uow, ThreadPoolExecutor(1) as threads:
        running = uow.session.connection()
        pid = running.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        statement = threads.submit(running.exec_driver_sql, "SELECT pg_sleep(20)")
        wait_until_active(book, pid)
        book.seal()
        with book.unit_of_work() as other:
            other.session.connection().exec_driver_sql(f"SELECT pg_cancel_backend({pid})")
        assert "cancel" in str(statement.exception())
    assert (last_seal(book).horizon, last_seal(book).settled_id) == (0, 0)
    book.raise_alert("b", "INFO")
    book.seal()
    assert last_seal(book).horizon > 0
    assert last_seal(book).settled_id == last_seal(book).to_id


def wait_until_active(book: DatabaseManager, pid: int) -> None:
    asked = text("SELECT query FROM pg_stat_activity WHERE pid = :pid AND state = 'active'")
    for _ in range(10_000):
        with book.unit_of_work(read_only=True) as uow:
            if "pg_sleep" in str(uow.session.scalar(asked, {"pid": pid})):
                return
    raise AssertionError("the statement never began")


@pytest.mark.parametrize("url", ["sqlite_book", "postgresql_book"])
def test_recording_a_trade_takes_the_same_statements_whatever_is_sealed(
    url: str, request: pytest.FixtureRequest
) -> None:
    with DatabaseManager(request.getfixturevalue(url), uuid4().hex) as book:
        a_day(book)
        before = statements(book)
        book.seal(batch=2)
        assert statements(book) == before
        assert not any("seals" in statement for statement in before)


def statements(book: DatabaseManager) -> list[str]:
    """What recording a trade sends to the database."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        sent.append(statement)

    with book.unit_of_work() as uow:
        connection = uow.session.connection()
        event.listen(connection, "before_cursor_execute", note)
        handlers.record_trade(uow, symbol="AAPL", action="BUY", quantity=1, price=1)
        uow.commit()
    return sent


def test_a_session_by_hand_makes_changes_and_deletes_no_seal(book: DatabaseManager) -> None:
    a_day(book)
    before = rows(book, "seals")

    def add() -> None:
        with book.get_session() as session:
            facts = {n: v for n, v in before[0].items() if n not in ("id", "account")}
            session.add(Seal(**{**facts, "number": 9}))

    def alter() -> None:
        with book.get_session() as session:
            session.get_one(Seal, (book.account, before[0]["id"])).created_at = utc_now()

    def delete() -> None:
        with book.get_session() as session:
            session.delete(session.get_one(Seal, (book.account, before[0]["id"])))

    with pytest.raises(InvalidInput, match="`seal` makes them"):
        add()
    for act in (alter, delete):
        with pytest.raises(InvalidTransition, match="a seal never changes"):
            act()
    assert rows(book, "seals") == before


def test_events_of_other_accounts_do_not_matter(book: DatabaseManager) -> None:
    with DatabaseManager(book.config, uuid4().hex) as other:
        for each in (book, other, book, other):
            each.raise_alert("a", "INFO")
            each.seal()
        a_day(other)
        a_day(book)
        assert book.check_seals().sound
        assert other.check_seals().sound
        with pytest.raises(InvalidInput, match="account"):
            book.check_seals(other.export_seals())


def test_sealing_while_eight_threads_book_raises_no_false_alarm(book: DatabaseManager) -> None:
    figures = audit.seal_under_load(book)
    assert (figures.lost, figures.duplicated) == (0, 0)
    assert figures.operations == book.count(Event) == 8 * (25 + 5) + 1
    book.raise_alert("drawdown", "INFO")
    book.seal()
    assert last_seal(book).settled_id == last_seal(book).to_id
    assert book.verify().proven


def test_random_tampering_is_found(book: DatabaseManager) -> None:
    for name in audit.TAMPERINGS:
        with DatabaseManager(book.config, uuid4().hex) as another:
            audit.tamper_once(another, name, random.randrange(2**32))
