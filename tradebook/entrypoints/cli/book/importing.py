"""`import`: book a file of trades."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer

from tradebook.domain.errors import TradebookError
from tradebook.domain.validation import optional_identifier
from tradebook.entrypoints.cli.book import import_flows, import_run
from tradebook.entrypoints.cli.book import import_options as options
from tradebook.entrypoints.cli.book.import_prices import PriceFile, mark_all
from tradebook.entrypoints.cli.book.trade_columns import COLUMNS_OF, FileKind
from tradebook.entrypoints.cli.book.trade_files import BadRow, TradeFile
from tradebook.entrypoints.cli.book.trade_text import STDIN, opened_file
from tradebook.entrypoints.cli.book.venue_files import FlowFile, VenueFile
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.messages import complain, counted
from tradebook.entrypoints.cli.options import CommandContext, name_value_pairs, option
from tradebook.entrypoints.cli.output import as_fields, stdout
from tradebook.entrypoints.cli.tables import show
from tradebook.venues.presets import Preset, find_preset


def _existing(paths: list[Path]) -> list[Path]:
    # typer's own check (exists=True) takes `-` for the name of a file.
    for path in paths:
        try:
            if str(path) != STDIN and not path.exists():
                raise typer.BadParameter(f"file '{path}' does not exist")
        except (
            OSError
        ) as error:  # such as a name that is too long, or a folder that is closed to us
            raise typer.BadParameter(f"file '{path}' cannot be found: {error.strerror}") from None
    return paths


def import_trades(
    context: CommandContext,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            dir_okay=False,
            callback=_existing,
            help="Files, CSV and JSON also gzip; - for standard input.",
        ),
    ],
    venue: options.From = None,
    kind: options.Kind = FileKind.TRADES,
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
    ignore_others: options.IgnoreOthers = False,
    details: options.Details = None,
    decimal: options.Decimal = ".",
    thousands: options.Thousands = False,
    date_format: options.DateFormat = None,
    tz: options.Zone = None,
    encoding: options.Encoding = None,
    negate: options.Negate = None,
    sign_from_quantity: options.Signed = False,
    units: options.Units = False,
    places: options.Places = None,
    settlement: options.SettlementOption = None,
    multiplier: options.Multiplier = None,
) -> None:
    """Book the trades of a file in the order of its rows: all of them, or none.

    FILE is CSV (with any delimiter), JSON (a list of objects), JSON Lines,
    Parquet or an Excel workbook; an object in an object is read as fee.cost.
    --from NAME reads a file as a venue or a program writes it, see `tradebook
    venues`. Without it the first line names the columns, in any order: symbol,
    action (buy or sell), quantity, price; optional are fee, fee_currency,
    currency, multiplier, settlement (cash or margined), asset, executed_at
    (ISO 8601, in UTC unless it has an offset), order_id, execution_id, venue,
    strategy.

    --kind cash-flows reads kind, amount, currency, symbol, occurred_at,
    reference; --kind orders reads orders that are open, with their status, if
    it is not PENDING; --kind prices sets marks from symbol, price, executed_at.

    Importing a file again is safe: trades that are booked are recognised by
    their order_id and execution_id, or without one by their content. An
    interrupted import with --skip-bad has booked a part: run it again.

      tradebook import trades.csv
      tradebook import fills.csv.gz --map side=action --map qty=quantity
      zcat fills.csv.gz | tradebook import - --currency ETH --ignore note
      tradebook import --from binance trades.csv income.csv
      tradebook import konto.csv --decimal , --date-format "%d.%m.%Y" --ignore-others
    """
    known = COLUMNS_OF[kind]
    form = f"THEIRS=OURS, such as side=action, where OURS is one of {', '.join(known)}"
    mapping = dict(name_value_pairs(mappings, "--map", form))
    for theirs, ours in mapping.items():
        if ours not in known and venue is None:
            raise typer.BadParameter(f"'{theirs}={ours}': write {form}", param_hint="--map")

    cells = options.cell_reader(decimal, thousands, date_format, tz, places)
    reader = options.row_reader(
        cells,
        ignores_others=ignore_others,
        details=details,
        negated=negate,
        signed=sign_from_quantity,
        units=units,
        settlement=settlement,
        multiplier=multiplier,
        kind=kind,
    )
    if kind in (FileKind.CASH_FLOWS, FileKind.PRICES) and details:
        raise typer.BadParameter(f"{kind} have no details", param_hint="--details")
    said = {
        "--kind": kind is not FileKind.TRADES,
        "--negate": negate,
        "--sign-from-quantity": sign_from_quantity,
        "--units": units,
    }
    for name in (name for name, is_given in said.items() if is_given and venue is not None):
        raise typer.BadParameter("it has no effect with --from, which says it", param_hint=name)
    how: dict[str, Any] = {
        "mapping": mapping,
        "ignored": ignored or [],
        "currency": optional_identifier(currency),
        "reader": reader,
        "encoding": options.known_encoding(encoding),
    }
    preset = find_preset(venue) if venue is not None else None
    answers: list[tuple[dict[str, object], list[str], list[BadRow]]] = []
    for path in paths:
        try:
            found = _import_file(context, path, how, kind=kind, preset=preset, skip_bad=skip_bad)
        except TradebookError:
            for done, *_ in answers:
                complain(f"{done['file']} was booked before")
            raise
        answers.append(found)
    documents, lines, skipped = zip(*answers, strict=True)
    document = {"account": context.account, "files": documents} if len(paths) > 1 else documents[0]
    context.answer(document, *chain(*lines))
    for bad in skipped:
        if bad and not context.as_json:
            title = f"{counted(len(bad), 'row')} skipped"
            show(stdout(), title, select(BadRow, "line column value reason"), bad)


def _import_file(
    context: CommandContext,
    path: Path,
    how: Mapping[str, Any],
    *,
    kind: FileKind,
    preset: Preset | None,
    skip_bad: bool,
) -> tuple[dict[str, object], list[str], list[BadRow]]:
    """Book one file; return the document and the lines that say how it went, and the rows that were skipped."""
    began = perf_counter()
    is_stdin = str(path) == STDIN
    with opened_file(path) as binary:
        name = "standard input" if is_stdin else path.name
        file: TradeFile
        if preset is not None:
            file = VenueFile(name, binary, preset=preset, path=None if is_stdin else path, **how)
        elif kind is FileKind.PRICES:
            return _mark_prices(context, PriceFile(name, binary, **how), skip_bad=skip_bad)
        else:
            file = (FlowFile if kind is FileKind.CASH_FLOWS else TradeFile)(name, binary, **how)
        with context.progress_bar("checking") as report:
            checked = import_run.check(file, report, skip_bad=skip_bad)
        try:
            with (
                context.open_book(creates=True) as manager,
                context.progress_bar("booking") as report,
            ):
                arguments = (checked.good, report)
                if skip_bad:
                    booked, flows = import_flows.book_what_can_be(manager, file, *arguments)
                else:
                    booked, flows = manager.run(import_flows.book_all, file, *arguments)
        except KeyboardInterrupt:
            rest = "run the import again to book the rest" if skip_bad else "nothing was booked"
            complain(f"interrupted; {rest}")
            raise
    refused = [*checked.bad, *booked.refused, *flows.refused]
    skipped = sorted(refused, key=lambda row: row.line)
    seconds, rows = perf_counter() - began, f"{counted(len(skipped), 'row')} skipped"
    lines = [
        f"{file.name}: {counted(booked.booked, 'trade')} booked in "
        f"{counted(len(booked.symbols), 'position')}, "
        f"{counted(booked.duplicates, 'duplicate')} recognised, {rows}; {seconds:.1f} s"
    ]
    if checked.repeated:
        lines.append(
            f"{counted(checked.repeated, 'row')} repeated an order of an earlier row and counted as "
            "duplicates; fills of one order need an execution_id each"
        )
    document: dict[str, object] = {
        "account": context.account,
        "file": file.name,
        "booked": booked.booked,
        "duplicates": booked.duplicates,
        "repeated": checked.repeated,
        "skipped": skipped,
        "positions": sorted(booked.symbols),
        "seconds": round(seconds, 3),
    }
    if isinstance(file, FlowFile):
        document |= {"cash_flows": flows.booked, "cash_flow_duplicates": flows.duplicates}
        lines.append(
            f"{counted(flows.booked, 'cash flow')} booked, {counted(flows.duplicates, 'duplicate')} recognised"
        )
    if isinstance(file, VenueFile):
        left_out = sorted(file.left_out.values(), key=lambda each: -each.count)
        document |= {
            "venue": file.preset.name,
            "left_out": [as_fields(each) for each in left_out],
        }
        lines.append(f"{counted(sum(each.count for each in left_out), 'record')} left out")
        lines += [f"  {each.count:,} x {each.reason} (first: {each.line})" for each in left_out]
    return document, lines, skipped


def _mark_prices(
    context: CommandContext, file: PriceFile, *, skip_bad: bool
) -> tuple[dict[str, object], list[str], list[BadRow]]:
    """Set marks to the prices of a file; return what `_import_file` returns."""
    with context.open_book() as manager, context.progress_bar("checking") as report:
        marked, unknown, bad = mark_all(manager, file, report, skip_bad=skip_bad)
    document: dict[str, object] = {
        "account": context.account,
        "file": file.name,
        "marked": marked,
        "unknown": unknown,
        "skipped": bad,
    }
    lines = [
        f"{file.name}: {counted(len(marked), 'position')} marked, {counted(len(unknown), 'symbol')} without any "
        f"trade, {counted(len(bad), 'row')} skipped"
    ]
    return document, lines, bad
