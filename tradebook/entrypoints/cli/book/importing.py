"""`import`: book a file of trades."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer
from attrs import frozen

from tradebook.domain.errors import TradebookError
from tradebook.domain.imports import ImportSource
from tradebook.domain.validation import optional_identifier
from tradebook.entrypoints.cli.book import import_options as options
from tradebook.entrypoints.cli.book import import_run
from tradebook.entrypoints.cli.book.import_estimates import estimated
from tradebook.entrypoints.cli.book.import_preview import show_preview
from tradebook.entrypoints.cli.book.import_prices import PriceFile, mark_all
from tradebook.entrypoints.cli.book.import_suspects import suspicion
from tradebook.entrypoints.cli.book.import_warnings import WatchedRows, quantities
from tradebook.entrypoints.cli.book.row_order import OrderedRows, RowOrder
from tradebook.entrypoints.cli.book.trade_columns import COLUMNS_OF, FileKind
from tradebook.entrypoints.cli.book.trade_files import BadRow, TradeFile
from tradebook.entrypoints.cli.book.trade_text import STDIN, opened_file
from tradebook.entrypoints.cli.book.venue_files import FlowFile, VenueFile
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.messages import complain, confirm, counted
from tradebook.entrypoints.cli.options import CommandContext, name_value_pairs, option
from tradebook.entrypoints.cli.output import as_fields
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


_Answer = tuple[dict[str, object], list[str], list[BadRow]]
"""What is said of a file: the document and the lines, and the rows that were skipped."""


@frozen
class _Choice:
    """How files are booked: the options that do not say how they are read."""

    kind: FileKind
    preset: Preset | None
    order: RowOrder
    skip_bad: bool
    yes: bool
    dry_run: bool


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
    order: Annotated[
        RowOrder, typer.Option("--order", help="Book by time, or in the order of the file.")
    ] = RowOrder.TIME,
    yes: Annotated[
        bool, typer.Option("--yes", help="Book fills that look booked under other order ids.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would happen, and write nothing.")
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
    """Book the trades of a file in the order of their times: all of them, or none.

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
    _import_each(context, paths, how, _Choice(kind, preset, order, skip_bad, yes, dry_run))


def _import_each(
    context: CommandContext, paths: list[Path], how: Mapping[str, Any], choice: _Choice
) -> None:
    answers: list[_Answer] = []
    for path in paths:
        try:
            found = _import_file(context, path, how, choice)
        except TradebookError:
            for done, *_ in answers:
                complain(f"{done['file']} was booked before")
            raise
        if found is not None:
            answers.append(found)
    if not answers:
        return
    documents, lines, skipped = zip(*answers, strict=True)
    document = {"account": context.account, "files": documents} if len(paths) > 1 else documents[0]
    context.answer(document, *chain(*lines))
    for bad in skipped:
        if bad and not context.as_json:
            title = f"{counted(len(bad), 'row')} skipped"
            context.show_table(title, select(BadRow, "line column value reason"), bad)


def _import_file(
    context: CommandContext,
    path: Path,
    how: Mapping[str, Any],
    choice: _Choice,
) -> _Answer | None:
    """Book one file, and return what is said of it; None where a dry run has said it."""
    began = perf_counter()
    with ExitStack() as stack:
        file = _opened(stack, path, how, choice)
        if isinstance(file, PriceFile):
            return _mark_prices(context, file, skip_bad=choice.skip_bad)
        source = ImportSource(file.name, file.text.digest())
        ordered = stack.enter_context(OrderedRows(file.text, choice.order))
        with context.progress_bar("checking") as report:
            skips = choice.skip_bad or choice.dry_run
            checked = import_run.check(file, ordered, report, skip_bad=skips)
        if choice.dry_run:
            show_preview(context, file, source, ordered, checked, skip_bad=choice.skip_bad)
            return None
        try:
            with (
                context.open_book(creates=True) as manager,
                context.progress_bar("booking") as report,
            ):
                before = import_run.imported_before(manager, source.digest or "")
                suspected = None if before or choice.yes else suspicion(manager, ordered)
                if suspected is not None:
                    confirm(f"{suspected} Book them?", yes=False, otherwise="nothing was booked")
                watched = WatchedRows(ordered, quantities(manager))
                settled = estimated(manager, file, ordered, watched)
                arguments = (file, settled, checked)
                if choice.skip_bad and before is None:
                    booked = import_run.book_what_can_be(manager, *arguments, source, report)
                else:
                    booked = manager.run(import_run.book_all, *arguments, before or source, report)
        except KeyboardInterrupt:
            again = "run the import again to book the rest"
            complain(f"interrupted; {again if choice.skip_bad else 'nothing was booked'}")
            raise
        # None is booked twice: without a duplicate the rows need no sort by their fills.
        repeated = ordered.repeated if booked.duplicates or booked.refused else 0
    if before is not None:
        complain(f"{import_run.known(file, before)}. {import_run.undo_first(before)}")
    flows = booked.flows
    refused = [*checked.bad, *booked.refused, *flows.refused]
    skipped = sorted(refused, key=lambda row: row.line)
    seconds, rows = perf_counter() - began, f"{counted(len(skipped), 'row')} skipped"
    lines = [
        f"{file.name}: {counted(booked.booked, 'trade')} booked in "
        f"{counted(len(booked.symbols), 'position')}, "
        f"{counted(booked.duplicates, 'duplicate')} recognised, {rows}; {seconds:.1f} s"
    ]
    warnings = watched.warnings(duplicates=booked.duplicates - repeated, repeated=repeated)
    warnings += settled.warnings()
    document: dict[str, object] = {
        "account": context.account,
        "file": file.name,
        "import_id": booked.import_id,
        "is_known_file": before is not None,
        "booked": booked.booked,
        "duplicates": booked.duplicates,
        "repeated": repeated,
        "skipped": skipped,
        "warnings": warnings,
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
    lines += [f"warning: {warning}" for warning in warnings]
    return document, lines, skipped


def _opened(
    stack: ExitStack, path: Path, how: Mapping[str, Any], choice: _Choice
) -> TradeFile | PriceFile:
    if choice.dry_run and choice.kind in (FileKind.ORDERS, FileKind.PRICES):
        raise typer.BadParameter(f"{choice.kind} have no dry run", param_hint="--dry-run")
    is_stdin = str(path) == STDIN
    binary, name = stack.enter_context(opened_file(path)), path.name
    if is_stdin:
        name = "standard input"
    if choice.preset is not None:
        return VenueFile(name, binary, preset=choice.preset, path=None if is_stdin else path, **how)
    if choice.kind is FileKind.PRICES:
        return PriceFile(name, binary, **how)
    return (FlowFile if choice.kind is FileKind.CASH_FLOWS else TradeFile)(name, binary, **how)


def _mark_prices(context: CommandContext, file: PriceFile, *, skip_bad: bool) -> _Answer:
    """Set marks to the prices of a file, and return what is said of it."""
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
