"""`imports`: list the imports, show one, and take one back."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from tradebook.domain.cash import CashFlow
from tradebook.domain.imports import Import
from tradebook.domain.trades import Trade
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.filters import Filters
from tradebook.entrypoints.cli.messages import counted
from tradebook.entrypoints.cli.options import By, CommandContext, Reason, takes_option_sets
from tradebook.service_layer.queries.imports import recorded_cash_flows, recorded_trades

ImportId = Annotated[int, typer.Argument(metavar="ID", min=1, help="The import's id.")]

app = typer.Typer(invoke_without_command=True)


@app.callback()
@takes_option_sets
def imports(context: CommandContext, filters: Filters) -> None:
    """List the imports, newest first; show one, or take all of it back.

    An import that is STARTED was interrupted, or still runs.

      tradebook imports --status undone --since 2024-05-01
      tradebook imports show 7
      tradebook imports undo 7 --reason "wrong account"
    """
    with context.read_book() as manager:
        found = filters.newest(context, manager, Import, "imports")
    names = "id started_at source status booked duplicates skipped actor"
    context.answer_table(
        {"account": context.account, "imports": found},
        f"{counted(len(found), 'import')} of account {context.account}",
        select(Import, names, spare="actor skipped duplicates"),
        found,
        empty=f"no such imports in account {context.account!r}",
    )


@app.command()
def show(
    context: CommandContext,
    import_id: ImportId,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most this many of each.")] = 20,
) -> None:
    """Show an import with the trades and cash flows that it booked, as they are now.

    tradebook imports show 7 --limit 100
    """
    with context.read_book() as manager, manager.unit_of_work(read_only=True) as uow:
        imported = uow.imports.get(import_id)
        trades = list(islice(recorded_trades(uow, imported), limit))
        flows = list(islice(recorded_cash_flows(uow, imported), limit))
    lines = [f"import {imported.id} of {imported.source}: {imported.status}"]
    lines += [f"digest (SHA-256): {imported.digest}"] if imported.digest else []
    lines.append(
        f"{imported.booked:,} booked, {counted(imported.duplicates, 'duplicate')}, "
        f"{counted(imported.skipped, 'row')} skipped"
    )
    if imported.undo_reason is not None:
        lines.append(f"undone at {imported.undone_at}: {imported.undo_reason}")

    def then() -> None:
        if trades:
            names = "executed_at symbol action quantity price fee order_id status"
            title = f"the first {counted(len(trades), 'trade')}"
            context.show_table(title, select(Trade, names, spare="fee order_id"), trades)
        if flows:
            names = "occurred_at kind amount currency symbol reference"
            title = f"the first {counted(len(flows), 'cash flow')}"
            context.show_table(title, select(CashFlow, names, spare="symbol reference"), flows)

    document = {
        "account": context.account,
        "import": imported,
        "trades": trades,
        "cash_flows": flows,
    }
    context.answer(document, *lines, then=then)


@app.command()
def undo(context: CommandContext, import_id: ImportId, reason: Reason, by: By) -> None:
    """Take back all that an import booked: positions, P&L and cash become as if it had never been.

    Its trades and cash flows are busted, and stay on record with the reason.
    Of a trade that was corrected since, the correction is busted. Afterwards
    the file may be imported again: its fills are booked as new revisions.
    Orders that it submitted stay open, and are counted.
    Repeating the command changes nothing.

      tradebook imports undo 7 --reason "price and quantity were mixed up"
    """
    with (
        context.open_book(by, may_lag=False) as manager,
        context.progress_bar("folding") as report,
    ):
        undone = manager.undo_import(import_id, reason=reason, progress=report)
    imported = undone.undone
    corrected = f", {undone.corrected:,} of them corrected since" if undone.corrected else ""
    context.answer(
        {
            "account": context.account,
            "import": imported,
            "trades": undone.trades,
            "cash_flows": undone.cash_flows,
            "corrected": undone.corrected,
            "open_orders": undone.open_orders,
        },
        f"import {imported.id} of {imported.source} is undone: {imported.undo_reason}",
        f"{counted(undone.trades, 'trade')} busted{corrected}, "
        f"{counted(undone.cash_flows, 'cash flow')} busted",
        *_open_orders(undone.open_orders),
    )


def _open_orders(count: int) -> list[str]:
    if not count:
        return []
    stays = "stays" if count == 1 else "stay"
    return [f"{counted(count, 'order')} that it submitted {stays} open: see tradebook orders"]
