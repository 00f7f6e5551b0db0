"""The options that commands share, and the book that they name."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias

import typer
from attrs import evolve

from tradebook.config import DatabaseConfig, DatabaseEnvironment
from tradebook.domain.validation import utc
from tradebook.entrypoints.cli.output import complain
from tradebook.entrypoints.manager import DatabaseManager

ACTOR: Final = "tradebook command"
"""Who writes, in the events of what the command line changed."""

_SHOWN: Final = (
    "warning: a password in --database shows in the list of processes and in the shell's history; name "
    "a file by TRADEBOOK_DB_PASSWORD_FILE, or the URL by TRADEBOOK_DATABASE_URL(_FILE)"
)

Database: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="Which database: sqlite:///book.db or postgresql://user@host/book, its password by "
        "TRADEBOOK_DB_PASSWORD_FILE. "
        "By default what the environment's variables say (see `tradebook config`), else the file "
        "tradebook.db in the working directory.",
        show_default=False,
    ),
]
AccountName: TypeAlias = Annotated[
    str, typer.Option("--account", metavar="NAME", help="Whose book it is.")
]
AsJson: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--json", help="One JSON document on stdout: decimals as text, times ISO 8601 in UTC."
    ),
]


def time_given(given: str) -> datetime:
    """The time that an option gives.

    Raises:
        typer.BadParameter: it gives none.
    """

    try:
        if not given.isdigit():  # digits alone, such as seconds since 1970, could pass for a date
            return utc(datetime.fromisoformat(given))
    except ValueError:
        pass
    raise typer.BadParameter(
        f"{given!r}: write an ISO 8601 time such as 2024-05-17T14:30, in UTC unless it says otherwise"
    )


Time: TypeAlias = Annotated[
    datetime | None,
    typer.Option(
        "--as-of",
        metavar="TIME",
        parser=time_given,
        help="As of a time in the past, such as 2024-05-17T16:00 (in UTC unless it says otherwise; a "
        "date alone is its beginning).",
        show_default=False,
    ),
]
By: TypeAlias = Annotated[
    Literal["booked", "executed"] | None,
    typer.Option(
        "--by",
        case_sensitive=False,
        help="With --as-of: what the book said then (booked, the default), or what was true then, by "
        "trade times (executed).",
        show_default=False,
    ),
]


def then(time: datetime, by: str | None) -> str:
    """`as of 2024-05-17 16:00:00 UTC, as the book said then`."""
    what = "by trade times" if by == "executed" else "as the book said then"
    return f"as of {time:%Y-%m-%d %H:%M:%S} UTC, {what}"


def check_by(by: str | None, time: datetime | None) -> None:
    """`--by` alone would be overlooked.

    Raises:
        typer.BadParameter: there is no `--as-of`.
    """
    if by is not None and time is None:
        raise typer.BadParameter("goes with --as-of", param_hint="--by")


def refuse_misplaced_options(context: typer.Context) -> None:
    """`alerts --database X resolve 5` must not resolve alert 5 of another database.

    Raises:
        typer.BadParameter: an option stands before the subcommand.
    """
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            subcommand = context.invoked_subcommand
            raise typer.BadParameter(
                f"write options after `{subcommand}`: {context.command_path} {subcommand} ..."
            )


def login_name() -> str:
    """Who runs the command; `""` where that is not known."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may know no names
        return ""


def configured(database: str | None) -> DatabaseConfig:
    """The configuration that `--database` names, or else the environment."""

    warn_of_password(database)
    return DatabaseEnvironment(url=database).current


def warn_of_password(database: str | None) -> None:
    """Say on stderr that others can read what stands on the command line, if a password stands there."""

    if database is not None and "***" in DatabaseConfig.from_url(database).safe_url:
        complain(_SHOWN)


@contextmanager
def opened(
    database: str | None, account: str, actor: str | None = None, *, reads_elsewhere: bool = True
) -> Iterator[DatabaseManager]:
    """The book that `--database` and `--account` name; `actor` writes, or else the command.

    Where `reads_elsewhere` is false, queries do not go to the configuration's `read_url`: a standby is behind
    what was just written.
    """

    config = configured(database)
    if not reads_elsewhere:
        config = evolve(config, read_url=None)
    with DatabaseManager(config, account=account, actor=actor or ACTOR) as manager:
        yield manager
