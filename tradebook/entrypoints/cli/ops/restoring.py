"""`restore`: restore a backup into a database or into a server of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.errors import translated_errors
from tradebook.config import DatabaseConfig
from tradebook.domain.errors import SchemaNotReady
from tradebook.entrypoints.cli.common import without
from tradebook.entrypoints.cli.messages import confirm, counted
from tradebook.entrypoints.cli.ops.backup import (
    BACKUPS,
    Identity,
    Jobs,
    StoreFolder,
    WalFolder,
    ends_on_sigterm,
)
from tradebook.entrypoints.cli.options import CommandContext, Yes, option, time_option
from tradebook.operations.backup.manifest import Manifest
from tradebook.operations.backup.restore import restore_book, restore_server
from tradebook.operations.backup.store import Store
from tradebook.operations.backup.verify import AccountProof, prove
from tradebook.operations.security.privileges import displaced_owner

_NEXT_STEPS: Final = """\
its server runs for inspection: it archives nothing, listens on no TCP port, and admits every user who
may enter {0}/run without a password
to trade on it: `tradebook sandbox stop {0}`, move {0}/data to where the
lost one was, and start the server as always; docs/operations.md, Restore, has every step"""


@without(account="a backup holds every account")
def restore(
    context: CommandContext,
    name: Annotated[
        str,
        typer.Argument(metavar="[BACKUP]", help="The backup; the newest suitable one by default."),
    ] = "latest",
    to: Annotated[
        datetime | None,
        option(
            "TIME",
            "Recover to this time; to the end of the archived log by default.",
            parser=time_option,
        ),
    ] = None,
    into: Annotated[
        Path | None, option("DIR", "A new folder for the server that a physical backup becomes.")
    ] = None,
    store: StoreFolder = BACKUPS,
    wal: WalFolder = None,
    until_hole: Annotated[
        bool,
        typer.Option(
            "--until-hole", help="Accept that recovery ends where the archived log has a hole."
        ),
    ] = False,
    jobs: Jobs = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the book that is there; it is lost.")
    ] = False,
    privileges: Annotated[
        bool, typer.Option("--privileges/--no-privileges", help="Grant the roles what they had.")
    ] = True,
    identity: Identity = None,
    yes: Yes = False,
) -> None:
    """Restore a backup, and prove the restored book.

    A SQLite or a logical backup goes into --database, which must be empty. A
    physical one becomes a server of its own in --into, recovered to the end of
    the archived log or to a point in time; `tradebook sandbox stop` stops it,
    and its data directory can be moved to where the lost one was.

      tradebook restore --database sqlite:///restored.db
      tradebook restore 20240517T023000Z-logical --database postgresql://host/book
      tradebook restore --into /srv/restored --to 2024-05-17T14:30:00

    Where a segment of the archived log is missing or altered, and later log is
    there, it is refused: --until-hole recovers up to that segment.

    An existing book is not touched unless --overwrite is given: a database then
    loses its book (after a question, or with --yes); a folder is renamed. Stop
    all writers to the database first. The restore is refused while others are
    connected, which is checked once, at the beginning: trades of a client that
    connects later are lost.
    """
    if to is not None and into is None:
        raise typer.BadParameter("goes with --into, a new folder", param_hint="--to")
    if until_hole and into is None:
        raise typer.BadParameter("goes with --into, a new folder", param_hint="--until-hole")
    if into is not None and context.database is not None:
        raise typer.BadParameter("goes without --into, a folder", param_hint="--database")
    at = Store(store)
    if to is not None and name == "latest":
        manifest = at.before(to)
    else:
        manifest = at.get(name, physical=into is not None)
    if into is None:
        config = context.config().for_sessions()
        if overwrite:
            question = f"Replace the book in {config.safe_url} by {manifest.name}?"
            confirm(question, yes=yes, otherwise="nothing was replaced")
        with ends_on_sigterm(), context.progress_bar("restoring") as report:
            restore_book(
                at,
                manifest,
                config,
                identity=identity,
                jobs=jobs,
                overwrite=overwrite,
                privileges=privileges,
                report=report,
            )
        _finish(context, manifest, config, {"database": config.safe_url})
        return
    holes: list[str] = []
    with ends_on_sigterm(), context.progress_bar("restoring") as report:
        sandbox = restore_server(
            at,
            manifest,
            into,
            moment=to,
            wal=[folder for folder in (wal or at.wal, at.stream) if folder.is_dir()],
            identity=identity,
            overwrite=overwrite,
            report=report,
            on_hole=holes.append if until_hole or to is not None else None,
        )
    where = {"directory": str(sandbox.home), "database": sandbox.config.safe_url}
    _finish(context, manifest, sandbox.config, where, holes)


def _finish(
    context: CommandContext,
    manifest: Manifest,
    config: DatabaseConfig,
    where: dict[str, str],
    holes: Sequence[str] = (),
) -> None:
    """Prove the restored book and write the result; a book of another schema is proven after its upgrade."""
    accounts: tuple[AccountProof, ...] = ()
    later = ""
    try:
        accounts = prove(config, manifest)
    except SchemaNotReady as error:
        later = str(error)
    owner = None
    if config.backend != "sqlite":
        with engine_for(config) as engine, translated_errors(), engine.connect() as connection:
            owner = displaced_owner(connection)
    proven = not later and all(account.proven for account in accounts)
    lines = [f"restored: {manifest.name} into {where['database']}"]
    if later:
        lines.append(f"not proven yet: {later}, then `tradebook verify`")
    else:
        trades = counted(sum(account.found.trades for account in accounts), "trade")
        word = "proven" if proven else "NOT proven, see `tradebook verify`"
        lines.append(f"{word}: {trades} in {counted(len(accounts), 'account')}")
    lines += [f"the archived log is not whole: {hole}" for hole in holes]
    if owner is not None:
        prefix = owner.removesuffix("_owner")
        lines.append(
            f"the tables are no longer {owner}'s: run `tradebook db roles --prefix {prefix}` now"
        )
    if "directory" in where:
        lines.append(_NEXT_STEPS.format(where["directory"]))
    document = {
        "backup": manifest.name,
        **where,
        "proven": proven,
        "found": {account.account: account.found for account in accounts},
        "note": later,
        "holes": holes,
        "disowned": owner,
    }
    context.answer(document, *lines, ok=proven or bool(later))
