"""`record_trade` next to hand-written SQL: one client, threads, tasks, a file."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from benchmarks.comparing import Way, measure, repeated
from benchmarks.fills import new_fill
from benchmarks.hand_written import Asyncpg, NarrowPsycopg2, Psycopg2, Sqlite3
from benchmarks.results import Goal, Result, Settings
from tests.support.servers import create_database, postgresql_server
from tradebook import AgentDecision, AsyncDatabaseManager, DatabaseManager, DecisionStatus

_ORDERS = count()
THREADS = 8
DECIDED = "a decision of its own"


def order_id() -> str:
    """Of an order that nobody recorded."""
    return f"o{next(_ORDERS)}"


def symbols(prefix: str, many: int) -> list[str]:
    """So many; each way has its own."""
    return [f"{prefix}{number}" for number in range(many)]


def terms(symbol: str, price: int) -> Any:
    """What `record_trade` is given."""
    return {
        "symbol": symbol,
        "action": "BUY",
        "quantity": 1,
        "price": price,
        "order_id": order_id(),
    }


ON_POSTGRESQL: dict[str, tuple[float, Callable[[URL], AbstractContextManager[dict[str, Way]]]]] = {
    "one client": (1.4, lambda url: one_client(url)),
    "one client, next to a narrow schema": (1.0, lambda url: narrow(url)),
    "8 threads over 100 symbols": (1.0, lambda url: threads(url, 100)),
    "8 threads over one symbol": (0.85, lambda url: threads(url, 1)),
    "asyncio, one task": (0.8, lambda url: tasks(url, 1, 1)),
    "asyncio, 8 tasks over 100 symbols": (1.0, lambda url: tasks(url, 8, 100)),
    "asyncio, 8 tasks over one symbol": (0.8, lambda url: tasks(url, 8, 1)),
}


def results(settings: Settings) -> Iterator[Result]:
    """`record_trade` next to hand-written SQL: the throughput to be reached, and who calls."""
    with postgresql_server() as server:
        for title, (at_least, ways_of) in ON_POSTGRESQL.items():
            with ways_of(create_database(server, f"bench {title}")) as ways:
                yield _compared(f"PostgreSQL, {title}", ways, at_least, settings)
    with tempfile.TemporaryDirectory() as folder, a_file(Path(folder)) as ways:
        yield _compared("SQLite file, one client", ways, 0.6, settings)
    with postgresql_server() as server, with_a_fee(create_database(server, "fees")) as ways:
        times = measure(ways, settings.rounds, settings.calls)
        yield times.result("record_trade: PostgreSQL, fees", {"a fee in a third asset": Goal(0.8)})
    with postgresql_server() as server:
        yield _decided("PostgreSQL", create_database(server, "decided"), settings)
    with tempfile.TemporaryDirectory() as folder:
        yield _decided("SQLite file", f"sqlite:///{Path(folder) / 'decided.db'}", settings)


def _compared(title: str, ways: dict[str, Way], at_least: float, settings: Settings) -> Result:
    times = measure(ways, settings.rounds, settings.calls)
    return times.result(f"record_trade: {title}", {"tradebook record_trade": Goal(at_least)})


def _decided(title: str, url: str | URL, settings: Settings) -> Result:
    with with_a_decision(url, settings) as ways:
        times = measure(ways, settings.rounds, settings.calls)
    return times.result(f"record_trade: {title}, decisions", {DECIDED: Goal(0.85)})


@contextmanager
def prepared(
    url: str | URL, many: int = 1, prefixes: tuple[str, ...] = ("TB", "HW")
) -> Iterator[DatabaseManager]:
    """A book in which every symbol has been traded: the hand-written way expects its positions."""
    with DatabaseManager(url) as manager:
        manager.upgrade()
        for prefix in prefixes:
            for symbol in symbols(prefix, many):
                manager.record_trade(**terms(symbol, 1))
        yield manager


@contextmanager
def one_client(url: URL) -> Iterator[dict[str, Way]]:
    """One thread, one symbol, on PostgreSQL."""
    with prepared(url) as manager, ExitStack() as stack:
        hand = Psycopg2(url)
        stack.callback(hand.close)
        yield {
            "hand-written psycopg2": repeated(
                lambda n: hand.record(new_fill(manager.account, "HW0", order_id(), n))
            ),
            "tradebook record_trade": repeated(lambda n: manager.record_trade(**terms("TB0", n))),
        }


@contextmanager
def narrow(url: URL) -> Iterator[dict[str, Way]]:
    """One thread, one symbol, next to a narrow schema of a user's own."""
    with prepared(url) as manager, ExitStack() as stack:
        hand = NarrowPsycopg2(url, ["HW0"])
        stack.callback(hand.close)
        yield {
            "three narrow tables, psycopg2": repeated(
                lambda n: hand.record(new_fill(manager.account, "HW0", order_id(), n))
            ),
            "tradebook record_trade": repeated(lambda n: manager.record_trade(**terms("TB0", n))),
        }


@contextmanager
def with_a_fee(url: URL) -> Iterator[dict[str, Way]]:
    """Trades without a fee, with one in the currency of the price, and with one in a third asset, on PostgreSQL."""
    with prepared(url) as manager:

        def record(symbol: str, **fee: Any) -> Way:
            return repeated(lambda n: manager.record_trade(**terms(symbol, n), **fee))

        yield {
            "no fee": record("TB0"),
            "a fee in the price's currency": record("HW0", fee="0.1"),
            "a fee in a third asset": record("TB1", fee="0.1", fee_currency="BNB"),
        }


@contextmanager
def with_a_decision(url: str | URL, settings: Settings) -> Iterator[dict[str, Way]]:
    """Trades without a decision, and each with one of its own, which was approved before."""
    many = (settings.rounds + 1) * settings.calls
    made = [
        AgentDecision(agent="bot", symbol="TB0", action="BUY", status=DecisionStatus.APPROVED)
        for _ in range(many)
    ]
    with prepared(url) as manager:
        ids = iter([decision.id for decision in manager.bulk_create(made)])
        yield {
            "no decision": repeated(lambda n: manager.record_trade(**terms("HW0", n))),
            DECIDED: repeated(
                lambda n: manager.record_trade(**terms("TB0", n), decision_id=next(ids))
            ),
        }


@contextmanager
def threads(url: URL, many: int) -> Iterator[dict[str, Way]]:
    """Threads over so many symbols; each hand-written one has its own connection."""
    with prepared(url, many) as manager, ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(THREADS))
        hands = [Psycopg2(url) for _ in range(THREADS)]
        for hand in hands:
            stack.callback(hand.close)

        def by_hand(worker: int, number: int) -> None:
            symbol = f"HW{(number * THREADS + worker) % many}"
            hands[worker].record(new_fill(manager.account, symbol, order_id(), number + 1))

        def managed(worker: int, number: int) -> None:
            symbol = f"TB{(number * THREADS + worker) % many}"
            manager.record_trade(**terms(symbol, number + 1))

        yield {
            "hand-written psycopg2": shared(pool, THREADS, by_hand),
            "tradebook record_trade": shared(pool, THREADS, managed),
        }


@contextmanager
def tasks(url: URL, workers: int, many: int) -> Iterator[dict[str, Way]]:
    """Tasks of asyncio over so many symbols; each hand-written one has its own connection."""
    with prepared(url, many) as sync_manager, asyncio.Runner() as runner:
        account, stack = sync_manager.account, AsyncExitStack()
        manager = AsyncDatabaseManager(url)
        hands = [runner.run(Asyncpg.connect(url)) for _ in range(workers)]
        for hand in hands:
            stack.push_async_callback(hand.close)
        stack.push_async_callback(manager.aclose)

        async def by_hand(worker: int, number: int) -> None:
            symbol = f"HW{(number * workers + worker) % many}"
            await hands[worker].record(new_fill(account, symbol, order_id(), number + 1))

        async def managed(worker: int, number: int) -> None:
            symbol = f"TB{(number * workers + worker) % many}"
            await manager.record_trade(**terms(symbol, number + 1))

        yield {
            "hand-written asyncpg": gathered(runner, workers, by_hand),
            "tradebook record_trade": gathered(runner, workers, managed),
        }
        runner.run(stack.aclose())


@contextmanager
def a_file(folder: Path) -> Iterator[dict[str, Way]]:
    """One thread, one symbol, on a SQLite file."""
    path = str(folder / "bench.db")
    with prepared(f"sqlite:///{path}") as manager, ExitStack() as stack:
        hand = Sqlite3(path)
        stack.callback(hand.close)
        yield {
            "hand-written sqlite3": repeated(
                lambda n: hand.record(new_fill(manager.account, "HW0", order_id(), n))
            ),
            "tradebook record_trade": repeated(lambda n: manager.record_trade(**terms("TB0", n))),
        }


def shared(pool: ThreadPoolExecutor, workers: int, call: Callable[[int, int], None]) -> Way:
    """Return the way of threads that make calls at the same time, each with its worker and number."""

    def work(worker: int, calls: int) -> None:
        for number in range(calls):
            call(worker, number)

    def way(calls: int) -> None:
        each = [pool.submit(work, worker, calls // workers) for worker in range(workers)]
        for done in each:
            done.result()

    return way


def gathered(
    runner: asyncio.Runner, workers: int, call: Callable[[int, int], Awaitable[None]]
) -> Way:
    """Return the way of tasks that make calls at the same time, each with its worker and number."""

    async def work(worker: int, calls: int) -> None:
        for number in range(calls):
            await call(worker, number)

    async def together(calls: int) -> None:
        await asyncio.gather(*(work(worker, calls // workers) for worker in range(workers)))

    return lambda calls: runner.run(together(calls))
