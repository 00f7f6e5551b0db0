"""The demo: two agents trade real prices through the services, and the book is proven.

Five US stocks, from January 2010 to March 2013, day by day; then a report of what is left. The
prices and where they come from: `tradebook.demo.prices`.
"""

from __future__ import annotations

from time import perf_counter

from rich.console import Console

from tradebook.demo import report
from tradebook.demo.prices import trading_days
from tradebook.demo.results import read_results
from tradebook.demo.simulation import simulate
from tradebook.domain.errors import TradebookError
from tradebook.entrypoints.cli.output import progress_bar
from tradebook.entrypoints.manager import DatabaseManager

__all__ = ["run_demo"]


def run_demo(
    database_url: str, console: Console, as_json: bool = False, *, quiet: bool = False
) -> None:
    """Trade the days that the database does not hold yet, and report on all of it.

    Running it again trades nothing twice; a run that was interrupted goes on where it stopped.

    Args:
        database_url: where to keep the book; a new SQLite file gets its tables by itself.
        console: where the report goes. The progress bar goes to a terminal's standard error.
        as_json: print one JSON document instead of the report; amounts are exact, as text.
        quiet: show no progress bar.

    Raises:
        InvalidInput: the database holds a book that is not the demo's; nothing was written.
        TradebookError: the book is not proven, or the database could not do it.
    """

    with DatabaseManager(database_url, actor="demo") as manager:
        started = perf_counter()
        with progress_bar("trading day by day", hidden=quiet or as_json) as progress:
            days = simulate(manager, trading_days(), progress)
        run = report.Run(report.without_password(database_url), days, perf_counter() - started)
        results = manager.read(read_results)
    if as_json:
        console.print_json(data=report.as_json(results, run))
    else:
        report.print_report(results, run, console)
    if not results.verification.proven:
        raise TradebookError(report.proof(results.verification))
