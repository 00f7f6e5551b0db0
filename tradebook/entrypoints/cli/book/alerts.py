"""`alerts`: what needs a person's attention, and how it was dealt with."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tradebook.entrypoints.cli.options import (
    AccountName,
    AsJson,
    Database,
    login_name,
    opened,
    refuse_misplaced_options,
)
from tradebook.entrypoints.cli.output import counted, print_json, say, stdout
from tradebook.entrypoints.cli.tables import Column, Kind, show

SeverityName = Literal["INFO", "WARNING", "CRITICAL", "EMERGENCY"]

app = typer.Typer(invoke_without_command=True)


@app.callback()
def alerts(
    context: typer.Context,
    severity: Annotated[
        SeverityName | None,
        typer.Option("--severity", case_sensitive=False, help="Of this severity only."),
    ] = None,
    include_resolved: Annotated[
        bool, typer.Option("--all", help="The latest 100, resolved ones too.")
    ] = False,
    database: Database = None,
    account: AccountName = "main",
    as_json: AsJson = False,
) -> None:
    """List the alerts that nobody dealt with yet; `alerts resolve` deals with one.

    tradebook alerts --severity critical
    tradebook alerts --all
    tradebook alerts resolve 5 --resolution "limit raised after review"
    """
    if context.invoked_subcommand is not None:
        refuse_misplaced_options(context)
        return
    with opened(database, account) as manager:
        if include_resolved:
            found = manager.get_alerts(severity=severity)
        else:
            found = manager.get_unresolved_alerts(severity=severity)
    if as_json:
        print_json({"account": account, "alerts": found})
        return
    if not found:
        say(f"no {'' if include_resolved else 'unresolved '}alerts in account {account!r}")
        return

    resolved = [
        Column("resolution", "resolution", Kind.PROSE, spare=1),
        Column("resolved by", "resolved_by", spare=2),
    ]
    show(
        stdout(),
        f"{counted(len(found), 'alert')} of account {account}",
        [
            Column("id", "id", Kind.NUMBER),
            Column("raised (UTC)", "timestamp", Kind.TIME),
            Column("severity", "severity"),
            Column("type", "alert_type"),
            Column("symbol", "symbol", spare=3),
            Column("message", "message", Kind.PROSE),
            *(resolved if include_resolved else []),
        ],
        found,
    )


@app.command()
def resolve(
    alert_id: Annotated[int, typer.Argument(metavar="ID", min=1, help="Which alert.")],
    resolution: Annotated[
        str, typer.Option("--resolution", metavar="TEXT", help="How it was dealt with.")
    ],
    resolved_by: Annotated[
        str | None,
        typer.Option("--by", metavar="NAME", help="Who did it; your login name by default."),
    ] = None,
    database: Database = None,
    account: AccountName = "main",
    as_json: AsJson = False,
) -> None:
    """Record how an alert was dealt with; doing so again changes nothing.

    tradebook alerts resolve 5 --resolution "limit raised after review"
    """
    with opened(database, account) as manager:
        alert = manager.resolve_alert(
            alert_id, resolution, resolved_by=login_name() if resolved_by is None else resolved_by
        )
    if as_json:
        print_json({"account": account, "alert": alert})
    else:
        say(f"alert {alert.id} is resolved: {alert.resolution}")
