"""`backup`: make backups, list them, and prove that they can be restored."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer
from attrs import frozen

from tradebook.entrypoints.cli.book.verification import show_verification
from tradebook.entrypoints.cli.common import without
from tradebook.entrypoints.cli.messages import complain, counted, say
from tradebook.entrypoints.cli.options import CommandContext, option, takes_option_sets
from tradebook.entrypoints.cli.tables import Column, Kind
from tradebook.operations.backup.create import back_up
from tradebook.operations.backup.encryption import Encryption, find_tool
from tradebook.operations.backup.manifest import Manifest
from tradebook.operations.backup.store import Store
from tradebook.operations.backup.verify import BackupProof, verified, verify_backup
from tradebook.operations.backup.wal_survey import QUICK_BYTES, LogSurvey, survey_log

BACKUPS: Final = Path("backups")

app = typer.Typer(invoke_without_command=True)

StoreFolder: TypeAlias = Annotated[Path, option("DIR", "The folder of backups.")]
Encrypt: TypeAlias = Annotated[
    str | None, option("TOOL:RECIPIENT", "Encrypt for gpg:RECIPIENT,... or age:RECIPIENT,...")
]
Identity: TypeAlias = Annotated[
    Path | None,
    option(
        "FILE",
        "The file of age's secret key; gpg's agent keeps its own.",
        exists=True,
        dir_okay=False,
    ),
]
WalFolder: TypeAlias = Annotated[
    Path | None, option("DIR", "The archive of the write-ahead log; `wal` in --store by default.")
]
Jobs: TypeAlias = Annotated[
    int, typer.Option("--jobs", min=1, max=64, help="The number of tables handled in parallel.")
]


@frozen
class BackupKind:
    """The options that choose the kind of backup."""

    physical: Annotated[
        bool, typer.Option("--physical", help="Copy the whole server, for recovery to any time.")
    ] = False
    incremental: Annotated[
        bool,
        typer.Option("--incremental", help="Copy what changed since the last copy of the server."),
    ] = False

    def __attrs_post_init__(self) -> None:
        """Refuse both options together."""
        if self.physical and self.incremental:
            raise typer.BadParameter("goes without --incremental", param_hint="--physical")

    @property
    def name(self) -> str | None:
        """The kind: `physical`, `incremental`, or None for the database's default."""
        return "physical" if self.physical else "incremental" if self.incremental else None


@app.callback()
@takes_option_sets
@without(account="a backup holds every account")
def backup(
    context: CommandContext,
    kind: BackupKind,
    store: StoreFolder = BACKUPS,
    jobs: Jobs = 1,
    encrypt: Encrypt = None,
    prove: Annotated[
        bool, typer.Option("--verify", help="Then restore it into a scratch server, and verify it.")
    ] = False,
    identity: Identity = None,
) -> None:
    """Back up the book while it is in use; an interrupted backup leaves nothing behind.

    A SQLite file is copied; a PostgreSQL database is dumped (pg_dump), or with
    --physical its whole server copied (pg_basebackup). Each backup is a folder
    with a manifest, which lists its contents and the checksum of every file.

      tradebook backup --verify
      tradebook backup --physical --store /srv/backups
      tradebook backup --incremental --store /srv/backups
      tradebook backup --encrypt gpg:ann@example.com

    `backup archive` sets up the log archive that recovery to a point in time
    needs as well; `backup list`, `verify`, `prune` and `schedule` maintain the
    backups, and `tradebook restore` restores one.
    """
    at, config, encryption = Store(store), context.config(), encryption_of(encrypt)
    with ends_on_sigterm(), context.progress_bar("backing up") as report:
        made = back_up(config, at, kind=kind.name, jobs=jobs, encryption=encryption, report=report)
    proof = _prove(context, at, made, identity) if prove else None
    context.answer(
        {"backup": made, "proof": proof and _document(proof)},
        f"backed up: {store / made.name} ({_contents_of(made)})",
        then=None if proof is None else partial(_say_proof, context, proof),
        ok=proof is None or proof.proven,
    )


@app.command()
@without(database="a backup is restored into a scratch server of its own")
def verify(
    context: CommandContext,
    name: Annotated[str, typer.Argument(metavar="[BACKUP]", help="The backup.")] = "latest",
    store: StoreFolder = BACKUPS,
    identity: Identity = None,
    scratch: Annotated[
        Path | None,
        option(
            "DIR",
            "A folder with room for it; the temporary one by default.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    wal: WalFolder = None,
) -> None:
    """Restore a backup into a scratch server, and prove the restored book.

    Checks every file's checksum, the restore itself, the counts of the
    manifest, and `tradebook verify` for every account; after a physical backup,
    that no segment of the archived log is missing or altered. Exits with 1 if
    any of it fails; the scratch server is removed afterwards.

      tradebook backup verify
      tradebook backup verify 20240517T023000Z-logical --store /srv/backups
    """
    at = Store(store)
    proof = _prove(context, at, at.get(name), identity, scratch, wal)
    context.answer(_document(proof), then=partial(_say_proof, context, proof), ok=proof.proven)


@app.command("list")
@without(database="the folder of backups is listed, not a database")
def list_backups(
    context: CommandContext, store: StoreFolder = BACKUPS, wal: WalFolder = None
) -> None:
    """List the backups, oldest first, with the time when each was proven.

    Names the segments of the archived log that are missing, or among the last
    256 MiB altered: recovery from an older backup ends there.

      tradebook backup list --store /srv/backups
    """
    at = Store(store)
    complain_of_damaged(at)
    log = survey_log([wal or at.wal, at.stream], limit=QUICK_BYTES)
    for complaint in log.complaints:
        complain(f"archived log: {complaint}")
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
    columns = [
        Column("backup", "name"),
        Column("verified (UTC)", "verified", Kind.TIME, spare=1),
        Column("builds upon", "upon", spare=2),
        Column("bytes", "size", Kind.NUMBER, spare=3),
        Column("encrypted", "encrypted", spare=4),
        Column("finished (UTC)", "finished", Kind.TIME, spare=5),
        Column("trades", "trades", Kind.NUMBER, spare=6),
    ]
    context.answer_table(
        {"store": str(store), "backups": rows, "log": _log_document(log)},
        f"{counted(len(rows), 'backup')} in {store}",
        columns,
        # The time in a backup's name identifies it in the list, and fits a terminal of 80 columns.
        [{**row, "upon": str(row["parent"] or "").partition("-")[0]} for row in rows],
        empty=f"no backups in {store}; `tradebook backup --store {store}` makes one",
    )


def encryption_of(given: str | None) -> Encryption | None:
    """Return the encryption that `--encrypt` names, if its tool is installed."""
    if given is None:
        return None
    encryption = Encryption.from_text(given)
    find_tool(encryption.tool)
    return encryption


@contextmanager
def ends_on_sigterm() -> Iterator[None]:
    """Turn SIGTERM into SystemExit, so that a command which systemd stops cleans up as after Ctrl-C."""

    def end(_signal: int, _frame: Any) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def complain_of_damaged(store: Store) -> None:
    """Name on stderr the backups whose manifest is damaged: they are not listed, pruned or restored."""
    for name in store.damaged():
        complain(f"{name} is damaged: its manifest is not what was written")


def _prove(
    context: CommandContext,
    store: Store,
    manifest: Manifest,
    identity: Path | None,
    scratch: Path | None = None,
    wal: Path | None = None,
) -> BackupProof:
    with ends_on_sigterm(), context.progress_bar("verifying") as report:
        return verify_backup(
            store, manifest, identity=identity, scratch=scratch, wal=wal, report=report
        )


def _contents_of(manifest: Manifest) -> str:
    totals = manifest.totals
    counts = f"{counted(totals.trades, 'trade')}, {counted(totals.positions, 'position')}"
    encrypted = f", encrypted by {manifest.encryption}" if manifest.encryption else ""
    return f"{counts}, {counted(totals.events, 'event')}; {manifest.size:,} bytes{encrypted}"


def _log_document(log: LogSurvey | None) -> dict[str, object] | None:
    if log is None:
        return None
    return {
        "segments": log.segments,
        "newest": log.newest,
        "compared": log.compared,
        "faults": log.complaints,
    }


def _document(proof: BackupProof) -> dict[str, object]:
    return {
        "backup": proof.backup.name,
        "proven": proof.proven,
        "seconds": round(proof.seconds, 3),
        "log": _log_document(proof.log),
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


def _say_proof(context: CommandContext, proof: BackupProof) -> None:
    for account in proof.accounts:
        if not account.is_whole:
            say(
                f"account {account.account}: {account.found}, but the manifest says {account.expected}"
            )
        if not account.verification.proven:
            say(f"account {account.account}:")
            show_verification(context, account.verification)
    for complaint in proof.log.complaints if proof.log else ():
        say(f"archived log: {complaint}")
    if proof.proven:
        accounts = counted(len(proof.accounts), "account")
        say(
            f"restored and proven: {proof.backup.name} ({_contents_of(proof.backup)}; {accounts}) "
            f"in {proof.seconds:.1f} s"
        )
    else:
        say(f"not proven: {proof.backup.name}; keep the one before, and back up again")
