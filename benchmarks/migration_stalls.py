"""How long somebody who books trades waits while the database is migrated: `make stalls`.

A book of so many trades goes down to the first revision and up again, revision by revision, while a client
of before books one trade after another.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import NamedTuple

from sqlalchemy import URL

from benchmarks.filled import PREFIX, filled
from benchmarks.fills import new_fill
from benchmarks.hand_written import Psycopg2
from tests.support.servers import configured, create_database, postgresql_server
from tradebook.adapters.engine.factory import make_engine
from tradebook.adapters.migrations import revisions
from tradebook.adapters.migrations import upgrade as migrations

LONGEST = 1.0
"""Seconds that a booking may take, whatever a migration does meanwhile."""
_SYMBOLS = 10


class Stall(NamedTuple):
    """What a migration did to who booked.

    Attributes:
        migration: `up to 0002`.
        seconds: that it took.
        bookings: done meanwhile.
        longest: seconds that one of them took.
    """

    migration: str
    seconds: float
    bookings: int
    longest: float

    def __str__(self) -> str:
        return (
            f"{self.migration}: {self.seconds:.2f} s; {self.bookings:,} trades booked meanwhile, the "
            f"longest wait {1000 * self.longest:.0f} ms"
        )


class _Client(threading.Thread):
    """Books one trade after another until it is told to stop; what fails, it raises when it is joined."""

    def __init__(self, url: URL, name: str) -> None:
        super().__init__()
        self.waits: list[float] = []
        self.failure: Exception | None = None
        self._url, self._order = url, name
        self._stop_asked = threading.Event()

    def run(self) -> None:
        try:
            self._book()
        except Exception as failure:  # whatever it is, the test shall fail with it
            self.failure = failure

    def _book(self) -> None:
        client = Psycopg2(self._url)
        for number in count():
            if self._stop_asked.is_set():
                break
            fill = new_fill("main", f"{PREFIX}{number % _SYMBOLS}", f"{self._order}-{number}", 100)
            started = time.perf_counter()
            client.record(fill)
            self.waits.append(time.perf_counter() - started)
        client.close()

    def stop(self) -> None:
        """Let it finish its trade."""
        self._stop_asked.set()
        self.join()
        if self.failure is not None:
            raise self.failure


@contextmanager
def booking(url: URL, name: str) -> Iterator[list[float]]:
    """Somebody books meanwhile; gives the seconds that each booking took."""
    client = _Client(url, name)
    client.start()
    try:
        while len(client.waits) < _SYMBOLS and client.is_alive():
            time.sleep(0.001)
        client.waits.clear()
        yield client.waits
    finally:
        client.stop()


def measured(url: URL, trades: int) -> Iterator[Stall]:
    """Each migration of a new database that gets so many trades, down and up."""
    with filled(url, trades, many=50):
        engine = make_engine(configured(url))
    known = [script.revision for script in revisions.all_revisions()]
    ways = [("down to", revision) for revision in known[-2::-1]]
    ways += [("up to", revision) for revision in known[1:]]
    for way, revision in ways:
        migrate = migrations.upgrade if way == "up to" else migrations.downgrade
        with booking(url, f"{way}-{revision}") as waits:
            started = time.perf_counter()
            migrate(engine, revision)
            took = time.perf_counter() - started
        yield Stall(f"{way} {revision}", took, len(waits), max(waits))
    engine.dispose()


def main() -> None:
    """Measure on a server of one's own, and fail where somebody waited too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trades", type=int, default=1_000_000)
    trades = parser.parse_args().trades
    with postgresql_server() as server:
        longest = 0.0
        for stall in measured(create_database(server, "stalls"), trades):
            print(stall, flush=True)  # noqa: T201  # it is a command
            longest = max(longest, stall.longest)
    if longest > LONGEST:
        raise SystemExit(f"somebody waited longer than {LONGEST} s")


if __name__ == "__main__":
    main()
