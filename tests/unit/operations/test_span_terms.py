"""Terms of actions from finished spans: names of attributes, old and new, contents, errors, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext, SpanKind, Status, StatusCode

from tradebook import AgentAction, InvalidInput
from tradebook.domain.limits import MAX_JSON
from tradebook.operations.tracing import action_terms

START = 1_772_452_800_123_456_789
CONTEXT = SpanContext(trace_id=0xA1, span_id=0xB2, is_remote=False)


def span(**options: Any) -> ReadableSpan:
    given = {"attributes": {"gen_ai.operation.name": "chat"}, "start_time": START}
    return ReadableSpan(
        "chat gpt-x", CONTEXT, **{**given, "end_time": START + 1_500_000_001, **options}
    )


def terms(attributes: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    operation = {"gen_ai.operation.name": "chat"}
    found = action_terms(span(attributes={**operation, **(attributes or {})}, **options))
    AgentAction(**{name: value for name, value in found.items() if value is not None})
    return dict(found)


def test_ids_times_and_the_operation_are_those_of_the_span() -> None:
    found = terms()
    assert (found["agent"], found["action_type"]) == ("agent", "chat")
    assert found["reference"] == f"{found['trace_id']}/{found['span_id']}"
    assert (len(found["trace_id"]), len(found["span_id"])) == (32, 16)
    assert found["trace_id"].endswith("a1")
    assert found["started_at"] == datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)
    assert found["duration"] == Decimal("1.500000001")
    assert "status" not in found
    assert "cost" not in found


@pytest.mark.parametrize(
    ("attributes", "name", "value"),
    [
        ({"gen_ai.agent.name": "desk"}, "agent", "desk"),
        ({"tradebook.decision_agent": "momentum"}, "agent", "momentum"),
        ({"gen_ai.request.model": "gpt"}, "model", "gpt"),
        ({"gen_ai.request.model": "gpt", "gen_ai.response.model": "gpt-1"}, "model", "gpt-1"),
        ({"gen_ai.usage.input_tokens": 7}, "input_tokens", 7),
        ({"gen_ai.usage.prompt_tokens": 7}, "input_tokens", 7),
        ({"gen_ai.usage.output_tokens": 0}, "output_tokens", 0),
        ({"gen_ai.usage.completion_tokens": 3}, "output_tokens", 3),
        ({"gen_ai.usage.cost": 0.25}, "cost", 0.25),
        ({"gen_ai.usage.total_cost": 0}, "cost", 0),
        ({"gen_ai.usage.input_cost": 0.1, "gen_ai.usage.output_cost": 0.2}, "cost", Decimal("0.3")),
        ({"gen_ai.input.messages": '[{"role": "user"}]'}, "input", [{"role": "user"}]),
        ({"gen_ai.prompt": "buy?"}, "input", "buy?"),
        (
            {"gen_ai.system_instructions": "be brief", "gen_ai.input.messages": "[]"},
            "input",
            {"system_instructions": "be brief", "messages": []},
        ),
        (
            {"gen_ai.tool.name": "quote", "gen_ai.tool.call.arguments": '{"s": "AAPL"}'},
            "input",
            {"tool": "quote", "arguments": {"s": "AAPL"}},
        ),
        ({"gen_ai.tool.call.result": "150.25"}, "output", 150.25),
        ({"gen_ai.output.messages": "[" * 100_000}, "output", "[" * 100_000),
        ({"gen_ai.completion": "NaN"}, "output", "NaN"),
        ({"gen_ai.completion": "yes\0"}, "output", "yes\ufffd"),
        ({"gen_ai.completion": ("a", "b")}, "output", ["a", "b"]),
    ],
)
def test_attributes_become_terms(attributes: dict[str, Any], name: str, value: Any) -> None:
    assert terms(attributes)[name] == value


def test_contents_in_events_count_as_attributes() -> None:
    event = Event("gen_ai.content.prompt", {"gen_ai.prompt": json.dumps({"q": 1})})
    assert terms(events=[event])["input"] == {"q": 1}


def test_a_content_that_no_book_takes_is_stated_by_size_and_digest() -> None:
    found = terms({"gen_ai.prompt": "x" * (MAX_JSON + 1)})["input"]
    assert found["characters"] == MAX_JSON + 1
    assert len(found["sha256"]) == 64


ERROR = Status(StatusCode.ERROR, "status says")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"status": ERROR}, "status says"),
        ({"status": Status(StatusCode.ERROR)}, "failed"),
        ({"attributes": {"error.type": "timeout"}, "status": ERROR}, "timeout: status says"),
        ({"attributes": {"error.type": "timeout"}}, "timeout"),
        (
            {
                "status": ERROR,
                "events": [
                    Event(
                        "exception",
                        {"exception.type": "ValueError", "exception.message": "no quote"},
                    )
                ],
            },
            "ValueError: no quote",
        ),
    ],
)
def test_a_failed_span_is_a_failed_action(options: dict[str, Any], error: str) -> None:
    found = terms(**options)
    assert (found["status"], found["error"]) == ("FAILED", error)


def test_usage_of_an_agent_in_this_process_is_left_to_its_model_calls() -> None:
    usage = {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 7}
    model = {"gen_ai.request.model": "gpt", "gen_ai.usage.cost": 1}
    inside = terms({**usage, **model}, kind=SpanKind.INTERNAL)
    assert not {"model", "input_tokens", "cost"} & inside.keys()
    remote = terms({**usage, **model}, kind=SpanKind.CLIENT)
    assert (remote["model"], remote["input_tokens"], remote["cost"]) == ("gpt", 7, 1)


def test_a_span_that_names_no_operation_has_its_name() -> None:
    found = action_terms(span(attributes={"gen_ai.system": "x"}), agent="desk")
    assert (found["agent"], found["action_type"]) == ("desk", "chat gpt-x")


@pytest.mark.parametrize("context", [None, INVALID_SPAN_CONTEXT])
def test_a_span_without_ids_is_refused(context: SpanContext | None) -> None:
    without = ReadableSpan("chat", context, start_time=START, end_time=START)
    with pytest.raises(InvalidInput, match=r"span: 'chat' .* valid trace and span ids"):
        action_terms(without)


def test_a_span_that_has_not_ended_is_refused() -> None:
    with pytest.raises(InvalidInput, match="a finished span"):
        action_terms(span(end_time=None))
