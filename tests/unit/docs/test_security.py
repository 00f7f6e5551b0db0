"""docs/security.md claims nothing that no test tries, and no option that there is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.command_line import Command
from tradebook.config import variables_help

DOCUMENT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
TESTS = "\n".join(
    path.read_text(encoding="utf-8")
    for path in (ROOT / "tests").rglob("test_*.py")
    if path != Path(__file__)
)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", DOCUMENT))))
def test_every_test_that_it_names_is_there(name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", TESTS, re.MULTILINE)


def test_every_command_has_the_options_that_it_gives() -> None:
    commands = re.findall(r"^\$ tradebook ((?:db|audit) \w+)(.*)$", DOCUMENT, re.MULTILINE)
    assert len(commands) >= 6
    for command, rest in commands:
        helped = Command("sqlite://")(*command.split(), "--help").stdout
        for option in re.findall(r"(--[\w-]+)", rest):
            assert option in helped, (command, option)


def test_every_variable_that_it_names_is_read() -> None:
    named = set(re.findall(r"TRADEBOOK_\w+", DOCUMENT))
    assert len(named) > 5
    assert named <= {line.partition(":")[0] for line in variables_help().splitlines()}


def test_the_files_that_it_names_are_there() -> None:
    for file in re.findall(r"`(tests/[\w/]+\.py)`", DOCUMENT):
        assert (ROOT / file).is_file()
