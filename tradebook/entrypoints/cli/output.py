"""JSON documents, consoles and progress bars."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import mkstemp
from typing import Any, BinaryIO, Final

import typer
from attrs import fields
from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task, TaskID
from rich.text import Text
from typing_extensions import override

from tradebook.domain.numbers import plain
from tradebook.domain.orders import Order
from tradebook.domain.positions import Position
from tradebook.service_layer.instrumentation import ProgressCallback

DERIVED: Final[dict[type, tuple[str, ...]]] = {
    Order: ("overfilled",),
    Position: ("entry_price", "market_value", "unrealized_pnl", "net_pnl"),
}
"""Properties that JSON documents and tables have besides a record's fields."""


def stdout() -> Console:
    """Return a console for results."""
    return Console(highlight=False)


def print_json(document: Mapping[str, object]) -> None:
    """Write one JSON document to stdout: decimals as text, times as ISO 8601 in UTC."""
    typer.echo(json.dumps(document, indent=2, default=jsonable))


def jsonable(value: object) -> Any:
    """Convert a value that JSON lacks: decimals to exact text, durations to seconds as text, times to ISO 8601 in UTC, records to objects."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, timedelta):
        return plain(Decimal(value // timedelta(microseconds=1)).scaleb(-6))
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return as_fields(value)


def field_names(record_type: Any) -> tuple[str, ...]:
    """Return the names of a record's fields, then of the values derived from them."""
    return (*(field.name for field in fields(record_type)), *DERIVED.get(record_type, ()))


def as_fields(record: object) -> dict[str, Any]:
    """Return a record's fields and derived values by name."""
    return {name: getattr(record, name) for name in field_names(type(record))}


@contextmanager
def replacement(path: Path) -> Iterator[BinaryIO]:
    """Write a file that only its owner can read, and replace the one at `path` by it once it is whole.

    Its own name cannot be foreseen, and no link that stands there is followed: the folder may be shared.
    """
    descriptor, new = mkstemp(prefix=f"{path.name}.", suffix=".part", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            yield file
        os.replace(new, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(new)


class _Rate(ProgressColumn):
    """How much is done in a second, such as rows."""

    @override
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")


@contextmanager
def progress_bars(*, hidden: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar on stderr for each part of the work; none if stderr is no terminal.

    Yields:
        A callback that takes the part's name, how much of it is done, and its total.
    """
    console = Console(stderr=True, highlight=False)
    if hidden or not console.is_terminal:
        yield lambda _part, _done, _total: None
        return
    bars: dict[str, TaskID] = {}
    columns = (*Progress.get_default_columns(), _Rate())  # the default ones have the remaining time
    with Progress(*columns, console=console, transient=True) as progress:

        def report(part: str, done: int, total: int) -> None:
            if part not in bars:
                bars[part] = progress.add_task(part, total=None)  # pulses until the total is known
            progress.update(bars[part], completed=done, total=total)

        yield report


@contextmanager
def progress_bar(label: str, *, hidden: bool = False) -> Iterator[ProgressCallback]:
    """Show one progress bar on stderr; none if stderr is no terminal."""
    with progress_bars(hidden=hidden) as report:
        yield lambda done, total: report(label, done, total)
