"""`doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from tradebook.adapters.engine.factory import engine_for
from tradebook.entrypoints.cli.options import AccountName, AsJson, Database, opened
from tradebook.entrypoints.cli.output import (
    as_fields,
    counted,
    print_json,
    printable,
    say,
    stdout,
    watched,
)
from tradebook.operations.doctor import Diagnosis, Level, examine


def doctor(
    quick: Annotated[
        bool, typer.Option("--quick", help="Do not prove the audit trail and the book.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 for yellow findings too.")
    ] = False,
    database: Database = None,
    account: AccountName = "main",
    as_json: AsJson = False,
) -> None:
    """Look at the database and the book in it: green, yellow or red, with the fix for each.

    Connection, TLS, versions, migrations, roles, clocks, isolation, fsync,
    autovacuum, indexes, bloat, the pool's size, free disk, the chain of seals,
    and `verify`. Changes nothing. Exits with 1 when something is red.

      tradebook doctor
      tradebook doctor --quick --strict && deploy
      tradebook doctor --json | jq '.findings[] | select(.level != "green")'
    """

    with (
        opened(database, account, reads_elsewhere=False) as manager,
        engine_for(manager.config) as engine,
        watched(quiet=as_json) as report,
    ):
        diagnosis = examine(
            manager, engine, manager.config, account, thorough=not quick, progress=report
        )
    if as_json:
        print_json({"level": diagnosis.level, **as_fields(diagnosis)})
    else:
        _show(diagnosis)
    if diagnosis.level is Level.RED or (strict and diagnosis.level is Level.YELLOW):
        raise typer.Exit(1)


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
