"""Measurements in a process of their own, of memory and of streams: `python -m benchmarks.children`."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, redirect_stdout
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import psycopg2
from sqlalchemy import URL, make_url

Action = Callable[[], int]
"""What is timed; gives how many records it went through."""


class Told(NamedTuple):
    """What a child said of itself.

    Attributes:
        seconds: that the work took, without the start of the process.
        processor: seconds of it in the process itself.
        megabytes: the most memory that it held, imports and all.
        done: how many records.
    """

    seconds: float
    processor: float
    megabytes: float
    done: int


def run(task: str, url: URL, *arguments: object) -> Told:
    """Do a task in a new process."""
    command = [sys.executable, "-m", "benchmarks.children", task]
    command += [url.render_as_string(hide_password=False), *map(str, arguments)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Told(*json.loads(printed))


@contextmanager
def iterate(url: URL, most: str) -> Iterator[Action]:
    """`iterate` over so many trades."""
    from tradebook import DatabaseManager, Trade

    with DatabaseManager(url) as manager:
        manager.health()
        yield lambda: sum(1 for _ in islice(manager.iterate(Trade), int(most)))


@contextmanager
def stream(url: URL, most: str) -> Iterator[Action]:
    """The same rows through a cursor of the server's."""
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(plain)) as connection, connection.cursor("trades") as cursor:

        def action() -> int:
            cursor.execute("SELECT * FROM trades ORDER BY executed_at DESC, id DESC")
            return sum(1 for _ in islice(cursor, int(most)))

        yield action


@contextmanager
def verify(url: URL) -> Iterator[Action]:
    """Prove the book."""
    from tradebook import DatabaseManager

    with DatabaseManager(url) as manager:
        manager.health()

        def action() -> int:
            found = manager.verify()
            assert found.proven, found.differences[:3]
            return found.trades

        yield action


@contextmanager
def attribution(url: URL, by: str) -> Iterator[Action]:
    """Attribute the book's P&L."""
    from tradebook import DatabaseManager

    with DatabaseManager(url) as manager:
        manager.health()

        def action() -> int:
            found = manager.attribution(by)
            assert found.ties, found.totals
            return sum(row.trades for row in found.rows)

        yield action


@contextmanager
def equity_curve(url: URL, frequency: str, by: str) -> Iterator[Action]:
    """Compute the equity curve by trade times; `by` is empty for the account alone."""
    from tradebook import DatabaseManager, Trade

    with DatabaseManager(url) as manager:
        manager.health()

        def action() -> int:
            end = manager.get_all(Trade, 1)[0].executed_at
            curve = manager.equity_curve(
                end=end, frequency=frequency, basis="restated", by=by or None
            )
            assert curve.points[-1].total_value
            return manager.count(Trade)

        yield action


@contextmanager
def import_trades(url: URL, rows: str, symbols: str) -> Iterator[Action]:
    """Book the fills of the benchmarks."""
    from benchmarks.bulk import fills
    from tradebook import DatabaseManager

    with DatabaseManager(url) as manager:
        manager.health()
        yield lambda: manager.import_trades(fills(int(rows), int(symbols))).booked


@contextmanager
def command(url: URL, *arguments: str) -> Iterator[Action]:
    """Run a command of the command line, whose modules are imported before."""
    from tradebook.entrypoints.cli.app import app, load

    load(arguments[0])
    database = url.render_as_string(hide_password=False)

    def action() -> int:
        with redirect_stdout(StringIO()):
            app(["--database", database, *arguments], standalone_mode=False)
        return 0

    yield action


TASKS: dict[str, Callable[..., AbstractContextManager[Action]]] = {
    "iterate": iterate,
    "stream": stream,
    "verify": verify,
    "attribution": attribution,
    "equity_curve": equity_curve,
    "import_trades": import_trades,
    "command": command,
}


def peak_megabytes() -> float:
    """The most memory that this process held; `getrusage` would count that of its parent too on Linux."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1024
    peak_bytes_or_kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak_bytes_or_kilobytes / (1024 * 1024 if sys.platform == "darwin" else 1024)


def main(task: str, url: str, *arguments: str) -> None:
    """Do the task and say how it went."""
    with TASKS[task](make_url(url), *arguments) as action:
        begun, used = time.perf_counter(), time.process_time()
        done = action()
        seconds, processor = time.perf_counter() - begun, time.process_time() - used
    sys.stdout.write(json.dumps(Told(seconds, processor, peak_megabytes(), done)))


if __name__ == "__main__":
    main(*sys.argv[1:])
