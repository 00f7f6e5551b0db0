"""`backup prune`, `archive`, `stream` and `schedule`: automatic backups, and recovery to a point in time."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from tradebook.entrypoints.cli.common import without
from tradebook.entrypoints.cli.messages import confirm, counted, say
from tradebook.entrypoints.cli.ops.backup import (
    BACKUPS,
    BackupKind,
    Encrypt,
    StoreFolder,
    WalFolder,
    app,
    complain_of_damaged,
    encryption_of,
    ends_on_sigterm,
)
from tradebook.entrypoints.cli.options import (
    CommandContext,
    Yes,
    login_name,
    option,
    takes_option_sets,
)
from tradebook.operations.backup import retention, wal_archive
from tradebook.operations.backup.schedule import cron_line, systemd_units
from tradebook.operations.backup.store import Store

__all__ = ["app"]  # with the commands of this module


@app.command()
@without(database="the folder of backups is pruned, not a database")
def prune(
    context: CommandContext,
    keep: Annotated[int | None, typer.Option(min=1, help="Keep this many of each kind.")] = None,
    keep_days: Annotated[
        float | None, typer.Option(min=0, help="Keep those that are younger, in days.")
    ] = None,
    store: StoreFolder = BACKUPS,
    wal: WalFolder = None,
    yes: Yes = False,
) -> None:
    """Remove old backups, and the archived log from before the oldest one that stays.

    The newest backup always stays, and so does one that another builds upon.

      tradebook backup prune --keep 7
      tradebook backup prune --keep 4 --keep-days 30 --store /srv/backups --yes
    """
    if keep is None and keep_days is None:
        raise typer.BadParameter("say how many stay: --keep N, --keep-days DAYS, or both")

    at = Store(store)
    complain_of_damaged(at)
    plan = retention.plan(at.all(), keep=keep, keep_days=keep_days, now=datetime.now(UTC))
    doomed = [f"  {manifest.name}" for manifest in plan.removed]
    doomed += [f"  {path.name}, which was not completed" for path in at.leftovers()]
    if doomed:
        question = "\n".join([*doomed, "Remove them?"])
        confirm(question, yes=yes, otherwise="nothing was removed")
    retention.prune(at, plan)
    files = 0
    for folder in (wal or at.wal, at.stream):
        if plan.oldest_segment is not None and folder.is_dir():
            files += wal_archive.remove_older(folder, plan.oldest_segment)
    removed, kept = ([manifest.name for manifest in group] for group in (plan.removed, plan.kept))
    log = f", {counted(files, 'file')} of the log" if files else ""
    context.answer(
        {"removed": removed, "kept": kept, "log_files_removed": files},
        f"removed {counted(len(removed), 'backup')}{log}; kept {counted(len(kept), 'backup')}",
    )


@app.command("archive")
def archive_log(
    context: CommandContext,
    store: StoreFolder = BACKUPS,
    wal: WalFolder = None,
    encrypt: Encrypt = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Make the settings at the server, not only print them.")
    ] = False,
    now: Annotated[
        bool,
        typer.Option("--now", help="Archive what is written so far, and wait until it is done."),
    ] = False,
    yes: Yes = False,
) -> None:
    """Archive PostgreSQL's write-ahead log, for recovery to any point in time.

    Writes a short script into the archive, which the server calls for each file
    of its log: it copies, flushes, renames, and refuses to overwrite. Prints the
    settings; --apply makes them at the server (as a superuser). archive_mode
    takes effect when the server is restarted. An archive_command of another
    tool is replaced only after a question, or with --yes.

      tradebook backup archive --store /srv/backups
      tradebook backup archive --store /srv/backups --apply
      tradebook backup archive --now
    """
    folder = wal or Store(store).wal
    if now:
        name = wal_archive.archive_now(context.config())
        context.answer({"archived": name}, f"archived up to {name}")
        return
    encryption = encryption_of(encrypt)
    if not apply:
        archiving = wal_archive.prepare_archive(folder, encryption)
        then = f"for postgresql.conf; the server's user must own {archiving.folder}"
    else:
        config = context.config()
        other = wal_archive.other_command(config, folder)
        if other is not None:
            confirm(
                f"the server has another archive_command: {other}\n"
                "It is replaced, and what it feeds gets nothing more (--yes does not ask).\n"
                "Replace it?",
                yes=yes,
                otherwise="the archive_command was not replaced",
            )
        overwrite = yes or other is not None
        archiving = wal_archive.archive_log(config, folder, encryption, overwrite=overwrite)
        then = "made; `tradebook backup archive --now` tries it"
        if archiving.restart:
            then = f"made; start the server again for {', '.join(archiving.restart)}"
    context.answer(
        {
            "folder": str(archiving.folder),
            "settings": archiving.settings,
            "applied": apply,
            "restart": archiving.restart,
        },
        *archiving.lines,
        f"# {then}",
    )


@app.command()
@without(as_json="it receives until it is stopped, and has no result")
def stream(
    context: CommandContext,
    store: StoreFolder = BACKUPS,
    drop: Annotated[
        bool,
        typer.Option("--drop", help="End receiving for good: the server need not keep its log."),
    ] = False,
) -> None:
    """Receive PostgreSQL's log as it is written, until stopped (pg_receivewal).

    The archive alone loses what the server wrote since its last file: up to a
    minute. This does not. Run it on another machine than the server's, under
    systemd:

      tradebook backup stream --store /srv/backups

    With ALTER SYSTEM SET synchronous_standby_names = 'tradebook_stream' a trade
    is acknowledged only after it was received here: nothing acknowledged is
    lost with the server. Trading then waits while no receiver is connected.

    The server keeps its log until it was received, also while this command does
    not run, and its disk fills up; end receiving for good with:

      tradebook backup stream --drop
    """
    if drop:
        wal_archive.stop_streaming(context.config())
        say("the server keeps its log for no receiver any more")
        return
    with ends_on_sigterm():
        raise typer.Exit(wal_archive.stream(context.config(), Store(store).stream))


@app.command()
@takes_option_sets
@without(database="the scheduled commands find their database in /etc/tradebook.env")
def schedule(
    context: CommandContext,
    kind: BackupKind,
    every: Annotated[Literal["hour", "day", "week"], typer.Option(help="How often.")] = "day",
    at: Annotated[str, option("HH:MM", "Local time.")] = "02:30",
    cron: Annotated[
        bool, typer.Option("--cron", help="Print a line for cron, not systemd units.")
    ] = False,
    encrypt: Encrypt = None,
    keep: Annotated[int, typer.Option(min=1, help="Keep this many backups.")] = 7,
    store: StoreFolder = BACKUPS,
) -> None:
    """Print a systemd timer, or a line for cron, that backs up, verifies and prunes.

    Installs nothing and prints no secret: the scheduled commands find the
    database in /etc/tradebook.env.

      tradebook backup schedule --store /srv/backups
      tradebook backup schedule --every hour --at 00:15 --incremental --cron
    """
    program = str(Path(sys.argv[0]).resolve())  # cron and systemd search no PATH of the user's
    where = ["--store", str(store.resolve())]
    kinds = [] if kind.name is None else [f"--{kind.name}"]
    # An encrypted backup can only be verified where the secret key is: not here.
    ways = ["--encrypt", encrypt] if encrypt else ["--verify"]
    commands = [
        [program, "backup", *where, *kinds, *ways],
        [program, "backup", "prune", *where, "--keep", str(keep), "--yes"],
    ]
    encryption_of(encrypt)
    if cron:
        text = cron_line(commands, every, at)
    else:
        text = systemd_units(commands, every, at, login_name() or "tradebook")
    context.answer({"schedule": text}, text)
