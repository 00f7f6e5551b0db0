"""Exceptions thrown into threads at any moment of a call, as an application's timeout or a Ctrl-C does."""

from __future__ import annotations

import ctypes
import random
import threading
import time
from collections import Counter
from functools import partial
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import URL

from reliability.concurrency import postgresql_book, sqlite_book
from reliability.crashes import in_rounds, three_together
from reliability.proof import require_proven
from reliability.scenario import Figures, Scenario, say
from tests.support.servers import configured
from tradebook import DatabaseManager, Trade

THREADS: Final = 3
SYMBOLS: Final = ("S0", "S1", "S2")
_PATIENCE: Final = 60.0
"""Seconds in which a thread has to go on."""


class Interruption(BaseException):
    """Thrown into the threads of the writers."""


class Writer(threading.Thread):
    """Repeats each change until it was not interrupted.

    Attributes:
        acknowledged: the keys of what was done.
        error: whatever else reached it, which ends it.
    """

    def __init__(self, manager: DatabaseManager, name: str, ended: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self.acknowledged: set[str] = set()
        self.error: Exception | None = None
        self._manager, self._ended = manager, ended
        self._next = 0

    def run(self) -> None:
        """Write until told to end."""
        while not self._ended.is_set():
            try:
                self._write_on()
            except Interruption:
                continue
            except Exception as error:
                self.error = error
                return

    def throw(self) -> None:
        """Throw into the thread, wherever it is in a change, and wait until it has made two more.

        Whether it noticed is not asked: Python drops what is thrown into the callback of a weak reference.
        """
        enough = len(self.acknowledged) + 2
        thread = ctypes.c_ulong(self.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(Interruption))
        end = time.monotonic() + _PATIENCE
        while self.error is None and len(self.acknowledged) < enough:
            assert time.monotonic() < end, f"{self.name} hangs"
            time.sleep(0.001)

    def _write_on(self) -> None:
        while not self._ended.is_set():
            key = f"{self.name}-{self._next}"
            self._write(self._next, key)
            self.acknowledged.add(key)
            self._next += 1

    def _write(self, number: int, key: str) -> None:
        if number % 2:
            self._manager.run(three_together, key)
        else:
            symbol = SYMBOLS[number % len(SYMBOLS)]
            self._manager.record_trade(
                symbol=symbol, action="BUY", quantity=1, price=1, order_id=key
            )


def interrupt(database: str | URL, seed: int, times: int) -> Figures:
    """Throw into threads that write, one at a time, and let them go on."""
    say(f"seed {seed}: {times} exceptions thrown into {THREADS} threads")
    chance, ended = random.Random(seed), threading.Event()
    with DatabaseManager(configured(database), uuid4().hex) as manager:
        for symbol in SYMBOLS:
            manager.record_trade(symbol=symbol, action="BUY", quantity=1, price=1)
        writers = [Writer(manager, f"thread-{number}", ended) for number in range(THREADS)]
        for writer in writers:
            writer.start()
        for _ in range(times):
            ended.wait(chance.uniform(0, 0.01))
            chance.choice(writers).throw()
        ended.set()
        for writer in writers:
            writer.join()
        assert [writer.error for writer in writers] == [None] * THREADS
        return _checked(manager, set().union(*(writer.acknowledged for writer in writers)), times)


def _checked(manager: DatabaseManager, acknowledged: set[str], times: int) -> Figures:
    trades = Counter(trade.order_id for trade in manager.iterate(Trade))
    cache = manager._container.position_cache()
    for symbol in SYMBOLS:
        assert cache.entry(symbol).lock.acquire(timeout=0), f"the lock of {symbol} is held"
    assert manager.pool_status().checked_out == 0, "a connection is lost"
    require_proven(manager)
    return Figures(
        rounds=1,
        operations=len(acknowledged),
        kills=times,
        lost=len(acknowledged - trades.keys()),
        duplicated=trades.total() - len(trades),
    )


def _scenario(name: str, server: str, new_database: Any) -> Scenario:
    return Scenario(
        name=name,
        promise=f"Threads that an exception is thrown into ({server}) lose, double and block nothing.",
        test="tests/integration/reliability/test_interruptions.py",
        run=partial(
            in_rounds, new_database, lambda database, seed, _: interrupt(database, seed, 30)
        ),
    )


SCENARIOS: list[Scenario] = [
    _scenario("interrupt-threads", "PostgreSQL", postgresql_book),
    _scenario("interrupt-threads-sqlite", "SQLite", sqlite_book),
]
