"""`make soak MINUTES=n`: every scenario in turn, for as long as asked; prints what was tried and what was lost.

python -m reliability --minutes 10
python -m reliability --minutes 1 --only kill-client
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib import import_module

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from reliability.scenario import Figures, Scenario

MODULES = ("laws", "concurrency", "crashes", "interruptions", "failures", "hostile", "audit")
TURN = 20.0
"""Seconds that a scenario runs before it is the next one's turn."""


def main() -> int:
    """Run the scenarios; 1 where a promise was broken."""
    scenarios = [
        scenario for name in MODULES for scenario in import_module(f"reliability.{name}").SCENARIOS
    ]
    asked = _asked([scenario.name for scenario in scenarios])
    chosen = [s for s in scenarios if asked.only in (None, s.name)]
    done = _soak(chosen, asked.minutes * 60)
    console = Console()
    if asked.markdown:
        console.print(_markdown(done), soft_wrap=True, markup=False, highlight=False)
    else:
        console.print(_table(done))
    return 0 if all(figures.kept for _, figures in done) else 1


def _asked(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m reliability", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="in all (default: 5)")
    parser.add_argument("--only", choices=names, help="one scenario")
    parser.add_argument("--markdown", action="store_true", help="as docs/reliability.md has it")
    return parser.parse_args()


def _soak(scenarios: list[Scenario], seconds: float) -> list[tuple[Scenario, Figures]]:
    done = [(scenario, Figures()) for scenario in scenarios]
    turn = min(TURN, seconds / len(scenarios))
    end = time.monotonic() + seconds
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("soak", total=seconds)
        while not all(figures.rounds for _, figures in done) or time.monotonic() < end:
            for scenario, figures in done:
                progress.update(bar, description=scenario.name)
                figures.add(scenario.run(turn))
                progress.update(bar, completed=seconds - max(0.0, end - time.monotonic()))
    return done


HEADINGS = ("promise", "test", "rounds", "operations", "kills", "lost", "duplicated")


def _cells(scenario: Scenario, figures: Figures) -> list[str]:
    counted = (
        figures.rounds,
        figures.operations,
        figures.kills,
        figures.lost,
        figures.duplicated,
    )
    return [scenario.promise, scenario.test, *(f"{number:,}" for number in counted)]


def _table(done: list[tuple[Scenario, Figures]]) -> Table:
    table = Table(*HEADINGS, title="Reliability")
    for scenario, figures in done:
        table.add_row(*_cells(scenario, figures), style="" if figures.kept else "bold red")
    return table


def _markdown(done: list[tuple[Scenario, Figures]]) -> str:
    rows = [HEADINGS, ["---"] * len(HEADINGS), *(_cells(*each) for each in done)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
