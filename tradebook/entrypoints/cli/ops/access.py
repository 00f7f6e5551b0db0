"""`audit access`: who connected and what they sent, from the server's own log."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from tradebook.adapters.engine.factory import engine_for
from tradebook.entrypoints.cli.options import AsJson, Database, configured, time_given
from tradebook.entrypoints.cli.output import as_fields, print_json, say, stdout
from tradebook.entrypoints.cli.tables import Column, Kind, show
from tradebook.operations.security.access_log_reader import (
    Access,
    AccessFilter,
    AccessKind,
    parse_accesses,
    read_files,
    read_server,
)


def access(
    log: Annotated[
        Path | None,
        typer.Option(
            "--log",
            metavar="FILE",
            exists=True,
            help="A jsonlog file of the server, or the folder of them; else they are read "
            "through the connection.",
            show_default=False,
        ),
    ] = None,
    role: Annotated[
        str | None,
        typer.Option("--role", metavar="NAME", help="Of one role only.", show_default=False),
    ] = None,
    kind: Annotated[
        Literal["connect", "disconnect", "statement", "refused", "audit"] | None,
        typer.Option("--kind", help="Of one kind only.", show_default=False),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--since", metavar="TIME", parser=time_given, help="From then on.", show_default=False
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            "--until", metavar="TIME", parser=time_given, help="Before then.", show_default=False
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="No more than the last so many.")
    ] = 100,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Also what drivers send to begin, and the reading of this log."),
    ] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List who connected to the server, and what they sent or were refused.

    Reads what PostgreSQL logged: `tradebook db roles --log-access` sets that up.
    Connect as the auditor, or name the log's files. `refused` is a failed login
    or a statement that a role may not send; `audit` is what pgAudit wrote. A
    SQLite file has no such log: nobody logs who opens a file.

      tradebook audit access --kind refused --since 2024-05-17
      tradebook audit access --role tradebook_writer --json
      tradebook audit access --log /var/lib/postgresql/data/log
    """

    wanted = AccessFilter(
        role, None if kind is None else AccessKind(kind), None, since, until, everything
    )
    found = deque(_accesses(log, database, wanted), maxlen=limit)
    if as_json:
        print_json({"accesses": [as_fields(each) for each in found]})
    elif found:
        _show(list(found))
    else:
        say("nothing found")


def _accesses(log: Path | None, database: str | None, wanted: AccessFilter) -> Iterator[Access]:

    if log is not None:
        yield from parse_accesses(read_files(log), wanted)
        return

    with engine_for(configured(database)) as engine:
        yield from parse_accesses(read_server(engine), wanted)


def _show(found: list[Access]) -> None:

    show(
        stdout(),
        "access",
        [
            Column("at", "at"),
            Column("kind", "kind"),
            Column("role", "role"),
            Column("database", "database", spare=2),
            Column("from", "address", spare=1),
            Column("what", "text", Kind.PROSE),
        ],
        found,
    )
