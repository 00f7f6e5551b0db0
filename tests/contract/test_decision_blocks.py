"""Blocks that record a decision, on every backend: in one transaction, once, and with how they ended."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.backends import each_backend
from tradebook import (
    AgentDecision,
    ConcurrentUpdate,
    DuplicateRecord,
    InvalidInput,
    InvalidTransition,
    NotFound,
    handlers,
)
from tradebook.domain.limits import MAX_JSON, MAX_JSON_DEPTH
from tradebook.service_layer.handlers import decisions

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def events(book: Any) -> list[str]:
    """Return the types of all events, oldest first."""
    return [event.event_type for event in book.get_events()][::-1]


def actions(book: Any) -> dict[str, Any]:
    """Return the actions by type."""
    return {action.action_type: action for action in book.get_actions()}


def decide_all(book: Any, **terms: Any) -> Any:
    """Make a decision with two inputs and two actions; return it."""
    with book.decision("momentum", "AAPL", strategy="trend", **terms) as d:
        d.input("close", {"AAPL": "150.25"}, available_at=NOON, source="feed")
        d.input("news", "beats")
        with d.model_call("gpt-x", input="buy?") as call:
            call.output = {"answer": "yes"}
            call.tokens(input=12, output=3)
            call.cost = "0.002"
        with d.action("tool_call", input={"tool": "quote"}) as step:
            step.output = 150
        return d.decide("BUY", quantity=2, price="150.5", confidence="0.7", reasoning="rising")


def test_a_decision_is_recorded_with_its_inputs_and_actions(book: Any) -> None:
    before = datetime.now(UTC)
    decision = decide_all(book, model="gpt-x", parameters={"temperature": 0})
    assert events(book) == ["DecisionRecorded", *["InputRecorded"] * 2, *["ActionRecorded"] * 2]
    found = book.get_decision(decision.id)
    assert (found.agent, found.symbol, found.strategy, found.action) == (
        *("momentum", "AAPL", "trend", "BUY"),
    )
    assert (found.model, found.parameters, found.cost) == ("gpt-x", {"temperature": 0}, None)
    assert (found.quantity, found.confidence, len(found.reference)) == (2, found.confidence, 32)
    inputs = {each.name: each for each in book.get_inputs(decision_id=decision.id)}
    close, news = inputs["close"], inputs["news"]
    assert (close.value, close.available_at, close.source) == ({"AAPL": "150.25"}, NOON, "feed")
    assert before <= news.available_at <= news.recorded_at == found.decided_at
    call, step = actions(book)["model_call"], actions(book)["tool_call"]
    assert (call.model, call.input, call.output) == ("gpt-x", "buy?", {"answer": "yes"})
    assert (call.input_tokens, call.output_tokens, str(call.cost)) == (12, 3, "0.002")
    assert (step.model, step.output, step.cost, step.status) == (None, 150, None, "SUCCEEDED")
    assert {call.decision_id, step.decision_id} == {decision.id}
    assert before <= call.started_at <= found.decided_at
    assert call.duration > 0
    assert book.verify().proven


def test_all_of_it_is_on_record_when_decide_returns_and_the_rest_when_the_block_ends(
    book: Any,
) -> None:
    with book.decision("momentum", "AAPL") as d:
        d.input("close", 1)
        with d.action("tool_call"):
            pass
        decision = d.decide("BUY", quantity=1)
        assert len(book.get_inputs()) == len(book.get_actions()) == 1
        assert (d.id, d.decision.id) == (decision.id, decision.id)
        d.input("fill", {"price": 1})
        with d.action("place_order") as order:
            order.output = "o-1"
        assert len(book.get_inputs()) == len(book.get_actions()) == 1
    assert [each.name for each in book.get_inputs(decision_id=d.id)] == ["fill", "close"]
    late = book.get_inputs()[0]
    assert late.recorded_at > book.get_decision(d.id).decided_at
    assert [each.action_type for each in book.get_actions(decision_id=d.id)] == [
        *("place_order", "tool_call")
    ]
    assert book.verify().proven


def test_a_trade_takes_its_terms_from_the_decision_unless_they_are_given(book: Any) -> None:
    with book.decision("momentum", "AAPL", strategy="trend") as d:
        d.decide("SELL", quantity=3, price=10)
        first = d.record_trade(price="9.5")
        second = d.record_trade(
            symbol="MSFT", action="BUY", quantity=1, price=2, strategy="", order_id="o-2"
        )
    assert (first.symbol, first.action, first.quantity) == ("AAPL", "SELL", 3)
    assert (first.strategy, first.decision_id) == ("trend", d.id)
    assert (second.symbol, second.action, second.strategy, second.order_id) == (
        *("MSFT", "BUY", "", "o-2"),
    )
    assert second.decision_id == d.id
    assert book.get_decision(d.id).status == "EXECUTED"
    with book.decision("momentum", "AAPL") as d:
        d.decide("HOLD")
        with pytest.raises(InvalidInput, match="action"):
            d.record_trade(price=1, quantity=1)
    assert book.verify().proven


def test_a_verdict_is_given_on_the_decision(book: Any) -> None:
    with book.decision("momentum", "AAPL") as d:
        d.decide("BUY", quantity=1)
        assert d.approve("within limits").status == "APPROVED"
        assert d.reject("halted").status == "REJECTED"
    with book.decision("momentum", "AAPL") as other:
        other.decide("BUY", quantity=1)
        assert other.expire("too late").status == "EXPIRED"
    reasons = [e.payload["reason"] for e in book.get_events(event_type="DecisionResolved")]
    assert reasons == ["too late", "halted", "within limits"]


def test_a_prompt_leaves_its_digest_alone(book: Any) -> None:
    with book.decision("momentum", "AAPL") as d:
        d.prompt("Is AAPL a buy? ü")
        d.decide("HOLD")
        with pytest.raises(InvalidTransition, match="before decide"):
            d.prompt("another")
    expected = hashlib.sha256("Is AAPL a buy? ü".encode()).hexdigest()
    assert book.get_decision(d.id).prompt_hash == expected
    assert book.get_inputs() == []


def test_a_second_decision_in_a_block_is_refused_and_the_first_stands(book: Any) -> None:
    with book.decision("momentum", "AAPL") as d:
        d.decide("BUY", quantity=1)
        with pytest.raises(InvalidTransition, match=r"it is BUY as decision \d+.*another block"):
            d.decide("SELL", quantity=1)
    assert [decision.action for decision in book.get_decisions()] == ["BUY"]
    assert events(book) == ["DecisionRecorded"]


def test_a_refused_decision_may_be_made_again(book: Any) -> None:
    with book.decision("momentum", "AAPL") as d:
        d.input("close", 1)
        with pytest.raises(InvalidInput, match="confidence"):
            d.decide("BUY", confidence=2)
        with pytest.raises(InvalidInput, match=r"colour.*one of quantity"):
            d.decide("BUY", colour="red")
        assert book.get_decisions() == []
        d.decide("BUY", confidence=1)
    assert len(book.get_inputs(decision_id=d.id)) == 1
    assert book.get_actions() == []


def test_nothing_is_asked_of_a_block_that_is_not_decided_or_not_open(book: Any) -> None:
    block = book.decision("momentum", "AAPL")
    for call in (
        lambda: block.input("a", 1),
        lambda: block.prompt("a"),
        lambda: block.action("a"),
        lambda: block.decide("BUY"),
    ):
        with pytest.raises(InvalidTransition, match=r"not open: use `with book\.decision"):
            call()
    with book.decision("momentum", "AAPL") as d:
        for call in (lambda: d.record_trade(price=1), d.approve, lambda: d.id):
            with pytest.raises(InvalidTransition, match=r"not decided yet: call decide\(\)"):
                call()
        d.decide("BUY", quantity=1)
    with pytest.raises(InvalidTransition, match="not open"):
        d.input("late", 1)
    with pytest.raises(InvalidTransition, match="make another"), d:
        pass
    assert d.record_trade(price=1).decision_id == d.id
    assert d.approve  # a verdict may come after the block as well


def test_a_block_without_a_decision_says_so(book: Any) -> None:
    with book.decision("momentum", "AAPL", strategy="trend", reference="r") as d:
        d.input("close", 1, available_at=NOON)
        with d.model_call("gpt-x"):
            pass
    assert book.get_decisions() == book.get_inputs() == []
    call, ending = actions(book)["model_call"], actions(book)["decision"]
    assert (ending.status, ending.output) == ("SUCCEEDED", {"outcome": "not decided"})
    assert (call.decision_id, ending.decision_id, ending.error) == (None, None, None)
    assert ending.input["inputs"] == [
        {"name": "close", "value": 1, "available_at": NOON.isoformat()}
    ]
    assert (ending.input["symbol"], ending.input["strategy"], ending.input["reference"]) == (
        *("AAPL", "trend", "r"),
    )
    assert ending.duration >= call.duration
    assert (ending.cost, call.cost) == (0, None)
    assert book.verify().proven


def failed(book: Any, *, decided: bool) -> Any:
    """Let a block end by an exception; return it."""

    def fails() -> None:
        with book.decision("momentum", "AAPL") as d:
            d.input("close", 1)
            if decided:
                d.decide("BUY", quantity=1)
            with d.action("place_order"):
                raise ConnectionError("no route\0 to venue")

    with pytest.raises(ConnectionError, match="no route") as raised:
        fails()
    return raised.value


@pytest.mark.parametrize("decided", [True, False])
def test_an_exception_goes_on_and_leaves_a_failed_action(book: Any, decided: bool) -> None:
    error = failed(book, decided=decided)
    assert not hasattr(error, "__notes__")
    step, ending = actions(book)["place_order"], actions(book)["decision"]
    assert step.status == ending.status == "FAILED"
    assert step.error == ending.error == "ConnectionError: no route\ufffd to venue"
    known = [decision.id for decision in book.get_decisions()]
    assert {step.decision_id, ending.decision_id} == ({known[0]} if decided else {None})
    assert [each["name"] for each in ending.input["inputs"]] == ([] if decided else ["close"])
    assert book.verify().proven


def test_a_failure_that_cannot_be_recorded_is_a_note_of_the_exception(
    book: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(uow: Any, actions: Any) -> Any:
        raise InvalidInput("reference", "x", "another")

    monkeypatch.setattr(decisions, "_add_actions", refused)
    error = failed(book, decided=False)
    assert "did not record" in error.__notes__[0]
    assert "InvalidInput: reference" in error.__notes__[0]
    with pytest.raises(InvalidInput), book.decision("momentum", "AAPL"):
        pass
    assert events(book) == []


def test_a_decision_whose_answer_was_lost_has_the_failure(
    book: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(d: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(
                "tradebook.service_layer.decision_draft.DecisionDraft.decided",
                lambda *_: (_ for _ in ()).throw(ConnectionError("lost")),
            )
            d.decide("BUY", quantity=1)

    def fails() -> None:
        with book.decision("momentum", "AAPL") as d:
            d.input("close", 1)
            lost(d)

    with pytest.raises(ConnectionError):
        fails()
    [decision] = book.get_decisions()
    assert actions(book)["decision"].decision_id == decision.id
    assert len(book.get_inputs(decision_id=decision.id)) == 1


def test_the_same_block_again_returns_its_decision_and_adds_its_actions(book: Any) -> None:
    first = decide_all(book, reference="r")
    again = decide_all(book, reference="r")
    assert again.id == first.id
    assert len(book.get_decisions()) == 1
    assert len(book.get_inputs()) == 2
    assert len(book.get_actions(decision_id=first.id)) == 4  # its steps did happen twice
    with book.decision("momentum", "AAPL", reference="r") as d:
        with pytest.raises(DuplicateRecord, match="action is 'BUY', given 'SELL'"):
            d.decide("SELL")
        d.input("close", "other")
        with pytest.raises(DuplicateRecord, match="close of decision"):
            d.decide("BUY", quantity=2)
    assert book.get_decision(first.id).action == "BUY"
    assert book.verify().proven


def test_a_retry_records_everything_once(book: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    add = decisions._add_actions

    def contended(uow: Any, terms: Any) -> Any:
        happened = add(uow, terms)
        tried.append(len(terms))
        if len(tried) == 1:
            raise ConcurrentUpdate("another writer was first")
        return happened

    monkeypatch.setattr(decisions, "_add_actions", contended)
    decide_all(book)
    assert tried == [2, 2]
    assert (len(book.get_decisions()), len(book.get_inputs()), len(book.get_actions())) == (1, 2, 2)


def test_an_action_of_the_same_terms_again_is_the_recorded_one(book: Any) -> None:
    terms = [
        {"agent": "a", "action_type": "chat", "reference": f"r-{n}", "started_at": NOON}
        for n in range(3)
    ]
    book.run(decisions.record_actions, terms[:2])
    book.run(decisions.record_actions, terms)
    assert [action.reference for action in book.get_actions()] == ["r-2", "r-1", "r-0"]
    with pytest.raises(DuplicateRecord, match="r-1"):
        book.run(decisions.record_actions, [*terms, {**terms[1], "model": "x"}])
    with pytest.raises(NotFound):
        book.run(decisions.record_actions, [{**terms[0], "reference": "n", "decision_id": 10**9}])
    assert len(book.get_events()) == 3


def test_what_is_refused_is_refused_before_the_agent_works(book: Any) -> None:
    for terms in (
        {"agent": ""},
        {"symbol": " AAPL"},
        {"strategy": "x" * 201},
        {"model": 1},
        {"parameters": [1]},
        {"parent_id": -1},
        {"signals": ["x"]},
        {"reference": ""},
    ):
        with pytest.raises(InvalidInput, match=next(iter(terms))):
            book.decision(**{"agent": "momentum", "symbol": "AAPL", **terms})
    with book.decision("momentum", "AAPL") as d:
        d.input("close", 1)
        for name, value, more in (
            ("close", 1, {}),
            ("", 1, {}),
            ("x", "y" * (MAX_JSON + 1), {}),
            ("x", object(), {}),
            ("x", 1, {"available_at": "soon"}),
            ("x", 1, {"source": None}),
        ):
            with pytest.raises(InvalidInput):
                d.input(name, value, **more)
        with pytest.raises(InvalidInput, match="surrogates"):
            d.prompt("\ud800")
        with pytest.raises(InvalidInput, match="model"):
            d.model_call("")
        d.decide("HOLD")
    assert [each.name for each in book.get_inputs()] == ["close"]


def test_a_parent_and_signals_of_another_account_are_not_found(book: Any) -> None:
    elsewhere = book.for_account(f"{book.account}-2")
    signal = elsewhere.record_signal("AAPL", "BUY")
    parent = elsewhere.record_decision("risk", "AAPL", "BUY")
    for terms in ({"parent_id": parent.id}, {"signals": [signal.id]}):
        with suppress(NotFound), book.decision("momentum", "AAPL", **terms) as d:
            d.decide("BUY")
            pytest.fail("a record of another account was found")
    mine = book.record_signal("AAPL", "BUY")
    above = book.record_decision("risk", "AAPL", "BUY")
    with book.decision("momentum", "AAPL", parent_id=above.id, signals=[mine.id]) as d:
        d.decide("BUY")
    [made, _] = book.get_decisions(with_signals=True)
    assert (made.parent_id, [s.id for s in made.signals]) == (above.id, [mine.id])


@pytest.mark.parametrize("term", ["output", "cost", "tokens"])
def test_a_step_with_a_refused_result_is_kept_as_failed(book: Any, term: str) -> None:
    def fails() -> None:
        with book.decision("a", "AAPL") as d:
            with d.model_call("gpt-x", input="q") as call:
                if term == "tokens":
                    call.tokens(input=-1)
                else:
                    setattr(call, term, object())
            d.decide("BUY")

    with pytest.raises(InvalidInput, match=term):
        fails()
    call, ending = actions(book)["model_call"], actions(book)["decision"]
    assert call.status == ending.status == "FAILED"
    assert (call.input, call.model, call.output, call.cost) == ("q", "gpt-x", None, None)
    assert term in call.error


@pytest.mark.parametrize(
    "book", each_backend(only_in_full_runs=["sqlite-async", "postgresql-async"]), indirect=True
)
def test_inputs_that_together_exceed_an_action_are_named_by_digest(book: Any) -> None:
    nested: Any = 1
    for _ in range(MAX_JSON_DEPTH):
        nested = [nested]
    with book.decision("a", "AAPL") as d:
        d.input("deep", nested)
    ending = actions(book)["decision"]
    assert ending.input["reference"] == d.reference
    assert list(ending.input["digests"]) == ["deep"]
    assert len(ending.input["digests"]["deep"]) == 64


def test_a_backtest_says_when_it_decides(book: Any) -> None:
    past = NOON - timedelta(days=30)
    with book.decision("a", "AAPL") as d:
        d.input("close", 1, available_at=past)
        d.decide("BUY", decided_at=past, quantity=1, cost=0, cost_currency="EUR")
    made = book.get_all(AgentDecision)[0]
    assert (made.decided_at, made.cost, made.cost_currency) == (past, 0, "EUR")


def test_an_input_noted_without_a_time_was_available_by_then_at_the_latest(book: Any) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    terms = {"agent": "a", "symbol": "X", "action": "BUY"}
    inputs = [{"name": "i", "value": 1}]
    book.run(
        decisions.record_decision_with_actions,
        terms={**terms, "dated_inputs": inputs},
        noted_at={"i": later},
    )
    [found] = book.get_inputs()
    assert found.available_at == found.recorded_at  # a clock that is ahead proves no look-ahead


def test_a_few_records_of_one_table_are_added_once_each(book: Any) -> None:
    decision = book.record_decision("a", "X", "BUY")
    inputs = [{"name": f"i{n}", "value": n} for n in range(4)]
    book.run(handlers.record_inputs, decision.id, inputs[1:3])
    recorded = book.run(handlers.record_inputs, decision.id, inputs)
    by_name = {each.name: each for each in book.get_inputs()}
    assert [each.id for each in recorded] == [by_name[f"i{n}"].id for n in range(4)]
    assert [by_name[f"i{n}"].value for n in range(4)] == [0, 1, 2, 3]
    assert events(book).count("InputRecorded") == 4
    assert book.verify().proven
