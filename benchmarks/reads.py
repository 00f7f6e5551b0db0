"""What is asked of a large book, next to the same rows through the raw driver.

The raw driver is on AUTOCOMMIT and gives tuples; the public calls give entities, on one consistent view.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import cycle
from typing import Any, NamedTuple

import adbc_driver_postgresql.dbapi as adbc
import psycopg2
from sqlalchemy import URL

from benchmarks import children
from benchmarks.comparing import MEMORY, TIME, Times, Way, measure, repeated
from benchmarks.filled import PREFIX, filled
from benchmarks.results import Goal, Result, Settings
from tests.support.servers import create_database, postgresql_server
from tradebook import DatabaseManager, Trade

SYMBOLS = 500
NEWEST = "ORDER BY executed_at DESC, id DESC"
OURS, RAW = "tradebook", "raw psycopg2"
CURSOR = f"{RAW}, a cursor of the server's"
ADBC, ARROW = "ADBC", "arrow_batches"


class Question(NamedTuple):
    """One thing that is asked both ways.

    Attributes:
        title: of it.
        ours: gives entities, or rows of the book.
        raw: gives rows that begin with the id.
        at_most: times the raw driver's time.
        calls: in each round.
    """

    title: str
    ours: Callable[[], Sequence[Any]]
    raw: Callable[[], Sequence[Any]]
    at_most: float
    calls: int


class Raw:
    """Rows through psycopg2."""

    def __init__(self, url: URL) -> None:
        plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self.connection = psycopg2.connect(plain)
        self.connection.autocommit = True
        self.columns = {table: self._columns(table) for table in ("trades", "positions")}

    def _columns(self, table: str) -> str:
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {table} LIMIT 0")
            names = [column.name for column in cursor.description]
        return ", ".join(sorted(names, key=lambda name: name != "id"))

    def rows(self, table: str, rest: str, *values: object) -> list[tuple[Any, ...]]:
        """All columns of what is asked for, of the account."""
        with self.connection.cursor() as cursor:
            query = f"SELECT {self.columns[table]} FROM {table} WHERE account = 'main' {rest}"
            cursor.execute(query, values)
            return cursor.fetchall()

    def close(self) -> None:
        self.connection.close()


def results(settings: Settings) -> Iterator[Result]:
    """Single records, lists, pages and streams of one large table."""
    trades = settings.size(3_500, 200_000, 5_000_000)
    with postgresql_server() as server:
        url = create_database(server, "reads")
        with filled(url, trades, SYMBOLS) as manager, closing(Raw(url)) as raw:
            count = manager.count(Trade)
            of = f"of {count:,} trades"
            for question in questions(manager, raw, count):
                yield asked(question, of, settings)
            yield at_depth(manager, raw, settings.size(2_000, 100_000, 1_000_000), of, settings)
            yield as_arrow(manager, url, raw.columns["trades"], count, settings)
        yield from iterated(url, count, settings)


def questions(manager: DatabaseManager, raw: Raw, count: int) -> Iterator[Question]:
    """What is asked, and what is to be reached."""
    some = random.Random(5).choices(range(1, count + 1), k=5_000)
    ours, theirs = cycle(some), cycle(some)
    yield Question(
        "one trade by id",
        lambda: [manager.get(Trade, next(ours))],
        lambda: raw.rows("trades", "AND id = %s", next(theirs)),
        2.0,
        200,
    )
    numbers = random.Random(6).choices(range(SYMBOLS), k=5_000)
    own, other = cycle(numbers), cycle(numbers)
    yield Question(
        "the latest 100 of a symbol",
        lambda: manager.get_trades_by_symbol(f"{PREFIX}{next(own)}", limit=100),
        lambda: raw.rows("trades", f"AND symbol = %s {NEWEST} LIMIT 100", f"{PREFIX}{next(other)}"),
        1.5,
        40,
    )
    yield Question(
        "500 open positions",
        manager.get_open_positions,
        lambda: raw.rows("positions", "AND status = 'OPEN' ORDER BY symbol"),
        1.5,
        10,
    )
    yield Question(
        "a page of 10,000",
        lambda: manager.get_trades(limit=10_000),
        lambda: raw.rows("trades", f"{NEWEST} LIMIT 10000"),
        1.5,
        1,
    )
    yield Question(
        "a page of 10,000 as plain rows",
        lambda: manager.get_rows(Trade, 10_000),
        lambda: raw.rows("trades", f"{NEWEST} LIMIT 10000"),
        1.1,
        1,
    )


def asked(question: Question, of: str, settings: Settings) -> Result:
    """Both ways in turns, once they were seen to give the same records."""
    given = [entity.id for entity in question.ours()]
    assert given == [row[0] for row in question.raw()], f"{question.title}: not the same records"
    calls = min(question.calls, settings.calls)
    ways: dict[str, Way] = {
        RAW: repeated(lambda _: question.raw()),
        OURS: repeated(lambda _: question.ours()),
    }
    times = measure(ways, settings.rounds, calls)
    goals = {OURS: Goal(question.at_most, at_most=True)}
    return times.result(f"{question.title}, {of}", goals, ratio=TIME)


def at_depth(manager: DatabaseManager, raw: Raw, depth: int, of: str, settings: Settings) -> Result:
    """A page of 100 deep in the list, next to the first one; and what OFFSET takes for it."""
    step, after = min(depth, 10_000), None
    for _ in range(depth // step):
        after = manager.get_trades(limit=step, after=after).after
    deep = [trade.id for trade in manager.get_trades(limit=100, after=after)]
    assert deep == [row[0] for row in raw.rows("trades", f"{NEWEST} OFFSET {depth} LIMIT 100")]
    name = f"at {depth:,}"
    ways: dict[str, Way] = {
        "the first": repeated(lambda _: manager.get_trades(limit=100)),
        name: repeated(lambda _: manager.get_trades(limit=100, after=after)),
        f"{name}, {RAW} with OFFSET": repeated(
            lambda _: raw.rows("trades", f"{NEWEST} OFFSET {depth} LIMIT 100")
        ),
    }
    times = measure(ways, settings.rounds, min(10, settings.calls))
    return times.result(f"a page of 100, {of}", {name: Goal(1.2, at_most=True)}, ratio=TIME)


def as_arrow(
    manager: DatabaseManager, url: URL, columns: str, count: int, settings: Settings
) -> Result:
    """All trades as Arrow, a batch at a time, next to what ADBC reads: its decimals are text."""
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    query = f"SELECT {columns} FROM trades WHERE account = 'main' {NEWEST}"
    with adbc.connect(plain) as connection, connection.cursor() as cursor:

        def through_adbc(_: int) -> None:
            cursor.execute(query)
            assert sum(batch.num_rows for batch in cursor.fetch_record_batch()) == count

        def through_us(_: int) -> None:
            assert sum(batch.num_rows for batch in manager.arrow_batches(Trade)) == count

        ways = {ADBC: repeated(through_adbc), ARROW: repeated(through_us)}
        times = measure(ways, settings.size(1, 3, 1), 1)
    goals = {ARROW: Goal(1.2, at_most=True)}
    return times.result(f"{count:,} trades as Arrow", goals, ratio=TIME)


def iterated(url: URL, count: int, settings: Settings) -> Iterator[Result]:
    """All trades one after the other, each time in a new process; and how much memory that holds."""
    times, memory = Times(), Times()
    few = f"iterate, only {count // 10:,}"
    for _ in range(settings.size(1, 3, 1)):
        for name, task, most in (
            (few, "iterate", count // 10),
            ("iterate", "iterate", count),
            (CURSOR, "stream", count),
        ):
            told = children.run(task, url, most)
            assert told.done == most
            memory.add(name, told.megabytes)
            if most == count:
                times.add(name, told.seconds * 1000, told.processor * 1000)
    yield times.result(f"a stream of {count:,} trades", {}, base=CURSOR, ratio=TIME, unit="ms")
    goals = {"iterate": Goal(1.1, at_most=True)}
    title = f"memory of a stream of {count:,} trades"
    yield memory.result(title, goals, base=few, ratio=MEMORY, unit="MB")
