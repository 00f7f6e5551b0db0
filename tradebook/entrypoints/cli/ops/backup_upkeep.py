"""`backup prune`, `archive`, `stream` and `schedule`: what keeps backups going without anybody."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from tradebook.entrypoints.cli.ops.backup import (
    BACKUPS,
    Encrypt,
    StoreFolder,
    WalFolder,
    Yes,
    app,
    complain_of_damaged,
    encryption_of,
    ended_cleanly,
    store_at,
)
from tradebook.entrypoints.cli.options import AsJson, Database, configured, login_name
from tradebook.entrypoints.cli.output import ask_first, counted, print_json, printable, say
from tradebook.operations.backup import retention, wal_archive
from tradebook.operations.backup.retention import Plan
from tradebook.operations.backup.schedule import cron_line, systemd_units
from tradebook.operations.backup.store import Store

__all__ = ["app"]  # with these commands


@app.command()
def prune(
    keep: Annotated[
        int | None, typer.Option("--keep", min=1, help="How many of each kind stay.")
    ] = None,
    keep_days: Annotated[
        float | None, typer.Option("--keep-days", min=0, help="Younger ones stay, too.")
    ] = None,
    store: StoreFolder = BACKUPS,
    wal: WalFolder = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove old backups, and the server's log from before the oldest that stays.

    The newest always stays, and so does one that another builds upon.

      tradebook backup prune --keep 7
      tradebook backup prune --keep 4 --keep-days 30 --store /srv/backups --yes
    """
    if keep is None and keep_days is None:
        raise typer.BadParameter("say how many stay: --keep N, --keep-days DAYS, or both")

    at = store_at(store)
    complain_of_damaged(at)
    decided = retention.plan(at.all(), keep=keep, keep_days=keep_days, now=datetime.now(UTC))
    files = 0
    if not yes and (decided.removed or at.leftovers()):
        _list_removed(decided, at)
        ask_first("Remove them?", yes=yes, otherwise="nothing was removed")
    retention.prune(at, decided)
    for folder in (wal or at.wal, at.stream):
        if decided.oldest_segment is not None and folder.is_dir():
            files += wal_archive.remove_older(folder, decided.oldest_segment)
    if as_json:
        removed, kept = ([m.name for m in group] for group in (decided.removed, decided.kept))
        print_json({"removed": removed, "kept": kept, "log_files_removed": files})
    else:
        log = f", {counted(files, 'file')} of the log" if files else ""
        kept_count = counted(len(decided.kept), "backup")
        say(f"removed {counted(len(decided.removed), 'backup')}{log}; kept {kept_count}")


@app.command("archive")
def archive_log(
    store: StoreFolder = BACKUPS,
    wal: WalFolder = None,
    encrypt: Encrypt = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Set it up at the server, not only print it.")
    ] = False,
    now: Annotated[
        bool, typer.Option("--now", help="Have what is written so far archived, and wait for it.")
    ] = False,
    yes: Yes = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Archive PostgreSQL's log, from which recovery reaches any moment.

    Writes a short script into the archive, which the server calls for each file
    of its log: it copies, flushes, renames, and refuses to overwrite. Digests the
    settings; --apply makes them at the server (as a superuser). archive_mode
    counts when the server is started again. Another archive_command, of
    another tool say, is replaced only where you agree, or say --yes.

      tradebook backup archive --store /srv/backups
      tradebook backup archive --store /srv/backups --apply
      tradebook backup archive --now
    """

    folder = wal or store_at(store).wal
    if now:
        name = wal_archive.archive_now(configured(database))
        print_json({"archived": name}) if as_json else say(f"archived up to {name}")
        return
    encryption = encryption_of(encrypt)
    if apply:
        config = configured(database)
        overwrite = yes or _may_replace(wal_archive.other_command(config, folder))
        archiving = wal_archive.archive_log(config, folder, encryption, overwrite=overwrite)
    else:
        archiving = wal_archive.prepare_archive(folder, encryption)
    if as_json:
        print_json(
            {
                "folder": str(archiving.folder),
                "settings": archiving.settings,
                "applied": apply,
                "restart": archiving.restart,
            }
        )
        return
    say("\n".join(archiving.lines))
    if not apply:
        say(f"# for postgresql.conf; the server's user must own {archiving.folder}")
    elif archiving.restart:
        say(f"# made; start the server again for {', '.join(archiving.restart)}")
    else:
        say("# made; `tradebook backup archive --now` tries it")


@app.command()
def stream(
    store: StoreFolder = BACKUPS,
    drop: Annotated[
        bool, typer.Option("--drop", help="Receive no more: the server need not keep its log.")
    ] = False,
    database: Database = None,
) -> None:
    """Receive PostgreSQL's log as it is written, until stopped (pg_receivewal).

    The archive alone loses what the server wrote since its last file: up to a
    minute. This does not. On another machine than the server's, under systemd:

      tradebook backup stream --store /srv/backups

    With ALTER SYSTEM SET synchronous_standby_names = 'tradebook_stream' a trade
    is acknowledged only when it is here, too: nothing acknowledged is ever lost
    with the server. Then trading waits where nobody receives.

    The server keeps its log until it was received, also while this does not
    run; when it is not to run again, say so, or its disk fills up:

      tradebook backup stream --drop
    """

    if drop:
        wal_archive.stop_streaming(configured(database))
        say("the server keeps its log for nobody now")
        return
    with ended_cleanly():
        raise typer.Exit(wal_archive.stream(configured(database), store_at(store).stream))


@app.command()
def schedule(
    every: Annotated[Literal["hour", "day", "week"], typer.Option("--every")] = "day",
    at: Annotated[str, typer.Option("--at", metavar="HH:MM", help="Local time.")] = "02:30",
    cron: Annotated[
        bool, typer.Option("--cron", help="A line for cron, not systemd units.")
    ] = False,
    physical: Annotated[bool, typer.Option("--physical", help="As of `backup`.")] = False,
    incremental: Annotated[bool, typer.Option("--incremental", help="As of `backup`.")] = False,
    encrypt: Encrypt = None,
    keep: Annotated[int, typer.Option("--keep", min=1, help="How many stay.")] = 7,
    store: StoreFolder = BACKUPS,
) -> None:
    """Print a systemd timer, or a line for cron, that backs up, verifies and prunes.

    Nothing is installed, and no secret is printed: the scheduled commands find
    the database in /etc/tradebook.env.

      tradebook backup schedule --store /srv/backups
      tradebook backup schedule --every hour --at 00:15 --incremental --cron
    """

    program = str(Path(sys.argv[0]).resolve())
    where = ["--store", str(store.resolve())]
    # What is encrypted cannot be verified where only the public key is.
    kind = ["--physical"] * physical + ["--incremental"] * incremental
    ways = [*kind, *(["--encrypt", encrypt] if encrypt else ["--verify"])]
    commands = [
        [program, "backup", *where, *ways],
        [program, "backup", "prune", *where, "--keep", str(keep), "--yes"],
    ]
    encryption_of(encrypt)
    user = login_name() or "tradebook"
    say(cron_line(commands, every, at) if cron else systemd_units(commands, every, at, user))


def _may_replace(command: str | None) -> bool:
    """Whether the server's other archive_command may go; ends the command where somebody says no."""
    if command is None:
        return False
    typer.echo(
        f"the server has another archive_command: {printable(command)}\n"
        "It is replaced, and what it feeds gets nothing more (--yes does not ask).",
        err=True,
    )
    return typer.confirm("Replace it?", abort=True, err=True)


def _list_removed(decided: Plan, store: Store) -> None:
    for manifest in decided.removed:
        typer.echo(f"  {manifest.name}", err=True)
    for path in store.leftovers():
        typer.echo(f"  {path.name}, which was not completed", err=True)
