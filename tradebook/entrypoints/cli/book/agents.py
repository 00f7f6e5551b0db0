"""`signals`, `decisions` and `actions`: what agents were told, decided and did, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias

import typer

from tradebook.domain.agents import AgentAction, AgentDecision
from tradebook.domain.entity import Entity
from tradebook.domain.errors import NotFound
from tradebook.domain.signals import Signal
from tradebook.domain.trades import Trade
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.filters import Filters
from tradebook.entrypoints.cli.messages import counted
from tradebook.entrypoints.cli.options import CommandContext, takes_option_sets
from tradebook.entrypoints.cli.output import as_fields
from tradebook.entrypoints.cli.tables import Column, Kind
from tradebook.service_layer.queries import get_decision
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

signals_app = typer.Typer(invoke_without_command=True)
decisions_app = typer.Typer(invoke_without_command=True)
actions_app = typer.Typer(invoke_without_command=True)

Id: TypeAlias = Annotated[int, typer.Argument(metavar="ID", min=1, help="Its id in the book.")]

_COLUMNS: Final[dict[type[Entity], tuple[str, str]]] = {
    Signal: (
        "id generated_at symbol action strength confidence price strategy source reference",
        "source strategy strength price reference",
    ),
    AgentDecision: (
        "id decided_at agent symbol action quantity price confidence status strategy model reference",
        "quantity confidence strategy price model reference",
    ),
    AgentAction: (
        "id started_at agent action_type status duration cost cost_currency decision_id error",
        "decision_id duration cost cost_currency error",
    ),
    Trade: (
        "id executed_at symbol action quantity price fee realized_pnl status order_id",
        "order_id realized_pnl fee",
    ),
}
"""The columns of each kind, and those that a narrow terminal may leave out."""
_MOST: Final = 1000
"""Trades and actions that are shown of one decision."""


@signals_app.callback()
@takes_option_sets
def signals(context: CommandContext, filters: Filters) -> None:
    """List the signals, newest first; show one with all that it says.

    tradebook signals --symbol AAPL --strategy momentum --since 2024-05-01
    tradebook signals show 7
    """
    _list(context, filters, Signal, "signal")


@signals_app.command("show")
def show_signal(context: CommandContext, signal_id: Id) -> None:
    """Show a signal with all that it says.

    tradebook signals show 7
    """
    _show(context, Signal, "signal", signal_id)


@decisions_app.callback()
@takes_option_sets
def decisions(context: CommandContext, filters: Filters) -> None:
    """List the decisions of agents, newest first; show what led to one, and to what it led.

    tradebook decisions --agent momentum-bot --status executed
    tradebook decisions show 12
    """
    _list(context, filters, AgentDecision, "decision")


@decisions_app.command("show")
def show_decision(context: CommandContext, decision_id: Id) -> None:
    """Show a decision: its reasons, the signals behind it, its actions and trades.

    tradebook decisions show 12
    """
    with context.read_book() as manager:
        found = manager.read(_decision, decision_id)
    if found is None:
        raise NotFound("decision", decision_id, context.account)
    decision, actions_of_it, trades = found

    def tables() -> None:
        _show_fields(context, f"decision {decision_id}", decision)
        records: list[Any]
        for noun, records in (
            ("signal", decision.signals),
            ("action", actions_of_it),
            ("trade", trades),
        ):
            if records:
                context.show_table(counted(len(records), noun), _columns(type(records[0])), records)

    context.answer(
        {
            "account": context.account,
            "decision": decision,
            "actions": actions_of_it,
            "trades": trades,
        },
        then=tables,
    )


@actions_app.callback()
@takes_option_sets
def actions(context: CommandContext, filters: Filters) -> None:
    """List the single steps that agents took, newest first; show one.

    tradebook actions --agent momentum-bot --status failed
    tradebook actions show 31
    """
    _list(context, filters, AgentAction, "action")


@actions_app.command("show")
def show_action(context: CommandContext, action_id: Id) -> None:
    """Show a step of an agent, with what went in and what came out.

    tradebook actions show 31
    """
    _show(context, AgentAction, "action", action_id)


def _list(context: CommandContext, filters: Filters, kind: type[Entity], noun: str) -> None:
    with context.read_book() as manager:
        found = filters.newest(context, manager, kind, f"{noun}s")
    context.answer_table(
        {"account": context.account, f"{noun}s": found},
        f"{counted(len(found), noun)} of account {context.account}",
        _columns(kind),
        found,
        empty=f"no such {noun}s in account {context.account!r}",
    )


def _show(context: CommandContext, kind: type[Entity], noun: str, record_id: int) -> None:
    with context.read_book() as manager:
        found = manager.get(kind, record_id)
    if found is None:
        raise NotFound(noun, record_id, context.account)
    context.answer(
        {"account": context.account, noun: found},
        then=lambda: _show_fields(context, f"{noun} {record_id}", found),
    )


def _decision(
    uow: AbstractUnitOfWork, decision_id: int
) -> tuple[AgentDecision, list[AgentAction], list[Trade]] | None:
    """Read a decision with the signals behind it, and the actions and trades that served it."""
    decision = get_decision(uow, decision_id)
    if decision is None:
        return None
    actions_of_it = uow.actions.page(limit=_MOST, decision_id=decision_id)
    return decision, actions_of_it, uow.trades.page(limit=_MOST, decision_id=decision_id)


def _columns(kind: type[Entity]) -> list[Column]:
    names, spare = _COLUMNS[kind]
    return select(kind, names, spare=spare)


def _show_fields(context: CommandContext, title: str, record: Entity) -> None:
    """Write every field that has a value, one to a line; JSON as text."""
    rows: list[Mapping[str, object]] = [
        {"field": name, "value": json.dumps(value) if isinstance(value, dict | list) else value}
        for name, value in as_fields(record).items()
        if name != "signals" and value not in (None, "", {}, [])
    ]
    context.show_table(title, [Column("", "field"), Column("", "value", Kind.PROSE)], rows)
