"""`import`: book a file of trades."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from tradebook.domain.validation import optional_identifier
from tradebook.entrypoints.cli.book import import_run, trade_files
from tradebook.entrypoints.cli.book.import_run import Booked, Checked
from tradebook.entrypoints.cli.book.trade_files import COLUMNS, BadRow, TradeFile
from tradebook.entrypoints.cli.options import AccountName, AsJson, Database, opened
from tradebook.entrypoints.cli.output import (
    complain,
    counted,
    print_json,
    progress_bar,
    say,
    stdout,
)
from tradebook.entrypoints.cli.tables import Column, Kind, show


def _existing(path: Path) -> Path:
    """`-`, or a file that is there: typer's own check knows no `-`."""
    if str(path) != "-" and not path.exists():
        raise typer.BadParameter(f"file '{path}' does not exist")
    if path.is_dir():
        raise typer.BadParameter(f"'{path}' is a directory")
    return path


def import_trades(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            callback=_existing,
            help="CSV, plain or gzip; - for standard input.",
        ),
    ],
    mappings: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="THEIRS=OURS", help="Their column is our column; repeat it for each."
        ),
    ] = None,
    ignored: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="COLUMN", help="Leave a column out; repeat it for each."),
    ] = None,
    currency: Annotated[
        str | None,
        typer.Option("--currency", metavar="NAME", help="The currency of rows that name none."),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Book the good rows and list the bad ones.")
    ] = False,
    database: Database = None,
    account: AccountName = "main",
    as_json: AsJson = False,
) -> None:
    """Book a file of trades, in the order of its rows: all of it, or nothing.

    Its first line names the columns, in any order: symbol, action (buy or
    sell), quantity, price; and if you like fee, fee_currency, currency,
    multiplier, settlement (cash or margined), executed_at (ISO 8601, in UTC
    unless it says otherwise), order_id, execution_id, venue, strategy.

    Run it again as often as you like: trades that are booked are recognised,
    by their order_id and execution_id, or without one by their content. With
    --skip-bad an import that was broken off has booked a part: run it again.

      tradebook import trades.csv
      tradebook import fills.csv.gz --map side=action --map qty=quantity
      zcat fills.csv.gz | tradebook import - --currency ETH --ignore note
    """
    began = perf_counter()
    mapping = _mapping(mappings or [])

    with trade_files.opened_file(path) as binary:
        file = trade_files.TradeFile(
            "standard input" if str(path) == "-" else path.name,
            binary,
            mapping=mapping,
            ignored=ignored or [],
            currency=optional_identifier(currency),
        )
        with progress_bar("checking", quiet=as_json) as report:
            checked = import_run.check(file, report, skip_bad=skip_bad)
        book = import_run.book_what_can_be if skip_bad else import_run.book_all
        try:
            with (
                opened(database, account) as manager,
                progress_bar("booking", quiet=as_json) as report,
            ):
                booked = book(manager, file, checked.good, report)
        except KeyboardInterrupt:
            complain(
                "broken off; run the import again to book the rest"
                if skip_bad
                else "broken off; nothing was booked"
            )
            raise
    skipped = sorted([*checked.bad, *booked.refused], key=lambda row: row.line)
    seconds = perf_counter() - began
    if as_json:
        print_json(
            {
                "account": account,
                "file": file.name,
                "booked": booked.booked,
                "duplicates": booked.duplicates,
                "repeated": checked.repeated,
                "skipped": skipped,
                "positions": sorted(booked.symbols),
                "seconds": round(seconds, 3),
            }
        )
    else:
        _show(file, checked, booked, skipped, seconds)


def _mapping(given: list[str]) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for text in given:
        theirs, equals, ours = (part.strip() for part in text.rpartition("="))
        if not (theirs and equals and ours in COLUMNS):
            raise typer.BadParameter(
                f"{text!r}: write THEIRS=OURS, such as side=action, where ours is one of "
                + ", ".join(COLUMNS),
                param_hint="--map",
            )
        mapping[theirs] = ours
    return mapping


def _show(
    file: TradeFile, checked: Checked, booked: Booked, skipped: list[BadRow], seconds: float
) -> None:
    positions = counted(len(booked.symbols), "position")
    say(
        f"{file.name}: {counted(booked.booked, 'trade')} booked in {positions}, "
        f"{counted(booked.duplicates, 'duplicate')} recognised, "
        f"{counted(len(skipped), 'row')} skipped; {seconds:.1f} s"
    )
    if checked.repeated:
        say(
            f"{counted(checked.repeated, 'row')} repeated an order of an earlier row and counted as "
            "duplicates; fills of one order need an execution_id each"
        )
    if skipped:
        show(
            stdout(),
            f"{counted(len(skipped), 'row')} skipped",
            [
                Column("line", "line", Kind.NUMBER),
                Column("column", "column"),
                Column("value", "value", Kind.PROSE),
                Column("reason", "reason", Kind.PROSE),
            ],
            skipped,
        )
