"""`reconcile`: the book next to what a venue says: balances, or a statement entry by entry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from attrs import frozen

from tradebook.domain.balances import AssetEntry, BalanceDifference, Reconciliation
from tradebook.domain.numbers import plain
from tradebook.domain.statements import (
    Discrepancy,
    PositionDifference,
    ReconciledStatement,
    VenueStatement,
)
from tradebook.entrypoints.cli.book import import_options
from tradebook.entrypoints.cli.book.balances import read_balances
from tradebook.entrypoints.cli.book.trade_text import STDIN, opened_file
from tradebook.entrypoints.cli.book.venue_files import VenueFile
from tradebook.entrypoints.cli.book.venue_statements import read_statement
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.messages import confirm, counted, say
from tradebook.entrypoints.cli.options import (
    CommandContext,
    Period,
    Yes,
    named_values,
    option,
    takes_option_sets,
)
from tradebook.entrypoints.cli.output import as_fields
from tradebook.service_layer.handlers import Mended
from tradebook.service_layer.instrumentation import ProgressCallback
from tradebook.venues.presets import find_preset


@takes_option_sets
def reconcile(
    context: CommandContext,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE", help="The files; - for the standard input.")
    ],
    period: Period,
    venue: import_options.From = None,
    tolerance: Annotated[
        str, option("AMOUNT", "Pass over differences of numbers up to this.")
    ] = "0",
    within: Annotated[
        float, option("SECONDS", "How far apart the times of one fill may be.", min=0)
    ] = 60.0,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the entries that mend the book.")
    ] = False,
    reason: Annotated[str | None, option("TEXT", "Why; kept with each entry.")] = None,
    yes: Yes = False,
    mappings: import_options.Mappings = None,
    decimal: import_options.Decimal = ".",
    thousands: import_options.Thousands = False,
    date_format: import_options.DateFormat = None,
    tz: import_options.Zone = None,
    encoding: import_options.Encoding = None,
    settlement: import_options.SettlementOption = None,
    multiplier: import_options.Multiplier = None,
) -> None:
    """Compare the book with what a venue says, and mend it where it differs.

    With --from NAME the files are the statement of a venue, see `tradebook
    venues`: each fill and each cash flow of the period is looked for in the
    book, and each of the book's in the statement; positions and cash at the end
    are compared where the files say them. The entries that would mend the book
    are shown: trades to record, to correct, or to bust. --apply writes them
    with the --reason, and compares again.

    Without --from FILE is a list of balances: CSV with the columns asset and
    balance, or JSON: an object with the balance of each asset, or what ccxt's
    fetch_balance returns. An asset that it does not name counts as 0, and each
    that differs is shown with the last entries that changed it.

    Exits with 0 if all agree, to the last digit or the tolerance; else with 1.

      tradebook reconcile balances.csv
      tradebook reconcile balances.json --tolerance 0.00000001
      tradebook reconcile --from ibkr statement.xml
      tradebook reconcile --from ibkr statement.xml --apply --reason "downtime"
    """
    if venue is None:
        if len(files) > 1:
            raise typer.BadParameter("write one file, or say whose files they are with --from")
        given = {
            "--apply": apply,
            "--reason": reason,
            "--since": period.since,
            "--until": period.until,
            "--map": mappings,
            "--decimal": decimal != ".",
            "--thousands": thousands,
            "--date-format": date_format,
            "--tz": tz,
            "--encoding": encoding,
            "--settlement": settlement,
            "--multiplier": multiplier,
        }
        for name in (name for name, value in given.items() if value):
            raise typer.BadParameter("it has an effect with --from only", param_hint=name)
        _reconcile_balances(context, files[0], tolerance)
        return
    if apply and not (reason or "").strip():
        raise typer.BadParameter("say with --reason why the book is changed", param_hint="--apply")
    cells = import_options.cell_reader(decimal, thousands, date_format, tz, None)
    read: dict[str, Any] = {
        "preset": find_preset(venue),
        "mapping": named_values(mappings, "--map", "THEIRS=COLUMN, such as Menge=Quantity"),
        "reader": import_options.row_reader(cells, settlement=settlement, multiplier=multiplier),
        "encoding": import_options.known_encoding(encoding),
    }
    with context.progress_bar("reading") as report:
        statement, left_out = _read(files, read, period, report)
    how: dict[str, Any] = {"tolerance": tolerance, "within": timedelta(seconds=within)}
    with context.open_book(may_lag=False) if apply else context.read_book(may_lag=False) as manager:
        found = manager.reconcile_statement(statement, **how)
        mended = None
        if apply and found.mends:
            _show_statement(context, found, left_out)
            confirm(
                f"Write the entries ({_counts(found)})?", yes=yes, otherwise="nothing was written"
            )
            source = f"reconciliation of {', '.join(Path(file).name for file in files)}"
            mended = manager.mend(found.mends, reason=reason or "", source=source)
            found = manager.reconcile_statement(statement, **how)
    document = {
        "agrees": found.agrees,
        **as_fields(found),
        "left_out": left_out,
        "mended": mended,
    }
    then = partial(_show_result, context, found, left_out, mended)
    context.answer(document, then=then, ok=found.agrees)


def _reconcile_balances(context: CommandContext, file: str, tolerance: str) -> None:
    said = read_balances(file)
    with context.read_book(may_lag=False) as manager:
        result = manager.reconcile(said, tolerance=tolerance)
    document = {"agrees": result.agrees, **as_fields(result)}
    context.answer(document, then=partial(_show_balances, context, result), ok=result.agrees)


def _show_balances(context: CommandContext, result: Reconciliation) -> None:
    if result.agrees:
        say(f"account {result.account!r} agrees in {counted(result.assets, 'asset')}")
        return
    columns = select(BalanceDifference, "asset book venue difference")
    title = f"{len(result.differences):,} of {counted(result.assets, 'asset')} differ"
    context.show_table(title, columns, result.differences)
    for each in result.differences:
        if each.entries:
            names = select(AssetEntry, "at entity id name amount")
            context.show_table(f"the last entries that changed {each.asset}", names, each.entries)


def _read(
    files: list[str], how: Mapping[str, Any], period: Period, report: ProgressCallback
) -> tuple[VenueStatement, dict[str, int]]:
    """Read the statement of a venue, and how many of its records were left out for which reason."""
    with ExitStack() as stack:
        read = [
            VenueFile(
                Path(file).name,
                stack.enter_context(opened_file(Path(file))),
                path=None if file == STDIN else Path(file),
                ignored=[],
                currency=None,
                **how,
            )
            for file in files
        ]
        statement = read_statement(read, report, since=period.since, until=period.until)
        left_out: Counter[str] = Counter()
        for each in (each for file in read for each in file.left_out.values()):
            left_out[each.reason] += each.count
        return statement, left_out


@frozen
class _Line:
    """A discrepancy in a table."""

    at: datetime
    kind: str
    text: str


def _line(found: Discrepancy) -> _Line:
    changes = [
        f"{name} {_shown(ours)} -> {_shown(theirs)}"
        for name, (ours, theirs) in found.changes.items()
    ]
    parts = [found.name, ", ".join(changes), found.note]
    mends = ", ".join(mend.operation for mend in found.mends)
    text = "; ".join(part for part in parts if part)
    return _Line(found.at, found.kind, f"{text} ({mends or 'nothing proposed'})")


def _shown(value: object) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)


def _counts(found: ReconciledStatement) -> str:
    """Say in words what the mends of a statement do."""
    operations = [mend.operation for mend in found.mends]
    recorded = sum(each.startswith("record") for each in operations)
    corrected = operations.count("correct_trade")
    busted = len(operations) - recorded - corrected
    named = {"record": recorded, "correct": corrected, "bust": busted}
    return ", ".join(f"{what} {count:,}" for what, count in named.items() if count)


def _show_statement(
    context: CommandContext, found: ReconciledStatement, left_out: dict[str, int]
) -> None:
    if context.as_json:
        return
    if found.discrepancies:
        title = f"{counted(len(found.discrepancies), 'difference')} in trades and cash flows"
        columns = select(_Line, "at kind text")
        context.show_table(title, columns, [_line(each) for each in found.discrepancies])
    if found.positions:
        columns = select(PositionDifference, "symbol book venue difference")
        context.show_table("positions at the end that differ", columns, found.positions)
    if found.balances:
        columns = select(BalanceDifference, "asset book venue difference")
        context.show_table("balances at the end that differ", columns, found.balances)
    for reason, count in left_out.items():
        say(f"{counted(count, 'record')} of the venue left out: {reason}")


def _show_result(
    context: CommandContext,
    found: ReconciledStatement,
    left_out: dict[str, int],
    mended: Mended | None,
) -> None:
    if mended is not None:
        say(
            f"{mended.recorded:,} recorded, {mended.corrected:,} corrected, {mended.busted:,} busted"
            + (f"; import {mended.import_id}" if mended.import_id is not None else "")
        )
    _show_statement(context, found, {} if mended is not None else left_out)
    compared = ", ".join(found.compared) or "nothing: the statement says nothing"
    same = f"{counted(found.trades, 'trade')} and {counted(found.cash_flows, 'cash flow')} are the same"
    say(
        f"account {found.account!r} {'agrees' if found.agrees else 'differs'}; compared: {compared}; {same}"
    )
    if not found.agrees and mended is None and found.mends:
        say(f"--apply --reason TEXT writes the entries that mend it: {_counts(found)}")
