"""Lines of text on stdout and stderr; imports nothing heavy, since `tradebook --help` loads it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import typer

from tradebook.domain.errors import escaped

MAX_LISTED: Final = 100


def say(message: str) -> None:
    """Write a line of a command's result to stdout."""
    typer.echo(printable(message))


def complain(message: str) -> None:
    """Write an error to stderr, in red."""
    typer.secho(f"tradebook: {printable(message)}", fg="red", err=True)


def fail(message: str) -> typer.Exit:
    """Write an error to stderr and return the exception that ends the command with exit code 1."""
    complain(message)
    return typer.Exit(1)


def confirm(question: str, *, yes: bool, otherwise: str = "nothing was done") -> None:
    """Ask a question unless `--yes` was given, and end the command where the answer is not yes."""
    if yes:
        return
    # On stderr, where typer.confirm writes a part of it only: stdout is kept for the result.
    typer.echo(f"{printable(question)} [y/N]: ", nl=False, err=True)
    answer = sys.stdin.readline()
    if not answer:  # end of input, as under cron: the terminal shows no line end of an answer
        typer.echo(err=True)
    if answer.strip().lower() not in ("y", "yes"):
        raise fail(f"{otherwise}: say --yes to do it")


def printable(text: str) -> str:
    """Escape control characters, so that recorded text cannot send commands to the terminal."""
    return "\n".join(map(escaped, text.split("\n")))


def first_of(items: Sequence[object]) -> list[str]:
    """Format the first items of a list as indented lines, and how many more there are."""
    return [*(f"  {item}" for item in items[:MAX_LISTED]), *rest_of(items)]


def rest_of(items: Sequence[object]) -> list[str]:
    """Format how many items there are beyond the first `MAX_LISTED`, if there are any."""
    rest = len(items) - MAX_LISTED
    return [f"and {rest:,} more; --json lists all"] if rest > 0 else []


def counted(count: int, noun: str) -> str:
    """Format a count with its noun: `1 trade`, `12,477 trades`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
