"""What commands write: JSON and messages; tables are in `tables.py`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from tradebook.service_layer.instrumentation import ProgressCallback


DERIVED: Final = {"Position": ("entry_price", "market_value", "unrealized_pnl", "net_pnl")}
"""What JSON says of a record besides its fields."""


def stdout() -> Console:
    """The console for results."""
    from rich.console import Console

    return Console(highlight=False)


def stderr() -> Console:
    """The console for messages and progress."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def complain(message: str) -> None:
    """Say on stderr, in red, why something was refused."""
    typer.secho(f"tradebook: {printable(message)}", fg="red", err=True)


def say(message: str) -> None:
    """Say something on stdout."""
    typer.echo(printable(message))


def note(message: str) -> None:
    """Say something on stderr, which is not the command's answer."""
    typer.echo(printable(message), err=True)


def ask_first(question: str, *, yes: bool, otherwise: str = "nothing was done") -> None:
    """Go on only where somebody said so, by `--yes` or at a terminal.

    Args:
        question: asked on stderr, which click's own would not do alone: stdout is for the document.
        yes: whether `--yes` was given.
        otherwise: what became of it where nobody agreed.

    Raises:
        typer.Exit: nobody agreed; how to is said.
    """
    if yes:
        return
    typer.echo(f"{printable(question)} [y/N]: ", nl=False, err=True)
    answer = sys.stdin.readline()
    if not answer:  # nobody is there to answer, nor ended the line
        note("")
    if answer.strip().lower() not in ("y", "yes"):
        complain(f"{otherwise}: say --yes to do it")
        raise typer.Exit(1)


def printable(text: str) -> str:
    """`text` without what a terminal would obey: control characters become their escapes."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def counted(count: int, noun: str) -> str:
    """`1 trade`, `12,477 trades`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def print_json(document: Mapping[str, object]) -> None:
    """Write the one JSON document that a command with `--json` answers with."""
    typer.echo(json.dumps(document, indent=2, default=_jsonable))


def _jsonable(value: object) -> Any:
    if isinstance(value, Decimal):
        from tradebook.domain.numbers import plain

        return plain(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return as_fields(value)


def as_fields(record: object) -> dict[str, Any]:
    """A record's fields, and what is derived from them, by name."""
    from attrs import fields

    kind: Any = type(record)
    names = [f.name for f in fields(kind)]
    return {name: getattr(record, name) for name in (*names, *DERIVED.get(kind.__name__, ()))}


@contextmanager
def watched(*, quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """As `progress_bar`, for work that has several parts, each with a name and a bar of its own."""
    console = stderr()
    if quiet or not console.is_terminal:
        yield lambda _what, _done, _total: None
        return
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    bars: dict[str, TaskID] = {}
    with Bars(console=console, transient=True) as progress:

        def report(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=None)
            progress.update(bars[what], completed=done, total=total)

        yield report


@contextmanager
def progress_bar(label: str, *, quiet: bool = False) -> Iterator[ProgressCallback]:
    """A progress bar on stderr while a command works; none where nobody would see it."""
    console = stderr()
    if quiet or not console.is_terminal:
        yield lambda _done, _total: None
        return
    from rich.progress import Progress as Bars

    with Bars(console=console, transient=True) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
