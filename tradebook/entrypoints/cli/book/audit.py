"""`audit seal`, `export` and `check` prove that the audit trail was not tampered with; `access` lists who came."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

from tradebook.entrypoints.cli.ops import access
from tradebook.entrypoints.cli.options import AccountName, AsJson, Database, login_name, opened
from tradebook.entrypoints.cli.output import (
    as_fields,
    complain,
    counted,
    print_json,
    progress_bar,
    say,
)
from tradebook.entrypoints.manager import DatabaseManager
from tradebook.service_layer.verification.seal_check import SealCheck

_SHOWN_FINDINGS: Final = 100

app = typer.Typer(
    no_args_is_help=True,
    help="""Prove that the audit trail, and the terms of trades, were not tampered with.

Every change leaves an event. `seal` takes a hash over the events since the last
seal, and over that seal; nobody who trades waits for it. `export` writes the
seals to a small file: keep it where those who can write to the database cannot.
`check` proves that nothing sealed was changed, removed or inserted since.
`access` lists who connected to the server, and what they sent.

  tradebook audit seal --export seals.json      every hour, say
  tradebook audit check seals.json              names the first thing that changed
""",
)

app.command("access")(access.access)

Export: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--export",
        metavar="FILE",
        dir_okay=False,
        help="Then write all seals to this file, to be kept elsewhere.",
        show_default=False,
    ),
]


@app.command()
def seal(
    export: Export = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="NAME",
            help="Who does it; your login name by default.",
            show_default=False,
        ),
    ] = None,
    database: Database = None,
    account: AccountName = "main",
    as_json: AsJson = False,
) -> None:
    """Seal the events that are not sealed yet.

    Seals nothing, and makes no seal, where nothing happened since the last one.
    What is not sealed is not protected: seal often, best by a timer.

      tradebook audit seal
      tradebook audit seal --export /mnt/elsewhere/seals.json
    """
    with opened(database, account, login_name() if by is None else by) as manager:
        with progress_bar("sealing", quiet=as_json) as report:
            sealed = manager.seal(progress=report)
        exported = None if export is None else _write(manager, export)
    if as_json:
        last = (
            None if sealed.last is None else {**sealed.last.facts(), "hash": sealed.last.seal_hash}
        )
        print_json(
            {"account": account, "seals": sealed.seals, "events": sealed.events, "last": last}
        )
        return
    say(f"{counted(sealed.events, 'event')} sealed in {counted(sealed.seals, 'seal')}")
    if exported is not None:
        say(f"{counted(exported, 'seal')} exported to {export}")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="Where to.")],
    database: Database = None,
    account: AccountName = "main",
    as_json: AsJson = False,
) -> None:
    """Write all seals to a small JSON file, to be kept elsewhere.

    About 600 bytes for each seal. It holds hashes and times, nothing of what
    was traded.

      tradebook audit export seals.json
    """
    with opened(database, account) as manager:
        count = _write(manager, file)
    if as_json:
        print_json({"account": account, "file": str(file), "seals": count})
    else:
        say(f"{counted(count, 'seal')} exported to {file}")


@app.command()
def check(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="What `export` wrote earlier.",
            show_default=False,
        ),
    ] = None,
    database: Database = None,
    account: AccountName = "main",
    as_json: AsJson = False,
) -> None:
    """Prove that nothing sealed was changed, removed or inserted since.

    Computes every seal again, and compares the terms of every booked trade with
    the events that booked it. Exits with 0 when all is as it was, with 1 and a
    list of what is not, the first first. Only with FILE can it show that the
    seals themselves were replaced, or the last ones dropped.

      tradebook audit check && echo untouched
      tradebook audit check /mnt/elsewhere/seals.json
    """
    kept = None if file is None else _read(file)
    with opened(database, account) as manager, progress_bar("checking", quiet=as_json) as report:
        result = manager.check_seals(kept, progress=report)
    if as_json:
        print_json({"sound": result.sound, **as_fields(result)})
    else:
        _show(result)
    if not result.sound:
        raise typer.Exit(1)


def _show(result: SealCheck) -> None:
    checked = (
        f"{counted(result.events, 'event')} in {counted(result.seals, 'seal')}, "
        f"{counted(result.trades, 'trade')}"
    )
    if result.sound:
        say(f"nothing was tampered with ({checked})")
    else:
        say(f"tampered with: {counted(len(result.findings), 'finding')} ({checked})")
    for finding in result.findings[:_SHOWN_FINDINGS]:
        say(f"  {finding}")
    if len(result.findings) > _SHOWN_FINDINGS:
        say(f"and {len(result.findings) - _SHOWN_FINDINGS:,} more; --json lists all")
    if result.unsealed:
        say(f"{counted(result.unsealed, 'event')} not sealed yet; run `tradebook audit seal`")


def _write(manager: DatabaseManager, file: Path) -> int:
    document = manager.export_seals()
    whole = file.with_name(file.name + ".new")
    try:
        whole.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        whole.replace(file)  # never half a file in the place of a good one
    except OSError as error:
        _refuse(f"cannot write {file}: {error.strerror}")
    return len(document["seals"])


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        _refuse(f"cannot read {file}: {error.strerror}")
    except (ValueError, RecursionError):
        _refuse(f"{file} is no JSON file; give one that `tradebook audit export` wrote")


def _refuse(message: str) -> None:
    complain(message)
    raise typer.Exit(1)
