"""The runbook is true: every command in it is run, in its order, and what it shows is seen."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.console import Console, steps

DOCS = ROOT / "docs"
RUNBOOK = (DOCS / "operations.md").read_text()
FILLS = """symbol,action,quantity,price,fee,order_id
AAPL,BUY,100,150.25,1,o-1
AAPL,SELL,40,155,1,o-2
MSFT,BUY,10,41.5,0.5,o-3
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that a server's own user can enter, where we are root."""
    with tempfile.TemporaryDirectory(prefix="tradebook-runbook-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.slow
@pytest.mark.full
def test_every_command_of_the_runbook_does_what_it_says(folder: Path, programs: Path) -> None:
    (folder / "fills.csv").write_text(FILLS)
    console = Console(folder, programs)
    try:
        for step in steps(RUNBOOK):
            console.check(step)
        assert not (folder / "pg").exists()
    finally:
        for server in ("pg", "restored"):
            console.run(f"tradebook sandbox stop {server} --remove --yes")


def test_no_command_of_the_runbook_shows_a_password() -> None:
    commands = [step.command for step in steps(RUNBOOK)]
    assert any("tradebook restore" in command for command in commands)
    assert [command for command in commands if "--database" in command] == []


def test_the_runbook_has_an_incident_for_every_alert() -> None:
    headings = re.findall(r"^### (Incident: .*)$", RUNBOOK, flags=re.MULTILINE)
    anchors = {re.sub(r"[^a-z -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    rules = (DOCS.parent / "ops" / "alert-rules.yml").read_text()
    named = set(re.findall(r"operations\.md#(\S+)", rules))
    assert len(named) >= 15
    assert named <= anchors


def test_every_link_of_the_documents_leads_somewhere() -> None:
    for document in DOCS.glob("*.md"):
        for target in re.findall(r"\]\(([^)#\s]+?)(?:#[^)]*)?\)", document.read_text()):
            assert target.startswith("http") or (DOCS / target).exists(), (document, target)
