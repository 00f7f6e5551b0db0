"""Many writers of single trades at the same time, next to hand-written SQL on a pool of 10 connections."""

from __future__ import annotations

import asyncio
import queue
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from attrs import evolve
from sqlalchemy import URL, text

from benchmarks.comparing import TIME, Times, Way, figures, measure, repeated
from benchmarks.fills import new_fill
from benchmarks.hand_written import Asyncpg, Psycopg2, Sqlite3
from benchmarks.one_trade import gathered, order_id, prepared, shared, terms
from benchmarks.results import Goal, Result, Settings
from tests.support.servers import configured, create_database, postgresql_server
from tradebook import AsyncDatabaseManager, DatabaseManager

CONNECTIONS = 10
OURS = "tradebook record_trade"
ALONE = "tradebook, group_commit off"
WAYS = ((OURS, "TB", True), (ALONE, "TA", False))
"""Each with symbols of its own: they would make each other's cached positions out of date."""
PREFIXES = ("HW", *(prefix for _, prefix, _ in WAYS))


def results(settings: Settings) -> Iterator[Result]:
    """Threads and tasks by number and symbols; and one client, for whom nothing may be slower."""
    with postgresql_server() as server:
        for workers, many, at_least in ((64, 100, 3.0), (64, 1, 5.0), (8, 100, 1.0)):
            over = f"{many} symbols" if many > 1 else "one symbol"
            with tasks(create_database(server, f"tasks {workers} {many}"), workers, many) as ways:
                yield _compared(
                    f"PostgreSQL, {workers} tasks over {over}", ways, at_least, settings
                )
        for workers, at_least in ((32, 2.5), (8, 1.0)):
            with threads(create_database(server, f"threads {workers}"), workers) as ways:
                yield _compared(
                    f"PostgreSQL, {workers} threads over 100 symbols", ways, at_least, settings
                )
        yield from _one_client(create_database(server, "one client"), settings)
        yield _log(create_database(server, "log"), settings)
    with tempfile.TemporaryDirectory() as folder, a_file(Path(folder)) as ways:
        yield _compared("SQLite file, 16 threads over 100 symbols", ways, 2.0, settings)


def _compared(title: str, ways: dict[str, Way], at_least: float, settings: Settings) -> Result:
    times = measure(ways, settings.rounds, max(settings.calls, 640))
    return times.result(f"many writers: {title}", {OURS: Goal(at_least)})


@contextmanager
def tasks(url: URL, workers: int, many: int) -> Iterator[dict[str, Way]]:
    """Tasks of asyncio; those by hand share a pool of connections."""
    with prepared(url, many, PREFIXES) as sync_manager, asyncio.Runner() as runner:
        account, stack = sync_manager.account, AsyncExitStack()
        free: asyncio.Queue[Asyncpg] = asyncio.Queue()
        for _ in range(CONNECTIONS):
            hand = runner.run(Asyncpg.connect(url))
            stack.push_async_callback(hand.close)
            free.put_nowait(hand)

        async def by_hand(worker: int, number: int) -> None:
            symbol = f"HW{(number * workers + worker) % many}"
            connection = await free.get()
            try:
                await connection.record(new_fill(account, symbol, order_id(), number + 1))
            finally:
                free.put_nowait(connection)

        def managed(manager: AsyncDatabaseManager, prefix: str) -> Callable[[int, int], Any]:
            async def record(worker: int, number: int) -> None:
                symbol = f"{prefix}{(number * workers + worker) % many}"
                await manager.record_trade(**terms(symbol, number + 1))

            return record

        ways = {"hand-written asyncpg": gathered(runner, workers, by_hand)}
        for name, prefix, is_on in WAYS:
            manager = AsyncDatabaseManager(evolve(configured(url), group_commit=is_on))
            stack.push_async_callback(manager.aclose)
            ways[name] = gathered(runner, workers, managed(manager, prefix))
        yield ways
        runner.run(stack.aclose())


@contextmanager
def threads(url: URL, workers: int, many: int = 100) -> Iterator[dict[str, Way]]:
    """Threads; those by hand share a pool of connections."""
    with prepared(url, many, PREFIXES) as manager, ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        free: queue.SimpleQueue[Psycopg2] = queue.SimpleQueue()
        for _ in range(CONNECTIONS):
            hand = Psycopg2(url)
            stack.callback(hand.close)
            free.put(hand)

        def by_hand(worker: int, number: int) -> None:
            symbol = f"HW{(number * workers + worker) % many}"
            connection = free.get()
            try:
                connection.record(new_fill(manager.account, symbol, order_id(), number + 1))
            finally:
                free.put(connection)

        ways = {"hand-written psycopg2": shared(pool, workers, by_hand)}
        for name, prefix, is_on in WAYS:
            ours = stack.enter_context(DatabaseManager(evolve(configured(url), group_commit=is_on)))
            ways[name] = shared(pool, workers, _managed(ours, prefix, workers, many))
        yield ways


def _managed(
    manager: DatabaseManager, prefix: str, workers: int, many: int
) -> Callable[[int, int], None]:
    def record(worker: int, number: int) -> None:
        manager.record_trade(**terms(f"{prefix}{(number * workers + worker) % many}", number + 1))

    return record


@contextmanager
def a_file(folder: Path, workers: int = 16, many: int = 100) -> Iterator[dict[str, Way]]:
    """Threads on one SQLite file; each by hand has a connection of its own, which waits for the others."""
    path = str(folder / "bench.db")
    with prepared(f"sqlite:///{path}", many, PREFIXES) as manager, ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        hands = [Sqlite3(path, timeout=60, any_thread=True) for _ in range(workers)]
        for hand in hands:
            stack.callback(hand.close)

        def by_hand(worker: int, number: int) -> None:
            symbol = f"HW{(number * workers + worker) % many}"
            hands[worker].record(new_fill(manager.account, symbol, order_id(), number + 1))

        alone = stack.enter_context(DatabaseManager(f"sqlite:///{path}?group_commit=no"))
        yield {
            "hand-written sqlite3": shared(pool, workers, by_hand),
            OURS: shared(pool, workers, _managed(manager, "TB", workers, many)),
            ALONE: shared(pool, workers, _managed(alone, "TA", workers, many)),
        }


def _one_client(url: URL, settings: Settings) -> Iterator[Result]:
    """Yield the throughput and the 99th percentile of one client alone, with group commit and without."""
    with (
        prepared(url) as on,
        DatabaseManager(evolve(configured(url), group_commit=False)) as off,
    ):
        managers = {"group_commit off": (off, "HW0"), "group_commit on": (on, "TB0")}
        ways = {
            name: repeated(lambda n, m=manager, s=symbol: m.record_trade(**terms(s, n)))  # type: ignore[misc]
            for name, (manager, symbol) in managers.items()
        }
        times = measure(ways, settings.rounds, settings.calls)
        yield times.result("many writers: one client alone", {"group_commit on": Goal(0.97)})
        slowest = Times()
        for _ in range(settings.rounds):
            for name, (manager, symbol) in managers.items():
                slowest.add(name, _percentile_99(manager, symbol, max(settings.calls, 100)))
        yield slowest.result(
            "many writers: one client alone, 99th percentile",
            {"group_commit on": Goal(1.1, at_most=True)},
            ratio=TIME,
        )


def _percentile_99(manager: DatabaseManager, symbol: str, calls: int) -> float:
    taken = []
    for number in range(calls):
        given, begun = terms(symbol, number + 1), time.perf_counter()
        manager.record_trade(**given)
        taken.append((time.perf_counter() - begun) * 1000)
    return statistics.quantiles(taken, n=100)[98]


def _log(url: URL, settings: Settings) -> Result:
    """Return the bytes of the server's log for each trade, without images of whole pages."""
    calls = max(settings.calls, 640)
    measured: dict[str, list[float]] = {}
    with prepared(url, 100) as manager, ThreadPoolExecutor(64) as pool:

        def position_in_log() -> int:
            query = text("SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint")
            return int(manager.read(lambda uow: uow.session.scalar(query)))

        def set_images(value: str) -> None:
            with manager._container.engine().connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.exec_driver_sql(f"ALTER SYSTEM SET full_page_writes = {value}")
                connection.exec_driver_sql("SELECT pg_reload_conf()")
                connection.exec_driver_sql("CHECKPOINT")

        hand = Psycopg2(url)
        ways = {
            "hand-written psycopg2": repeated(
                lambda n: hand.record(new_fill(manager.account, f"HW{n % 100}", order_id(), n))
            ),
            "one client": repeated(lambda n: manager.record_trade(**terms(f"TB{n % 100}", n))),
            "64 threads, together": shared(pool, 64, _managed(manager, "TB", 64, 100)),
        }
        set_images("off")
        for name, way in ways.items():
            way(calls)
            before = position_in_log()
            way(calls)
            measured[name] = [(position_in_log() - before) / calls]
        set_images("on")
        hand.close()
    return figures("many writers: log of a trade on PostgreSQL", "bytes", measured, {})
