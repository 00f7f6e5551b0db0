"""Clients and servers that are killed, and connections that are cut, under load and at random moments."""

from __future__ import annotations

import asyncio
import multiprocessing
import queue
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import URL

from reliability.changes import contents, every_change
from reliability.concurrency import postgresql_book, sqlite_book
from reliability.load import BEGIN
from reliability.proof import require_proven
from reliability.scenario import Figures, Scenario, new_seed, rounds_for, say
from tests.support.backends import new_book
from tests.support.cut_connections import CUTS, WAYS, CuttingFront
from tests.support.servers import configured, kill_server, start_server
from tradebook import (
    Alert,
    AsyncDatabaseManager,
    CashFlow,
    DatabaseConfig,
    DatabaseManager,
    Event,
    Trade,
    handlers,
)

CLIENTS: Final = 2
THREADS: Final = 3
TASKS: Final = 3
MOST_BYTES: Final = 12
"""The power of 2: a call sends 1 to 4 KB, and gets less."""
_TOGETHER: Final = {"TradeRecorded", "CashFlowRecorded", "AlertRaised"}


def three_together(uow: Any, key: str) -> None:
    """A fill, cash and an alert of one key in one unit of work; called again, it repeats nothing."""
    handlers.record_trade(
        uow,
        symbol=f"S{len(key) % 3}",
        action="SELL" if key.endswith("7") else "BUY",
        quantity=len(key),
        price="1.25",
        order_id=key,
        executed_at=BEGIN,
    )
    handlers.record_cash_flow(uow, "DEPOSIT", 10, reference=key, occurred_at=BEGIN)
    handlers.raise_alert(uow, "fill", "INFO", dedup_key=key)


def check_crashed(book: Any, acknowledged: set[str]) -> Figures:
    """Count what is lost and duplicated; assert that nothing is half applied and all is proven."""
    trades = Counter(trade.order_id for trade in book.iterate(Trade))
    flows = Counter(flow.reference for flow in book.iterate(CashFlow))
    alerts = Counter(alert.dedup_key for alert in book.iterate(Alert))
    assert trades.keys() == flows.keys() == alerts.keys(), "a transaction is half applied"
    events = Counter(event.event_type for event in book.iterate(Event))
    assert {events[name] for name in _TOGETHER} == {len(trades)}, events
    require_proven(book)
    return Figures(
        operations=len(acknowledged),
        lost=len(acknowledged - trades.keys()),
        duplicated=sum(each.total() - len(each) for each in (trades, flows, alerts)),
    )


# The client is killed


def kill_clients(database: str | URL, seed: int, kills: int) -> Figures:
    """Kill processes that write, one after another, and go on with the first thing not acknowledged."""
    say(f"seed {seed}: {kills} kills of {CLIENTS} clients each")
    config, account, chance = configured(database), uuid4().hex, random.Random(seed)
    with DatabaseManager(config, account) as manager:
        clients = [Client(config, account, f"client-{number}") for number in range(CLIENTS)]
        for _ in range(kills):
            for client in clients:
                client.start()
            for client in clients:
                client.kill(after=chance.uniform(0, 0.2))
        for client in clients:
            client.finish(manager)
        acknowledged = set().union(*(client.acknowledged for client in clients))
        figures = check_crashed(manager, acknowledged)
    figures.rounds, figures.kills = 1, kills * CLIENTS
    return figures


class Client:
    """Writes in a process of its own, which says what was acknowledged before it goes on.

    Attributes:
        acknowledged: the keys of what was.
    """

    def __init__(self, config: DatabaseConfig, account: str, name: str) -> None:
        self.acknowledged: list[str] = []
        self._config, self._account, self._name = config, account, name
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])

    def start(self) -> None:
        """Start the process, at the first key that was not acknowledged."""
        self._said, theirs = self._context.Pipe(duplex=False)
        arguments = (self._config, self._account, self._keys(), theirs)
        self._process = self._context.Process(target=_write_on, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        self.acknowledged.append(self._said.recv())

    def kill(self, after: float) -> None:
        """Kill the process after so many seconds, and hear the last that it said."""
        self._process.join(timeout=after)
        self._process.kill()
        self._process.join()
        try:
            while True:
                self.acknowledged.append(self._said.recv())
        except EOFError:
            self._said.close()

    def finish(self, manager: DatabaseManager) -> None:
        """Do what was not acknowledged."""
        manager.run(three_together, next(self._keys()))

    def _keys(self) -> Iterator[str]:
        return _Keys(self._name, len(self.acknowledged))


class _Keys:
    """Keys without end; they can be sent to a process."""

    def __init__(self, name: str, first: int) -> None:
        self._name, self._next = name, first

    def __iter__(self) -> _Keys:
        return self

    def __next__(self) -> str:
        self._next += 1
        return f"{self._name}-{self._next}"


def _write_on(
    config: DatabaseConfig, account: str, keys: Iterator[str], acknowledged: Connection
) -> None:
    with DatabaseManager(config, account) as manager:
        for key in keys:
            manager.run(three_together, key)
            acknowledged.send(key)


# The server is killed


def kill_servers(server: URL, seed: int, kills: int) -> Figures:
    """Kill a server under threads and tasks that write, and start it again: no call of theirs fails."""
    say(f"seed {seed}: {kills} kills of the server")
    account, chance = uuid4().hex, random.Random(seed)
    writers = Writers(configured(server), account)
    with writers:
        for _ in range(kills):
            writers.wait_for_more()
            writers.ended.wait(chance.uniform(0, 0.5))
            kill_server(server)
            start_server(server)
        writers.wait_for_more()
    assert not writers.errors, writers.errors
    with DatabaseManager(server, account) as manager:
        figures = check_crashed(manager, set(writers.acknowledged))
    say(f"{len(writers.acknowledged)} acknowledged, {writers.retries} retries")
    figures.rounds, figures.kills = 1, kills
    return figures


class Writers:
    """Threads on one manager, and tasks on another, that write until they are told to end.

    Attributes:
        acknowledged: the keys of what was.
        errors: whatever reached a caller; each ends its writer.
        retries: of both managers.
        ended: set when they shall end.
    """

    def __init__(self, config: DatabaseConfig, account: str) -> None:
        self.acknowledged: list[str] = []
        self.errors: list[Exception] = []
        self.retries = 0
        self.ended = threading.Event()
        self._new: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._config, self._account = config, account
        self._manager = DatabaseManager(config, account)
        writing = [partial(self._write, f"thread-{number}") for number in range(THREADS)]
        together = [*writing, lambda: asyncio.run(self._write_in_tasks())]
        self._threads = [threading.Thread(target=work) for work in together]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        for thread in self._threads:
            thread.join()
        self.retries += self._manager.retries
        self._manager.close()

    def wait_for_more(self) -> None:
        """Wait until every writer, or so many others, wrote something more."""
        while not self._new.empty():
            self._new.get()
        for _ in range(THREADS + TASKS):
            if not self.errors:
                self._new.get(timeout=120)

    def _write(self, name: str) -> None:
        try:
            for number in count():
                if self.ended.is_set():
                    return
                self._manager.run(three_together, f"{name}-{number}")
                self._acknowledge(f"{name}-{number}")
        except Exception as error:
            self._fail(error)

    async def _write_in_tasks(self) -> None:
        async with AsyncDatabaseManager(self._config, self._account) as manager:
            names = (f"task-{number}" for number in range(TASKS))
            await asyncio.gather(*(self._write_in_task(manager, name) for name in names))
            self.retries += manager.retries

    async def _write_in_task(self, manager: AsyncDatabaseManager, name: str) -> None:
        try:
            for number in count():
                if self.ended.is_set():
                    return
                await manager.run(three_together, f"{name}-{number}")
                self._acknowledge(f"{name}-{number}")
        except Exception as error:
            self._fail(error)

    def _acknowledge(self, key: str) -> None:
        self.acknowledged.append(key)
        self._new.put(key)

    def _fail(self, error: Exception) -> None:
        self.errors.append(error)
        self._new.put("")


# The connection is cut


def cut_commits(server: URL, seed: int, kind: type[Any]) -> Figures:
    """Cut every COMMIT of every kind of change, before or after the server had it."""
    say(f"seed {seed}: cuts of {kind.__name__}")
    chance = random.Random(seed)
    return _cut_changes(server, kind, lambda front: front.cut_next(chance.choice(CUTS)))


def cut_bytes(server: URL, seed: int, kind: type[Any]) -> Figures:
    """Cut every kind of change at a random byte: of a request, after it, or of the answer."""
    say(f"seed {seed}: cuts of {kind.__name__} at any byte")
    chance = random.Random(seed)

    def cut(front: CuttingFront) -> None:
        front.cut_at_byte(chance.choice(WAYS), int(2 ** chance.uniform(0, MOST_BYTES)))

    return _cut_changes(server, kind, cut)


def _cut_changes(server: URL, kind: type[Any], cut: Callable[[CuttingFront], None]) -> Figures:
    with CuttingFront(server) as front, new_book(kind, front.url, uuid4().hex) as book:
        for _ in every_change(book):
            cut(front)
        found, wanted = contents(book), undisturbed()
        require_proven(book)
        assert front.cuts - book.retries in (
            0,
            1,
        )  # the preparation of a first call is no attempt of it
    return Figures(
        rounds=1,
        operations=front.cuts,
        kills=front.cuts,
        lost=(wanted - found).total(),
        duplicated=(found - wanted).total(),
    )


def undisturbed() -> Counter[str]:
    """What a book contains after every change."""
    with DatabaseManager("sqlite://") as book:
        list(every_change(book))
        return contents(book)


# For as long as asked


def in_rounds(
    new_database: Callable[[], Any], attack: Callable[[Any, int, int], Figures], seconds: float
) -> Figures:
    total = Figures()
    with new_database() as database:
        for number in rounds_for(seconds):
            total.add(attack(database, new_seed(), number))
    return total


def _cut(
    attack: Callable[[URL, int, type[Any]], Figures], server: URL, seed: int, number: int
) -> Figures:
    return attack(server, seed, (DatabaseManager, AsyncDatabaseManager)[number % 2])


def _kill_clients(database: str | URL, seed: int, _number: int) -> Figures:
    return kill_clients(database, seed, kills=10)


def _kill_servers(server: URL, seed: int, _number: int) -> Figures:
    return kill_servers(server, seed, kills=3)


def _scenario(
    name: str,
    promise: str,
    new_database: Callable[[], Any],
    attack: Callable[[Any, int, int], Figures],
) -> Scenario:
    return Scenario(
        name=name,
        promise=promise,
        test="tests/integration/reliability/test_crashes.py",
        run=partial(in_rounds, new_database, attack),
    )


SCENARIOS: list[Scenario] = [
    _scenario(
        "kill-client",
        "What was acknowledged to a client that is killed (PostgreSQL) is there once, and nothing by half.",
        postgresql_book,
        _kill_clients,
    ),
    _scenario(
        "kill-client-sqlite",
        "What was acknowledged to a client that is killed (SQLite) is there once, and nothing by half.",
        sqlite_book,
        _kill_clients,
    ),
    _scenario(
        "kill-server",
        "What a PostgreSQL server that is killed acknowledged is there once; no call fails by its restart.",
        postgresql_book,
        _kill_servers,
    ),
    _scenario(
        "cut-commit",
        "Every change whose connection is cut at COMMIT is done once, on both managers.",
        postgresql_book,
        partial(_cut, cut_commits),
    ),
    _scenario(
        "cut-bytes",
        "Every change whose connection is cut at any byte is done once, on both managers.",
        postgresql_book,
        partial(_cut, cut_bytes),
    ),
]
