"""Reads on a real standby: never stale, and on the database itself whenever the standby cannot serve them."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, Final
from uuid import uuid4

import attrs
import pytest
from attrs import define, field

import tradebook
from tests.support.backends import in_full_runs
from tests.support.breakable_servers import BreakableServer, book_with_standby
from tests.support.command_line import Command
from tradebook import (
    AbstractUnitOfWork,
    AsyncDatabaseManager,
    DatabaseConfig,
    DatabaseManager,
    InvalidInput,
)
from tradebook.adapters.replicas import replica
from tradebook.service_layer.instrumentation import CallRecord

BUY: Final[dict[str, Any]] = {"action": "BUY", "quantity": 1, "price": 1}
SOON: Final = 0.05


@define
class Routes:
    """An observer that counts where queries go, and why."""

    counts: Counter[tuple[str, str]] = field(factory=Counter)
    waits: list[float] = field(factory=list)

    def observe_engine(self, engine: Any) -> None:
        """Listen to nothing."""

    def observe_retry(self, attempt: Any) -> None:
        """Count nothing."""

    @contextmanager
    def observe_call(self, call: CallRecord) -> Iterator[None]:
        """Count where the call reads."""
        yield
        if call.read_from:
            self.counts[
                "primary" if call.read_from == "primary" else "standby", call.read_reason
            ] += 1
            self.waits.append(call.read_wait)

    def taken(self) -> dict[tuple[str, str], int]:
        """Return the counts since they were last taken."""
        counts = dict(self.counts)
        self.counts.clear()
        return counts


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[BreakableServer, BreakableServer]]:
    """A server with a book, and a standby of it for which no commit waits."""
    with book_with_standby(waits=False) as made:
        yield made


@pytest.fixture
def config(pair: tuple[BreakableServer, BreakableServer]) -> DatabaseConfig:
    primary, standby = pair
    url = primary.url("postgres").render_as_string(False)
    read_url = standby.url("postgres").render_as_string(False)
    return attrs.evolve(DatabaseConfig.from_url(url), read_url=read_url)


@pytest.fixture(autouse=True)
def often_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "CHECKED_EVERY", SOON)
    monkeypatch.setattr(replica, "_FIRST_PAUSE", SOON)


@pytest.fixture
def account() -> str:
    return f"account {uuid4().hex}"


threads_mostly = pytest.mark.parametrize(
    "new_manager", [DatabaseManager, in_full_runs(AsyncDatabaseManager)], indirect=True
)


@pytest.fixture
def routes() -> Routes:
    return Routes()


@pytest.fixture
def watched(new_manager: Callable[..., Any], routes: Routes) -> Callable[..., Any]:
    def new(config: DatabaseConfig, **options: Any) -> Any:
        book = new_manager(config, **options)
        book.watch(routes)
        return book

    return new


@contextmanager
def paused(standby: BreakableServer) -> Iterator[None]:
    """Let the standby replay nothing inside the block."""
    standby.execute("SELECT pg_wal_replay_pause()")
    standby.wait_for("SELECT pg_get_wal_replay_pause_state() = 'paused'")
    try:
        yield
    finally:
        standby.execute("SELECT pg_wal_replay_resume()")


def trades_in_a_unit_of_work(book: Any) -> int:
    """Return the number of trades that a unit of work sees which only reads."""
    with book.unit_of_work(read_only=True) as uow:
        count = uow.trades.count() if isinstance(book, DatabaseManager) else uow.run(count_trades)
    return int(count)


def count_trades(uow: AbstractUnitOfWork) -> int:
    return uow.trades.count()


def until(condition: Callable[[], bool]) -> None:
    """Ask until a condition holds, for ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("reads", [20, in_full_runs(10_000)])
def test_a_read_sees_what_was_written_before(
    config: DatabaseConfig, watched: Callable[..., Any], routes: Routes, reads: int, account: str
) -> None:
    config = attrs.evolve(config, read_wait=5000)
    book = watched(config, account=account)
    stop = Event()
    others = [Thread(target=write_until, args=(config, f"{account} {n}", stop)) for n in range(2)]
    for other in others:
        other.start()
    try:
        for number in range(reads):
            book.record_trade(symbol="A", **BUY)
            position = book.get_position_by_symbol("A")
            assert position is not None
            assert position.quantity == number + 1
    finally:
        stop.set()
        for other in others:
            other.join()
    assert routes.taken() == {("standby", "own-writes"): reads}


@pytest.mark.parametrize("reads", [10, in_full_runs(1000)])
def test_each_thread_of_a_manager_sees_what_it_wrote(
    config: DatabaseConfig, reads: int, account: str
) -> None:
    stale: list[str] = []

    def write_and_read(symbol: str) -> None:
        for number in range(reads):
            book.record_trade(symbol=symbol, **BUY)
            position = book.get_position_by_symbol(symbol)
            if position is None or position.quantity != number + 1:
                stale.append(f"{symbol} {number}")

    with DatabaseManager(attrs.evolve(config, read_wait=5000), account=account) as book:
        threads = [Thread(target=write_and_read, args=(symbol,)) for symbol in "ABCD"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert stale == []
        assert book.count(tradebook.Trade) == 4 * reads


def write_until(config: DatabaseConfig, account: str, stop: Event) -> None:
    with DatabaseManager(config, account=account) as book:
        while not stop.is_set():
            book.record_trade(symbol="B", **BUY)


def test_sessions_units_of_work_and_imports_count_as_writes(
    config: DatabaseConfig, pair: Any, account: str
) -> None:
    book = DatabaseManager(attrs.evolve(config, read_wait=0), account=account)
    book.record_cash_flow("DEPOSIT", 1)
    other = book.for_account(f"{account} another")
    with book, paused(pair[1]):
        with book.unit_of_work() as uow:
            tradebook.handlers.record_cash_flow(uow, "DEPOSIT", 2)
            uow.commit()
        assert book.get_cash_balances()[0].external == 3
        book.import_trades([{"symbol": "A", **BUY}])
        assert book.count(tradebook.Trade) == 1
        with book.get_session() as session:
            session.add(tradebook.Signal(account=account, symbol="A", action="BUY"))
        assert len(book.get_signals()) == 1
        other.record_trade(symbol="A", **BUY)
        assert other.count(tradebook.Trade) == 1
        with book.unit_of_work(read_only=True) as uow:
            assert uow.trades.count() == 1


@threads_mostly
def test_a_paused_standby_is_passed_over_until_it_has_caught_up(
    config: DatabaseConfig, pair: Any, watched: Callable[..., Any], routes: Routes, account: str
) -> None:
    book = watched(attrs.evolve(config, read_wait=20), account=account)
    book.record_trade(symbol="A", **BUY)
    with paused(pair[1]):
        book.record_trade(symbol="A", **BUY)
        began = time.monotonic()
        for _ in range(50):
            assert book.get_position_by_symbol("A").quantity == 2
        assert time.monotonic() - began < 2  # not every read waits as long as it may
        assert {server for server, _ in routes.taken()} == {"primary"}

    def is_back() -> bool:
        assert book.get_position_by_symbol("A").quantity == 2
        return "standby" in {server for server, _ in routes.taken()}

    until(is_back)


@threads_mostly
def test_an_eventual_read_takes_what_the_standby_has_and_a_strong_one_does_not(
    config: DatabaseConfig, pair: Any, watched: Callable[..., Any], routes: Routes, account: str
) -> None:
    book = watched(config, account=account)
    book.record_trade(symbol="A", **BUY)
    assert book.get_position_by_symbol("A").quantity == 1
    with paused(pair[1]):
        book.record_trade(symbol="A", **BUY)
        with tradebook.context(consistency="eventual"):
            assert book.get_position_by_symbol("A").quantity == 1
        with tradebook.context(consistency="strong"):
            assert book.get_position_by_symbol("A").quantity == 2
    assert ("primary", "strong") in routes.taken()


@threads_mostly
def test_a_token_carries_what_another_process_wrote(
    config: DatabaseConfig, pair: Any, new_manager: Callable[..., Any], account: str
) -> None:
    writer = new_manager(attrs.evolve(config, read_url=None), account=account)
    reader = new_manager(config, account=account)
    writer.record_trade(symbol="A", **BUY)
    token = writer.consistency_token()
    with tradebook.context(consistency_token=token):
        assert reader.get_position_by_symbol("A").quantity == 1
    with paused(pair[1]):
        writer.record_trade(symbol="A", **BUY)
        assert reader.get_position_by_symbol("A").quantity == 1
        with tradebook.context(consistency_token=writer.consistency_token()):
            assert reader.get_position_by_symbol("A").quantity == 2


@threads_mostly
def test_a_standby_that_lags_too_long_is_passed_over(
    config: DatabaseConfig, pair: Any, watched: Callable[..., Any], routes: Routes, account: str
) -> None:
    config = attrs.evolve(config, read_consistency="eventual", read_max_lag=0.2)
    book = watched(config, account=account)
    book.record_trade(symbol="A", **BUY)
    with paused(pair[1]):
        book.record_trade(symbol="A", **BUY)

        def lags() -> bool:
            book.get_position_by_symbol("A")
            return ("primary", "lags") in routes.taken()

        until(lags)
        assert book.get_position_by_symbol("A").quantity == 2
    until(lambda: bool(book.get_positions()) and ("standby", "eventual") in routes.taken())


@threads_mostly
def test_a_killed_standby_is_passed_over_until_it_is_back(
    config: DatabaseConfig, pair: Any, watched: Callable[..., Any], routes: Routes, account: str
) -> None:
    _, standby = pair
    away = standby.url("postgres").set(query={"host": str(standby.home), "port": "5999"})
    read_url = [away.render_as_string(False), str(config.read_url)]
    book = watched(attrs.evolve(config, read_url=read_url), account=account)
    book.record_trade(symbol="A", **BUY)
    for _ in range(4):
        assert book.get_position_by_symbol("A").quantity == 1
    assert {server for server, _ in routes.taken()} == {"standby"}  # the one that is there
    standby.stop("immediate")
    try:
        for number in range(20):
            book.record_trade(symbol="A", **BUY)
            assert book.get_position_by_symbol("A").quantity == number + 2
            assert trades_in_a_unit_of_work(book) == number + 2
        assert {server for server, _ in routes.taken()} == {"primary"}
    finally:
        standby.start()
    until(lambda: bool(book.get_positions()) and "standby" in {s for s, _ in routes.taken()})


@threads_mostly
def test_the_database_itself_under_another_name_has_all_that_was_written(
    config: DatabaseConfig, watched: Callable[..., Any], routes: Routes, account: str
) -> None:
    url = config.url
    book = watched(attrs.evolve(config, read_url=url), account=account)
    for number in range(3):
        book.record_trade(symbol="A", **BUY)
        assert book.get_position_by_symbol("A").quantity == number + 1
    assert {server for server, _ in routes.taken()} == {"standby"}


def test_the_doctor_says_how_far_each_server_for_queries_is(
    config: DatabaseConfig, pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = f"postgresql://postgres@/postgres?host={pair[1].home}&port=5999"
    monkeypatch.setenv("TRADEBOOK_DATABASE_READ_URL", f"{config.read_url} {config.url} {away}")
    found = Command(config.url).json("doctor", "--quick")["findings"]
    said = [each for each in found if each["check"] == "queries"]
    assert [each["level"] for each in said] == ["green", "green", "yellow"]
    assert re.search("is a standby, [0-9,]+ bytes of the log behind", said[0]["what"])
    assert "is the database itself" in said[1]["what"]
    assert ":5999 does not answer" in said[2]["what"]


def test_what_is_no_consistency_and_no_token_is_refused(config: DatabaseConfig) -> None:
    for given in ({"consistency": "sometimes"}, {"consistency_token": "yesterday"}):
        with pytest.raises(InvalidInput, match="consistency"), tradebook.context(**given):
            pass
    with pytest.raises(InvalidInput, match="read_consistency"):
        attrs.evolve(config, read_consistency="sometimes")
    with pytest.raises(InvalidInput, match="read_wait"):
        attrs.evolve(config, read_wait=-1)
    book = DatabaseManager("sqlite://")
    assert book.consistency_token() == ""


@threads_mostly
def test_a_promoted_standby_is_passed_over(
    config: DatabaseConfig, pair: Any, watched: Callable[..., Any], routes: Routes, account: str
) -> None:
    """The last test of the pair: it makes two servers of them that no longer know each other."""
    book = watched(attrs.evolve(config, read_consistency="eventual"), account=account)
    book.record_trade(symbol="A", **BUY)
    book.get_positions()
    if pair[1].execute("SELECT pg_is_in_recovery()"):
        pair[1].promote()
    until(lambda: bool(book.get_positions()) and ("primary", "promoted") in routes.taken())
    for number in range(20):
        book.record_trade(symbol="A", **BUY)
        assert book.get_position_by_symbol("A").quantity == number + 2
