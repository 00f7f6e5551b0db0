"""The README is true: its Python runs, in the order in which it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tradebook import DuplicateOrder

README = (Path(__file__).parents[2] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_readme_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    first, again, together, bot = BLOCKS
    exec(first, names)
    assert capsys.readouterr().out.splitlines() == re.findall(r"# (60 .*|\['AAPL'\]|100300)", first)
    with pytest.raises(DuplicateOrder) as refused:
        exec(again, names)
    assert f"# DuplicateOrder: {refused.value}" in again
    exec(together, names)
    names["book"].close()
    exec(bot, names)
    names["test_sells_on_the_rise"]()
    assert names["book"].get_position_by_symbol("MSFT").quantity == 10
    assert names["book"].verify().proven
    names["book"].close()
