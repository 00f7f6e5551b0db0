"""The law of marks: after any trades, quotes, busts and corrections the mark is what the rule says."""

from __future__ import annotations

from hypothesis import given

from tests.support import examples
from tests.support.mark_model import STEPS, Step, followed
from tradebook.testing import FakeBook

law = examples.law(100)


@law
@given(STEPS)
def test_the_mark_is_what_the_rule_says_of_any_history(steps: list[Step]) -> None:
    book = FakeBook()
    for step, mark, expected in followed(book, steps):
        assert mark == expected, step
    assert book.verify().differences == ()
    assert book.rebuild().positions == ()
