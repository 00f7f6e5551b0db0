"""Three hundred clients over ten connections of the server, next to ten clients that have these for themselves.

python -m benchmarks.pooled_clients --rounds 3

Each client has a connection and a symbol of its own. The role has the limits of waiting by itself, as after
`tradebook db roles --limits`; with `--limits transaction` they travel with each transaction.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

from attrs import evolve

from tests.support.poolers import pooler
from tests.support.servers import configured, execute, postgresql_server
from tradebook import AsyncDatabaseManager, DatabaseConfig, DatabaseManager, Trade

CLIENTS, CONNECTIONS = 300, 10
TRADES: Final = 9_000
"""That all clients book together, however many they are."""
OPENING: Final = 3
"""That each client books before the time is taken: its position is cached then, and its statement prepared."""
_PATIENCE: Final = 300.0

Clients = Callable[[DatabaseConfig, str, int, int], float]
"""Book with so many clients in an account so many trades together; return the seconds from when all were connected."""


def require_booked(config: DatabaseConfig, account: str, clients: int, trades: int) -> None:
    """Prove a book, and that it has every fill once."""
    with DatabaseManager(config, account) as manager:
        booked = [trade.order_id for trade in manager.iterate(Trade)]
        sent = {
            fill["order_id"] for client in range(clients) for fill in terms(client, clients, trades)
        }
        assert (len(booked), set(booked)) == (len(sent), sent)
        assert manager.verify().proven


def terms(client: int, clients: int, trades: int) -> Iterator[dict[str, Any]]:
    """Generate the fills of one client."""
    for number in range(OPENING + trades // clients):
        order = f"{client}-{number}"
        yield {
            "symbol": f"S{client}",
            "action": "BUY",
            "quantity": 1,
            "price": 10,
            "order_id": order,
        }


def threads(config: DatabaseConfig, account: str, clients: int, trades: int) -> float:
    """Threads that share a manager."""
    with DatabaseManager(evolve(config, pool_size=clients, max_overflow=0), account) as manager:
        return _in_threads([manager] * clients, trades)


def _in_threads(managers: list[DatabaseManager], trades: int) -> float:
    ready, began = threading.Barrier(len(managers) + 1), 0.0
    errors: list[BaseException] = []

    def book(client: int) -> None:
        try:
            fills = terms(client, len(managers), trades)
            for fill in islice(fills, OPENING):
                managers[client].record_trade(**fill)
            ready.wait(_PATIENCE)
            for fill in fills:
                managers[client].record_trade(**fill)
        except BaseException as error:
            errors.append(error)
            ready.abort()

    workers = [threading.Thread(target=book, args=[client]) for client in range(len(managers))]
    for worker in workers:
        worker.start()
    ready.wait(_PATIENCE)
    began = time.perf_counter()
    for worker in workers:
        worker.join()
    assert not errors, errors
    return time.perf_counter() - began


def tasks(config: DatabaseConfig, account: str, clients: int, trades: int) -> float:
    """Tasks of asyncio that share a manager."""
    return asyncio.run(
        _in_tasks(evolve(config, pool_size=clients, max_overflow=0), account, clients, trades)
    )


async def _in_tasks(config: DatabaseConfig, account: str, clients: int, trades: int) -> float:
    async with AsyncDatabaseManager(config, account) as manager:
        fills = [terms(client, clients, trades) for client in range(clients)]
        for _ in range(OPENING):
            await asyncio.gather(*(manager.record_trade(**next(each)) for each in fills))

        async def book(client: int) -> None:
            for fill in fills[client]:
                await manager.record_trade(**fill)

        began = time.perf_counter()
        await asyncio.gather(*map(book, range(clients)))
        return time.perf_counter() - began


def processes(config: DatabaseConfig, account: str, clients: int, trades: int) -> float:
    """Processes, each with a manager of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.pooled_clients"])  # also where this is `__main__`
    ready, errors = context.Barrier(clients + 1), context.SimpleQueue()
    own = evolve(config, pool_size=1, max_overflow=0)
    workers = [
        context.Process(
            target=_in_process, args=(own, account, client, clients, trades, ready, errors)
        )
        for client in range(clients)
    ]
    for worker in workers:
        worker.start()
    ready.wait(_PATIENCE)
    began = time.perf_counter()
    ready.wait(_PATIENCE)
    took = time.perf_counter() - began
    for worker in workers:
        worker.join(_PATIENCE)
    assert errors.empty(), errors.get()
    assert {worker.exitcode for worker in workers} == {0}
    return took


def _in_process(
    config: DatabaseConfig,
    account: str,
    client: int,
    clients: int,
    trades: int,
    ready: Any,
    errors: Any,
) -> None:
    try:
        with DatabaseManager(config, account) as manager:
            fills = terms(client, clients, trades)
            for fill in islice(fills, OPENING):
                manager.record_trade(**fill)
            ready.wait(_PATIENCE)
            for fill in fills:
                manager.record_trade(**fill)
            ready.wait(_PATIENCE)
    except Exception as error:
        errors.put(repr(error))
        ready.abort()
        raise


KINDS: Final[dict[str, Clients]] = {"threads": threads, "processes": processes, "tasks": tasks}


def main() -> None:
    """Print the trades in a second of each kind of client, and the ratio of the best rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--limits", choices=["role", "transaction"], default="role")
    asked = parser.parse_args()
    with postgresql_server() as url, DatabaseManager(url) as book:
        book.upgrade()
        if asked.limits == "role":
            execute(url, "ALTER ROLE postgres SET lock_timeout = '10s'")
            execute(url, "ALTER ROLE postgres SET idle_in_transaction_session_timeout = '10min'")
        with pooler(url, size=CONNECTIONS) as made:
            pooled = evolve(configured(made.url), pooler="transaction")
            ways = {"direct": (configured(url), CONNECTIONS), "pooled": (pooled, CLIENTS)}
            for kind in [asked.only] if asked.only else KINDS:
                best = _compared(kind, ways, asked.rounds)
                shown = ", ".join(f"{TRADES / best[way]:,.0f} trades/s {way}" for way in ways)
                sys.stdout.write(f"{kind}: {shown}: {best['direct'] / best['pooled']:.2f}\n")


def _compared(
    kind: str, ways: dict[str, tuple[DatabaseConfig, int]], rounds: int
) -> dict[str, float]:
    """Return the least seconds of each way, in rounds that alternate."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        for way, (config, clients) in ways.items():
            account = f"{kind}-{way}-{number}"
            seconds[way].append(KINDS[kind](config, account, clients, TRADES))
            require_booked(config, account, clients, TRADES)
    return {way: min(each) for way, each in seconds.items()}


if __name__ == "__main__":
    main()
