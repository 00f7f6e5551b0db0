"""Time and memory of each call, of `verify` and of `take_snapshot` as the book grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import cycle
from typing import Any

from sqlalchemy import URL, Engine, event

from benchmarks import children
from benchmarks.comparing import TIME, Way, figures, measure, repeated
from benchmarks.filled import PREFIX, filled
from benchmarks.one_trade import symbols, terms
from benchmarks.results import Goal, Result, Settings
from benchmarks.snapshot_by_hand import snapshots_by_hand
from tests.support.servers import create_database, postgresql_server
from tradebook import DatabaseManager, Trade

SYMBOLS = 500
BY_HAND = "by hand, without an event and hashes"


DEPTH = 500_000


def results(settings: Settings) -> Iterator[Result]:
    """Calls and proofs in books of different sizes, and snapshots of different widths."""
    with postgresql_server() as server:
        yield from books(server, settings)
        yield from snapshots(server, settings)


def books(server: URL, settings: Settings) -> Iterator[Result]:
    """Every call in books of different sizes, in turns; then `verify` of each, in a new process."""
    sizes = {
        f"{trades:,} trades": trades
        for trades in (
            settings.size(500, 10_000, 10_000),
            settings.size(1_000, 100_000, 1_000_000),
            settings.size(3_000, 1_000_000, 10_000_000),
        )
    }
    with ExitStack() as stack:
        urls = {name: create_database(server, f"book-{trades}") for name, trades in sizes.items()}
        managers = {
            name: stack.enter_context(filled(url, sizes[name], SYMBOLS))
            for name, url in urls.items()
        }
        goals = {name: Goal(1.2, at_most=True) for name in list(sizes)[1:]}
        for title, calls_of, share in CALLS:
            ways = {name: calls_of(manager) for name, manager in managers.items()}
            times = measure(ways, settings.rounds, max(1, settings.calls // share))
            result = times.result(title, goals, ratio=TIME)
            yield result.with_sizes("trades in the book", sizes)
        yield from proving(urls, sizes, settings)


def recorder(manager: DatabaseManager) -> Way:
    """Records trades of all symbols in turn; each has been recorded once before."""
    for symbol in symbols(PREFIX, SYMBOLS):
        manager.record_trade(**terms(symbol, 100))
    next_one = cycle(symbols(PREFIX, SYMBOLS))
    return repeated(lambda number: manager.record_trade(**terms(next(next_one), number)))


def deep_pages(manager: DatabaseManager) -> Way:
    """Reads a page of 100 trades from the middle of the list, or `DEPTH` trades down."""
    depth = min(DEPTH, manager.count(Trade) // 2)
    step, after = min(depth, 10_000), None
    for _ in range(depth // step):
        after = manager.get_trades(limit=step, after=after).after
    return repeated(lambda _: manager.get_trades(limit=100, after=after))


CALLS: list[tuple[str, Callable[[DatabaseManager], Way], int]] = [
    (f"record_trade, one client, {SYMBOLS} symbols in turn", recorder, 1),
    ("get_recent_trades", lambda manager: repeated(lambda _: manager.get_recent_trades()), 4),
    ("a page of 100 in the middle", deep_pages, 4),
    (
        f"get_open_positions, {SYMBOLS} of them",
        lambda manager: repeated(lambda _: manager.get_open_positions()),
        8,
    ),
    (
        f"take_snapshot of {SYMBOLS} positions",
        lambda manager: repeated(lambda _: manager.take_snapshot()),
        16,
    ),
]
"""Each with its title, its way for a book, and the part of the calls of a round that it makes."""


def proving(
    urls: Mapping[str, URL], sizes: Mapping[str, int], settings: Settings
) -> Iterator[Result]:
    """`verify`, each time in a new process: how long, and how much memory."""
    told = {
        name: [children.run("verify", url) for _ in range(settings.size(1, 3, 1))]
        for name, url in urls.items()
    }
    name, trades = list(sizes.items())[-1]
    goals = {name: Goal(30 * trades / 1_000_000, at_most=True)}  # a million in 30 s
    seconds = {name: [each.seconds for each in of_size] for name, of_size in told.items()}
    memory = {name: [each.megabytes for each in of_size] for name, of_size in told.items()}
    taken = figures("verify", "seconds", seconds, goals)
    yield taken.with_sizes("trades in the book", sizes)
    held = figures("memory of verify", "MB", memory, dict.fromkeys(sizes, Goal(300, True)))
    yield held.with_sizes("trades in the book", sizes)


def snapshots(server: URL, settings: Settings) -> Iterator[Result]:
    """`take_snapshot` of many open positions: milliseconds, processor time and statements."""
    most = settings.size(50, 1_000, 10_000)
    ways: dict[str, Way] = {}
    reads, others, sizes = {}, {}, dict[str, int]()
    with ExitStack() as stack:
        for count in (most // 10, most // 2, most):
            url = create_database(server, f"snapshots-{count}")
            manager = stack.enter_context(filled(url, count, count))
            manager.take_snapshot()
            with counted() as statements:
                manager.take_snapshot()
            name = f"{count:,} positions"
            selects = sum("FROM positions" in text for text in statements)
            reads[name], others[name] = [float(selects)], [float(len(statements) - selects)]
            sizes[name] = count
            ways[name] = repeated(lambda _, manager=manager: manager.take_snapshot())  # type: ignore[misc]
        ways[BY_HAND] = stack.enter_context(snapshots_by_hand(url))
        times = measure(ways, settings.rounds, 1)
    curve, beside = times.of(sizes), times.of((BY_HAND, name))
    yield curve.result("take_snapshot", {}, ratio=TIME).with_sizes("open positions", sizes)
    yield beside.result(f"take_snapshot of {name}, next to hand-written SQL", {}, ratio=TIME)
    goals = {"1,000 positions": Goal(40, at_most=True)}
    yield figures("processor time of take_snapshot in this process", "ms", beside.cpu, goals)
    yield figures(
        "reads of positions in take_snapshot",
        "statements",
        reads,
        dict.fromkeys(sizes, Goal(1, True)),
    )
    yield figures("other statements of take_snapshot", "statements", others, {})


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that any engine sends meanwhile."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement.lstrip())

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)
