"""`doctor`: findings about the database and the book, each with its fix."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from tradebook.adapters.engine.factory import engine_for
from tradebook.entrypoints.cli.messages import counted, printable, say
from tradebook.entrypoints.cli.options import CommandContext
from tradebook.entrypoints.cli.output import as_fields, progress_bars, stdout
from tradebook.operations.doctor import Diagnosis, Level, examine


def doctor(
    context: CommandContext,
    quick: Annotated[
        bool, typer.Option("--quick", help="Skip the audit trail and the book, which take long.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 for yellow findings, too.")
    ] = False,
) -> None:
    """Check the database and the book in it: green, yellow or red, with the fix for each.

    Connection, TLS, versions, migrations, roles, clocks, isolation, fsync,
    autovacuum, indexes, bloat, the pool's size, free disk, the chain of seals,
    and `verify`. Changes nothing. Exits with 1 if a finding is red.

      tradebook doctor
      tradebook doctor --quick --strict && deploy
      tradebook doctor --json | jq '.findings[] | select(.level != "green")'
    """
    with (
        # A standby would be examined in its place; a file that is missing is a finding, and stays missing.
        context.open_book(may_lag=False, creates=True) as manager,
        engine_for(manager.config) as engine,
        progress_bars(hidden=context.quiet or context.as_json) as report,
    ):
        diagnosis = examine(
            manager,
            engine,
            manager.config,
            context.account,
            reads_from=context.config().for_reading(),
            thorough=not quick,
            progress=report,
        )
    bad_levels = {Level.RED, Level.YELLOW} if strict else {Level.RED}
    context.answer(
        {"level": diagnosis.level, **as_fields(diagnosis)},
        then=partial(_show, diagnosis),
        ok=diagnosis.level not in bad_levels,
    )


def _show(diagnosis: Diagnosis) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("", "check", "found", "fix"):
        table.add_column(heading, overflow="fold")
    for finding in diagnosis.findings:
        style = {"unknown": "dim"}.get(finding.level, finding.level)
        what, fix = (Text(printable(each)) for each in (finding.what, finding.fix))
        table.add_row(Text(finding.level, style=style), finding.check, what, fix)
    console = stdout()
    console.print(table)
    bad = [f for f in diagnosis.findings if f.level in ("red", "yellow")]
    say(f"{diagnosis.level}: {counted(len(bad), 'thing')} to mend in {diagnosis.database}")
