"""What things cost as the book grows: a trade, a proof, a snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from typing import Any

from sqlalchemy import URL, Engine, event

from benchmarks import children
from benchmarks.comparing import TIME, Way, figures, measure, repeated
from benchmarks.filled import PREFIX, filled
from benchmarks.one_trade import symbols, terms
from benchmarks.results import Goal, Result, Settings
from tests.support.servers import create_database, postgresql_server
from tradebook import DatabaseManager

SYMBOLS = 500


def results(settings: Settings) -> Iterator[Result]:
    """The three curves."""
    with postgresql_server() as server:
        yield recording(server, settings)
        yield from proving(server, settings)
        yield from snapshots(server, settings)


def recording(server: URL, settings: Settings) -> Result:
    """`record_trade` in books of different sizes, in turns."""
    sizes = {
        "a new book": 0,
        **_named(settings.size(1_000, 100_000, 1_000_000), "trades"),
        **_named(settings.size(3_000, 1_000_000, 10_000_000), "trades"),
    }
    with ExitStack() as stack:
        ways: dict[str, Way] = {}
        for name, trades in sizes.items():
            url = create_database(server, f"recording-{trades}")
            ways[name] = recorder(stack.enter_context(filled(url, trades, SYMBOLS)))
        times = measure(ways, settings.rounds, settings.calls)
    goals = {name: Goal(1.2, at_most=True) for name in list(sizes)[1:]}
    title = f"record_trade, one client, {SYMBOLS} symbols in turn"
    return times.result(title, goals, ratio=TIME).with_sizes("trades in the book", sizes)


def recorder(manager: DatabaseManager) -> Way:
    """Records trades of all symbols in turn; each has been recorded once before."""
    for symbol in symbols(PREFIX, SYMBOLS):
        manager.record_trade(**terms(symbol, 100))
    next_one = cycle(symbols(PREFIX, SYMBOLS))
    return repeated(lambda number: manager.record_trade(**terms(next(next_one), number)))


def proving(server: URL, settings: Settings) -> Iterator[Result]:
    """`verify`, each time in a new process: how long, and how much memory."""
    seconds, memory, sizes = {}, {}, dict[str, int]()
    most = settings.size(3_000, 100_000, 1_000_000)
    for trades in (most // 10, most // 2, most):
        url = create_database(server, f"proving-{trades}")
        with filled(url, trades, SYMBOLS):
            told = [children.run("verify", url) for _ in range(settings.size(1, 3, 2))]
        name = f"{told[0].done:,} trades"
        sizes[name] = told[0].done
        seconds[name] = [each.seconds for each in told]
        memory[name] = [each.megabytes for each in told]
    goals = {name: Goal(30 * most / 1_000_000, at_most=True)}  # the last; a million in 30 s
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
        times = measure(ways, settings.rounds, 1)
    yield times.result("take_snapshot", {}, ratio=TIME).with_sizes("open positions", sizes)
    goals = {"1,000 positions": Goal(40, at_most=True)}
    yield figures("processor time of take_snapshot in this process", "ms", times.cpu, goals)
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


def _named(count: int, what: str) -> dict[str, int]:
    return {f"{count:,} {what}": count}
