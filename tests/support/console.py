"""Runs what a document shows: commands behind `$`, and below each what one sees.

In what one sees `...` stands for anything; `(exit code 1)` at its end is what the command ends with, else 0.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

_BLOCK: Final = re.compile(r"^```console\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
_SHELL: Final = 'set -o pipefail\n{command}\nstatus=$?\nenv -0 > "$CONSOLE_ENV"\nexit $status\n'


class Step(NamedTuple):
    """A command, and what is seen when it is run.

    Attributes:
        command: for a shell.
        shown: a pattern of what it writes, stdout and stderr together.
        status: its exit code.
    """

    command: str
    shown: str
    status: int


def steps(document: str) -> list[Step]:
    """The commands of a document, in the order in which they stand."""
    found = []
    for block in _BLOCK.findall(document):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            end = next(i for i, line in enumerate(lines) if not line.endswith("\\"))
            shown, status = "\n".join(lines[end + 1 :]).strip(), 0
            if ends := re.search(r"\(exit code (\d+)\)$", shown):
                shown, status = shown[: ends.start()].strip(), int(ends[1])
            found.append(Step("\n".join(lines[: end + 1]), shown, status))
    return found


def pattern(shown: str) -> re.Pattern[str]:
    """What `shown` stands for: runs of blanks are alike, dots are anything."""
    pieces = ["".join(_words(piece)) for piece in re.split(r"\s*\.\.\.\s*", shown)]
    return re.compile(r"[\s\S]*?".join(pieces))


def _words(piece: str) -> list[str]:
    return [r"\s+" if part.isspace() else re.escape(part) for part in re.split(r"(\s+)", piece)]


class Console:
    """A shell in a folder, whose variables last from one command to the next.

    Args:
        folder: where it starts.
        programs: a folder of programs that come before those of the PATH.

    Attributes:
        variables: those of this process, but none of tradebook's own.
    """

    def __init__(self, folder: Path, *programs: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if "TRADEBOOK" not in name}
        path = os.pathsep.join(
            [*map(str, programs), str(Path(sys.executable).parent), kept["PATH"]]
        )
        self.variables = {
            **kept,
            "PATH": path,
            "COLUMNS": "160",
            "CONSOLE_ENV": str(folder / ".environment"),
        }

    def run(self, command: str) -> tuple[str, int]:
        """What a command writes, and its exit code."""
        done = subprocess.run(
            ["bash", "-c", _SHELL.format(command=command)],
            cwd=self.folder,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        saved = Path(self.variables["CONSOLE_ENV"]).read_text().rstrip("\0").split("\0")
        self.variables = dict(line.split("=", 1) for line in saved)
        return done.stdout, done.returncode

    def check(self, step: Step) -> None:
        """Run a step: what it shows must be seen, and it must end as it says."""
        seen, status = self.run(step.command)
        what = f"$ {step.command}\n{step.shown}\n--- was seen as ---\n{seen}(exit code {status})"
        assert pattern(step.shown).search(seen) is not None, what
        assert status == step.status, what
