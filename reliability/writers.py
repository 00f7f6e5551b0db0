"""Callers that book while something goes wrong under them, and call again until they have an answer."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from reliability.proof import require_proven
from reliability.scenario import Figures
from tradebook import AsyncDatabaseManager, DatabaseManager, DatabaseUnavailable, Trade

WRITERS: Final = 4
SYMBOLS: Final = ("A", "B", "C")


class Writers:
    """Each books orders of its own, in turn, with the same order id until it is acknowledged.

    Args:
        config: of the book.
        is_async: tasks on asyncpg, or threads on psycopg2.

    Attributes:
        acknowledged: the orders that the book said it has.
    """

    def __init__(self, config: Any, *, is_async: bool) -> None:
        self.acknowledged: list[str] = []
        self._config = config
        self._is_async = is_async
        self._heard = threading.Condition()
        self._is_up = threading.Event()
        self._is_up.set()
        self._stopped = threading.Event()

    def attack(self, steps: list[Callable[[], None]], each: int = 15) -> None:
        """Take the steps while they write, each after so many more acknowledgements."""
        with ThreadPoolExecutor(1) as threads:
            work = threads.submit(self._write)
            try:
                for step in steps:
                    self._wait_for(each, work)
                    self._is_up.clear()  # whoever fails now waits until it is over
                    step()
                    self._is_up.set()
                self._wait_for(each, work)
            finally:
                self._is_up.set()
                self._stopped.set()
            work.result()

    def _wait_for(self, more: int, work: Future[None]) -> None:
        with self._heard:
            wanted = len(self.acknowledged) + more
            while not self._heard.wait_for(lambda: len(self.acknowledged) >= wanted, timeout=1):
                assert not work.done(), work.exception()

    def _hear(self, order_id: str) -> None:
        with self._heard:
            self.acknowledged.append(order_id)
            self._heard.notify_all()

    def _write(self) -> None:
        if self._is_async:
            asyncio.run(self._write_in_tasks())
        else:
            with DatabaseManager(self._config) as book, ThreadPoolExecutor(WRITERS) as threads:
                list(threads.map(lambda writer: self._write_orders(book, writer), range(WRITERS)))

    def _write_orders(self, book: DatabaseManager, writer: int) -> None:
        number = 0
        while not self._stopped.is_set():
            terms = _terms(writer, number)
            try:
                book.record_trade(**terms)
            except DatabaseUnavailable:
                self._is_up.wait()
            else:
                self._hear(terms["order_id"])
                number += 1

    async def _write_in_tasks(self) -> None:
        async with AsyncDatabaseManager(self._config) as book:
            await asyncio.gather(*(self._write_orders_in_task(book, w) for w in range(WRITERS)))

    async def _write_orders_in_task(self, book: AsyncDatabaseManager, writer: int) -> None:
        number = 0
        while not self._stopped.is_set():
            terms = _terms(writer, number)
            try:
                await book.record_trade(**terms)
            except DatabaseUnavailable:
                await asyncio.to_thread(self._is_up.wait)
            else:
                self._hear(terms["order_id"])
                number += 1


def _terms(writer: int, number: int) -> dict[str, Any]:
    return {
        "symbol": SYMBOLS[number % len(SYMBOLS)],
        "action": "BUY",
        "quantity": 1,
        "price": 10,
        "order_id": f"{writer}-{number}",
    }


def compared(book: DatabaseManager, acknowledged: list[str], *, kills: int = 0) -> Figures:
    """What of the acknowledged orders is lost or doubled; the book is proven."""
    booked = Counter(trade.order_id for trade in book.iterate(Trade))
    held = sum(position.quantity for position in book.get_positions())
    assert held == booked.total(), f"{held} held, {booked.total()} booked"
    require_proven(book)
    return Figures(
        rounds=1,
        operations=len(acknowledged),
        kills=kills,
        lost=len(set(acknowledged) - booked.keys()),
        duplicated=booked.total() - len(booked),
    )
