"""`audit access`: connections and statements, from the server's own log."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal

import typer

from tradebook.adapters.engine.factory import engine_for
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.common import without
from tradebook.entrypoints.cli.options import CommandContext, Period, option, takes_option_sets
from tradebook.operations.security import access_log_reader
from tradebook.operations.security.access_log_reader import Access, AccessFilter, AccessKind


@takes_option_sets
@without(account="the server's log does not name accounts")
def access(
    context: CommandContext,
    period: Period,
    log: Annotated[
        Path | None,
        option(
            "FILE",
            "A jsonlog file, or a folder of them; by default read through the connection.",
            exists=True,
        ),
    ] = None,
    role: Annotated[str | None, option("NAME", "Only this role.")] = None,
    kind: Annotated[
        Literal["connect", "disconnect", "statement", "refused", "audit"] | None,
        typer.Option(help="Only this kind."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the last.")] = 100,
    everything: Annotated[
        bool, typer.Option("--all", help="Include statements of drivers, and reads of this log.")
    ] = False,
) -> None:
    """List connections to the server, and the statements that were sent or refused.

    Reads PostgreSQL's log: `tradebook db roles --log-access` sets it up.
    Connect as the auditor, or name the log's files. `refused` is a failed login
    or a statement that a role may not send; `audit` is a line of pgAudit. A
    SQLite file has no such log: opening a file is logged nowhere.

      tradebook audit access --kind refused --since 2024-05-17
      tradebook audit access --role tradebook_writer --json
      tradebook audit access --log /var/lib/postgresql/data/log
    """
    kind_wanted = None if kind is None else AccessKind(kind)
    wanted = AccessFilter(role, kind_wanted, None, period.since, period.until, everything)
    with ExitStack() as stack:
        if log is not None:
            lines = access_log_reader.read_files(log)
        else:
            engine = stack.enter_context(engine_for(context.config()))
            lines = access_log_reader.read_server(engine)
        found = list(deque(access_log_reader.parse_accesses(lines, wanted), maxlen=limit))
    columns = select(Access, "at kind role database address text", spare="address database")
    context.answer_table({"accesses": found}, "access", columns, found, empty="nothing found")
