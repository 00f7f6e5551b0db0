"""`top`: the activity of the database, live in the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, Final

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tradebook.domain.errors import TradebookError
from tradebook.entrypoints.cli.common import without
from tradebook.entrypoints.cli.messages import counted, printable
from tradebook.entrypoints.cli.options import CommandContext, option
from tradebook.entrypoints.cli.output import print_json, stdout
from tradebook.operations.activity import monitoring_engine
from tradebook.operations.top import document, read_pools, sample_database

_MAX_ROWS: Final = 8
_PAUSE: Final = 1.0
"""Seconds between an error of the database and the next attempt to read it."""
_MAX_STATEMENT: Final = 120


@without(account="the database is shown with all its accounts")
def top(
    context: CommandContext,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two readings.")] = 2.0,
    once: Annotated[
        bool, typer.Option("--once", help="Read twice, show the difference, and end.")
    ] = False,
    app: Annotated[
        list[str] | None,
        option("URL", "An application's metrics, to show its pool; repeat it for each."),
    ] = None,
) -> None:
    """Watch the database live: connections, throughput, locks waited for, long transactions.

    Changes nothing. Ctrl-C ends it. Values in statements are masked. On
    PostgreSQL its role sees the sessions of others once it is granted
    pg_monitor.

      tradebook top
      tradebook top --once --json
      tradebook top --app http://localhost:9465/metrics
    """
    config = context.config()
    with monitoring_engine(config, "tradebook top") as engine:
        console, readings = stdout(), partial(_readings, engine, interval, app or [])
        if context.as_json:
            print_json({"database": config.safe_url, **next(readings())})
        elif once or not console.is_terminal:
            console.print(_screen(config.safe_url, next(readings())))
        else:
            _live(config.safe_url, _retrying(readings))


def _retrying(read: Callable[[], Iterator[dict[str, Any]]]) -> Iterator[dict[str, Any] | str]:
    """Yield readings for ever; after an error its message, and then readings of a new start."""
    readings = read()
    while True:
        try:
            yield next(readings)
        except TradebookError as error:
            yield str(error)
            time.sleep(_PAUSE)
            readings = read()


def _readings(engine: Any, interval: float, apps: list[str]) -> Iterator[dict[str, Any]]:
    """Yield one document for each interval, with the rates since the one before."""
    before = sample_database(engine)
    while True:
        time.sleep(interval)
        now = sample_database(engine)
        yield document(before, now, [pool for url in apps for pool in read_pools(url)])
        before = now


def _live(title: str, readings: Iterator[dict[str, Any] | str]) -> None:
    with (
        suppress(KeyboardInterrupt),
        Live(console=stdout(), screen=True, auto_refresh=False) as live,
    ):
        for reading in readings:
            if isinstance(reading, str):
                live.update(Text(f"{title}\n{printable(reading)}"), refresh=True)
            else:
                live.update(_screen(title, reading), refresh=True)


def _screen(title: str, seen: dict[str, Any]) -> RenderableType:
    return Group(*map(Text, _header(title, seen)), *_tables(seen))


def _header(title: str, seen: dict[str, Any]) -> Iterator[str]:
    book, rates = seen["book"], seen["throughput"]
    server = seen.get("server")
    version = f"PostgreSQL {server['version']}" if server else "SQLite"
    yield printable(f"{title}  {version}, {seen['database_bytes'] / 2**20:,.0f} MB")
    alerts = ", ".join(f"{n} {s}" for s, n in book["unresolved_alerts"].items() if n)
    yield (
        f"{counted(book['booked'], 'trade')} booked, {book['busted']:,} busted, "
        f"{book['open_positions']:,} positions open, {book['pending']:,} orders pending; "
        f"unresolved alerts: {alerts or 'none'}"
    )
    yield "per second: " + ", ".join(
        f"{rate:,} {name.removesuffix('_per_second')}" for name, rate in rates.items()
    )
    if server:
        states = ", ".join(f"{count} {state}" for state, count in seen["connections"].items())
        yield (
            f"connections: {states or 'none'}; {server['connections']} of {server['max_connections']} "
            f"on the server; cache hits {server['cache_hit_ratio']:.1%}, "
            f"{server['deadlocks']} deadlocks"
        )
        if seen["hidden_sessions"]:
            yield printable(
                f"statements and transactions of {seen['hidden_sessions']:,} of them are hidden: "
                f"GRANT pg_monitor TO {server['role']}"
            )


def _tables(seen: dict[str, Any]) -> Iterator[Table]:
    if seen.get("blocked"):
        yield _sessions("lock waits", [*seen["blocked"], *seen["blockers"]], blocked=True)
    if seen.get("long_transactions"):
        yield _sessions("long transactions", seen["long_transactions"])
    if seen.get("slow_statements"):
        yield _sessions("running statements", seen["slow_statements"])
    for title, rows in (("standbys", seen.get("replicas")), ("pools", seen["pools"])):
        if rows:
            yield _plain(title, rows)


def _sessions(title: str, sessions: list[dict[str, Any]], *, blocked: bool = False) -> Table:
    table = Table(title=title, title_justify="left", expand=True)
    heads = ("pid", "waits for", "s") if blocked else ("pid", "state", "s")
    for head in (*heads, "application"):
        table.add_column(head, no_wrap=True)
    table.add_column("statement", ratio=1, no_wrap=True, overflow="ellipsis")
    for s in sessions[:_MAX_ROWS]:
        waits = ", ".join(map(str, s["blocked_by"])) or "none"
        seconds = s["waiting_seconds"] or s["statement_seconds"] or s["transaction_seconds"]
        cells = (
            str(s["pid"]),
            waits if blocked else s["state"],
            f"{seconds:,.1f}",
            printable(s["application"]),
            printable(s["statement"])[:_MAX_STATEMENT],
        )
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _plain(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left")
    for head in rows[0]:
        table.add_column(head.replace("_", " "))
    for row in rows:
        table.add_row(*(Text(f"{v:,g}" if isinstance(v, float) else str(v)) for v in row.values()))
    return table
