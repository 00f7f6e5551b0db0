"""`db roles`: the roles of a book on PostgreSQL, and their privileges."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from attrs import evolve

from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.engine.poolers import limits_of, shown
from tradebook.config.secrets import secret_from_file
from tradebook.entrypoints.cli.messages import confirm, counted
from tradebook.entrypoints.cli.options import (
    CommandContext,
    DryRun,
    Yes,
    name_value_pairs,
    named_values,
    option,
)
from tradebook.entrypoints.cli.output import as_fields
from tradebook.operations.security.catalogue import read_role_state
from tradebook.operations.security.role_state import RoleSpec, RoleState, with_existing_logins
from tradebook.operations.security.roles import plan
from tradebook.operations.security.row_security import live_bindings, unbound_roles
from tradebook.operations.security.sql_steps import Skipped, execute_steps
from tradebook.operations.security.user_objects import Remains, remains

_PAIR: Final = "NAME=VALUE"


def roles(
    context: CommandContext,
    prefix: Annotated[str, option("NAME", "The beginning of the five roles' names.")] = "tradebook",
    passwords: Annotated[
        Path | None,
        option(
            "FOLDER",
            "Files named after roles, with their passwords; run again to rotate.",
            envvar="TRADEBOOK_ROLE_PASSWORDS",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    login: Annotated[
        list[str] | None,
        option("ROLE=KIND", "Another login: owner, writer, reader, auditor or backup."),
    ] = None,
    rls: Annotated[
        bool | None,
        typer.Option(
            "--rls/--no-rls",
            help="Limit roles to the accounts bound to them; unchanged by default.",
        ),
    ] = None,
    bind: Annotated[
        list[str] | None,
        option("ROLE=ACCOUNT", "With --rls: a further account that a role sees; * for all."),
    ] = None,
    unbind: Annotated[
        list[str] | None,
        option("ROLE=ACCOUNT", "Take back what --bind added; * for the binding to all."),
    ] = None,
    limits: Annotated[
        bool,
        typer.Option(
            "--limits",
            help="Give roles the timeouts of TRADEBOOK_DB_*_TIMEOUT: behind a connection pooler, none then "
            "travels with each transaction.",
        ),
    ] = False,
    log_access: Annotated[
        bool,
        typer.Option(
            "--log-access", help="Log connections and statements (`tradebook audit access`)."
        ),
    ] = False,
    log_writes: Annotated[
        Literal["none", "ddl", "mod", "all"],
        typer.Option(help="With --log-access: which statements of writers."),
    ] = "all",
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Create the roles that a book needs on PostgreSQL, with no more privileges than that.

    PREFIX_owner owns the tables and migrates, PREFIX_writer books, PREFIX_reader
    reads, PREFIX_auditor reads and seals, PREFIX_backup copies the whole server
    for `tradebook backup`, a right that only a superuser can grant. The writer
    cannot alter the schema, delete events or trades, or change a booked trade:
    PostgreSQL refuses it. The former owner of the tables loses them.

    Connect as a superuser, or as a role that owns the database and may create
    roles. Run it again after every upgrade; repeating it changes nothing, and
    takes back what was granted or changed besides. Exits with 1 if something
    remains that only whoever made it can drop, such as a view.
    Passwords come from files, and reach the server as SCRAM verifiers only.
    --dry-run prints the SQL.

      tradebook db roles --dry-run
      tradebook db roles --passwords /run/secrets
      tradebook db roles --login bot_a=writer --rls --bind bot_a=A --yes
      tradebook db roles --unbind bot_a=A --bind bot_a=B
      tradebook db roles --log-access
      tradebook db roles --limits --yes
    """
    config = context.config().for_sessions()
    wanted = RoleSpec(
        prefix=prefix,
        logins=named_values(login, "--login", _PAIR, split=str.partition),
        rls=rls,
        bindings=name_value_pairs(bind, "--bind", _PAIR, split=str.partition),
        unbindings=name_value_pairs(unbind, "--unbind", _PAIR, split=str.partition),
        limits={n: shown(limit) for n, limit in limits_of(config).items()} if limits else {},
        log_access=log_access,
        log_writes=log_writes,
    )
    with engine_for(config) as engine:
        found = read_role_state(engine)
        wanted = _with_passwords(with_existing_logins(wanted, found), passwords)
        steps = plan(wanted, found)
        if dry_run:
            context.answer(
                {
                    "steps": [{"sql": step.shown, "why": step.why} for step in steps],
                    "remains": [as_fields(thing) for thing in remains(wanted, found)],
                },
                *(f"{step.shown};  -- {step.why}" for step in steps),
                *(f"-- remains: {each.what}: {each.fix}" for each in remains(wanted, found)),
            )
            return
        question = _question(config.safe_url, wanted, found)
        confirm(question, yes=yes, otherwise="nothing was changed")
        skipped = execute_steps(engine, steps)
        secured = found.has_row_security if rls is None else rls
        without_account = unbound_roles(wanted, engine) if secured else []
        now = read_role_state(engine)
        left = remains(wanted, now)
        bound = {
            role: ["*" if account is None else account for account in accounts]
            for role, accounts in sorted(live_bindings(now).items())
        }
    context.answer(
        {
            "database": config.safe_url,
            "roles": wanted.kinds,
            "row_security": secured,
            "steps": len(steps),
            "skipped": [{"sql": s.step.shown, "reason": s.reason} for s in skipped],
            "bindings": bound,
            "unbound": without_account,
            "remains": [as_fields(thing) for thing in left],
        },
        f"{', '.join(wanted.kinds)}: {counted(len(steps) - len(skipped), 'statement')} done",
        *_what_remains(wanted, found, skipped, without_account, left),
        ok=not left,
    )


def _with_passwords(wanted: RoleSpec, folder: Path | None) -> RoleSpec:
    """Add the passwords from the files of a folder that are named after a role."""
    if folder is None:
        return wanted
    # A role's name may hold any character: one with a slash could lead out of the folder.
    roles = [role for role in sorted(wanted.kinds) if "/" not in role and (folder / role).is_file()]
    return evolve(wanted, passwords={role: secret_from_file(str(folder / role)) for role in roles})


def _question(url: str, wanted: RoleSpec, found: RoleState) -> str:
    owner = wanted.roles["owner"]
    lines = [f"{url}: only {', '.join(wanted.kinds)} and superusers will connect;"]
    taken = sorted({current for current in found.tables.values() if current != owner})
    if taken:
        lines.append(f"the book's tables become {owner}'s: they are {', '.join(taken)}'s now;")
    if wanted.log_access:
        lines.append("the server, for all its databases, logs every connection;")
    return "\n".join([*lines, "--dry-run prints the SQL.", "Go on?"])


def _what_remains(
    wanted: RoleSpec,
    found: RoleState,
    skipped: list[Skipped],
    without_account: list[str],
    left: list[Remains],
) -> Iterator[str]:
    """Write what the user has to do, and the statements that were left out."""
    if not found.tables:
        owner = wanted.roles["owner"]
        yield f"there are no tables yet: run `tradebook init` as {owner}, then this command again"
    for each in skipped:
        yield f"left out: {each.step.shown}: {each.reason}"
    for thing in left:
        yield f"remains: {thing.what}: {thing.fix}"
    for role in without_account:
        yield f"{role} sees no account: --bind {role}=ACCOUNT, or {role}=* for all"
    if wanted.log_access and found.settings.get("logging_collector") == "off":
        yield "restart the server: only then does it write the log that `tradebook audit access` reads"
