"""`db` and `init`: the database's schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Final

import typer
from sqlalchemy import Engine

from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.adapters.migrations.schema_state import (
    CURRENT,
    SCHEMA_REVISION,
    read_schema_state,
)
from tradebook.entrypoints.cli.common import without
from tradebook.entrypoints.cli.messages import complain, confirm, say
from tradebook.entrypoints.cli.ops.roles import roles
from tradebook.entrypoints.cli.options import CommandContext, DryRun, Yes, option
from tradebook.entrypoints.cli.schema_report import schema_document, schema_lines
from tradebook.operations import migration_plan
from tradebook.operations.migration_plan import Plan, interruptible
from tradebook.operations.schema_check import check_schema
from tradebook.operations.server.admin_connection import require_file
from tradebook.service_layer.handlers._common import open_account

_INTERRUPTED: Final = 130
_ALL_ACCOUNTS: Final = "the schema is the same for every account"

app = typer.Typer(no_args_is_help=True)


@app.callback()
@without(account=_ALL_ACCOUNTS)
def db() -> None:
    """Upgrade, downgrade and check the database's schema and roles.

    A schema is at a revision, such as 0002; a new version of tradebook may
    bring new ones. Run `upgrade` before the new version's first call: running
    processes of the old version go on working, new ones are refused. On
    PostgreSQL a booking waits less than a second meanwhile; a SQLite file takes
    no writes until the upgrade is done.

      tradebook db upgrade --dry-run    show what would be done
      tradebook db upgrade              do it
      tradebook db check                compare every table with this version
    """


app.command("roles")(roles)


def init(
    context: CommandContext,
    base_currency: Annotated[
        str | None,
        option(
            "CURRENCY",
            "Open the account in this base currency. Default: TRADEBOOK_BASE_CURRENCY; without it the first "
            "trade or cash flow opens the account in USD.",
        ),
    ] = None,
) -> None:
    """Create the tables, or bring them up to this version's schema.

    A new SQLite file gets its tables by itself; run this once for a PostgreSQL
    database, and again after installing a new version. Repeating it changes
    nothing. The base currency of an account never changes; naming another one
    than it has is refused.

      tradebook init --database postgresql://user@host/book
      tradebook init --account paper --base-currency EUR
    """
    if (base_currency or context.environment.base_currency) is None:
        if "account" in context.meta:
            context.note("--account has no effect on `tradebook init` without --base-currency")
        with engine_for(context.config().for_sessions()) as engine:
            migrations.upgrade(engine)
        url = context.config().safe_url
        context.answer({"database": url, "ready": True}, f"ready: {url}")
        return
    with context.open_book(base_currency=base_currency, creates=True) as manager:
        manager.upgrade()
        account = manager.run(open_account)
    context.answer(
        {"database": manager.url, "ready": True, "account": account},
        f"ready: {manager.url}",
        f"account {account.account} is in {account.base_currency}",
    )


@app.command()
def current(context: CommandContext) -> None:
    """Show the revision that the schema is at, and the one that this version needs.

    Exits with 0 if they are the same, else with 1.

      tradebook db current
      tradebook db current || tradebook db upgrade
    """
    with _opened(context) as (engine, url):
        state = read_schema_state(engine)
    at = f"revision {state.revision}" if state.revision else "no revision"
    versions = {"revision": state.revision, "needs": SCHEMA_REVISION}
    context.answer(
        {"database": url, **versions, "state": state.name},
        f"{at} ({state.name}); this version needs {SCHEMA_REVISION}",
        ok=state.name == CURRENT,
    )


@app.command()
def history(context: CommandContext) -> None:
    """List the revisions, oldest first, and whether the database has them.

    tradebook db history
    """
    with _opened(context) as (engine, url):
        revisions = migration_plan.history(engine)
    lines = [f"{revision.state:<8} {revision}" for revision in revisions]
    context.answer({"database": url, "revisions": revisions}, *lines)


@app.command()
def upgrade(
    context: CommandContext,
    revision: Annotated[
        str, typer.Argument(metavar="REVISION", help="The revision to reach.")
    ] = "head",
    dry_run: DryRun = False,
) -> None:
    """Bring the schema up to REVISION, the newest by default.

    Safe during trading, safe to repeat, and safe to run again after an
    interruption. Of two upgrades that run at the same time one waits for the
    other. A revision that cannot get its table lock within a moment gives way
    to the bookings that hold it, and is tried again.

      tradebook db upgrade --dry-run
      tradebook db upgrade
      tradebook db upgrade 0002
    """
    with _opened(context, create=not dry_run) as (engine, url):
        plan = migration_plan.plan_upgrade(engine, revision)
        move = partial(migrations.upgrade, engine, revision)
        _carry_out(context, url, plan, "up to", move, dry_run=dry_run)


@app.command()
def downgrade(
    context: CommandContext,
    revision: Annotated[
        str, typer.Argument(metavar="REVISION", help="The revision to reach; `base` has no table.")
    ],
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Take the schema down to REVISION, and lose the data that only newer revisions hold.

    First lists the tables and columns that are removed, with the number of rows
    in them, and asks. Afterwards only a backup has their data.

      tradebook db downgrade 0002 --dry-run
      tradebook db downgrade 0002
      tradebook db downgrade 0002 --yes
    """
    with _opened(context) as (engine, url):
        plan = migration_plan.plan_downgrade(engine, revision)
        move = partial(migrations.downgrade, engine, revision)
        _carry_out(context, url, plan, "down to", move, dry_run=dry_run, yes=yes)


@app.command()
def check(context: CommandContext) -> None:
    """Compare every table with what the migrations and `db roles` make.

    Columns, types, nullability, defaults, identities, collations, generated
    columns, indexes, keys, foreign keys and checks; triggers, rules, policies
    and the functions of `db roles`; views in the place of tables, tables that
    inherit, and ids that would be given again; on PostgreSQL also settings by
    which triggers do not run, event triggers, and functions and operators that
    the server may take for its own. Tables of other programs are not looked at.
    Changes nothing. Exits with 0 if nothing differs, else with 1 and a list of
    the differences and what to do about each.

    On PostgreSQL it needs the right to make temporary tables, as the owner,
    the writer and the auditor of `db roles` have it.

      tradebook db check
    """
    with _opened(context) as (engine, url):
        differences = check_schema(engine)
    document = {"database": url, **schema_document(differences)}
    context.answer(document, *schema_lines(differences), ok=not differences)


@app.command()
def revision(
    context: CommandContext,
    message: Annotated[
        str, typer.Option("-m", "--message", metavar="TEXT", help="The revision's title.")
    ],
    empty: Annotated[
        bool, typer.Option("--empty", help="Compare nothing: its steps are written by hand.")
    ] = False,
) -> None:
    """Write a new revision with the differences between the code's tables and the migrations.

    For developers, in a checkout. Compares with a scratch database made by the
    migrations, or with the one that --database names; if nothing differs,
    nothing is written. Read the file before you run it, and write its number
    into SCHEMA_REVISION.

      tradebook db revision -m "a memo on each trade"
      tradebook db revision -m "round the old fees" --empty
    """
    if context.database is None or empty:
        file = migration_plan.new_revision(message, empty=empty)
    else:
        with _opened(context) as (engine, _url):
            file = migration_plan.new_revision(message, engine)
    line = f"written: {file}"
    if file is None:
        line = "nothing differs: no revision is written (--empty writes one to fill in by hand)"
    context.answer({"file": None if file is None else str(file)}, line)


@contextmanager
def _opened(context: CommandContext, *, create: bool = False) -> Iterator[tuple[Engine, str]]:
    """Yield an engine and the URL without its password; refuse a missing file unless `create` is set."""
    config = context.config().for_sessions()
    if not create:
        require_file(config)
    with engine_for(config) as engine:
        yield engine, config.safe_url


@contextmanager
def _migrating(context: CommandContext, plan: Plan) -> Iterator[Callable[[str], None]]:
    """Yield a callback that writes each step of a migration; end with a message on Ctrl-C."""
    done = 0

    def report(line: str) -> None:
        nonlocal done
        if line.startswith(("up to", "down from")):
            done += 1  # other lines are notes about a step, such as a retried lock
            bar(done, len(plan.steps))
        if not context.as_json:
            say(f"  {line}")

    try:
        with interruptible(), context.progress_bar("migrating") as bar:
            yield report
    except KeyboardInterrupt:
        complain("interrupted; finished revisions stay: run the command again to go on")
        raise typer.Exit(_INTERRUPTED) from None


def _carry_out(
    context: CommandContext,
    url: str,
    plan: Plan,
    way: str,
    move: Callable[[Callable[[str], None]], object],
    *,
    dry_run: bool,
    yes: bool = False,
) -> None:
    """Show a plan, ask before rows are lost, carry it out unless it is a dry run, and write the result."""
    if not context.as_json and not plan.steps:
        say(f"nothing to do: the schema is at {plan.current or 'no revision'}")
    elif not context.as_json:
        say(f"from {plan.current or 'nothing'} {way} {plan.target or 'nothing'}:")
        for line in plan.steps:
            say(f"  {line}")
        if plan.adds:
            say("adds " + ", ".join(plan.adds))
        for loss in plan.losses:
            say(f"loses {loss}")
    if plan.steps and not dry_run:
        if plan.losses:
            otherwise = "nothing was done, rows would be lost (--dry-run lists them)"
            confirm("Do it?", yes=yes, otherwise=otherwise)
        with _migrating(context, plan) as report:
            move(report)
    document = {
        "database": url,
        "from": plan.current,
        "to": plan.target,
        "steps": plan.steps,
        "adds": plan.adds,
        "losses": plan.losses,
        "done": bool(plan.steps) and not dry_run,
    }
    end = "nothing was done (--dry-run)" if dry_run else f"at {plan.target or 'no revision'}"
    context.answer(document, *([end] if plan.steps else []))
