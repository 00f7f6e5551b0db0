"""A file of trades: `tradebook import` next to `import_trades` of the same trades from Python, and what it takes to undo it.

Each way runs in a process of its own, on a book that is empty but for the undo and for importing again after it.
`python -m benchmarks --only files`.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psycopg2
from attrs import define, field
from sqlalchemy import URL, make_url

from benchmarks import children
from benchmarks.bulk import fills, per_row
from benchmarks.comparing import TIME, Times, figures
from benchmarks.results import Goal, Result, Settings
from tests.support.servers import create_database, postgresql_server
from tradebook import DatabaseManager, Trade

FROM_PYTHON, IMPORT, DRY_RUN = "import_trades", "tradebook import", "tradebook import --dry-run"
UNDO, AGAIN = "tradebook imports undo", "the same import again"


def write_file(path: Path, rows: int, symbols: int) -> None:
    """The fills that `import_trades` gets, as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, next(fills(1, 1)).keys())
        writer.writeheader()
        writer.writerows(fills(rows, symbols))


@define
class Measured:
    """Wall time, processor time and peak memory of the rounds."""

    rows: int
    wall: Times = field(factory=Times)
    processor: Times = field(factory=Times)
    megabytes: dict[str, list[float]] = field(factory=dict)

    def run(self, name: str, task: str, url: URL, *arguments: object) -> None:
        """Do a task in a new process."""
        told = children.run(task, url, *arguments)
        processor = per_row(told.processor, self.rows)
        self.wall.add(name, per_row(told.seconds, self.rows), processor)
        self.processor.add(name, processor)
        self.megabytes.setdefault(name, []).append(told.megabytes)

    def results(self, title: str) -> Iterator[Result]:
        """The ratios to `import_trades`, those to the import of the file, and the memory."""
        for times, what in ((self.wall, ""), (self.processor, ", processor time")):
            pair = Times({name: times.wall[name] for name in (FROM_PYTHON, IMPORT)}, times.cpu)
            yield pair.result(f"{title}{what}", {IMPORT: Goal(0.8)}, unit="us a row")
            others = {name: each for name, each in times.wall.items() if name != FROM_PYTHON}
            goals = {DRY_RUN: Goal(0.5, at_most=True), UNDO: Goal(3, at_most=True)}
            after = f"{title}, next to its import{what}"
            yield Times(others, times.cpu).result(
                after, goals, base=IMPORT, ratio=TIME, unit="us a row"
            )
        most = dict.fromkeys(self.megabytes, Goal(300, at_most=True))
        yield figures(f"{title}: memory", "MB", self.megabytes, most)


def measured(
    path: Path, empty_book: Callable[[str], URL], rows: int, symbols: int, rounds: int
) -> Measured:
    """Take turns; each round begins with books that `empty_book` makes."""
    found = Measured(rows)
    for _ in range(rounds):
        found.run(FROM_PYTHON, "import_trades", empty_book("python"), rows, symbols)
        found.run(DRY_RUN, "command", empty_book("dry"), "import", path, "--dry-run")
        url = empty_book("file")
        found.run(IMPORT, "command", url, "import", path)
        found.run(UNDO, "command", url, "imports", "undo", 1, "--reason", "a benchmark")
        found.run(AGAIN, "command", url, "import", path)
        with DatabaseManager(url) as manager:
            assert not manager.verify().differences
            assert manager.count(Trade, status="EXECUTED") == rows
    return found


def sqlite_book(folder: Path, name: str) -> URL:
    """A new file."""
    for file in folder.glob(f"{name}.db*"):
        file.unlink()
    url = make_url(f"sqlite:///{folder / name}.db")
    with DatabaseManager(url) as manager:
        manager.get_positions()
    return url


def postgresql_book(server: URL, made: set[str], name: str) -> URL:
    """A database of that name without any record."""
    url = server.set(database=name)
    if name not in made:
        made.add(name)
        create_database(server, name)
        with DatabaseManager(url) as manager:
            manager.upgrade()
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg2.connect(plain) as connection, connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE accounts, trades, events, positions, imports RESTART IDENTITY CASCADE"
        )
    connection.close()
    return url


def results(settings: Settings) -> Iterator[Result]:
    """Both databases."""
    rows, symbols = settings.size(2_000, 50_000, 1_000_000), settings.size(5, 50, 500)
    rounds = settings.given_rounds or settings.size(1, 3, 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trades.csv"
        write_file(path, rows, symbols)
        title = f"a file of {rows:,} trades"
        found = measured(path, partial(sqlite_book, Path(folder)), rows, symbols, rounds)
        yield from found.results(f"SQLite: {title}")
        with postgresql_server() as server:
            found = measured(path, partial(postgresql_book, server, set()), rows, symbols, rounds)
        yield from found.results(f"PostgreSQL: {title}")
