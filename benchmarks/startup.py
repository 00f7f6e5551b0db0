"""How long until the first trade is booked: imports, and the first call, each time in a new process.

As installed: pip compiles a package to bytecode, which a checkout may lack where Python must not write any. And
without pydantic, which no user of tradebook needs: it is here for one of the peers, and dependency-injector
imports it where it finds it.
"""

from __future__ import annotations

import compileall
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from sqlalchemy import URL

import tradebook
from benchmarks.comparing import TIME, Times, figures
from benchmarks.one_trade import order_id
from benchmarks.results import Goal, Result, Settings
from tests.support.servers import create_database, postgresql_server
from tradebook import DatabaseManager

BASE = "import sqlalchemy, attrs"
ORM = "import sqlalchemy.orm, sqlalchemy.ext.asyncio, attrs"
OURS = "from tradebook import DatabaseManager"
IMPORTS = (BASE, ORM, OURS, "import tradebook")

TIMED = """
import sys, time

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "pydantic":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
begun = time.perf_counter()
{statements}
print(time.perf_counter() - begun)
"""
FIRST_TRADE = (
    OURS
    + """
manager = DatabaseManager({url!r})
manager.record_trade(symbol="FIRST", action="BUY", quantity=1, price=1, order_id={order!r})
"""
)


def results(settings: Settings) -> Iterator[Result]:
    """Imports next to those of SQLAlchemy, then the first trade on a warm server."""
    imports, trades = Times(), list[float]()
    compileall.compile_dir(Path(tradebook.__file__).parent, quiet=1)
    with postgresql_server() as server:
        url = create_database(server, "startup")
        with DatabaseManager(url) as manager:
            manager.upgrade()
        for round_ in range(-1, settings.size(2, 15, 15)):  # the first is a warm-up
            for statement in IMPORTS:
                taken = milliseconds(statement)
                if round_ >= 0:
                    imports.add(statement, taken)
            taken = first_trade(url)
            if round_ >= 0:
                trades.append(taken)
    goals = {OURS: Goal(1.3, at_most=True), "import tradebook": Goal(1.3, at_most=True)}
    yield imports.result("imports, in a new process", goals, ratio=TIME, unit="ms")
    beyond = [taken - median(imports.wall[BASE]) for taken in trades]
    name = "until the first record_trade returns"
    yield figures(
        f"the first trade on a warm server, beyond {BASE}",
        "ms",
        {name: beyond},
        {name: Goal(150, at_most=True)},
    )


def first_trade(url: URL) -> float:
    """From the first import to the end of the first trade, in a database that has its tables."""
    text = url.render_as_string(hide_password=False)
    return milliseconds(FIRST_TRADE.format(url=text, order=order_id()))


def milliseconds(statements: str) -> float:
    """What statements take in a new process, without the start of the interpreter."""
    command = [sys.executable, "-c", TIMED.format(statements=statements)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return float(printed) * 1000
