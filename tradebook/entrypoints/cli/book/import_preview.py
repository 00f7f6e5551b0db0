"""`import --dry-run`: what an import would do, with nothing written."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from tradebook.domain.balances import AssetBalance
from tradebook.domain.imports import ImportSource
from tradebook.domain.positions import Position
from tradebook.entrypoints.cli.book import import_run
from tradebook.entrypoints.cli.book.import_estimates import estimated
from tradebook.entrypoints.cli.book.import_run import Checked
from tradebook.entrypoints.cli.book.import_suspects import suspicion
from tradebook.entrypoints.cli.book.import_warnings import WatchedRows, quantities
from tradebook.entrypoints.cli.book.row_order import OrderedRows
from tradebook.entrypoints.cli.book.trade_files import BadRow, Row, TradeFile
from tradebook.entrypoints.cli.book.venue_files import FlowFile, VenueFile
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.messages import counted
from tradebook.entrypoints.cli.options import CommandContext
from tradebook.entrypoints.cli.output import stdout
from tradebook.entrypoints.cli.tables import show
from tradebook.service_layer.handlers import TradeTerms
from tradebook.service_layer.queries.previews import ImportPreview, preview_import


def show_preview(
    context: CommandContext,
    file: TradeFile,
    source: ImportSource,
    rows: OrderedRows,
    checked: Checked,
    *,
    skip_bad: bool,
) -> None:
    """Show what an import of checked rows would do; exit with 1 if it would be refused."""
    with context.open_book() as manager, context.progress_bar("folding") as report:
        repeated = rows.repeated
        before = import_run.imported_before(manager, source.digest or "")
        suspected = None if before else suspicion(manager, rows)
        watched = WatchedRows(rows, quantities(manager))
        settled = estimated(manager, file, rows, watched)
        numbered = _Numbered(settled)
        preview = manager.read(
            preview_import, numbered, progress=lambda done, _: report(done, checked.good)
        )
    refused = [
        import_run.refused_row(file, numbered.row(each.index, rows), each.error)
        for each in preview.refused
    ]
    bad = sorted([*checked.bad, *refused], key=lambda row: row.line)
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
        "first": rows.first,
        "last": rows.last,
        "symbols": [position.symbol for position in preview.positions],
        "positions": preview.positions,
        "balances": preview.balances,
        "warnings": warnings,
    }
    lines = [
        f"{file.name}: {counted(preview.new, 'trade')} would be booked in "
        f"{counted(len(preview.positions), 'position')}, {counted(preview.duplicates, 'duplicate')} recognised, "
        f"{repeated:,} repeated, {counted(len(bad), 'bad row')}; nothing was written"
    ]
    if rows.first is not None:
        lines.append(f"from {rows.first:%Y-%m-%d %H:%M:%S} to {rows.last:%Y-%m-%d %H:%M:%S} UTC")
    if isinstance(file, FlowFile):
        flows = sum(1 for _ in file.flows())
        document["cash_flows"] = flows
        lines.append(f"{counted(flows, 'cash flow')} would be recorded, unless they are there")
    if isinstance(file, VenueFile):
        left_out = sum(each.count for each in file.left_out.values())
        document["left_out"] = left_out
        lines.append(f"{counted(left_out, 'record')} would be left out")
    lines += [f"warning: {warning}" for warning in warnings]
    context.answer(
        document, *lines, then=lambda: _show_tables(preview, bad), ok=skip_bad or not bad
    )


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


def _show_tables(preview: ImportPreview, bad: list[BadRow]) -> None:
    if preview.positions:
        names = "symbol quantity entry_price realized_pnl fees currency"
        columns = select(Position, names, spare="entry_price fees")
        show(stdout(), "positions as they would be", columns, preview.positions)
        columns = select(AssetBalance, "asset positions cash balance", spare="positions cash")
        show(stdout(), "balances as they would be", columns, preview.balances)
    if bad:
        columns = select(BadRow, "line column value reason")
        show(stdout(), counted(len(bad), "bad row"), columns, bad[: import_run.MAX_SHOWN])
