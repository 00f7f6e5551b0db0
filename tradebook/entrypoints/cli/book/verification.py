"""`verify` and `rebuild`: prove that the stored book follows from its trades, and repair it."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.messages import MAX_LISTED, counted, rest_of, say
from tradebook.entrypoints.cli.options import CommandContext, Symbol
from tradebook.entrypoints.cli.output import as_fields
from tradebook.entrypoints.cli.schema_report import schema_document, schema_lines
from tradebook.service_layer.verification.verify import Difference, Verification


def verify(
    context: CommandContext,
    schema: Annotated[
        bool,
        typer.Option(
            "--schema",
            help="Compare tables, triggers, policies and the rest of the schema too: `tradebook db check`.",
        ),
    ] = False,
) -> None:
    """Prove the book: fold every trade again and compare with all that is stored.

    Changes nothing. Exits with 0 if every position, every trade's P&L, the
    cash and the snapshots follow from the trades and cash flows, to the last
    digit; else with 1 and a table of the differences, with both values.

    With --schema, also with 1 if a trigger, a view in the place of a table or
    anything else differs from what the migrations and `db roles` make.

      tradebook verify && echo proven
      tradebook verify --schema
      tradebook verify || tradebook rebuild
    """
    # Not on a standby: for `tradebook verify || tradebook rebuild` both must read the same book.
    with context.read_book(may_lag=False) as manager, context.progress_bar("folding") as report:
        differing = manager.check_schema() if schema else ()
        result = manager.verify(progress=report)
    document = {"proven": result.proven, **as_fields(result)}
    lines: list[str] = []
    if schema:
        document["schema"], lines = schema_document(differing), schema_lines(differing)
    ok = result.proven and not differing
    context.answer(document, *lines, then=partial(show_verification, context, result), ok=ok)


def rebuild(
    context: CommandContext,
    symbol: Symbol = None,
    times: Annotated[
        bool,
        typer.Option(
            "--times",
            help="Repair times more than a day after this machine's clock too; check the clock first.",
        ),
    ] = False,
) -> None:
    """Fold positions from their trades again, and repair those that are wrong.

    Then verifies the book. Each repair stays on record as an event with the
    values before and after; a book without differences is not changed. Exits
    with 1 and a table of what remains, such as a snapshot that was altered.

    With --times, a clock that was ahead once no longer dates what comes later:
    the last entry and the mark of a position get the time now, a snapshot that
    of its event. Trades keep their times; `trades correct` mends a trade time.

      tradebook verify || tradebook rebuild
      tradebook rebuild --symbol AAPL
      date && tradebook rebuild --times
    """
    with context.open_book(may_lag=False) as manager:
        with context.progress_bar("folding") as report:
            rebuilt = manager.rebuild(symbol, times=times, progress=report)
        with context.progress_bar("verifying") as report:
            result = manager.verify(progress=report)
    remaining = {"proven": result.proven, "differences": result.differences}
    names = f" ({', '.join(rebuilt.positions)})" if rebuilt.positions else ""
    redated = f", {counted(rebuilt.snapshots, 'snapshot')} redated" if times else ""
    context.answer(
        {"account": context.account, **as_fields(rebuilt), **remaining},
        f"{counted(rebuilt.trades, 'trade')} folded: "
        f"{counted(len(rebuilt.positions), 'position')}{names} put right, "
        f"{counted(rebuilt.restated, 'trade')} restated{redated}",
        then=partial(show_verification, context, result),
        ok=result.proven,
    )


def show_verification(context: CommandContext, result: Verification) -> None:
    """Write that the book is proven, or a table of its differences."""
    if result.proven:
        trades = counted(result.trades, "trade")
        say(f"the book is proven ({trades}, {counted(result.positions, 'position')})")
        return
    title = f"the book is not proven: {counted(len(result.differences), 'difference')}"
    columns = select(Difference, "entity key field stored computed")
    context.show_table(title, columns, result.differences[:MAX_LISTED])
    for line in rest_of(result.differences):
        say(line)
