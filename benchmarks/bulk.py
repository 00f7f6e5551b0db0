"""Many trades at a time: `import_trades` next to a bare COPY of the trade rows alone, and on SQLite a bare executemany.

COPY gets the rows in the form that the server itself wrote, text and binary; nothing is made of them, no position, no
event, no key is looked for. Our side makes its rows while it is timed. `python -m benchmarks --only bulk`.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy import URL

from benchmarks.children import peak_megabytes
from benchmarks.comparing import Times, figures
from benchmarks.results import Goal, Result, Settings
from tests.support.servers import create_database, postgresql_server
from tradebook import AgentDecision, DatabaseManager
from tradebook.service_layer.handlers import TradeTerms

TENTH, EACH = "a decision for ten trades", "a decision for each trade"


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
        self.command = [sys.executable, "-m", "benchmarks.bulk", url, str(rows), str(symbols)]
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
    sys.stdout.write(json.dumps({"seconds": seconds, "megabytes": peak_megabytes()}))


def on_postgresql(rows: int, symbols: int, rounds: int) -> Iterator[Result]:
    """Next to a bare COPY."""
    with postgresql_server() as server, tempfile.TemporaryDirectory() as folder:
        url = create_database(server, "bulk")
        ours = Child(url.render_as_string(hide_password=False), rows, symbols)
        with DatabaseManager(url) as manager:
            manager.upgrade()
        ours()
        bare = BareCopy(url, Path(folder))
        times = Times()
        for _ in range(rounds):
            for form in ("text", "binary"):
                bare.empty()
                times.add(f"COPY, {form}", per_row(timed(lambda form=form: bare.copy(form)), rows))  # type: ignore[misc]
            bare.empty()
            times.add("import_trades", per_row(ours(), rows))
            times.add("the same again", per_row(ours(), rows))
        bare.connection.close()
    base = times.fastest_of(["COPY, text", "COPY, binary"])
    title = f"PostgreSQL: {rows:,} fills over {symbols} symbols"
    goals = {"import_trades": Goal(0.6), "the same again": Goal(0.6)}
    yield times.result(title, goals, base=base, unit="us a row")
    yield memory(title, ours)


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


def on_sqlite(rows: int, symbols: int, rounds: int) -> Iterator[Result]:
    """Next to a bare executemany in one transaction."""
    times = Times()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            path = Path(folder) / f"{number}.db"
            ours = Child(f"sqlite:///{path}", rows, symbols)
            first, again = ours(), ours()
            if number:  # the first only fills the file that the rows come from
                bare = executemany(Path(folder) / "0.db", Path(folder))
                times.add("executemany", per_row(bare, rows))
                times.add("import_trades", per_row(first, rows))
                times.add("the same again", per_row(again, rows))
    title = f"SQLite: {rows:,} fills over {symbols} symbols"
    goals = {"import_trades": Goal(0.5), "the same again": Goal(0.5)}
    yield times.result(title, goals, unit="us a row")
    yield memory(title, ours)


def per_row(seconds: float, rows: int) -> float:
    """Microseconds."""
    return seconds / rows * 1e6


def memory(title: str, ours: Child) -> Result:
    """The most that an import held, imports of modules and all."""
    goals = {"import_trades": Goal(300, at_most=True)}
    return figures(f"{title}: memory", "MB", {"import_trades": [ours.megabytes]}, goals)


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


def with_decisions(where: str, url: str | URL, rows: int, rounds: int) -> Result:
    """Imports whose trades name approved decisions, each in an account of its own."""
    times, ways = Times(), {"no decision": 0, TENTH: 10, EACH: 1}
    for number in range(-1, rounds):  # the first is a warm-up
        for name, trades in ways.items():
            with DatabaseManager(url, f"{name} {number}") as manager:
                manager.upgrade()
                given = list(fills(rows, 50))
                made = manager.bulk_create(
                    [
                        AgentDecision(agent="bot", symbol="X", action="BUY", status="APPROVED")
                        for _ in range(rows // trades if trades else 0)
                    ]
                )
                for place in range(len(made) * trades):
                    given[place]["decision_id"] = made[place // trades].id
                used = time.process_time()
                seconds = timed(lambda: manager.import_trades(given))  # noqa: B023, called here
                used = time.process_time() - used
            if number >= 0:
                times.add(name, per_row(seconds, rows), per_row(used, rows))
    title = f"{where}: import_trades of {rows:,} fills with decisions"
    return times.result(title, {TENTH: Goal(0.8), EACH: Goal(0.8)}, unit="us a row")


def results(settings: Settings) -> Iterator[Result]:
    """Both databases."""
    rows, symbols = settings.size(2_000, 100_000, 1_000_000), settings.size(5, 50, 500)
    rounds = settings.size(1, 3, 3)
    yield from on_postgresql(rows, symbols, rounds)
    yield from on_sqlite(rows, symbols, rounds)
    few = settings.size(1_000, 20_000, 20_000)
    with postgresql_server() as server:
        yield with_decisions("PostgreSQL", create_database(server, "decided"), few, rounds)
    with tempfile.TemporaryDirectory() as folder:
        yield with_decisions("SQLite", f"sqlite:///{Path(folder) / 'decided.db'}", few, rounds)


if __name__ == "__main__":
    import_here(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
