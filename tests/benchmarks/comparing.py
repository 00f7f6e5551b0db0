"""Ways of doing the same thing, measured in turns: what else the machine does hits all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

Way = Callable[[int], None]
"""Does the thing so many times."""


def compare(console: Console, title: str, ways: dict[str, Way], rounds: int, calls: int) -> None:
    """Interleaved rounds of each way; medians, and the ratio of throughput to the first."""
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(-1, rounds):  # the first is a warm-up
        for name, way in ways.items():
            begun, used = time.perf_counter(), time.process_time()
            way(calls)
            if round_ >= 0:
                wall[name].append((time.perf_counter() - begun) * 1000 / calls)
                cpu[name].append((time.process_time() - used) * 1000 / calls)
    console.print(_table(title, wall, cpu))


def _table(title: str, wall: dict[str, list[float]], cpu: dict[str, list[float]]) -> Table:
    table = Table(title=title)
    for column in ("way", "ms a call", "slowest/fastest round", "of it in Python", "ratio"):
        table.add_column(column, justify="left" if column == "way" else "right", no_wrap=True)
    base = next(iter(wall.values()))
    for name, times in wall.items():
        # Of neighbours in time, not of two medians: the machine's speed changes while it runs.
        ratio = statistics.median(first / own for first, own in zip(base, times, strict=True))
        table.add_row(
            name,
            f"{statistics.median(times):.2f}",
            f"{max(times):.2f}/{min(times):.2f}",
            f"{statistics.median(cpu[name]):.2f}",
            f"{ratio:.2f}",
        )
    return table
