"""Laws of evidence: what an event states of a record fits that record, and no other."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from attrs import fields
from hypothesis import given
from hypothesis import strategies as st

from tests.property.test_book_laws import law
from tradebook import TradebookError
from tradebook.domain.entity import Entity
from tradebook.testing import FakeBook, strategies

KINDS: list[st.SearchStrategy[Any]] = [
    strategies.signals(),
    strategies.decisions(),
    strategies.actions(),
    strategies.alerts(),
    strategies.metrics(),
    strategies.cash_flows(),
    strategies.portfolios(),
]


@law
@given(st.lists(st.one_of(KINDS[:-1]), max_size=5))  # the last are those that the book itself takes
def test_what_is_recorded_is_what_its_events_state(drawn: list[Entity]) -> None:
    book = FakeBook()
    for record in drawn:
        with suppress(TradebookError):  # refused, it changed nothing
            book.create(record)
    assert book.verify().differences == ()
    assert book.check_seals().findings == ()


@law
@given(st.sampled_from(KINDS), st.data())
def test_a_field_with_another_value_is_stated_differently(
    kind: st.SearchStrategy[Entity], data: st.DataObject
) -> None:
    one, other = data.draw(kind), data.draw(kind)
    for name in (f.name for f in fields(type(one)) if f.name not in ("id", "account", "signals")):
        if getattr(one, name) != getattr(other, name):
            assert one.evidence().get(name) != other.evidence().get(name), name
