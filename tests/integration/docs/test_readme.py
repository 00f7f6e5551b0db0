"""The README is true: its Python runs, in the order in which it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import ROOT
from tradebook import DuplicateOrder

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def printed(block: str) -> list[str]:
    """What the comments behind a block's prints say that they print."""
    return re.findall(r"print\(.*\)\s*# (.*)", block)


def test_the_readme_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in BLOCKS:
        if "# DuplicateOrder: " in block:
            with pytest.raises(DuplicateOrder) as refused:
                exec(block, names)
            assert f"# DuplicateOrder: {refused.value}" in block
        else:
            exec(block, names)
        out = capsys.readouterr().out
        assert [line for line in printed(block) if line not in out.splitlines()] == []
        assert "p@ss" not in out
    names["test_sells_on_the_rise"]()
    assert names["book"].get_position_by_symbol("MSFT").quantity == 10
    assert [alert.alert_type for alert in names["book"].get_unresolved_alerts()] == ["drawdown"]
    assert names["book"].verify().proven
    names["book"].close()


def test_the_readme_says_what_is_printed() -> None:
    assert len([line for block in BLOCKS for line in printed(block)]) >= 5


ROWS = re.findall(r"^\| .* \| `(test_\w+)` \|$", README, flags=re.MULTILINE)


def test_every_row_of_the_documents_table_has_its_test() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(ROWS) > 20
    for name in ROWS:
        assert f"def {name}(" in tests, name


def test_every_example_of_the_document_has_its_row() -> None:
    examples = (ROOT / "tests") / "contract" / "test_documented_examples.py"
    named = set(re.findall(r"^def (test_\w+)", examples.read_text(), flags=re.MULTILINE))
    beyond = {
        "test_a_booked_trade_is_not_deleted_in_a_session_either",
        "test_a_server_without_the_schema_says_what_to_run",
    }
    assert named - beyond <= set(ROWS)
