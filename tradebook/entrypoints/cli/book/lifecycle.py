"""`init`, `verify` and `demo`: the book as a whole."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from tradebook.demo import run_demo
from tradebook.entrypoints.cli.options import AccountName, AsJson, Database, opened
from tradebook.entrypoints.cli.output import (
    as_fields,
    counted,
    print_json,
    progress_bar,
    say,
    stdout,
)
from tradebook.entrypoints.cli.tables import Column, Kind, show
from tradebook.service_layer.verification.verify import Verification

DEMO_DATABASE: Final = "sqlite:///demo.db"
_SHOWN_DIFFERENCES: Final = 100


def init(
    database: Database = None,
    account: AccountName = "main",
    as_json: AsJson = False,
) -> None:
    """Create the schema, or bring it up to this version.

    A new SQLite file gets its tables by itself; run this once for a PostgreSQL
    database, and again after installing a new version. Running it twice does
    no harm.

      tradebook init --database postgresql://user:password@host/book
    """
    with opened(database, account) as manager:
        manager.upgrade()
        if as_json:
            print_json({"database": manager.url, "ready": True})
        else:
            say(f"ready: {manager.url}")


def verify(
    database: Database = None,
    account: AccountName = "main",
    as_json: AsJson = False,
) -> None:
    """Prove the book: fold every trade again and compare with all that is stored.

    Exits with 0 when every position, every trade's P&L, the cash and the
    snapshots follow from the trades and cash flows, to the last digit; with 1
    and a table of what differs, with both values, where not.

      tradebook verify && echo proven
    """
    # Of the database itself, for `tradebook verify || tradebook rebuild`: a standby may be behind.
    book = opened(database, account, reads_elsewhere=False)
    with book as manager, progress_bar("folding", quiet=as_json) as report:
        result = manager.verify(progress=report)
    if as_json:
        print_json({"proven": result.proven, **as_fields(result)})
    else:
        show_verification(result)
    if not result.proven:
        raise typer.Exit(1)


def show_verification(result: Verification) -> None:
    """Say that the book is proven, or list what differs."""
    if result.proven:
        trades = counted(result.trades, "trade")
        say(f"the book is proven ({trades}, {counted(result.positions, 'position')})")
        return

    count = len(result.differences)
    show(
        stdout(),
        f"the book is not proven: {counted(count, 'difference')}",
        [
            Column("record", "entity"),
            Column("which", "key", Kind.PROSE),
            Column("field", "field", Kind.PROSE),
            Column("stored", "stored"),
            Column("computed", "computed"),
        ],
        result.differences[:_SHOWN_DIFFERENCES],
    )
    if count > _SHOWN_DIFFERENCES:
        say(f"and {count - _SHOWN_DIFFERENCES:,} more; --json lists all")


def demo(
    database: Annotated[
        str,
        typer.Option("--database", metavar="URL", help="Where; never TRADEBOOK_DATABASE_URL."),
    ] = DEMO_DATABASE,
    as_json: AsJson = False,
) -> None:
    """Watch two agents trade real prices, all of it recorded; then a report.

    Leaves demo.db in the working directory to explore:

      tradebook demo
      tradebook positions --database sqlite:///demo.db
    """

    run_demo(database, stdout(), as_json)
