"""A whole book copied into an empty database: `tradebook copy` next to `pg_dump | psql`, which proves nothing.

`python -m benchmarks --only copy`.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count

from sqlalchemy import URL

from benchmarks.bulk import fills, timed
from benchmarks.comparing import Times
from benchmarks.results import Goal, Result, Settings
from tests.support.servers import configured, create_database, postgresql_server
from tradebook import DatabaseManager
from tradebook.operations.copying import copy_book
from tradebook.operations.server.programs import find_program

_BY_PROGRAMS = "pg_dump | psql"
_NUMBERS = count()


def results(settings: Settings) -> Iterator[Result]:
    """Copies of a book from PostgreSQL and from SQLite, each into an empty database."""
    rows, rounds = settings.size(500, 100_000, 1_000_000), settings.size(1, 3, 1)
    with postgresql_server() as server, tempfile.TemporaryDirectory() as folder:
        on_server = create_database(server, "original")
        on_disk = f"sqlite:///{folder}/original.db"
        for url in (on_server, on_disk):
            with DatabaseManager(url) as manager:
                manager.upgrade()
                manager.import_trades(fills(rows, 100))
        times = Times()
        for _ in range(rounds):
            times.add(_BY_PROGRAMS, timed(lambda: _by_programs(on_server, _new(server))))
            times.add(
                "tradebook copy, from PostgreSQL", timed(lambda: _copied(on_server, _new(server)))
            )
            times.add("tradebook copy, from SQLite", timed(lambda: _copied(on_disk, _new(server))))
    goal = Goal(0.5)
    goals = {name: goal for name in times.wall if name != _BY_PROGRAMS}
    yield times.result(f"copy: {rows:,} trades to PostgreSQL", goals, unit="s a copy")


def _new(server: URL) -> URL:
    return create_database(server, f"copy{next(_NUMBERS)}")


def _by_programs(source: URL, target: URL) -> None:
    dump, load = (find_program(name, 18) for name in ("pg_dump", "psql"))
    with subprocess.Popen([dump, _plain(source)], stdout=subprocess.PIPE) as dumping:
        command = [load, "--quiet", "--no-psqlrc", "--single-transaction", _plain(target)]
        subprocess.run(command, check=True, stdin=dumping.stdout, stdout=subprocess.DEVNULL)


def _copied(source: str | URL, target: URL) -> None:
    copy_book(configured(source), configured(target))


def _plain(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
