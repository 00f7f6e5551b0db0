"""The options that every command accepts: before the command, after it, and between group and subcommand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from tradebook.entrypoints.cli.app import COMMANDS, app, load
from tradebook.entrypoints.cli.common import CommonOptions

GIVEN = ("--database", "sqlite:///given.db", "--account", "given", "--json", "--wide", "--quiet")
OTHER = ("--database", "sqlite:///other.db", "--account", "other")
OPTIONS = ("--database", "--account", "--json", "--wide", "--quiet")


def every_path() -> Iterator[tuple[str, ...]]:
    """Yield the words that name every command and every subcommand."""
    for name in COMMANDS:
        yield (name,)
        for subcommand in getattr(load(name), "commands", {}):
            yield (name, subcommand)


PATHS = list(every_path())


def context_of(*arguments: str) -> Any:
    """Parse a command line down to its last command, and run nothing; missing arguments do no harm."""
    command: Any = get_command(app)
    rest, parent = list(arguments), None
    name = "tradebook"
    while True:
        parent = command.make_context(name, rest, parent=parent, resilient_parsing=True)
        rest = [*parent._protected_args, *parent.args]
        if not rest or not hasattr(command, "commands"):
            return parent
        name, command, rest = command.resolve_command(parent, rest)


def values(context: CommonOptions) -> tuple[str | None, str, bool, bool]:
    return context.database, context.account, context.as_json, context.quiet


def test_every_subcommand_is_walked() -> None:
    assert {("trades", "bust"), ("db", "roles"), ("sandbox", "psql"), ("cash",)} <= set(PATHS)
    assert len(PATHS) > 35


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_command_takes_the_common_options_in_every_place(path: tuple[str, ...]) -> None:
    expected = ("sqlite:///given.db", "given", True, True)
    for place in range(len(path) + 1):
        context = context_of(*path[:place], *GIVEN, *path[place:])
        assert context.command_path == f"tradebook {' '.join(path)}"
        own = context.params.get("database")  # only the demo has one of its own
        assert values(context) == expected or (own, *values(context)[1:]) == expected
    assert values(context_of(*path)) == (None, "main", False, False)


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_the_last_one_given_wins(path: tuple[str, ...]) -> None:
    for place in range(len(path)):
        context = context_of(*path[:place], *OTHER, *path[place:], *GIVEN)
        assert context.account == "given"
        assert (context.params.get("database") or context.database) == "sqlite:///given.db"


@pytest.mark.parametrize("path", [(), *PATHS], ids=" ".join)
def test_the_help_of_every_command_shows_them(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*path, "--help"], env={"TERM": "dumb"}).stdout
    assert [option for option in OPTIONS if option not in shown] == []


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_an_option_without_effect_is_explained_in_help_and_in_a_note(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    context = context_of(*path, "--account", "given")
    [option] = [param for param in context.command.params if param.name == "account"]
    CommonOptions.invoke(context, lambda: None)
    noted = capsys.readouterr().err
    if "No effect here" in option.help:
        reason = option.help.removeprefix("No effect here: ").removesuffix(".")
        assert noted == f"--account has no effect on `{context.command_path}`: {reason}\n"
        CommonOptions.invoke(context_of("--quiet", *path, "--account", "given"), lambda: None)
    assert capsys.readouterr().err == ""


def test_commands_on_an_account_have_no_option_without_effect() -> None:
    of_an_account = ("import", "trades", "positions", "portfolio", "cash", "alerts", "export")
    for name in (*of_an_account, "verify", "rebuild", "audit", "doctor"):
        assert not [param for param in load(name).params if "No effect" in (param.help or "")]
