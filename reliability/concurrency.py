"""Many writers at once: threads, processes and tasks, on one hot symbol and on a hundred."""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import attrs
from sqlalchemy import URL

from reliability.load import Delivery, check, new_load, send, shares
from reliability.scenario import Figures, Scenario, new_seed, rounds_for, say
from tests.support.servers import configured, postgresql_server
from tradebook import AsyncDatabaseManager, BookBusy, DatabaseConfig, DatabaseManager

WORKERS: Final = 8
TASKS: Final = 200
HOT, MANY = 1, 100
"""Symbols."""

Sent = tuple[int, int, int]
"""Calls made, times that the book was busy, retries."""
Senders = Callable[[DatabaseConfig, str, list[Delivery]], Sent]


def in_threads(config: DatabaseConfig, account: str, deliveries: list[Delivery]) -> Sent:
    """Eight threads share a manager."""
    with (
        DatabaseManager(config, account) as manager,
        ThreadPoolExecutor(max_workers=WORKERS) as threads,
    ):
        sent = threads.map(partial(send, manager), shares(deliveries, WORKERS))
        calls, busy = map(sum, zip(*sent, strict=True))
        return calls, busy, manager.retries


def in_processes(config: DatabaseConfig, account: str, deliveries: list[Delivery]) -> Sent:
    """Eight processes, each with a manager of its own."""
    # Each is a fork of a process that has imported everything, and has no threads.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(max_workers=WORKERS, mp_context=context) as processes:
        sent = processes.map(
            partial(_in_this_process, config, account), shares(deliveries, WORKERS)
        )
        calls, busy, retries = map(sum, zip(*sent, strict=True))
        return calls, busy, retries


def _in_this_process(config: DatabaseConfig, account: str, deliveries: list[Delivery]) -> Sent:
    with DatabaseManager(config, account) as manager:
        return *send(manager, deliveries), manager.retries


def in_tasks(config: DatabaseConfig, account: str, deliveries: list[Delivery]) -> Sent:
    """Two hundred tasks of asyncio share a manager, and its ten connections."""
    return asyncio.run(_in_tasks(config, account, deliveries))


async def _in_tasks(config: DatabaseConfig, account: str, deliveries: list[Delivery]) -> Sent:
    patient = attrs.evolve(config, pool_timeout=600)  # their turn comes, however slow the machine
    async with AsyncDatabaseManager(patient, account) as manager:
        sent = await asyncio.gather(*(_send(manager, share) for share in shares(deliveries, TASKS)))
        calls, busy = map(sum, zip(*sent, strict=True))
        return calls, busy, manager.retries


async def _send(manager: AsyncDatabaseManager, deliveries: list[Delivery]) -> tuple[int, int]:
    busy = 0
    calls = [call for delivery in deliveries for call in delivery]
    for name, arguments in calls:
        while True:
            try:
                await getattr(manager, name)(**arguments)
                break
            except BookBusy:
                busy += 1
    return len(calls), busy


def attack(
    database: str | URL, senders: Senders, symbols: int, orders: int, seed: int
) -> tuple[Figures, Sent]:
    """Send one load to a new account, and look at the book that it made."""
    say(f"seed {seed}: {senders.__name__}, {symbols} symbols, {orders} orders")
    config, account = configured(database), uuid4().hex
    load = new_load(seed, symbols, orders)
    with DatabaseManager(config, account) as manager:
        manager.record_trades(load.opening)
        sent = senders(config, account, load.deliveries)
        figures = check(manager, load)
    say("{} calls, {} times busy, {} retries".format(*sent))
    figures.rounds, figures.operations = 1, sent[0]
    return figures, sent


@contextmanager
def postgresql_book() -> Iterator[URL]:
    """A server of its own with a book."""
    with postgresql_server() as url:
        with DatabaseManager(url) as manager:
            manager.upgrade()
        yield url


@contextmanager
def sqlite_book() -> Iterator[str]:
    """A file with a book."""
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{Path(folder) / 'book.db'}"


def _run(new_book: Callable[[], Any], senders: Senders, seconds: float) -> Figures:
    total = Figures()
    with new_book() as database:
        for number in rounds_for(seconds):
            symbols = (HOT, MANY)[number % 2]
            total.add(attack(database, senders, symbols, 200, new_seed())[0])
    return total


def _scenario(name: str, who: str, new_book: Callable[[], Any], senders: Senders) -> Scenario:
    return Scenario(
        name=name,
        promise=f"{who} that send every order at least twice book each once, as one writer would have.",
        test="tests/integration/reliability/test_concurrency.py",
        run=partial(_run, new_book, senders),
    )


SCENARIOS: list[Scenario] = [
    _scenario("threads", "8 threads on PostgreSQL", postgresql_book, in_threads),
    _scenario("processes", "8 processes on PostgreSQL", postgresql_book, in_processes),
    _scenario("tasks", "200 tasks on PostgreSQL", postgresql_book, in_tasks),
    _scenario("processes-sqlite", "8 processes on one SQLite file", sqlite_book, in_processes),
]
