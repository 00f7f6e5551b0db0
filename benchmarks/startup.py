"""CPU time of the first steps: the imports and `tradebook --help`, each in a new process.

The package is compiled to bytecode first, as pip does on installation. pydantic is hidden: one of the peers
brings it here, and dependency-injector imports it where it is installed.
"""

from __future__ import annotations

import compileall
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import tradebook
from benchmarks.comparing import figures
from benchmarks.results import Goal, Result, Settings

BOUND = 250
"""Milliseconds of CPU, the interpreter's start included."""

STEPS = {
    "import tradebook": "import tradebook",
    "tradebook --help": (
        "import sys; sys.argv = ['tradebook', '--help']; "
        "from tradebook.entrypoints.cli import main; main()"
    ),
    "from tradebook import DatabaseManager": "from tradebook import DatabaseManager",
    "import sqlalchemy.orm, attrs": "import sqlalchemy.orm, attrs",
}

TIMED = """
import os, resource, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "pydantic":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
sys.stdout = open(os.devnull, "w")
try:
    exec({statements!r})
except SystemExit:
    pass
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, file=sys.stderr)
"""


def results(settings: Settings) -> Iterator[Result]:
    """Measure each step in turn, in new processes."""
    compileall.compile_dir(Path(tradebook.__file__).parent, quiet=1)
    measured: dict[str, list[float]] = {name: [] for name in STEPS}
    for round_ in range(-1, settings.size(2, 15, 15)):  # the first is a warm-up
        for name, statements in STEPS.items():
            taken = milliseconds(statements)
            if round_ >= 0:
                measured[name].append(taken)
    goal = Goal(BOUND, at_most=True)
    goals = {"import tradebook": goal, "tradebook --help": goal}
    yield figures("CPU time of a new process", "ms", measured, goals)


def milliseconds(statements: str) -> float:
    """Return the CPU time of a new Python process that runs the statements."""
    command = [sys.executable, "-c", TIMED.format(statements=statements)]
    printed = subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True).stderr
    return float(printed.splitlines()[-1]) * 1000
