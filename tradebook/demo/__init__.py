"""The demo: two agents trade real prices day by day, and the book is verified.

They trade five US stocks from January 2010 to March 2013, through the same services as any bot; a
report of the book follows. `tradebook.demo.prices` names the source of the prices.
"""

from __future__ import annotations

from time import perf_counter

from rich.console import Console

from tradebook.demo import report
from tradebook.demo.prices import trading_days
from tradebook.demo.results import read_results
from tradebook.demo.simulation import simulate
from tradebook.domain.errors import TradebookError
from tradebook.entrypoints.cli.output import jsonable, progress_bar
from tradebook.entrypoints.manager import DatabaseManager

__all__ = ["run_demo"]


def run_demo(
    database_url: str, console: Console, as_json: bool = False, *, quiet: bool = False
) -> None:
    """Trade the days that the database does not hold yet, and report on the whole book.

    A second run trades nothing twice, and an interrupted run continues where it stopped.

    Args:
        database_url: of the book's database; a new SQLite file gets its tables on first use.
        console: for the report. The progress bar is shown on a terminal's standard error.
        as_json: print one JSON document instead of the report; amounts are exact, as text.
        quiet: show no progress bar.

    Raises:
        InvalidInput: the database holds a book that is not the demo's; nothing was written.
        TradebookError: the verification found differences, or the database failed.
    """
    with DatabaseManager(database_url, actor="demo") as manager:
        started = perf_counter()
        with progress_bar("trading day by day", hidden=quiet or as_json) as progress:
            days = simulate(manager, trading_days(), progress)
        run = report.Run(manager.url, days, perf_counter() - started)
        results = manager.read(read_results)
    if as_json:
        console.print_json(data=report.as_json(results, run), default=jsonable)
    else:
        report.print_report(results, run, console)
    if not results.verification.proven:
        raise TradebookError(report.proof(results.verification))
