"""Spans of both managers: of calls, and of their statements by OpenTelemetry's instrumentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine, text

import tradebook
from tradebook import ConcurrentUpdate, NotFound, handlers
from tradebook.operations import metrics, tracing

BUY: dict[str, Any] = {"symbol": "AAPL", "action": "BUY", "quantity": 1, "price": "150.25"}


class Spans:
    """Spans that were exported, by name."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def watch(self, manager: Any, **options: Any) -> None:
        tracing.instrument(getattr(manager, "target", manager), provider=self.provider, **options)

    def all(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]


@pytest.fixture
def spans() -> Spans:
    return Spans()


def below(span: ReadableSpan, spans: Spans) -> list[ReadableSpan]:
    """Return the spans whose parent is this span."""
    identity = span.context and span.context.span_id
    return [s for s in spans.all() if s.parent and s.parent.span_id == identity]


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_call_has_a_span_with_handler_account_retries_and_who_calls(
    manager: Any, spans: Spans
) -> None:
    spans.watch(manager)
    with tradebook.context(actor="ann", correlation_id="request-42"):
        manager.record_trade(**BUY)
    [span] = spans.named("tradebook.record_trade")
    assert attributes(span) == {
        "tradebook.handler": "record_trade",
        "tradebook.account": manager.account,
        "tradebook.actor": "ann",
        "tradebook.correlation_id": "request-42",
        "tradebook.retries": 0,
    }
    assert span.status.status_code is not StatusCode.ERROR


def test_statements_have_spans_below_it_with_their_text_and_no_values(
    manager: Any, spans: Spans
) -> None:
    spans.watch(manager)
    for _ in range(2):  # the second takes the fast path, a single statement
        manager.record_trade(**BUY, order_id="a-secret-order")
        manager.record_trade(**BUY)
    for span in spans.named("tradebook.record_trade"):
        statements = below(span, spans)
        assert any("trades" in attributes(s)["db.statement"] for s in statements) or any(
            "tradebook_booking" in attributes(s)["db.statement"] for s in statements
        )
        assert not any("a-secret-order" in str(attributes(s)) for s in statements)
        assert not any("150.25" in str(attributes(s)) for s in statements)


def test_a_retry_is_counted_in_the_span_and_an_event_of_it(manager: Any, spans: Spans) -> None:
    spans.watch(manager, statements=False)
    conflicts = iter([True, True])

    def sometimes(uow: Any) -> None:
        handlers.record_trade(uow, **BUY)
        if next(conflicts, False):
            raise ConcurrentUpdate("another was first")

    manager.run(sometimes)
    [span] = spans.all()
    assert (span.name, attributes(span)["tradebook.retries"]) == ("tradebook.custom", 2)
    assert [(e.name, dict(e.attributes or {})["reason"]) for e in span.events] == [
        ("tradebook.retry", "conflict")
    ] * 2


def test_a_call_that_fails_says_so_by_the_kind_of_error_alone(manager: Any, spans: Spans) -> None:
    spans.watch(manager)
    with pytest.raises(NotFound):
        manager.bust_trade(order_id="a-secret-order", reason="wrong")
    [span] = spans.named("tradebook.bust_trade")
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "NotFound"
    assert span.events == ()


def test_a_call_inside_a_unit_of_work_stands_below_it(sqlite_book: str, spans: Spans) -> None:
    with tradebook.DatabaseManager(sqlite_book) as manager:
        spans.watch(manager)
        with manager.unit_of_work(read_only=True) as uow:
            uow.session.execute(text("SELECT 1"))
            manager.get_open_positions()
    [outer] = spans.named("tradebook.unit_of_work")
    assert "tradebook.get_open_positions" in [span.name for span in below(outer, spans)]


def test_no_other_engine_of_the_process_is_traced(sqlite_book: str, spans: Spans) -> None:
    with tradebook.DatabaseManager(sqlite_book) as manager:
        spans.watch(manager)
        before = len(spans.all())
        engine = create_engine("sqlite://")
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        engine.dispose()
        assert len(spans.all()) == before


@pytest.mark.parametrize("statements", [True, False])
def test_statements_are_traced_unless_they_are_not_wanted(
    new_manager: Callable[..., Any], sqlite_book: str, spans: Spans, statements: bool
) -> None:
    manager = new_manager(sqlite_book)
    spans.watch(manager, statements=statements)
    manager.record_trade(**BUY)
    kinds = {span.name.startswith("tradebook.") for span in spans.all()}
    assert kinds == ({True, False} if statements else {True})


def test_metrics_and_traces_together_count_a_call_once(manager: Any, spans: Spans) -> None:
    registry = CollectorRegistry()
    spans.watch(manager, statements=False)
    metrics.instrument(getattr(manager, "target", manager), registry=registry)
    manager.record_trade(**BUY)
    assert [span.name for span in spans.all()] == ["tradebook.record_trade"]
    assert registry.get_sample_value("tradebook_trades_total") == 1
    done = {"handler": "record_trade", "outcome": "done"}
    assert registry.get_sample_value("tradebook_unit_of_work_seconds_count", done) == 1
