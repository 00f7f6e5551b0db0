"""docs/numbers.md is true: its Python runs, its table of examples holds, and its limits are those of the code."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from tests.support.checkout import ROOT
from tradebook import InvalidInput, limits
from tradebook.domain.numbers import number

DOCUMENT = (ROOT / "docs" / "numbers.md").read_text(encoding="utf-8")
TESTS = "\n".join(
    path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests").rglob("test_*.py"))
)
GIVEN = re.findall(r"^\| (`.*) \| (yes|no) \| .* \|$", DOCUMENT, re.MULTILINE)
EXAMPLES = [
    (text, accepted == "yes") for cell, accepted in GIVEN for text in re.findall(r"`(.*?)`", cell)
]


def test_its_python_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    said = re.findall(r"print\(.*\)  # (.*)", "".join(blocks))
    assert capsys.readouterr().out.splitlines() == said
    assert names["book"].verify().proven


@pytest.mark.parametrize(("text", "accepted"), EXAMPLES)
def test_its_examples_are_accepted_or_refused(text: str, accepted: bool) -> None:
    value = eval(text)
    if accepted:
        assert number(value) == Decimal(str(value))
    else:
        with pytest.raises(InvalidInput):
            number(value)


def test_its_table_has_both_kinds_of_examples() -> None:
    assert {accepted for _, accepted in EXAMPLES} == {True, False}
    assert len(EXAMPLES) >= 8
    for refused in (Decimal("1" * 39), Decimal("1" * 18 + "e-41")):
        with pytest.raises(InvalidInput):
            number(refused)


@pytest.mark.parametrize(
    ("sentence", "limit"),
    [
        ("at most {} significant digits", limits.MAX_DIGITS),
        ("most {} decimals", limits.MAX_DECIMALS),
        ("{} digits before the point |", limits.MAX_WHOLE_DIGITS),
        ("may have {:,} on both sides", limits.MAX_AMOUNT_PLACES),
    ],
)
def test_its_limits_are_those_of_the_code(sentence: str, limit: int) -> None:
    assert sentence.format(limit) in DOCUMENT


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", DOCUMENT))))
def test_every_test_that_it_names_is_there(name: str) -> None:
    assert re.search(rf"^def {name}\(", TESTS, re.MULTILINE)
