"""Inputs of decisions: they are recorded once, come back byte for byte, and show what a decision could know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.backends import within
from tradebook import (
    AgentDecision,
    DuplicateRecord,
    InvalidInput,
    NotFound,
    Signal,
    context,
    handlers,
)
from tradebook.domain.decision_inputs import input_digest
from tradebook.service_layer.book import Book
from tradebook.service_layer.call_context import CallContext

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
EARLIER, LATER = NOON - timedelta(hours=1), NOON + timedelta(hours=1)
CLOSE: Any = {"name": "close", "value": {"b": [1.5, None], "a": "é"}, "available_at": EARLIER}
NEWS: Any = {"name": "news", "value": "up 3%", "available_at": EARLIER, "source": "wire"}


def decide(book: Book, *inputs: Any, **terms: Any) -> AgentDecision:
    return book.record_decision("ann", "AAPL", "BUY", dated_inputs=inputs, **terms)


def at(book: Any, time: datetime, call: Any, **terms: Any) -> Any:
    """Make a call as if it were this time."""
    with book.unit_of_work(context=CallContext(at=time)) as uow:
        made = within(uow, call, **terms)
        uow.commit()
        return made


def test_a_replay_gives_back_every_input_byte_for_byte_with_the_settings_of_the_model(
    book: Book,
) -> None:
    settings: Any = {"model": "m-1", "parameters": {"seed": 7}, "prompt_hash": "ab" * 32}
    signal = book.record_signal("AAPL", "BUY")
    made = decide(book, CLOSE, NEWS, signals=[signal.id], inputs={"n": 1}, **settings)
    found = book.replay(made.id)
    kept = found.decision
    assert {name: getattr(kept, name) for name in settings} == settings
    assert (kept.inputs, [s.id for s in kept.signals]) == ({"n": 1}, [signal.id])
    assert [each.name for each in found.inputs] == ["close", "news"]
    close, news = found.inputs
    assert close.canonical_value == '{"a":"é","b":[1.5,null]}'.encode()
    assert news.canonical_value == b'"up 3%"'
    assert close.digest == input_digest(CLOSE["value"])
    assert (close.available_at, close.source, news.source) == (EARLIER, "", "wire")
    assert close.recorded_at == made.created_at
    assert found.damaged == ()


def test_a_decision_is_recorded_once_with_its_inputs(book: Book) -> None:
    first = decide(book, CLOSE, reference="d")
    assert decide(book, CLOSE, reference="d").id == first.id
    assert len(book.get_inputs(decision_id=first.id)) == 1
    with pytest.raises(DuplicateRecord, match=r"close of decision .*digest"):
        decide(book, {**CLOSE, "value": 2}, reference="d")
    with pytest.raises(DuplicateRecord, match="available_at"):
        decide(book, {**CLOSE, "available_at": NOON}, reference="d")
    assert decide(book, {"name": "close", "value": CLOSE["value"]}, reference="d").id == first.id


def test_inputs_can_be_recorded_later_and_each_once(book: Book) -> None:
    made = decide(book, CLOSE)
    [late] = book.record_inputs(made.id, [NEWS])
    again = book.record_inputs(made.id, [NEWS, CLOSE])
    assert [each.id for each in again] == [late.id, book.replay(made.id).inputs[0].id]
    assert [each.name for each in book.get_inputs(decision_id=made.id)] == ["news", "close"]
    assert book.verify().differences == ()


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ("close", "dated_inputs"),
        ([1], "mappings of name, value"),
        ([{"name": "close"}], "mappings of name, value"),
        ([{**CLOSE, "note": 1}], "mappings of name, value"),
        ([CLOSE, CLOSE], "dated_inputs: .*no other input"),
        ([{"name": "", "value": 1}], "dated_inputs: .*not empty"),
        ([{"name": "x", "value": object()}], "value: .*JSON"),
        ([{"name": "x", "value": "x" * 2_000_000}], "value"),
        ([{**CLOSE, "available_at": "soon"}], "available_at"),
        ([{**CLOSE, "available_at": datetime(2926, 1, 1, tzinfo=UTC)}], "available_at"),
    ],
)
def test_bad_inputs_are_refused_and_leave_no_decision(book: Book, inputs: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        book.record_decision("ann", "AAPL", "BUY", dated_inputs=inputs)
    assert book.get_decisions() == []


def test_inputs_parents_and_replays_of_no_decision_are_refused(book: Book) -> None:
    for call in (
        lambda: book.record_inputs(404, [CLOSE]),
        lambda: book.replay(404),
        lambda: book.look_ahead(decision_id=404),
        lambda: decide(book, parent_id=404),
    ):
        with pytest.raises(NotFound):
            call()
    assert book.get_decisions() == []


def test_look_ahead_sorts_what_decisions_were_made_from(book: Book) -> None:
    signal = at(
        book, EARLIER, handlers.record_signal, symbol="AAPL", action="BUY", generated_at=EARLIER
    )
    terms: Any = {"agent": "ann", "symbol": "AAPL", "action": "BUY"}
    late: Any = {"name": "revised", "value": 2, "available_at": LATER}
    known = at(
        book,
        NOON,
        handlers.record_decision,
        **terms,
        signals=[signal.id],
        dated_inputs=[CLOSE],
        decided_at=NOON,
    )
    backdated = decide(book, CLOSE, late, decided_at=NOON, signals=[signal.id])
    found = book.look_ahead()
    assert (found.decisions, found.proven, found.claimed, found.violated) == (2, 3, 1, 1)
    [violation], [claim] = found.violations, found.claims
    assert (violation.decision_id, violation.name, violation.kind) == (
        backdated.id,
        "revised",
        "input",
    )
    assert (claim.decision_id, claim.name, claim.available_at) == (backdated.id, "close", EARLIER)
    assert not found.is_clean
    only = book.look_ahead(decision_id=known.id)
    assert (only.decisions, only.proven, only.is_clean) == (1, 2, True)
    assert book.look_ahead(agent="bob").decisions == 0
    assert book.look_ahead(since=LATER).decisions == 0
    assert book.look_ahead(until=NOON).decisions == 0


def test_a_signal_that_was_dated_back_by_a_direct_edit_is_no_proof(book: Book) -> None:
    signal = book.create(
        Signal(symbol="AAPL", action="BUY", generated_at=EARLIER, created_at=EARLIER)
    )
    made = decide(book, decided_at=NOON, signals=[signal.id])
    found = book.look_ahead(decision_id=made.id)
    assert (found.proven, found.claimed) == (0, 1)


def test_decisions_without_inputs_are_counted_and_the_progress_reaches_the_end(book: Book) -> None:
    for _ in range(3):
        decide(book)
    seen: list[tuple[int, int]] = []
    with context(actor="ann"):
        found = book.look_ahead(progress=lambda done, total: seen.append((done, total)))
    assert (found.decisions, found.without_inputs) == (3, 3)
    assert seen[-1] == (3, 3)
