"""Many trades at a time: `import_trades` next to a bare COPY of the trade rows alone, and on SQLite a bare executemany.

COPY gets the rows in the form that the server itself wrote, text and binary; nothing is made of them, no position, no
event, no key is looked for. Our side makes its rows while it is timed. `python -m tests.benchmarks --only bulk`.
"""

from __future__ import annotations

import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import psycopg2
from rich.console import Console
from rich.table import Table
from sqlalchemy import URL

from tests.servers import create_database, postgresql_server
from tradebook import DatabaseManager
from tradebook.service_layer.handlers import TradeTerms

Timing = dict[str, list[float]]


def fills(count: int, symbols: int) -> Iterator[TradeTerms]:
    """The same fills every time, as a file would give them; a microsecond or two for each."""
    state, at = 20260302, datetime(2026, 3, 2, tzinfo=UTC)
    for number in range(count):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        at += timedelta(microseconds=state % 1_000_003)
        yield {
            "symbol": f"SYM{(state >> 8) % symbols}",
            "action": "BUY" if state & 0x10000 else "SELL",
            "quantity": f"{1 + (state >> 4) % 997}.{1 + state % 9}",
            "price": f"{100 + (state >> 6) % 101}.{1 + state % 89}",
            "fee": "0.35",
            "executed_at": at,
            "order_id": f"order-{number}",
        }


def timed(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


class Child:
    """Our import in a process of its own, whose memory can be told."""

    def __init__(self, url: str, rows: int, symbols: int) -> None:
        self.command = [sys.executable, "-m", "tests.benchmarks.bulk", url, str(rows), str(symbols)]
        self.megabytes = 0.0

    def __call__(self) -> float:
        printed = subprocess.run(self.command, check=True, capture_output=True, text=True).stdout
        said = json.loads(printed)
        self.megabytes = max(self.megabytes, said["megabytes"])
        return float(said["seconds"])


def import_here(url: str, rows: int, symbols: int) -> None:
    """What the child does: print how long it took, and how much memory at most."""
    with DatabaseManager(url) as manager:
        manager.health()
        seconds = timed(lambda: manager.import_trades(fills(rows, symbols)))
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(json.dumps({"seconds": seconds, "megabytes": kilobytes / 1024}))


def on_postgresql(console: Console, rows: int, symbols: int, rounds: int) -> None:
    with postgresql_server() as server, tempfile.TemporaryDirectory() as folder:
        url = create_database(server, "bulk")
        ours = Child(url.render_as_string(hide_password=False), rows, symbols)
        with DatabaseManager(url) as manager:
            manager.upgrade()
        ours()
        bare = BareCopy(url, Path(folder))
        times: Timing = {"COPY, text": [], "COPY, binary": [], "import": [], "import again": []}
        for _ in range(rounds):
            for form in ("text", "binary"):
                bare.empty()
                times[f"COPY, {form}"].append(timed(lambda form=form: bare.copy(form)))  # type: ignore[misc]
            bare.empty()
            times["import"].append(ours())
            times["import again"].append(ours())
        bare.connection.close()
    title = f"PostgreSQL: {rows:,} fills over {symbols} symbols; our memory {ours.megabytes:.0f} MB"
    show(console, title, times, rows)


class BareCopy:
    """COPY of the rows of `trades` from files that the server wrote."""

    def __init__(self, url: URL, folder: Path) -> None:
        plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self.connection = psycopg2.connect(plain)
        self.files = {form: folder / form for form in ("text", "binary")}
        for form, path in self.files.items():
            with path.open("wb") as file, self.connection.cursor() as cursor:
                rows = "(SELECT * FROM trades ORDER BY id)"
                cursor.copy_expert(f"COPY {rows} TO STDOUT (FORMAT {form})", file)

    def empty(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute("TRUNCATE trades, events, positions CASCADE")
        self.connection.commit()

    def copy(self, form: str) -> None:
        with self.files[form].open("rb") as file, self.connection.cursor() as cursor:
            cursor.copy_expert(f"COPY trades FROM STDIN (FORMAT {form})", file, 1 << 16)
        self.connection.commit()


def on_sqlite(console: Console, rows: int, symbols: int, rounds: int) -> None:
    times: Timing = {"executemany": [], "import": [], "import again": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            path = Path(folder) / f"{number}.db"
            ours = Child(f"sqlite:///{path}", rows, symbols)
            first, again = ours(), ours()
            if number:  # the first only fills the file that the rows come from
                times["executemany"].append(executemany(Path(folder) / "0.db", Path(folder)))
                times["import"].append(first)
                times["import again"].append(again)
    title = f"SQLite: {rows:,} fills over {symbols} symbols; our memory {ours.megabytes:.0f} MB"
    show(console, title, times, rows)


def executemany(source: Path, folder: Path) -> float:
    """Seconds for the rows of `trades` into an empty database of the same schema, in one transaction."""
    target = folder / "bare.db"
    with DatabaseManager(f"sqlite:///{target}") as manager:
        manager.get_positions()
    rows: Any = sqlite3.connect(source).execute("SELECT * FROM trades ORDER BY id")
    connection = sqlite3.connect(target, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    marks = ", ".join("?" * len(rows.description))

    def write() -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(f"INSERT INTO trades VALUES ({marks})", rows)
        connection.execute("COMMIT")

    seconds = timed(write)
    connection.close()
    for file in folder.glob("bare.db*"):
        file.unlink()
    return seconds


def show(console: Console, title: str, times: Timing, rows: int) -> None:
    """Medians, and the ratio of throughput to the fastest bare way."""
    table = Table(title=title)
    for column in ("way", "us a row", "slowest/fastest round", "throughput ratio"):
        table.add_column(column, justify="left" if column == "way" else "right")
    medians = {name: median(of_way) for name, of_way in times.items()}
    base = min(seconds for name, seconds in medians.items() if not name.startswith("import"))
    for name, seconds in medians.items():
        spread = f"{max(times[name]) / rows * 1e6:.1f}/{min(times[name]) / rows * 1e6:.1f}"
        table.add_row(name, f"{seconds / rows * 1e6:.1f}", spread, f"{base / seconds:.2f}")
    console.print(table)


def bulk(console: Console, rows: int, symbols: int, rounds: int) -> None:
    """Both databases."""
    on_postgresql(console, rows, symbols, rounds)
    on_sqlite(console, rows, symbols, rounds)


if __name__ == "__main__":
    import_here(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
