"""`audit`: seal the audit trail, export its seals, check them, and list accesses to the server."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from tradebook.domain.errors import WitnessFailed
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.messages import complain, counted, fail, first_of
from tradebook.entrypoints.cli.ops.access import access
from tradebook.entrypoints.cli.options import By, CommandContext, option
from tradebook.entrypoints.cli.output import as_fields, replacement
from tradebook.entrypoints.manager import DatabaseManager
from tradebook.service_layer.verification.seal_check import KindChecked, SealCheck

app = typer.Typer(
    no_args_is_help=True,
    help="""Prove that the audit trail and the terms of trades were not tampered with.

Every change to the book leaves an event. `seal` computes a hash over the
events since the last seal, and over that seal; trading does not wait for it.
`export` writes the seals to a small file: keep it where those who can write to
the database cannot, or let `seal` append to a witness there, which
TRADEBOOK_SEAL_WITNESS names. `check` proves that nothing sealed was changed, removed or
inserted since. `access` lists connections to the server and their statements.

  tradebook audit seal --export seals.json      every hour, for example
  tradebook audit check seals.json              names the first change
""",
)
app.command("access")(access)


@app.command()
def seal(
    context: CommandContext,
    by: By,
    export: Annotated[
        Path | None, option("FILE", "Then write all seals to this file.", dir_okay=False)
    ] = None,
) -> None:
    """Seal the events that are not sealed yet.

    Makes no seal if there are no events since the last one. Events are not
    protected before they are sealed: seal often, best by a timer.

    Then the witnesses that TRADEBOOK_SEAL_WITNESS names get every seal that they
    lack. If one fails, what was sealed stays sealed, the command exits with 1,
    and the next one catches up.

      tradebook audit seal
      TRADEBOOK_SEAL_WITNESS=/mnt/elsewhere/seals.jsonl tradebook audit seal
      tradebook audit seal --export /mnt/elsewhere/seals.json
    """
    failed: WitnessFailed | None = None
    with context.open_book(by) as manager:
        with context.progress_bar("sealing") as report:
            try:
                sealed = manager.seal(progress=report)
            except WitnessFailed as error:
                sealed, failed = error.sealed, error
        exported = None if export is None else _write(manager, export)
    last = sealed.last and {**sealed.last.facts(), "hash": sealed.last.seal_hash}
    lines = [f"{counted(sealed.events, 'event')} sealed in {counted(sealed.seals, 'seal')}"]
    lines += [
        f"{counted(each.seals, 'seal')} in {each.witness}"
        for each in sealed.witnesses
        if not each.error
    ]
    if exported is not None:
        lines.append(f"{counted(exported, 'seal')} exported to {export}")
    counts = {"seals": sealed.seals, "events": sealed.events}
    if failed is not None:
        complain(str(failed))
    context.answer(
        {"account": context.account, **counts, "last": last, "witnesses": sealed.witnesses},
        *lines,
        ok=failed is None,
    )


@app.command()
def export(
    context: CommandContext,
    file: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="The new file.")],
) -> None:
    """Write all seals to a small JSON file, to be kept elsewhere.

    About 600 bytes for each seal. It holds hashes and times, but nothing of
    the trades.

      tradebook audit export seals.json
    """
    with context.read_book() as manager:
        count = _write(manager, file)
    context.answer(
        {"account": context.account, "file": str(file), "seals": count},
        f"{counted(count, 'seal')} exported to {file}",
    )


@app.command()
def check(
    context: CommandContext,
    file: Annotated[
        Path | None,
        typer.Argument(
            exists=True, dir_okay=False, help="An earlier file of `tradebook audit export`."
        ),
    ] = None,
) -> None:
    """Prove that nothing sealed was changed, removed or inserted since.

    Computes every seal again, and compares every record with the events that
    speak of it: trades, orders, cash flows, snapshots, signals, decisions,
    actions, alerts, imports and metrics. Exits with 0 if all is unchanged, else
    with 1 and a list of the changes, with the event and the seal that tell of
    each. A table shows for each kind what was compared: `unsealed` records have
    a last event that no seal protects yet, `partly` compared ones an event of
    an earlier version that states only some fields. Only with FILE, or with the
    witnesses that TRADEBOOK_SEAL_WITNESS names, can it show that the seals
    themselves were replaced, or the last ones removed.

      tradebook audit check && echo untouched
      tradebook audit check /mnt/elsewhere/seals.json
    """
    kept = None if file is None else _read(file)
    with context.read_book() as manager, context.progress_bar("checking") as report:
        result = manager.check_seals(kept, progress=report)
    checked = (
        f"({counted(result.events, 'event')} in {counted(result.seals, 'seal')}, "
        f"{counted(result.trades, 'trade')})"
    )
    said = {finding.detail for finding in result.findings}
    unread = [each.error for each in result.witnesses if each.error and each.error not in said]
    verdict = "nothing was tampered with"
    if result.findings:
        verdict = f"tampered with: {counted(len(result.findings), 'finding')}"
    elif unread:
        verdict = "not proven, since a witness cannot be read"
    lines = [f"{verdict} {checked}", *first_of(result.findings), *unread]
    lines += [
        f"{each.witness} has {each.seals:,} of {counted(result.seals, 'seal')}"
        for each in result.witnesses
        if not each.error
    ]
    if result.unsealed:
        lines.append(
            f"{counted(result.unsealed, 'event')} not sealed yet; run `tradebook audit seal`"
        )
    document = {"sound": result.sound, **as_fields(result)}
    context.answer(document, *lines, then=partial(_show_kinds, context, result), ok=result.sound)


def _show_kinds(context: CommandContext, result: SealCheck) -> None:
    """Write what was checked of each kind of record, and how many findings there are."""
    columns = select(KindChecked, "kind records unsealed partly findings")
    context.show_table("by kind", columns, result.kinds)


def _write(manager: DatabaseManager, file: Path) -> int:
    document = manager.export_seals()
    try:
        with replacement(file) as new:
            new.write(json.dumps(document, indent=1).encode() + b"\n")
    except OSError as error:
        raise fail(f"cannot write {file}: {error.strerror}") from None
    return len(document["seals"])


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise fail(f"cannot read {file}: {error.strerror}") from None
    except (ValueError, RecursionError):  # deep nesting exhausts the parser's recursion
        raise fail(f"{file} is not JSON; give a file that `tradebook audit export` wrote") from None
