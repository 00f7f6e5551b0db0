"""The options that every command accepts, before the command as well as after it.

`tradebook --account paper trades` and `tradebook trades --account paper` mean the same. Where an option is
given more than once, the last one wins. Imports nothing heavy, since `tradebook --help` loads this module.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from copy import copy
from typing import Annotated, Any, Final, TypeVar

import typer
from typer.main import get_command

from tradebook.entrypoints.cli.messages import printable

F = TypeVar("F", bound=Callable[..., None])

_REASONS: Final = "reasons_without_effect"


class CommonOptions(typer.Context):
    """The context of a command, with the values of the common options."""

    # click hands `meta` on from a group's context to its subcommand's, which is parsed later.

    @property
    def database(self) -> str | None:
        """The URL given by `--database`; None where the environment names the database."""
        return self.meta.get("database")

    @property
    def account(self) -> str:
        """The account given by `--account`, else by TRADEBOOK_ACCOUNT, else `main`."""
        return self.named_account or "main"

    @property
    def named_account(self) -> str | None:
        """The account given by `--account` or by TRADEBOOK_ACCOUNT; None where neither names one."""
        return self.meta.get("account") or os.environ.get("TRADEBOOK_ACCOUNT") or None

    @property
    def as_json(self) -> bool:
        """True if `--json` was given."""
        return "as_json" in self.meta

    @property
    def quiet(self) -> bool:
        """True if `--quiet` was given."""
        return "quiet" in self.meta

    @property
    def wide(self) -> bool:
        """True if `--wide` was given."""
        return "wide" in self.meta

    def note(self, message: str) -> None:
        """Write to stderr what is neither a result nor an error, unless `--quiet` was given."""
        if not self.quiet:
            typer.echo(printable(message), err=True)

    def invoke(self, callback: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run the command's function; a group's own function runs only without a subcommand."""
        if self.invoked_subcommand is not None:
            return self._hand_on_options(self.invoked_subcommand)
        reasons = getattr(self.command, _REASONS)
        for name in self.meta.keys() & reasons.keys():
            option = "--json" if name == "as_json" else f"--{name}"
            self.note(f"{option} has no effect on `{self.command_path}`: {reasons[name]}")
        return super().invoke(callback, *args, **kwargs)

    def _hand_on_options(self, subcommand: str) -> None:
        """Make a group's own options the defaults of its subcommand; refuse those that the subcommand lacks."""
        # A value that the user wrote, not a default: that one must not override the subcommand's own default.
        given = {
            param.name: param.opts[0]
            for param in self.command.params
            if getattr(self.get_parameter_source(param.name), "name", "") == "COMMANDLINE"
            and param.name in self.params
        }
        if given:
            known = {param.name for param in vars(self.command)["commands"][subcommand].params}
            for option in (option for name, option in given.items() if name not in known):
                path = f"{self.command_path} {subcommand}"
                raise typer.BadParameter(f"`{path}` has no such option", param_hint=option)
            self.default_map = {subcommand: {name: self.params[name] for name in given}}


def without(**reasons: str) -> Callable[[F], F]:
    """Declare that common options have no effect on a command or a group, each with the reason.

    They are accepted all the same, so that a script may give every command the same options. The help states
    the reason, and so does a note on stderr when such an option is given.
    """

    def declare(function: F) -> F:
        setattr(function, _REASONS, reasons)
        return function

    return declare


def accept_common_options(
    command: Any, context_class: type[CommonOptions], reasons: Mapping[str, str] | None = None
) -> None:
    """Add the common options to a command, and with a group's reasons to its subcommands."""
    reasons = {**(reasons or {}), **getattr(command.callback, _REASONS, {})}
    setattr(command, _REASONS, reasons)
    command.context_class = context_class
    own = {param.name for param in command.params}
    for option in _OPTIONS:
        if option.name not in own:
            added = copy(option)  # the help differs from command to command
            if option.name in reasons:
                added.help = f"No effect here: {reasons[option.name]}."
            command.params.append(added)
    for subcommand in getattr(command, "commands", {}).values():
        accept_common_options(subcommand, context_class, reasons)


def _remember(context: typer.Context, param: Any, value: object) -> None:
    if value not in (None, False):
        context.meta[param.name] = value


def _declare(
    database: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The database: book.db, sqlite:///book.db or postgresql://user@host/book, with the password in a "
            "file named by TRADEBOOK_DB_PASSWORD_FILE. Default: what the environment's variables name (see "
            "`tradebook config`), else the file tradebook.db in the working directory.",
        ),
    ] = None,
    account: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The account to work on. Default: TRADEBOOK_ACCOUNT, else main. `all` shows the positions or the "
            "portfolio of all accounts together.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Write one JSON document: decimals as text, times as ISO 8601 in UTC."
        ),
    ] = False,
    wide: Annotated[
        bool,
        typer.Option("--wide", help="Tables with every column and every digit, however wide."),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", help="No progress bars and no notes; only results and errors."),
    ] = False,
) -> None:
    """Declare the common options, from which typer makes its own objects."""


_app = typer.Typer(add_completion=False)
_app.command()(_declare)
_OPTIONS: Final[list[Any]] = list(get_command(_app).params)
for _option in _OPTIONS:
    _option.callback = _remember
    _option.expose_value = False  # kept in the context, not given to the command's function
    _option.rich_help_panel = "Common options, before the command or after it"
