"""The README and the guide: their Python runs, in the order in which it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import ROOT
from tradebook import DatabaseManager, DuplicateOrder

README = (ROOT / "README.md").read_text()
GUIDE = (ROOT / "docs" / "guide.md").read_text()
ANALYTICS = (ROOT / "docs" / "analytics.md").read_text()
EXPLAIN = (ROOT / "docs" / "explain.md").read_text()
RECIPES = (ROOT / "docs" / "recipes.md").read_text()
ORIGIN = (ROOT / "docs" / "origin.md").read_text()


def blocks_of(document: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", document, flags=re.DOTALL)


def printed(block: str) -> list[str]:
    """Return what the comments behind a block's prints say that they print."""
    return re.findall(r"print\(.*\)\s*# (.*)", block)


def run(blocks: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Run the blocks one after the other in one namespace, and compare what they print."""
    names: dict[str, Any] = {}
    for block in blocks:
        if "# DuplicateOrder: " in block:
            with pytest.raises(DuplicateOrder) as refused:
                exec(block, names)
            assert f"# DuplicateOrder: {refused.value}" in block
        else:
            exec(block, names)
        out = capsys.readouterr().out
        missing = [line for line in printed(block) if line not in out.splitlines()]
        assert [line for line in missing if line != "without the password"] == []
        assert "p@ss" not in out
    return names


def test_the_readme_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = run(blocks_of(README), capsys)
    names["test_sells_on_the_rise"]()
    assert names["book"].get_position_by_symbol("MSFT").quantity == 10
    assert names["book"].verify().proven
    names["book"].close()


def test_the_guide_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    book = run(blocks_of(GUIDE), capsys)["book"]
    alerts = [alert.alert_type for alert in book.get_unresolved_alerts()]
    assert sorted(alerts) == ["drawdown", "margin"]
    book.close()


def test_every_number_of_the_page_on_explanations_is_what_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with run(blocks_of(EXPLAIN), capsys)["book"] as book:
        assert book.verify().proven
        assert book.attribution().ties


def test_every_number_of_the_page_on_analytics_is_what_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with run(blocks_of(ANALYTICS), capsys)["book"] as book:
        assert book.verify().proven


def test_the_recipes_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run(blocks_of(RECIPES), capsys)
    with DatabaseManager("recipes.db", account="vault") as vault:
        assert vault.verify().cash_flows == 2


@pytest.mark.parametrize(
    ("document", "prints"), [(README, 4), (GUIDE, 7), (RECIPES, 11), (EXPLAIN, 15), (ANALYTICS, 14)]
)
def test_the_documents_say_what_is_printed(document: str, prints: int) -> None:
    assert len([line for block in blocks_of(document) for line in printed(block)]) >= prints


def test_the_readme_has_at_most_200_lines_and_its_links_lead_somewhere() -> None:
    assert len(README.splitlines()) <= 200
    linked = re.findall(r"\]\(([\w./-]+)\)", README)
    assert len(linked) > 10
    assert [link for link in linked if not (ROOT / link).is_file()] == []


ROWS = re.findall(r"^\| .* \| `(test_\w+)` \|$", ORIGIN, flags=re.MULTILINE)


def test_every_row_of_the_table_of_origin_has_its_test() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(ROWS) > 20
    for name in ROWS:
        assert f"def {name}(" in tests, name


def test_every_example_of_the_origin_document_has_its_row() -> None:
    examples = ROOT / "tests" / "contract" / "test_documented_examples.py"
    named = set(re.findall(r"^def (test_\w+)", examples.read_text(), flags=re.MULTILINE))
    beyond = {
        "test_a_booked_trade_is_not_deleted_in_a_session_either",
        "test_a_server_without_the_schema_says_what_to_run",
    }
    assert named - beyond <= set(ROWS)
