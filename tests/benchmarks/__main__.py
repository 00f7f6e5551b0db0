"""Runs the benchmarks and prints ratios: `python -m tests.benchmarks [--rounds N]`."""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import URL

from tests.benchmarks.bulk import bulk
from tests.benchmarks.hand_written import Psycopg2, Sqlite3, new_trade
from tests.servers import create_database, postgresql_server
from tradebook import DatabaseManager

Way = Callable[[int], None]


def seconds(way: Way, start: int, calls: int) -> float:
    begun = time.perf_counter()
    for number in range(start, start + calls):
        way(number)
    return (time.perf_counter() - begun) / calls


def compare(console: Console, title: str, ways: dict[str, Way], rounds: int, calls: int) -> None:
    """Interleaved rounds of each way; medians, and the ratio of throughput to the first."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(-1, rounds):  # the first is a warm-up
        for name, way in ways.items():
            spent = seconds(way, (round_ + 1) * calls, calls)
            if round_ >= 0:
                times[name].append(spent)
    table = Table(title=title)
    for column in ("way", "ms a call", "slowest/fastest round", "throughput ratio"):
        table.add_column(column, justify="left" if column == "way" else "right")
    medians = {name: statistics.median(of_way) for name, of_way in times.items()}
    base = next(iter(medians.values()))
    for name, median in medians.items():
        spread = f"{max(times[name]) * 1000:.2f}/{min(times[name]) * 1000:.2f}"
        table.add_row(name, f"{median * 1000:.2f}", spread, f"{base / median:.2f}")
    console.print(table)


def managed(manager: DatabaseManager) -> Way:
    ids = count()
    return lambda number: void(
        manager.record_trade(
            symbol="TB", action="BUY", quantity=1, price=number, order_id=f"m{next(ids)}"
        )
    )


def written(hand: Psycopg2 | Sqlite3, account: str) -> Way:
    ids = count()
    return lambda number: hand.record(new_trade(account, "HW", f"h{next(ids)}", number))


def void(_: object) -> None:
    """A call made for its effect."""


@contextmanager
def prepared(url: str | URL) -> Iterator[DatabaseManager]:
    with DatabaseManager(url) as manager:
        manager.upgrade()
        for symbol in ("TB", "HW"):  # the hand-written way expects its position
            manager.record_trade(symbol=symbol, action="BUY", quantity=1, price=1)
        yield manager


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=100, help="calls in each round")
    parser.add_argument("--only", choices=("trade", "bulk"), help="one part of them")
    parser.add_argument("--full", action="store_true", help="1,000,000 trades in bulk, not 100,000")
    options = parser.parse_args()
    console = Console()
    libraries = ", ".join(f"{name} {version(name)}" for name in ("SQLAlchemy", "psycopg2-binary"))
    console.print(
        f"{platform.platform()}, Python {platform.python_version()}, {libraries}; "
        f"{options.rounds} interleaved rounds of {options.calls} calls, medians"
    )
    if options.only != "bulk":
        one_trade(console, options)
    if options.only != "trade":
        rows, symbols = (1_000_000, 500) if options.full else (100_000, 50)
        bulk(console, rows, symbols, rounds=3)


def one_trade(console: Console, options: argparse.Namespace) -> None:
    with postgresql_server() as server:
        url = create_database(server, "bench")
        with prepared(url) as manager:
            hand = Psycopg2(url)
            ways = {
                "hand-written psycopg2": written(hand, manager.account),
                "tradebook record_trade": managed(manager),
            }
            compare(
                console,
                "PostgreSQL, unix socket, fsync on: one trade, one client",
                ways,
                options.rounds,
                options.calls,
            )
            hand.close()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "bench.db")
        with prepared(f"sqlite:///{path}") as manager:
            file = Sqlite3(path)
            ways = {
                "hand-written sqlite3": written(file, manager.account),
                "tradebook record_trade": managed(manager),
            }
            compare(
                console,
                "SQLite file, WAL, synchronous=FULL: one trade",
                ways,
                options.rounds,
                options.calls,
            )
            file.close()


if __name__ == "__main__":
    sys.exit(main())
