"""The backends of `make test`, and those of `make test FULL=1`."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.support.backends import BACKENDS
from tests.support.checkout import ROOT

FIVE = {"fake", "sqlite-file", "sqlite-async", "postgresql", "postgresql-async"}
ALL_EIGHT = FIVE | {"fake-async", "sqlite-memory", "sqlite-memory-async"}
CONTRACT = ["tests/contract/test_seals.py", "-k"]
ONE_TEST = "test_several_seals"


def backends_run(*options: str) -> set[str]:
    """Return the backends named in the ids of the tests of one contract test that pytest selects."""
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", *CONTRACT, ONE_TEST, "--collect-only", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        name for line in listed.stdout.splitlines() for name in re.findall(r"\[([\w-]+)\]", line)
    }


def test_the_contract_suite_runs_on_five_backends_and_in_full_runs_on_all_eight() -> None:
    assert backends_run() == FIVE
    assert backends_run("--full") == ALL_EIGHT == BACKENDS.keys()


@pytest.mark.full
def test_the_workers_of_xdist_follow_the_option() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *CONTRACT, f"{ONE_TEST} and fake", "-n", "1", "--full"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "2 passed" in run.stdout


def test_make_passes_full_on_and_its_help_names_every_backend() -> None:
    def made(*words: str) -> str:
        ready = ["--assume-old", ".venv/.ready", "--assume-old", "setup.cfg"]
        command = ["make", "--dry-run", *ready, *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "--full" not in made("test")
    assert "--full" in made("test", "FULL=1")
    assert "--full -m full" in made("full")
    helped = re.search(r"^test: .*## (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert helped
    assert set(re.findall(r"\b[a-z]+(?:-[a-z]+)*\b", helped[1])) >= ALL_EIGHT
