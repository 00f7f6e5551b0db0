"""Ways of doing the same thing, measured in turns: what else the machine does hits all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping

from attrs import define, field

from benchmarks.results import Goal, Result, Row

Way = Callable[[int], object]
"""Does the thing so many times."""

THROUGHPUT = "throughput"
TIME = "time"
MEMORY = "memory"


@define
class Times:
    """What every round of each way took, by the clock and in this process: milliseconds a call."""

    wall: dict[str, list[float]] = field(factory=dict)
    cpu: dict[str, list[float]] = field(factory=dict)

    def add(self, name: str, wall: float, cpu: float | None = None) -> None:
        """One more round."""
        self.wall.setdefault(name, []).append(wall)
        if cpu is not None:
            self.cpu.setdefault(name, []).append(cpu)

    def of(self, names: Iterable[str]) -> Times:
        """Some of the ways."""
        return Times(*({name: each[name] for name in names} for each in (self.wall, self.cpu)))

    def fastest_of(self, names: Iterable[str]) -> str:
        """The way with the least median."""
        return min(names, key=lambda name: statistics.median(self.wall[name]))

    def result(
        self,
        title: str,
        goals: Mapping[str, Goal],
        *,
        base: str = "",
        ratio: str = THROUGHPUT,
        unit: str = "ms a call",
    ) -> Result:
        """Medians, and the ratio of throughput, time or memory to the base: the first by default."""
        of_base = self.wall[base or next(iter(self.wall))]
        rows = []
        for name, times in self.wall.items():
            pairs = zip(of_base, times, strict=True)
            if ratio != THROUGHPUT:
                pairs = zip(times, of_base, strict=True)
            rows.append(
                Row(
                    name,
                    statistics.median(times),
                    min(times),
                    max(times),
                    statistics.median(self.cpu[name]) if name in self.cpu else None,
                    # Of neighbours in time, not of two medians: the machine's speed changes while it runs.
                    statistics.median(over / under for over, under in pairs),
                    goals.get(name),
                )
            )
        return Result(title, unit, ratio, tuple(rows))


def measure(ways: Mapping[str, Way], rounds: int, calls: int) -> Times:
    """Interleaved rounds of each way."""
    times = Times()
    for round_ in range(-1, rounds):  # the first is a warm-up
        for name, way in ways.items():
            begun, used = time.perf_counter(), time.process_time()
            way(calls)
            wall, cpu = time.perf_counter() - begun, time.process_time() - used
            if round_ >= 0:
                times.add(name, wall * 1000 / calls, cpu * 1000 / calls)
    return times


def figures(
    title: str, unit: str, measured: Mapping[str, list[float]], goals: Mapping[str, Goal]
) -> Result:
    """A result of figures that are compared with nothing but their goals."""
    rows = [
        Row(name, statistics.median(values), min(values), max(values), goal=goals.get(name))
        for name, values in measured.items()
    ]
    return Result(title, unit, "", tuple(rows))


def repeated(call: Callable[[int], object]) -> Way:
    """One call after the other, each with its number, from 1."""

    def way(calls: int) -> None:
        for number in range(calls):
            call(number + 1)

    return way
