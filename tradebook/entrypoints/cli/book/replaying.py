"""`replay` and `look-ahead`: what decisions were made from, and whether they could know it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from tradebook.domain.decision_inputs import DecisionInput
from tradebook.domain.errors import WouldOverwrite
from tradebook.entrypoints.cli.book.agents import Id
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.messages import MAX_LISTED, counted, say
from tradebook.entrypoints.cli.options import CommandContext, Period, option, takes_option_sets
from tradebook.entrypoints.cli.output import as_fields
from tradebook.entrypoints.cli.tables import Column, Kind
from tradebook.service_layer.explanations.look_ahead import KnownPiece, LookAhead
from tradebook.service_layer.explanations.replay import Replay


def replay(
    context: CommandContext,
    decision_id: Id,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FOLDER",
            file_okay=False,
            help="Write each input to FOLDER/NAME.json, as canonical JSON in UTF-8.",
        ),
    ] = None,
) -> None:
    """Show all that a decision was made from, byte for byte, with its model's settings.

    Each input has its name, its time, its source and the SHA-256 of its value;
    the value is compared with it. Exits with 1 if one is not what was recorded.

      tradebook replay 12
      tradebook replay 12 --output decision-12
      tradebook --json replay 12 | jq .parameters
    """
    with context.read_book() as manager:
        found = manager.replay(decision_id)
    written = [] if output is None else _write(found, output)
    decision = found.decision
    document = {
        "account": context.account,
        "decision": decision,
        "inputs": [{**as_fields(each), "is_intact": each.is_intact} for each in found.inputs],
        "damaged": found.damaged,
        "written": [str(path) for path in written],
    }
    context.answer(document, then=lambda: _show_replay(context, found), ok=not found.damaged)


def _write(found: Replay, folder: Path) -> list[Path]:
    """Write each input to a file of its name; names are quoted as in a URL, so that each is a file's name."""
    paths = {each.name: folder / f"{quote(each.name, safe=' ')}.json" for each in found.inputs}
    for path in paths.values():
        if path.exists():
            raise WouldOverwrite(f"{path} exists already; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for each in found.inputs:
        paths[each.name].write_bytes(each.canonical_value)
    return [*paths.values()]


def _show_replay(context: CommandContext, found: Replay) -> None:
    decision = found.decision
    settings: Mapping[str, object] = {
        "agent": decision.agent,
        "decided (UTC)": decision.decided_at,
        "model": decision.model,
        "parameters": decision.parameters,
        "prompt hash": decision.prompt_hash,
        "inputs": decision.inputs,
    }
    rows = [
        {"field": name, "value": json.dumps(value) if isinstance(value, dict) else value}
        for name, value in settings.items()
        if value not in (None, "", {})
    ]
    title = f"decision {decision.id}: {decision.action} {decision.symbol}"
    context.show_table(title, [Column("", "field"), Column("", "value", Kind.PROSE)], rows)
    if found.inputs:
        title = counted(len(found.inputs), "input")
        columns = select(DecisionInput, "name available_at recorded_at source digest")
        context.show_table(title, columns, found.inputs)
    else:
        say("no dated inputs were recorded for it")
    for name in found.damaged:
        say(f"input {name!r} is not what was recorded: its value has another SHA-256")


@takes_option_sets
def look_ahead(
    context: CommandContext,
    period: Period,
    agent: Annotated[str | None, option("NAME", "Only the decisions of this agent.")] = None,
    decision: Annotated[int | None, option("ID", "Only this decision.", min=1)] = None,
) -> None:
    """Check that decisions were made from what they could know.

    Sorts each input and signal of each decision by its times:
    proven (the book recorded it no later than the decision was made),
    claimed (recorded later, it says that it was available before),
    violated (it became available after the decision).

    Exits with 1 if one is violated, for the CI of backtests.

      tradebook look-ahead --agent momentum
      tradebook look-ahead --since 2024-05-01 || exit 1
    """
    with context.read_book() as manager, context.progress_bar("checking") as report:
        found = manager.look_ahead(
            decision_id=decision,
            agent=agent,
            since=period.since,
            until=period.until,
            progress=report,
        )
    document = {**as_fields(found), "is_clean": found.is_clean}
    context.answer(document, then=lambda: _show_look_ahead(context, found), ok=found.is_clean)


def _show_look_ahead(context: CommandContext, found: LookAhead) -> None:
    columns = select(KnownPiece, "decision_id agent decided_at kind name available_at recorded_at")
    for title, count, pieces in (
        ("violated", found.violated, found.violations),
        ("claimed", found.claimed, found.claims),
    ):
        if pieces:
            shown = pieces[:MAX_LISTED]
            more = f", the first {len(shown):,} shown" if count > len(shown) else ""
            context.show_table(f"{title}: {counted(count, 'piece')}{more}", columns, shown)
    without = f" ({found.without_inputs:,} without inputs and signals)" * bool(found.without_inputs)
    say(
        f"{counted(found.decisions, 'decision')}{without}: {found.proven:,} pieces of data proven, "
        f"{found.claimed:,} claimed, {found.violated:,} violated"
    )
