"""`backup`: make backups, prove that they can be restored, keep as many as are needed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

from tradebook.entrypoints.cli.book.lifecycle import show_verification
from tradebook.entrypoints.cli.options import AsJson, Database, configured, refuse_misplaced_options
from tradebook.entrypoints.cli.output import (
    complain,
    counted,
    print_json,
    progress_bar,
    say,
    stdout,
)
from tradebook.entrypoints.cli.tables import Column, Kind, show
from tradebook.operations.backup.create import back_up
from tradebook.operations.backup.encryption import Encryption, find_tool
from tradebook.operations.backup.manifest import Manifest
from tradebook.operations.backup.store import Store
from tradebook.operations.backup.verify import BackupProof, verified, verify_backup

BACKUPS: Final = Path("backups")

app = typer.Typer(invoke_without_command=True)

StoreFolder: TypeAlias = Annotated[
    Path, typer.Option("--store", metavar="DIR", help="The folder of backups.")
]
Encrypt: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--encrypt",
        metavar="TOOL:RECIPIENT",
        help="For whom: gpg:ann@example.com or age:age1...; several with commas between.",
        show_default=False,
    ),
]
Identity: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--identity",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="The file of age's secret key; gpg asks its agent.",
        show_default=False,
    ),
]
WalFolder: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--wal",
        metavar="DIR",
        help="The archive of the server's log; `wal` among the backups by default.",
        show_default=False,
    ),
]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]


@app.callback()
def backup(
    context: typer.Context,
    store: StoreFolder = BACKUPS,
    physical: Annotated[
        bool, typer.Option("--physical", help="The whole server: recovery to a moment starts here.")
    ] = False,
    incremental: Annotated[
        bool, typer.Option("--incremental", help="What changed since the last physical one.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", min=1, max=64, help="Tables dumped at once.")] = 1,
    encrypt: Encrypt = None,
    prove: Annotated[
        bool, typer.Option("--verify", help="Then restore it in a scratch server, and verify.")
    ] = False,
    identity: Identity = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Back the book up while others write to it; interrupted, it leaves nothing.

    A SQLite file is copied; a PostgreSQL database is dumped (pg_dump), or with
    --physical its whole server copied (pg_basebackup). Each backup is a folder
    with a manifest: what is in it, and the checksum of every file.

      tradebook backup --verify
      tradebook backup --physical --store /srv/backups
      tradebook backup --incremental --store /srv/backups
      tradebook backup --encrypt gpg:ann@example.com

    `backup archive` sets up what recovery to any moment needs besides; `backup
    list`, `verify`, `prune` and `schedule` look after the backups, `tradebook
    restore` brings one back.
    """
    if context.invoked_subcommand is not None:
        refuse_misplaced_options(context)
        return
    if physical and incremental:
        raise typer.BadParameter("is incremental already or not", param_hint="--physical")

    kind = "physical" if physical else "incremental" if incremental else None
    at, config, encryption = store_at(store), configured(database), encryption_of(encrypt)
    with ended_cleanly(), progress_bar("backing up", quiet=as_json) as report:
        made = back_up(config, at, kind=kind, jobs=jobs, encryption=encryption, report=report)
    proof = _proof_of(at, made, identity, as_json=as_json) if prove else None
    if as_json:
        print_json({"backup": made, "proof": None if proof is None else _document(proof)})
    else:
        say(f"backed up: {store / made.name} ({_said_of(made)})")
        if proof is not None:
            _say_proof(proof)
    if proof is not None and not proof.proven:
        raise typer.Exit(1)


@app.command()
def verify(
    name: Annotated[str, typer.Argument(metavar="[BACKUP]", help="Which one.")] = "latest",
    store: StoreFolder = BACKUPS,
    identity: Identity = None,
    scratch: Annotated[
        Path | None,
        typer.Option(
            "--scratch",
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Where there is room for it; the system's temporary folder by default.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into a scratch server, and prove the book that comes out.

    Every file's checksum, the restore itself, the counts of the manifest, and
    `tradebook verify` for every account. Exits with 1 when any of it fails; the
    scratch server is gone afterwards.

      tradebook backup verify
      tradebook backup verify 20240517T023000Z-logical --store /srv/backups
    """
    at = store_at(store)
    proof = _proof_of(at, at.get(name), identity, scratch, as_json=as_json)
    if as_json:
        print_json(_document(proof))
    else:
        _say_proof(proof)
    if not proof.proven:
        raise typer.Exit(1)


@app.command("list")
def list_backups(store: StoreFolder = BACKUPS, as_json: AsJson = False) -> None:
    """List the backups, the oldest first, and which of them were proven.

    tradebook backup list --store /srv/backups
    """

    at = store_at(store)
    complain_of_damaged(at)
    rows = [
        {
            "name": manifest.name,
            "finished": manifest.finished_at,
            "size": manifest.size,
            "trades": manifest.totals.trades,
            "encrypted": manifest.encryption,
            "parent": manifest.parent,
            "verified": verified(at, manifest),
        }
        for manifest in at.all()
    ]
    if as_json:
        print_json({"store": str(store), "backups": rows})
        return
    if not rows:
        say(f"no backups in {store}; `tradebook backup --store {store}` makes one")
        return

    show(
        stdout(),
        f"{counted(len(rows), 'backup')} in {store}",
        [
            Column("backup", "name"),
            Column("verified (UTC)", "verified", Kind.TIME, spare=1),
            Column("builds upon", "upon", spare=2),
            Column("bytes", "size", Kind.NUMBER, spare=3),
            Column("encrypted", "encrypted", spare=4),
            Column("finished (UTC)", "finished", Kind.TIME, spare=5),
            Column("trades", "trades", Kind.NUMBER, spare=6),
        ],
        [{**row, "upon": _moment_of(row["parent"])} for row in rows],
    )


def _moment_of(name: object) -> str:
    """What a backup's name begins with: enough to find it in a list, and a terminal has room for it."""
    return str(name or "").partition("-")[0]


def encryption_of(given: str | None) -> Encryption | None:
    """What `--encrypt` says; its tool must be there."""

    if given is None:
        return None
    encryption = Encryption.from_text(given)
    find_tool(encryption.tool)
    return encryption


@contextmanager
def ended_cleanly() -> Iterator[None]:
    """What systemd ends is cleaned up after, as what Ctrl-C ends."""

    def end(_signal: int, _frame: Any) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def complain_of_damaged(store: Store) -> None:
    """Name on stderr the backups that do not count any more."""
    for name in store.damaged():
        complain(f"{name} is damaged: its manifest is not what was written")


def store_at(folder: Path) -> Store:

    return Store(folder)


def _proof_of(
    store: Store,
    manifest: Manifest,
    identity: Path | None,
    scratch: Path | None = None,
    *,
    as_json: bool,
) -> BackupProof:

    with ended_cleanly(), progress_bar("verifying", quiet=as_json) as report:
        return verify_backup(store, manifest, identity=identity, scratch=scratch, report=report)


def _said_of(manifest: Manifest) -> str:
    totals = manifest.totals
    counts = f"{counted(totals.trades, 'trade')}, {counted(totals.positions, 'position')}"
    encrypted = f", encrypted by {manifest.encryption}" if manifest.encryption else ""
    return f"{counts}, {counted(totals.events, 'event')}; {manifest.size:,} bytes{encrypted}"


def _document(proof: BackupProof) -> dict[str, object]:
    return {
        "backup": proof.backup.name,
        "proven": proof.proven,
        "seconds": round(proof.seconds, 3),
        "accounts": [
            {
                "account": account.account,
                "expected": account.expected,
                "found": account.found,
                "whole": account.is_whole,
                "proven": account.proven,
                "differences": account.verification.differences,
            }
            for account in proof.accounts
        ],
    }


def _say_proof(proof: BackupProof) -> None:

    for account in proof.accounts:
        if not account.is_whole:
            say(
                f"account {account.account}: {account.found}, but the manifest says {account.expected}"
            )
        if not account.verification.proven:
            say(f"account {account.account}:")
            show_verification(account.verification)
    if proof.proven:
        accounts = counted(len(proof.accounts), "account")
        say(
            f"restored and proven: {proof.backup.name} ({_said_of(proof.backup)}; {accounts}) "
            f"in {proof.seconds:.1f} s"
        )
    else:
        say(f"not proven: {proof.backup.name}; keep the one before, and back up again")
