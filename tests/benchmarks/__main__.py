"""Runs the benchmarks and prints ratios: `python -m tests.benchmarks [NAME ...] [--rounds N]`."""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from sqlalchemy import URL

from tests.benchmarks import one_trade
from tests.benchmarks.comparing import Way, compare
from tests.servers import create_database, postgresql_server

Ways = AbstractContextManager[dict[str, Way]]

ON_POSTGRESQL: dict[str, tuple[str, Callable[[URL], Ways]]] = {
    "one": ("one client", one_trade.one_client),
    "threads": ("8 threads over 100 symbols", lambda url: one_trade.threads(url, 100)),
    "hot": ("8 threads over one symbol", lambda url: one_trade.threads(url, 1)),
    "task": ("asyncio, one task", lambda url: one_trade.tasks(url, 1, 1)),
    "tasks": ("asyncio, 8 tasks over 100 symbols", lambda url: one_trade.tasks(url, 8, 100)),
    "hot-tasks": ("asyncio, 8 tasks over one symbol", lambda url: one_trade.tasks(url, 8, 1)),
}
LIBRARIES = ("SQLAlchemy", "psycopg2-binary", "asyncpg")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    known = [*ON_POSTGRESQL, "file"]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=160, help="calls in each round")
    options = parser.parse_args()
    wanted = options.names or known
    if not set(wanted) <= set(known):
        parser.error(f"the benchmarks are {', '.join(known)}")
    console = Console(width=110)
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    console.print(
        f"{platform.platform()}, Python {platform.python_version()}, {libraries}; "
        f"{options.rounds} interleaved rounds of {options.calls} calls, medians"
    )
    if set(wanted) & set(ON_POSTGRESQL):
        with postgresql_server() as server:
            for name in wanted:
                if name in ON_POSTGRESQL:
                    title, ways_of = ON_POSTGRESQL[name]
                    with ways_of(create_database(server, f"bench-{name}")) as ways:
                        title = f"PostgreSQL, unix socket, fsync on: {title}"
                        compare(console, title, ways, options.rounds, options.calls)
    if "file" in wanted:
        with tempfile.TemporaryDirectory() as folder, one_trade.a_file(Path(folder)) as ways:
            title = "SQLite file, WAL, synchronous=FULL: one client"
            compare(console, title, ways, options.rounds, options.calls)


if __name__ == "__main__":
    sys.exit(main())
