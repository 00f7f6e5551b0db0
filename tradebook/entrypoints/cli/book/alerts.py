"""`alerts`: list the alerts, and record how one was resolved."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import typer

from tradebook.domain.alerts import Alert
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.filters import Filters
from tradebook.entrypoints.cli.messages import counted
from tradebook.entrypoints.cli.options import By, CommandContext, option, takes_option_sets
from tradebook.service_layer.handlers._common import given

SeverityName = Literal["INFO", "WARNING", "CRITICAL", "EMERGENCY"]

app = typer.Typer(invoke_without_command=True)

_MOST: Final = 1000
"""Alerts that are shown by default: an unresolved one should not be missed."""


@app.callback()
@takes_option_sets
def alerts(
    context: CommandContext,
    filters: Filters,
    severity: Annotated[
        SeverityName | None, typer.Option(case_sensitive=False, help="Only this severity.")
    ] = None,
    include_resolved: Annotated[bool, typer.Option("--all", help="The resolved ones too.")] = False,
) -> None:
    """List the unresolved alerts; record how one was resolved.

    tradebook alerts --severity critical
    tradebook alerts --all
    tradebook alerts resolve 5 --resolution "limit raised after review"
    """
    with context.read_book() as manager:
        chosen = given(severity=severity, resolved=None if include_resolved else False)
        found = filters.newest(context, manager, Alert, "alerts", _MOST, **chosen)
    resolved = " resolution resolved_by" if include_resolved else ""
    names = f"id timestamp severity alert_type symbol message{resolved}"
    context.answer_table(
        {"account": context.account, "alerts": found},
        f"{counted(len(found), 'alert')} of account {context.account}",
        select(Alert, names, spare="alert_type resolution resolved_by symbol"),
        found,
        empty=f"no {'' if include_resolved else 'unresolved '}alerts in account {context.account!r}",
    )


@app.command()
def resolve(
    context: CommandContext,
    alert_id: Annotated[int, typer.Argument(metavar="ID", min=1, help="The alert's id.")],
    resolution: Annotated[str, option("TEXT", "How it was resolved.")],
    by: By,
) -> None:
    """Record how an alert was resolved; repeating the command changes nothing.

    Another resolution of the same alert is refused, with the first one in the
    message.

      tradebook alerts resolve 5 --resolution "limit raised after review"
    """
    with context.open_book() as manager:
        alert = manager.resolve_alert(alert_id, resolution, resolved_by=by)
    context.answer(
        {"account": context.account, "alert": alert},
        f"alert {alert.id} is resolved: {alert.resolution}",
    )
