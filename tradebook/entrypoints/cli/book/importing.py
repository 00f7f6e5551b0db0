"""`import`: book a file of trades."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from tradebook.domain.imports import ImportSource
from tradebook.domain.validation import optional_identifier
from tradebook.entrypoints.cli.book import import_run
from tradebook.entrypoints.cli.book.import_preview import show_preview
from tradebook.entrypoints.cli.book.import_suspects import suspicion
from tradebook.entrypoints.cli.book.import_warnings import WatchedRows, quantities
from tradebook.entrypoints.cli.book.row_order import OrderedRows, RowOrder
from tradebook.entrypoints.cli.book.trade_files import COLUMNS, BadRow, TradeFile
from tradebook.entrypoints.cli.book.trade_text import STDIN, opened_file
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.messages import complain, confirm, counted
from tradebook.entrypoints.cli.options import CommandContext, name_value_pairs, option


def _existing(path: Path) -> Path:
    # typer's own check (exists=True) takes `-` for the name of a file.
    try:
        if str(path) != STDIN and not path.exists():
            raise typer.BadParameter(f"file '{path}' does not exist")
    except OSError as error:  # such as a name that is too long, or a folder that is closed to us
        raise typer.BadParameter(f"file '{path}' cannot be found: {error.strerror}") from None
    return path


def import_trades(
    context: CommandContext,
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            dir_okay=False,
            callback=_existing,
            help="A CSV file, plain or gzip; - for standard input.",
        ),
    ],
    mappings: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="THEIRS=OURS",
            help="Read the column THEIRS as OURS; repeat it for each.",
        ),
    ] = None,
    ignored: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="COLUMN", help="Leave a column out; repeat it for each."),
    ] = None,
    currency: Annotated[str | None, option("NAME", "The currency of rows that name none.")] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Book the good rows and list the bad ones.")
    ] = False,
    order: Annotated[
        RowOrder, typer.Option("--order", help="Book by time, or in the order of the file.")
    ] = RowOrder.TIME,
    yes: Annotated[
        bool, typer.Option("--yes", help="Book fills that look booked under other order ids.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would happen, and write nothing.")
    ] = False,
) -> None:
    """Book the trades of a CSV file in the order of their times: all of them, or none.

    The first line names the columns, in any order: symbol, action (buy or
    sell), quantity, price; optional are fee, fee_currency, currency,
    multiplier, settlement (cash or margined), asset, executed_at (ISO 8601, in
    UTC unless it has an offset), order_id, execution_id, venue, strategy.

    Rows are sorted by executed_at, whether the file has the oldest or the
    newest first; a row without a time follows the row before it.

    Importing a file again is safe: it is recognised as a whole by its digest,
    and trades that are booked by their order_id and execution_id, or without
    one by their content. An interrupted import with --skip-bad has booked a
    part: run it again. `tradebook imports undo` takes an import back.

      tradebook import trades.csv --dry-run
      tradebook import trades.csv
      tradebook import fills.csv.gz --map side=action --map qty=quantity
      zcat fills.csv.gz | tradebook import - --currency ETH --ignore note
    """
    began = perf_counter()
    form = f"THEIRS=OURS, such as side=action, where OURS is one of {', '.join(COLUMNS)}"
    mapping = dict(name_value_pairs(mappings, "--map", form))
    for theirs, ours in mapping.items():
        if ours not in COLUMNS:
            raise typer.BadParameter(f"'{theirs}={ours}': write {form}", param_hint="--map")

    with ExitStack() as stack:
        file = TradeFile(
            "standard input" if str(path) == STDIN else path.name,
            stack.enter_context(opened_file(path)),
            mapping=mapping,
            ignored=ignored or [],
            currency=optional_identifier(currency),
        )
        source = ImportSource(file.name, file.text.digest())
        ordered = stack.enter_context(OrderedRows(file.text, order))
        with context.progress_bar("checking") as report:
            checked = import_run.check(file, ordered, report, skip_bad=skip_bad or dry_run)
        if dry_run:
            show_preview(context, file, source, ordered, checked, skip_bad=skip_bad)
            return
        try:
            with (
                context.open_book(creates=True) as manager,
                context.progress_bar("booking") as report,
            ):
                before = import_run.imported_before(manager, source.digest or "")
                suspected = None if before or yes else suspicion(manager, ordered)
                if suspected is not None:
                    confirm(f"{suspected} Book them?", yes=False, otherwise="nothing was booked")
                watched = WatchedRows(ordered, quantities(manager))
                arguments = (file, watched, checked)
                if skip_bad and before is None:
                    booked = import_run.book_what_can_be(manager, *arguments, source, report)
                else:
                    booked = manager.run(import_run.book_all, *arguments, before or source, report)
        except KeyboardInterrupt:
            rest = "run the import again to book the rest" if skip_bad else "nothing was booked"
            complain(f"interrupted; {rest}")
            raise
    if before is not None:
        complain(f"{import_run.known(file, before)}. {import_run.undo_first(before)}")
    skipped = sorted([*checked.bad, *booked.refused], key=lambda row: row.line)
    seconds, rows = perf_counter() - began, f"{counted(len(skipped), 'row')} skipped"
    lines = [
        f"{file.name}: {counted(booked.booked, 'trade')} booked in "
        f"{counted(len(booked.symbols), 'position')}, "
        f"{counted(booked.duplicates, 'duplicate')} recognised, {rows}; {seconds:.1f} s"
    ]
    warnings = watched.warnings(
        duplicates=booked.duplicates - checked.repeated, repeated=checked.repeated
    )
    lines += [f"warning: {warning}" for warning in warnings]
    document = {
        "account": context.account,
        "file": file.name,
        "import_id": booked.import_id,
        "is_known_file": before is not None,
        "booked": booked.booked,
        "duplicates": booked.duplicates,
        "repeated": checked.repeated,
        "skipped": skipped,
        "warnings": warnings,
        "positions": sorted(booked.symbols),
        "seconds": round(seconds, 3),
    }
    context.answer(document, *lines)
    if skipped and not context.as_json:
        context.show_table(rows, select(BadRow, "line column value reason"), skipped)
