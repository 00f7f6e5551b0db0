"""`import --dry-run`: what an import would do, with nothing written."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from attrs import frozen

from tradebook.domain.balances import AssetBalance
from tradebook.domain.imports import ImportSource
from tradebook.domain.positions import Position
from tradebook.entrypoints.cli.book import import_run
from tradebook.entrypoints.cli.book.flow_previews import preview_flows
from tradebook.entrypoints.cli.book.import_estimates import estimated
from tradebook.entrypoints.cli.book.import_refusals import MAX_SHOWN, refused_row
from tradebook.entrypoints.cli.book.import_run import Checked
from tradebook.entrypoints.cli.book.import_suspects import suspicion
from tradebook.entrypoints.cli.book.import_warnings import WatchedRows, quantities
from tradebook.entrypoints.cli.book.row_order import OrderedRows
from tradebook.entrypoints.cli.book.trade_files import BadRow, Row, TradeFile
from tradebook.entrypoints.cli.book.venue_files import FlowFile, VenueFile
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.messages import counted, say
from tradebook.entrypoints.cli.options import CommandContext
from tradebook.entrypoints.cli.output import as_fields
from tradebook.service_layer.handlers import TradeTerms
from tradebook.service_layer.queries.previews import ImportPreview, preview_import


@frozen
class Preview:
    """What is said of a file that was not booked.

    Attributes:
        document: for `--json`.
        lines: for people.
        show_tables: prints what follows the lines.
        ok: whether the import would not be refused.
    """

    document: dict[str, object]
    lines: list[str]
    show_tables: Callable[[], None]
    ok: bool


def preview_file(
    context: CommandContext,
    file: TradeFile,
    source: ImportSource,
    rows: OrderedRows,
    checked: Checked,
    *,
    skip_bad: bool,
) -> Preview:
    """Tell what an import of checked rows would do."""
    with context.open_book(or_empty=True) as manager, context.progress_bar("folding") as report:
        repeated = rows.repeated
        before = import_run.imported_before(manager, source.digest or "")
        suspected = None if before else suspicion(manager, rows)
        watched = WatchedRows(rows, quantities(manager))
        settled = estimated(manager, file, rows, watched)
        numbered = _Numbered(settled)
        preview = manager.read(
            preview_import, numbered, progress=lambda done, _: report(done, checked.good)
        )
        flows = manager.read(preview_flows, file)
    balances = flows.added_to(preview.balances)
    times = [*filter(None, (rows.first, rows.last)), *flows.times]
    first, last = min(times, default=None), max(times, default=None)
    refused = [
        refused_row(file, numbered.row(each.index, rows), each.error) for each in preview.refused
    ]
    bad = sorted([*checked.bad, *refused, *flows.refused], key=lambda row: row.line)
    warnings = watched.warnings(duplicates=preview.duplicates, repeated=repeated)
    warnings += settled.warnings()
    if before is not None:
        warnings.insert(0, import_run.known(file, before))
    if suspected is not None:
        warnings.insert(0, f"{suspected} An import asks for --yes.")
    document: dict[str, object] = {
        "account": context.account,
        "file": file.name,
        "dry_run": True,
        "is_known_file": before is not None,
        "new": preview.new,
        "duplicates": preview.duplicates,
        "repeated": repeated,
        "bad": bad,
        "first": first,
        "last": last,
        "symbols": [position.symbol for position in preview.positions],
        "positions": preview.positions,
        "balances": balances,
        "warnings": warnings,
    }
    lines = [
        f"{file.name}: {counted(preview.new, 'trade')} would be booked in "
        f"{counted(len(preview.positions), 'position')}, {counted(preview.duplicates, 'duplicate')} recognised, "
        f"{repeated:,} repeated, {counted(len(bad), 'bad row')}; nothing was written"
    ]
    if first is not None and last is not None:
        lines.append(f"from {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC")
    if isinstance(file, FlowFile):
        new = flows.kinds.total()
        document |= {
            "cash_flows": new,
            "cash_flow_kinds": flows.kinds,
            "cash_flow_duplicates": flows.duplicates,
        }
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(flows.kinds.items()))
        lines.append(
            f"{counted(new, 'cash flow')} would be recorded{f' ({kinds})' if kinds else ''}, "
            f"{counted(flows.duplicates, 'duplicate')} recognised"
        )
    if isinstance(file, VenueFile):
        left_out = file.most_left_out()
        document["left_out"] = [as_fields(each) for each in left_out]
        count = sum(each.count for each in left_out)
        lines += [f"{counted(count, 'record')} would be left out", *map(str, left_out)]
    lines += [f"warning: {warning}" for warning in warnings]
    show_tables = partial(_show_tables, context, preview, balances, bad)
    return Preview(document, lines, show_tables, ok=skip_bad or not bad)


class _Numbered:
    """The terms of rows that repeat none before, and the line of each."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows
        self._lines = array("q")

    def __iter__(self) -> Iterator[TradeTerms]:
        self._lines = array("q")
        for row in self._rows:
            if not row.repeats:
                self._lines.append(row.line)
                yield row.terms

    def row(self, index: int, rows: OrderedRows) -> Row:
        return rows.at_line(self._lines[index])


def answer_previews(context: CommandContext, previews: Sequence[Preview]) -> None:
    """Show what was said of files; exit with 1 if the import of one would be refused."""

    def then() -> None:
        for each in previews:
            for line in each.lines:
                say(line)
            each.show_tables()

    documents = [each.document for each in previews]
    document = {"account": context.account, "files": documents}
    ok = all(each.ok for each in previews)
    context.answer(document if len(previews) > 1 else documents[0], then=then, ok=ok)


def _show_tables(
    context: CommandContext,
    preview: ImportPreview,
    balances: list[AssetBalance],
    bad: list[BadRow],
) -> None:
    if preview.positions:
        names = "symbol quantity entry_price realized_pnl fees currency"
        columns = select(Position, names, spare="entry_price fees")
        context.show_table("positions as they would be", columns, preview.positions)
    if balances:
        columns = select(AssetBalance, "asset positions cash balance", spare="positions cash")
        context.show_table("balances as they would be", columns, balances)
    if bad:
        columns = select(BadRow, "line column value reason")
        context.show_table(counted(len(bad), "bad row"), columns, bad[:MAX_SHOWN])
