"""Spans that the SDK of OpenTelemetry exports to a book: actions of the decision whose block surrounds them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext

from tradebook import AsyncDatabaseManager, DatabaseManager, DatabaseUnavailable, InvalidInput
from tradebook.operations import agent_spans, tracing
from tradebook.testing import FakeBook

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.response.model": "gpt-x",
    "gen_ai.usage.input_tokens": 12,
    "gen_ai.usage.output_tokens": 3,
}
HOUR = 3_600 * 10**9


@pytest.fixture
def book(sqlite_book: str) -> Iterator[DatabaseManager]:
    with DatabaseManager(sqlite_book) as made:
        yield made


class Tracing:
    """A provider of tracers whose spans are exported to a book."""

    def __init__(self, book: Any, processor: Callable[[Any], Any]) -> None:
        self.exporter = tracing.AgentActionExporter(book, agent="someone")
        self.provider = TracerProvider()
        self.provider.add_span_processor(processor(self.exporter))
        self.provider.add_span_processor(tracing.DecisionSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("some.agent")

    def chat(self, **attributes: Any) -> trace.Span:
        """Begin and end a span of a model call."""
        with self.tracer.start_as_current_span(
            "chat gpt-x", attributes={**CHAT, **attributes}
        ) as span:
            return span


@pytest.fixture(params=[SimpleSpanProcessor, BatchSpanProcessor])
def traced(request: pytest.FixtureRequest, book: DatabaseManager) -> Iterator[Tracing]:
    made = Tracing(book, request.param)
    yield made
    made.provider.shutdown()


@pytest.fixture
def simple(book: DatabaseManager) -> Tracing:
    return Tracing(book, SimpleSpanProcessor)


def actions(book: Any) -> list[Any]:
    return list(book.get_actions())[::-1]


def test_spans_inside_a_block_are_actions_of_its_decision(
    book: DatabaseManager, traced: Tracing
) -> None:
    with book.decision("momentum", "AAPL") as d:
        span = traced.chat(**{"gen_ai.usage.cost": 0.002})
        d.decide("BUY", quantity=1)
        traced.chat(**{"gen_ai.agent.name": "risk"})
    traced.provider.force_flush()
    first, second = actions(book)
    assert {first.decision_id, second.decision_id} == {d.id}
    assert (first.agent, second.agent) == ("momentum", "risk")
    assert (first.action_type, first.model, first.input_tokens, first.output_tokens) == (
        *("chat", "gpt-x", 12, 3),
    )
    context = span.get_span_context()
    assert first.trace_id == f"{context.trace_id:032x}"
    assert first.span_id == f"{context.span_id:016x}"
    assert (str(first.cost), first.cost_currency, second.cost) == ("0.002", "USD", None)
    assert traced.exporter.counts == agent_spans.ExportCounts(recorded=2)
    assert book.verify().proven


def test_spans_outside_any_block_are_actions_without_a_decision(
    book: DatabaseManager, traced: Tracing
) -> None:
    traced.chat()
    with traced.tracer.start_as_current_span("http", attributes={"http.method": "GET"}):
        pass
    traced.provider.force_flush()
    [action] = actions(book)
    assert (action.agent, action.decision_id) == ("someone", None)
    assert traced.exporter.counts.undecided == 0


def test_a_span_waits_for_its_decision(book: DatabaseManager, simple: Tracing) -> None:
    with book.decision("momentum", "AAPL") as d:
        simple.chat()
        simple.chat()
        assert actions(book) == []
        d.decide("BUY", quantity=1)
        assert actions(book) == []  # until the next span comes, or a flush
        simple.chat()
        assert [action.decision_id for action in actions(book)] == [d.id] * 3


@pytest.mark.parametrize("how", ["force_flush", "shutdown"])
def test_a_span_of_a_block_without_a_decision_is_recorded_in_the_end(
    book: DatabaseManager, traced: Tracing, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    with book.decision("momentum", "AAPL"):
        traced.chat()
    with caplog.at_level(logging.WARNING, "tradebook.spans"):
        getattr(traced.provider, how)()
    spans = [action for action in actions(book) if action.span_id]
    assert [action.decision_id for action in spans] == [None]
    assert traced.exporter.counts.undecided == 1
    assert "1 spans are recorded without a decision" in caplog.text


def test_a_span_whose_decision_never_came_does_not_wait_for_ever(
    book: DatabaseManager, simple: Tracing, monkeypatch: pytest.MonkeyPatch
) -> None:
    with book.decision("momentum", "AAPL") as d:
        simple.chat()
        now = time.time_ns()
        monkeypatch.setattr(time, "time_ns", lambda: now + HOUR)
        simple.chat()
        assert actions(book) == []  # the block is open
    assert d.reference
    simple.chat()
    assert len([action for action in actions(book) if action.span_id]) == 3


def test_of_too_many_that_wait_the_oldest_are_recorded(
    book: DatabaseManager, simple: Tracing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_spans, "MAX_WAITING", 2)
    with book.decision("momentum", "AAPL") as d:
        for _ in range(3):
            simple.chat()
        assert [action.decision_id for action in actions(book)] == [None]
        d.decide("HOLD")
    simple.exporter.force_flush()
    assert [action.decision_id for action in actions(book)] == [None, d.id, d.id]


def test_a_decision_is_named_by_reference_or_id(book: DatabaseManager, traced: Tracing) -> None:
    decision = book.record_decision("momentum", "AAPL", "BUY", reference="mine")
    traced.chat(**{"tradebook.decision": "mine"})
    traced.chat(**{"tradebook.decision_id": decision.id})
    traced.chat(**{"tradebook.decision_id": 10**9})
    traced.provider.force_flush()
    assert [action.decision_id for action in actions(book)] == [decision.id, decision.id, None]
    assert traced.exporter.counts == agent_spans.ExportCounts(recorded=3, undecided=1)


def test_a_thread_that_takes_the_context_of_a_span_takes_its_decision(
    book: DatabaseManager, simple: Tracing
) -> None:
    def work(parent: trace.Span) -> None:
        with trace.use_span(parent):
            simple.chat()

    with book.decision("momentum", "AAPL") as d:
        with simple.tracer.start_as_current_span("invoke_agent", attributes=CHAT) as parent:
            thread = threading.Thread(target=work, args=(parent,))
            thread.start()
            thread.join()
        d.decide("HOLD")
    simple.exporter.force_flush()
    assert [action.decision_id for action in actions(book)] == [d.id, d.id]


def test_spans_of_another_account_are_left_to_its_exporter(
    book: DatabaseManager, simple: Tracing
) -> None:
    elsewhere = book.for_account("elsewhere")
    other = Tracing(elsewhere, SimpleSpanProcessor)
    simple.provider.add_span_processor(SimpleSpanProcessor(other.exporter))
    with elsewhere.decision("momentum", "AAPL") as d:
        d.decide("HOLD")
        simple.chat()
    assert actions(book) == []
    assert [action.decision_id for action in actions(elsewhere)] == [d.id]


def test_a_span_is_recorded_once(book: DatabaseManager, simple: Tracing) -> None:
    span: Any = simple.chat()
    assert simple.exporter.export([span]) is SpanExportResult.SUCCESS
    assert len(actions(book)) == 1


def test_spans_that_are_refused_are_counted_and_the_others_recorded(
    book: DatabaseManager, simple: Tracing, caplog: pytest.LogCaptureFixture
) -> None:
    good: Any = simple.chat()
    nameless = ReadableSpan("nameless", None, attributes=CHAT, start_time=1, end_time=2)
    tokens = {**CHAT, "gen_ai.usage.input_tokens": -1}
    context = SpanContext(trace_id=1, span_id=1, is_remote=False)
    negative = ReadableSpan("negative", context, attributes=tokens, start_time=1, end_time=2)
    with caplog.at_level(logging.WARNING, "tradebook.spans"):
        outcome = simple.exporter.export([nameless, negative, good])
    assert outcome is SpanExportResult.SUCCESS
    assert simple.exporter.counts.refused == 2
    assert len(actions(book)) == 1
    assert "'nameless'" in caplog.text
    assert "input_tokens" in caplog.text


@pytest.mark.parametrize(
    "attributes",
    [
        {"tradebook.decision": 1},
        {"tradebook.decision": "x" * 201},
        {"tradebook.decision_id": "x"},
        {"tradebook.decision_id": -1},
        {"gen_ai.agent.name": " "},
        {"gen_ai.request.model": 1, "gen_ai.response.model": ""},
        {"gen_ai.usage.cost": "much"},
        {"gen_ai.usage.input_cost": "much"},
        {"gen_ai.usage.output_tokens": "many"},
    ],
)
def test_attributes_that_no_book_takes_refuse_their_span_alone(
    book: DatabaseManager, simple: Tracing, attributes: dict[str, Any]
) -> None:
    simple.chat(**attributes)
    simple.chat()
    assert simple.exporter.counts == agent_spans.ExportCounts(recorded=1, refused=1)
    assert len(actions(book)) == 1


def test_a_database_that_fails_gets_the_spans_later(
    book: DatabaseManager, simple: Tracing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise DatabaseUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(book, "run", away)
        span: Any = simple.chat()
        assert simple.exporter.export([]) is SpanExportResult.FAILURE
        assert not simple.exporter.force_flush()
    assert span
    assert simple.exporter.force_flush()
    assert len(actions(book)) == 1
    with monkeypatch.context() as patch:
        patch.setattr(book, "run", away)
        simple.chat()
        simple.exporter.shutdown()
    assert simple.exporter.counts.lost == 1
    assert simple.exporter.export([span]) is SpanExportResult.FAILURE
    assert simple.exporter.shutdown() is None


def test_the_exporter_records_no_spans_of_the_book_and_makes_none(
    book: DatabaseManager, traced: Tracing
) -> None:
    everything = InMemorySpanExporter()
    traced.provider.add_span_processor(SimpleSpanProcessor(everything))
    tracing.instrument(book, provider=traced.provider)
    traced.chat()
    traced.provider.force_flush()
    assert [span.name for span in everything.get_finished_spans()] == ["chat gpt-x"]
    book.record_trade(symbol="AAPL", action="BUY", quantity=1, price=1)
    own = traced.provider.get_tracer("tradebook")
    with own.start_as_current_span("tradebook.x", attributes=CHAT):
        pass
    traced.provider.force_flush()
    assert len(actions(book)) == 1
    assert "tradebook.record_trade" in [span.name for span in everything.get_finished_spans()]


def test_the_steps_of_a_block_and_its_spans_stand_side_by_side(
    book: DatabaseManager, simple: Tracing
) -> None:
    with book.decision("momentum", "AAPL") as d:
        simple.chat()
        with d.action("place_order"):
            simple.chat()
        d.decide("BUY", quantity=1)
    simple.exporter.force_flush()
    kinds = sorted(action.action_type for action in book.get_actions(decision_id=d.id))
    assert kinds == ["chat", "chat", "place_order"]


def test_an_exporter_takes_a_book_that_it_can_call(sqlite_book: str) -> None:
    for book in (AsyncDatabaseManager(sqlite_book), None, "sqlite://"):
        with pytest.raises(InvalidInput, match="book"):
            tracing.AgentActionExporter(book)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="agent"):
        tracing.AgentActionExporter(FakeBook(), agent="")
