"""`restore`: bring a backup back, into a database or a server of its own."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from tradebook.adapters.engine.factory import make_engine
from tradebook.adapters.errors import translated_errors
from tradebook.config import DatabaseConfig
from tradebook.domain.errors import SchemaNotReady
from tradebook.entrypoints.cli.ops.backup import (
    BACKUPS,
    Identity,
    StoreFolder,
    WalFolder,
    Yes,
    ended_cleanly,
)
from tradebook.entrypoints.cli.options import AsJson, Database, configured, time_given
from tradebook.entrypoints.cli.output import ask_first, counted, print_json, progress_bar, say
from tradebook.operations.backup.contents import AccountProof, prove
from tradebook.operations.backup.manifest import Manifest
from tradebook.operations.backup.restore import restore_book, restore_server
from tradebook.operations.backup.store import Store
from tradebook.operations.security.privileges import displaced_owner

_HANDED_OVER: Final = """\
its server runs, to be looked at: it archives nothing, has no TCP, and asks nobody for a password
who may enter {0}/run
to trade on it: `tradebook sandbox stop {0}`, move {0}/data to where the
lost one was, and start the server as always; docs/operations.md, Restore, goes through it"""


def restore(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[BACKUP]",
            help="Which one; the newest that can be, or with --to the newest before it.",
        ),
    ] = "latest",
    to: Annotated[
        datetime | None,
        typer.Option(
            "--to",
            metavar="TIME",
            parser=time_given,
            help="Recover to this moment, such as 2024-05-17T14:30:00 (in UTC unless it says "
            "otherwise); to all that is archived by default.",
            show_default=False,
        ),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(
            "--into",
            metavar="DIR",
            help="A new folder, for the server that a physical backup becomes.",
            show_default=False,
        ),
    ] = None,
    store: StoreFolder = BACKUPS,
    wal: WalFolder = None,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, max=64, help="Tables loaded at once, if dumped so.")
    ] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Lose the book that is there.")
    ] = False,
    privileges: Annotated[
        bool,
        typer.Option("--privileges/--no-privileges", help="Grant to roles what they had."),
    ] = True,
    identity: Identity = None,
    yes: Yes = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Restore a backup, and prove the book that comes out.

    A SQLite or a logical backup goes into --database, which must be empty. A
    physical one becomes a server of its own in --into, recovered to the end of
    the archived log or to a moment; `tradebook sandbox stop` stops it, and its
    data directory can be moved to where the lost one was.

      tradebook restore --database sqlite:///restored.db
      tradebook restore 20240517T023000Z-logical --database postgresql://host/book
      tradebook restore --into /srv/restored --to 2024-05-17T14:30:00

    What is there already is refused. With --overwrite a database loses its book
    (it asks, or --yes); a folder is renamed. Stop first what writes to the
    database: it is refused where others are connected, which is looked at once,
    before it begins. Who connects later and books meanwhile loses that.
    """

    if to is not None and into is None:
        raise typer.BadParameter("goes with --into, a new folder", param_hint="--to")
    if into is not None and database is not None:
        raise typer.BadParameter("goes without --into, a folder", param_hint="--database")
    at = Store(store)
    if to is not None and name == "latest":
        manifest = at.before(to)
    else:
        manifest = at.get(name, physical=into is not None)
    if into is None:
        _into_database(at, manifest, database, identity, jobs, overwrite, privileges, yes, as_json)
    else:
        archives = [folder for folder in (wal or at.wal, at.stream) if folder.is_dir()]
        _into_folder(at, manifest, into, to, archives, identity, overwrite, as_json)


def _into_database(
    store: Store,
    manifest: Manifest,
    database: str | None,
    identity: Path | None,
    jobs: int,
    overwrite: bool,
    privileges: bool,
    yes: bool,
    as_json: bool,
) -> None:

    config = configured(database)
    if overwrite:
        question = f"Replace the book in {config.safe_url} by {manifest.name}?"
        ask_first(question, yes=yes, otherwise="nothing was replaced")
    with ended_cleanly(), progress_bar("restoring", quiet=as_json) as report:
        restore_book(
            store,
            manifest,
            config,
            identity=identity,
            jobs=jobs,
            overwrite=overwrite,
            privileges=privileges,
            report=report,
        )
    _finish(manifest, config, {"database": config.safe_url}, as_json=as_json)


def _into_folder(
    store: Store,
    manifest: Manifest,
    folder: Path,
    moment: datetime | None,
    wal: list[Path],
    identity: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:

    with ended_cleanly(), progress_bar("restoring", quiet=as_json) as report:
        sandbox = restore_server(
            store,
            manifest,
            folder,
            moment=moment,
            wal=wal,
            identity=identity,
            overwrite=overwrite,
            report=report,
        )
    where = {"directory": str(sandbox.home), "database": sandbox.config.safe_url}
    _finish(manifest, sandbox.config, where, as_json=as_json)


def _finish(
    manifest: Manifest, config: DatabaseConfig, where: dict[str, str], *, as_json: bool
) -> None:
    """Prove what came out, and say so; of another schema it cannot be proven yet."""

    accounts: tuple[AccountProof, ...] = ()
    later = ""
    try:
        accounts = prove(config, manifest)
    except SchemaNotReady as error:
        later = str(error)
    owner = None if config.backend == "sqlite" else _disowned(config)
    proven = not later and all(account.proven for account in accounts)
    trades = sum(account.found.trades for account in accounts)
    if as_json:
        found = {account.account: account.found for account in accounts}
        print_json(
            {
                "backup": manifest.name,
                **where,
                "proven": proven,
                "found": found,
                "note": later,
                "displaced_owner": owner,
            }
        )
    else:
        say(f"restored: {manifest.name} into {where['database']}")
        if later:
            say(f"not proven yet: {later}, then `tradebook verify`")
        else:
            word = "proven" if proven else "NOT proven, see `tradebook verify`"
            say(f"{word}: {counted(trades, 'trade')} in {counted(len(accounts), 'account')}")
        if owner is not None:
            prefix = owner.removesuffix("_owner")
            say(
                f"the tables are no longer {owner}'s: run `tradebook db roles --prefix {prefix}` now"
            )
        if "directory" in where:
            say(_HANDED_OVER.format(where["directory"]))
    if not proven and not later:
        raise typer.Exit(1)


def _disowned(config: DatabaseConfig) -> str | None:
    """The role that owned the tables before they were restored."""

    engine = make_engine(config)
    try:
        with translated_errors(), engine.connect() as connection:
            return displaced_owner(connection)
    finally:
        engine.dispose()
