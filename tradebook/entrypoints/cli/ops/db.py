"""`db`: the database's schema: where it is, up, down, and whether it is what this version expects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Final, TypeAlias

import typer
from sqlalchemy import Engine

from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.adapters.migrations.drift import Difference, find_drift
from tradebook.adapters.migrations.schema_state import CURRENT, SCHEMA_REVISION, read_schema_state
from tradebook.entrypoints.cli.ops import roles
from tradebook.entrypoints.cli.options import AsJson, Database, configured
from tradebook.entrypoints.cli.output import (
    ask_first,
    complain,
    counted,
    print_json,
    progress_bar,
    say,
)
from tradebook.operations import migration_plan
from tradebook.operations.migration_plan import Plan, interruptible
from tradebook.operations.server.admin_connection import require_file

_SHOWN_DIFFERENCES: Final = 100
_INTERRUPTED: Final = 130
_KEPT: Final = "nothing was done, rows would be lost (--dry-run says which)"

app = typer.Typer(
    no_args_is_help=True,
    help="""The database's schema: where it is, up, down, and whether it is what this version expects.

A schema is at a revision, such as 0002; a new version of tradebook may
bring new ones. `upgrade` before the new version's first call; processes of
the old one that run go on working, those that start refuse. On PostgreSQL
who books meanwhile waits less than a second; a SQLite file takes no writes
until it is done.

  tradebook db upgrade --dry-run    what would be done
  tradebook db upgrade              do it
  tradebook db check                is every table as it should be?
""",
)

app.command("roles")(roles.roles)

DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
]
Message: TypeAlias = Annotated[
    str, typer.Option("-m", "--message", metavar="TEXT", help="What it is about, in a few words.")
]


@app.command()
def current(database: Database = None, as_json: AsJson = False) -> None:
    """Say which revision the schema is at, and which this version needs.

    Exits with 0 when they are the same, with 1 when not.

      tradebook db current
      tradebook db current || tradebook db upgrade
    """

    with _opened(database) as (engine, url):
        state = read_schema_state(engine)
    if as_json:
        print_json(
            {
                "database": url,
                "revision": state.revision,
                "needs": SCHEMA_REVISION,
                "state": state.name,
            }
        )
    else:
        at = f"revision {state.revision}" if state.revision else "no revision"
        say(f"{at} ({state.name}); this version needs {SCHEMA_REVISION}")
    if state.name != CURRENT:
        raise typer.Exit(1)


@app.command()
def history(database: Database = None, as_json: AsJson = False) -> None:
    """List the revisions, the first first, and which of them the database has.

    tradebook db history
    """

    with _opened(database) as (engine, url):
        revisions = migration_plan.history(engine)
    if as_json:
        print_json({"database": url, "revisions": revisions})
        return
    for revision in revisions:
        say(f"{revision.state:<8} {revision}")


@app.command()
def upgrade(
    revision: Annotated[str, typer.Argument(metavar="REVISION", help="How far.")] = "head",
    dry_run: DryRun = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Bring the schema up to REVISION, the newest by default.

    Safe while others book trades, safe to run twice, and safe to run again
    when it was interrupted. Of two that are started at once one waits for the
    other. A revision that cannot get its lock at once lets others go first,
    and is tried again.

      tradebook db upgrade --dry-run
      tradebook db upgrade
      tradebook db upgrade 0002
    """

    with _opened(database, making=not dry_run) as (engine, url):
        plan = migration_plan.plan_upgrade(engine, revision)
        if not as_json:
            _say_plan(plan, "up to")
        if plan.steps and not dry_run:
            with _migrating(plan, as_json) as tell:
                migrations.upgrade(engine, revision, tell)
    _conclude(url, plan, dry_run, as_json)


@app.command()
def downgrade(
    revision: Annotated[
        str, typer.Argument(metavar="REVISION", help="How far; `base` removes every table.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: DryRun = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Take the schema down to REVISION, and lose what only newer revisions have.

    Says first which tables and columns go, and how many rows are in them; asks
    before it does it. Only a backup has what they held.

      tradebook db downgrade 0002 --dry-run
      tradebook db downgrade 0002
      tradebook db downgrade 0002 --yes
    """

    with _opened(database) as (engine, url):
        plan = migration_plan.plan_downgrade(engine, revision)
        if not as_json:
            _say_plan(plan, "down to")
        if plan.steps and not dry_run:
            if plan.losses:
                ask_first("Do it?", yes=yes, otherwise=_KEPT)
            with _migrating(plan, as_json) as tell:
                migrations.downgrade(engine, revision, tell)
    _conclude(url, plan, dry_run, as_json)


@app.command()
def check(database: Database = None, as_json: AsJson = False) -> None:
    """Compare every table with what this version expects.

    Columns, types, what may be null, defaults, identities, collations,
    indexes, keys, foreign keys and checks; tables of others are left alone.
    Changes nothing. Exits with 0 when nothing differs, with 1 and a list when
    something does. On PostgreSQL it needs the right to make temporary tables.

      tradebook db check
    """

    with _opened(database) as (engine, url):
        read_schema_state(engine).require()
        differences = find_drift(engine)
    if as_json:
        print_json({"database": url, "sound": not differences, "differences": differences})
    else:
        _say_differences(differences)
    if differences:
        raise typer.Exit(1)


@app.command()
def revision(
    message: Message,
    empty: Annotated[
        bool, typer.Option("--empty", help="Compare nothing: what it does is written by hand.")
    ] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Write a new revision: what the tables of the code have and the migrations have not.

    For developers, in a checkout. Compares with a scratch database that the
    migrations make, or with the one that --database names; where nothing
    differs, nothing is written. Look the file through before you run it, and
    write its number into SCHEMA_REVISION.

      tradebook db revision -m "a memo on each trade"
      tradebook db revision -m "round the old fees" --empty
    """

    if database is None or empty:
        file = migration_plan.new_revision(message, empty=empty)
    else:
        with _opened(database) as (engine, _url):
            file = migration_plan.new_revision(message, engine)
    if as_json:
        print_json({"file": None if file is None else str(file)})
    elif file is None:
        say("nothing differs: no revision is written (--empty writes one to fill in by hand)")
    else:
        say(f"written: {file}")


@contextmanager
def _opened(database: str | None, *, making: bool = False) -> Iterator[tuple[Engine, str]]:
    """An engine on the database that `--database` or the environment names, and how that is written.

    Raises:
        DatabaseUnavailable: there is no such file, and the command is not one for `making` it.
    """

    config = configured(database)
    if not making:
        require_file(config)
    with engine_for(config) as engine:
        yield engine, config.safe_url


@contextmanager
def _migrating(plan: Plan, as_json: bool) -> Iterator[Callable[[str], None]]:
    """Gives what is told of each step; Ctrl-C ends in a message."""

    done = 0

    def tell(line: str) -> None:
        nonlocal done
        if line.startswith(("up to", "down from")):
            done += 1
            bar(done, len(plan.steps))
        if not as_json:
            say(f"  {line}")

    try:
        with interruptible(), progress_bar("migrating", quiet=as_json) as bar:
            yield tell
    except KeyboardInterrupt:
        complain("interrupted; what was finished stays: run it again to go on")
        raise typer.Exit(_INTERRUPTED) from None


def _say_plan(plan: Plan, way: str) -> None:
    if not plan.steps:
        say(f"nothing to do: the schema is at {plan.current or 'no revision'}")
        return
    say(f"from {plan.current or 'nothing'} {way} {plan.target or 'nothing'}:")
    for step in plan.steps:
        say(f"  {step}")
    if plan.adds:
        say("adds " + ", ".join(plan.adds))
    for loss in plan.losses:
        say(f"loses {loss}")


def _conclude(url: str, plan: Plan, dry_run: bool, as_json: bool) -> None:
    if as_json:
        done = bool(plan.steps) and not dry_run
        print_json(
            {
                "database": url,
                "from": plan.current,
                "to": plan.target,
                "steps": plan.steps,
                "adds": plan.adds,
                "losses": plan.losses,
                "done": done,
            }
        )
    elif plan.steps:
        say("nothing was done (--dry-run)" if dry_run else f"at {plan.target or 'no revision'}")


def _say_differences(differences: tuple[Difference, ...]) -> None:
    if not differences:
        say("every table is as it should be")
        return
    say(f"{counted(len(differences), 'difference')} from what this version expects:")
    for difference in differences[:_SHOWN_DIFFERENCES]:
        say(f"  {difference}")
    if len(differences) > _SHOWN_DIFFERENCES:
        say(f"and {len(differences) - _SHOWN_DIFFERENCES:,} more; --json lists all")
