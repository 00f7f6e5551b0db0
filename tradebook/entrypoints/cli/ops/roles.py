"""`db roles`: who may do what with the database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from attrs import evolve

from tradebook.adapters.engine.factory import engine_for
from tradebook.config import Secret
from tradebook.config.secrets import secret_from_file
from tradebook.entrypoints.cli.options import AsJson, Database, configured
from tradebook.entrypoints.cli.output import ask_first, counted, note, print_json, say
from tradebook.operations.security.role_state import Found
from tradebook.operations.security.roles import Wanted, completed, find, plan, unbound
from tradebook.operations.security.sql_steps import Skipped, Step, carry_out

_EVERYTHING: Final = "*"


def roles(
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="NAME", help="What the five roles' names begin with.")
    ] = "tradebook",
    passwords: Annotated[
        Path | None,
        typer.Option(
            "--passwords",
            metavar="FOLDER",
            envvar="TRADEBOOK_ROLE_PASSWORDS",
            exists=True,
            file_okay=False,
            help="Files named after roles, each holding its password. Run again to rotate.",
            show_default=False,
        ),
    ] = None,
    login: Annotated[
        list[str] | None,
        typer.Option(
            "--login",
            metavar="ROLE=KIND",
            help="A further role that logs in: owner, writer, reader, auditor or backup.",
            show_default=False,
        ),
    ] = None,
    rls: Annotated[
        bool | None,
        typer.Option(
            "--rls/--no-rls",
            help="Whether roles see only the accounts that they are bound to; as it is by default.",
            show_default=False,
        ),
    ] = None,
    bind: Annotated[
        list[str] | None,
        typer.Option(
            "--bind",
            metavar="ROLE=ACCOUNT",
            help="With row security: an account that a role sees; * is every account.",
            show_default=False,
        ),
    ] = None,
    log_access: Annotated[
        bool,
        typer.Option(
            "--log-access", help="Log connections and statements: see `tradebook audit access`."
        ),
    ] = False,
    log_writes: Annotated[
        Literal["none", "ddl", "mod", "all"],
        typer.Option("--log-writes", help="With --log-access: which statements of writers."),
    ] = "all",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the SQL; change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Make and grant the roles that a book needs on PostgreSQL, and no more.

    PREFIX_owner owns the tables and migrates, PREFIX_writer books, PREFIX_reader
    reads, PREFIX_auditor reads and seals, PREFIX_backup copies the whole server
    for `tradebook backup`, which only a superuser can let it. The writer cannot alter the schema,
    delete events or trades, or change a booked trade: PostgreSQL refuses it.
    Whoever owned the tables before owns them no longer.

    Connect as a superuser, or as one who owns the database and may create
    roles. Run it again after every upgrade; twice does no harm. Passwords come
    from files, and reach the server as SCRAM verifiers only.

      tradebook db roles --dry-run
      tradebook db roles --passwords /run/secrets
      tradebook db roles --login bot_a=writer --rls --bind bot_a=A --yes
      tradebook db roles --log-access
    """

    wanted = Wanted(
        prefix=prefix,
        logins=dict(_pair(text, "--login") for text in login or ()),
        rls=rls,
        bindings=[_pair(text, "--bind") for text in bind or ()],
        log_access=log_access,
        log_writes=log_writes,
    )
    config = configured(database)
    with engine_for(config) as engine:
        found = find(engine)
        wanted = _with_passwords(completed(wanted, found), passwords)
        steps = plan(wanted, found)
        if dry_run:
            _show_plan(steps, as_json=as_json)
            return
        if not yes:
            _ask(config.safe_url, wanted, found)
        skipped = carry_out(engine, steps)
        secured = bool(found.secured) if rls is None else rls
        blind = unbound(wanted, engine) if secured else []
    if as_json:
        print_json(
            {
                "database": config.safe_url,
                "roles": wanted.kinds,
                "row_security": secured,
                "steps": len(steps),
                "skipped": [{"sql": s.step.shown, "reason": s.reason} for s in skipped],
                "unbound": blind,
            }
        )
        return
    say(f"{', '.join(wanted.kinds)}: {counted(len(steps) - len(skipped), 'statement')} done")
    _say_more(wanted, found, skipped, blind)


def _pair(text: str, option: str) -> tuple[str, str]:
    first, equals, second = text.partition("=")
    if not (first and equals and second):
        raise typer.BadParameter(f"{text!r}: write NAME=VALUE", param_hint=option)
    return first, second


def _with_passwords(wanted: Wanted, folder: Path | None) -> Wanted:
    """Of the files of a folder those that are named after a role."""

    secrets: dict[str, Secret] = {}
    if folder is None:
        return wanted
    for role in sorted(wanted.kinds):
        if "/" not in role and (folder / role).is_file():
            secrets[role] = secret_from_file(str(folder / role))
    return evolve(wanted, passwords=secrets)


def _show_plan(steps: list[Step], *, as_json: bool) -> None:
    if as_json:
        print_json({"steps": [{"sql": step.shown, "why": step.why} for step in steps]})
        return
    for step in steps:
        say(f"{step.shown};  -- {step.why}")


def _ask(url: str, wanted: Wanted, found: Found) -> None:
    owner = wanted.roles["owner"]
    note(f"{url}: only {', '.join(wanted.kinds)} and superusers will connect;")
    taken = sorted({current for current in found.tables.values() if current != owner})
    if taken:
        note(f"the book's tables become {owner}'s: they are {', '.join(taken)}'s now;")
    if wanted.log_access:
        note("the server, for all its databases, logs every connection;")
    note("--dry-run prints the SQL.")
    ask_first("Go on?", yes=False, otherwise="nothing was changed")


def _say_more(wanted: Wanted, found: Found, skipped: list[Skipped], blind: list[str]) -> None:
    if not found.tables:
        say(
            f"there are no tables yet: `tradebook init` as {wanted.roles['owner']}, then this again"
        )
    for each in skipped:
        say(f"left out: {each.step.shown}: {each.reason}")
    for role in blind:
        say(f"{role} sees no account: --bind {role}=ACCOUNT, or {role}={_EVERYTHING} for all")
    if wanted.log_access and found.settings.get("logging_collector") == "off":
        say(
            "restart the server: only then does it write the log that `tradebook audit access` reads"
        )
