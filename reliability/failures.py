"""Servers that restart or fail over, deadlocks, full disks and clocks that go back, under load."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import event

from reliability.proof import require_proven
from reliability.scenario import Figures, Scenario, rounds_for
from reliability.writers import SYMBOLS, Writers, compared
from tests.support.breakable_servers import BreakableServer, breakable_servers
from tradebook import (
    AbstractUnitOfWork,
    BookBusy,
    CallContext,
    DatabaseFull,
    DatabaseManager,
    Event,
    Portfolio,
    Trade,
    handlers,
)

_STORM: Final = 6
_PAGES: Final = 10
NOON: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)


def restarts(seconds: float) -> Figures:
    """A server is restarted in good order, and crashes, while threads and then tasks write."""
    figures = Figures()
    with breakable_servers() as (server, _):
        server.create()
        for number in rounds_for(seconds):
            figures.add(_restarts(server, is_async=bool(number % 2)))
    return figures


def _restarts(server: BreakableServer, *, is_async: bool) -> Figures:
    url = new_book(server)
    writers = Writers(url, is_async=is_async)
    modes = ["fast", "immediate"]
    writers.attack([lambda mode=mode: restart(server, mode) for mode in modes])
    with DatabaseManager(url) as book:
        return compared(book, writers.acknowledged, kills=len(modes))


def restart(server: BreakableServer, mode: str) -> None:
    """Stop a server in a mode of `pg_ctl`, and start it again."""
    server.stop(mode)
    server.start()


def failovers(seconds: float) -> Figures:
    """A primary crashes while they write, and its synchronous standby is promoted."""
    figures = Figures()
    for number in rounds_for(seconds):
        figures.add(_failover(is_async=bool(number % 2)))
    return figures


def _failover(*, is_async: bool) -> Figures:
    with breakable_servers() as (primary, standby):
        primary.create()
        primary.copy_to(standby)
        url = new_book(primary)
        hosts = {"host": f"{primary.home},{standby.home}", "target_session_attrs": "read-write"}
        writers = Writers(url.update_query_dict(hosts), is_async=is_async)
        writers.attack([lambda: _fail_over(primary, standby)])
        with DatabaseManager(standby.url(str(url.database))) as book:
            return compared(book, writers.acknowledged, kills=1)


def _fail_over(primary: BreakableServer, standby: BreakableServer) -> None:
    primary.stop("immediate")
    standby.execute("ALTER SYSTEM RESET synchronous_standby_names")  # it has none itself
    standby.promote()


def new_book(server: BreakableServer, *settings: str) -> Any:
    """Make a book on a server, with trades; gives its URL."""
    name = f"book{uuid4().hex}"
    server.execute(f"CREATE DATABASE {name}")
    for setting in settings:
        server.execute(f"ALTER DATABASE {name} SET {setting}")
    with DatabaseManager(server.url(name)) as book:
        book.upgrade()
        for symbol in SYMBOLS:
            book.record_trade(symbol=symbol, action="BUY", quantity=1, price=10)
    return server.url(name)


def deadlocks(seconds: float) -> Figures:
    """Units of work that lock two symbols in any order, until the server has found deadlocks."""
    figures = Figures()
    with breakable_servers() as (server, _):
        server.create()
        url = new_book(server, "deadlock_timeout = '5ms'")
        for number in rounds_for(seconds):
            figures.add(_deadlocks(url, number))
        found = f"SELECT deadlocks > 0 FROM pg_stat_database WHERE datname = '{url.database}'"
        server.wait_for(found)
    return figures


def _deadlocks(url: Any, number: int) -> Figures:
    def pair(writer: int) -> list[str]:
        orders = []
        for step in range(5):
            order = f"{number}-{writer}-{step}"
            _insist(book, order, random.sample(SYMBOLS, 2))
            orders += [f"{order}-first", f"{order}-second"]
        return orders

    with DatabaseManager(url) as book, ThreadPoolExecutor(_STORM) as threads:
        acknowledged = [order for orders in threads.map(pair, range(_STORM)) for order in orders]
        return compared(book, acknowledged)


def _insist(book: DatabaseManager, order: str, symbols: list[str]) -> None:
    while True:
        try:
            return book.run(_trade_both, order, symbols)
        except BookBusy:  # says that nothing was written, and to try again
            continue


def _trade_both(uow: AbstractUnitOfWork, order: str, symbols: list[str]) -> None:
    for symbol, part in zip(symbols, ("first", "second"), strict=True):
        handlers.record_trade(
            uow, symbol=symbol, action="BUY", quantity=1, price=10, order_id=f"{order}-{part}"
        )


def full_disks(seconds: float) -> Figures:
    """A file may grow no more, again and again, and room is made."""
    figures = Figures()
    for _ in rounds_for(seconds):
        with TemporaryDirectory() as folder, _file_of_few_pages(folder) as (book, pages):
            figures.add(_fill(book, pages))
    return figures


@contextmanager
def _file_of_few_pages(folder: str) -> Iterator[tuple[DatabaseManager, list[int]]]:
    """A book, and how many pages its file may have."""
    pages = [1_000_000]

    def limit(connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages[-1]}")

    with DatabaseManager(_file_in(folder)) as book:
        event.listen(book._container.engine(), "checkout", limit)
        yield book, pages


def _fill(book: DatabaseManager, pages: list[int]) -> Figures:
    acknowledged: list[str] = []
    refused = 0
    book.upgrade()
    pages.append(_size(book) + _PAGES)
    while refused < 5:
        order_id = f"o-{len(acknowledged)}"
        try:
            book.record_trade(symbol="A", action="BUY", quantity=1, price=10, order_id=order_id)
        except DatabaseFull:
            refused += 1
            pages.append(_size(book) + _PAGES)
        else:
            acknowledged.append(order_id)
    return compared(book, acknowledged)


def _size(book: DatabaseManager) -> int:
    with book.get_session() as session:
        size: int = session.connection().exec_driver_sql("PRAGMA page_count").scalar_one()
    return size


def backward_clocks(seconds: float) -> Figures:
    """The clock jumps to and fro by hours while trades, busts and snapshots are made."""
    figures = Figures()
    for seed in rounds_for(seconds):
        with TemporaryDirectory() as folder, DatabaseManager(_file_in(folder)) as book:
            figures.add(_jump(book, random.Random(seed)))
    return figures


def _jump(book: DatabaseManager, chance: random.Random) -> Figures:
    trades: list[Trade] = []
    snapshots: list[Portfolio] = []
    for number in range(60):
        at = NOON + timedelta(minutes=chance.randrange(-600, 600))
        with book.unit_of_work(context=CallContext(at=at)) as uow:
            if number % 10 == 9:
                snapshots.append(handlers.take_snapshot(uow))
            elif number % 7 == 6:
                wrong = next(t for t in trades if t.status == "EXECUTED")
                trades[trades.index(wrong)] = handlers.bust_trade(
                    uow, trade_id=wrong.id, reason="a typing error"
                )
            else:
                terms = {"symbol": chance.choice(SYMBOLS), "order_id": f"o-{number}"}
                trades.append(
                    handlers.record_trade(uow, action="BUY", quantity=1, price=10, **terms)
                )
            uow.commit()
    _assert_in_order(book, snapshots)
    require_proven(book)
    lost = len(trades) - book.count(Trade)
    return Figures(rounds=1, operations=60, lost=lost)


def _assert_in_order(book: DatabaseManager, snapshots: list[Portfolio]) -> None:
    for symbol in SYMBOLS:
        trades = sorted(book.iterate(Trade, symbol=symbol), key=lambda t: t.sequence or 0)
        booked = [trade.booked_at for trade in trades if trade.booked_at is not None]
        assert booked == sorted(booked), (symbol, booked)
    assert [s.id for s in book.iterate(Portfolio)] == [s.id for s in reversed(snapshots)]
    events = [e.entity_id for e in book.iterate(Event) if e.event_type == "TradeRecorded"]
    assert events == sorted(events, reverse=True)


def _file_in(folder: str) -> str:
    return f"sqlite:///{Path(folder) / 'book.db'}"


def _named(name: str) -> str:
    return f"tests/integration/reliability/test_failures.py::{name}"


SCENARIOS: Final = [
    Scenario(
        name="restart",
        promise="A server that restarts or crashes loses and doubles nothing that was acknowledged",
        test=_named("test_a_restart_under_load_loses_and_doubles_nothing"),
        run=restarts,
    ),
    Scenario(
        name="failover",
        promise="A standby that is promoted has everything that was acknowledged, once",
        test=_named("test_a_failover_under_load_loses_and_doubles_nothing"),
        run=failovers,
    ),
    Scenario(
        name="deadlock",
        promise="Deadlocks are tried again as whole units of work: nothing half written, nothing twice",
        test=_named("test_a_storm_of_deadlocks_loses_and_doubles_nothing"),
        run=deadlocks,
    ),
    Scenario(
        name="disk-full",
        promise="A full disk costs nothing that was acknowledged, and the book works on when room is made",
        test=_named("test_a_disk_that_is_full_again_and_again_loses_and_doubles_nothing"),
        run=full_disks,
    ),
    Scenario(
        name="clock",
        promise="A clock that goes back changes no order: of bookings, events and snapshots",
        test=_named("test_a_clock_that_jumps_to_and_fro_changes_no_order"),
        run=backward_clocks,
    ),
]
