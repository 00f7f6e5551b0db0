"""Terms of actions from finished spans of OpenTelemetry.

The attributes are those of the semantic conventions for generative AI (`gen_ai.*`), and the former names of some.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from tradebook.domain.agents import ActionStatus
from tradebook.domain.errors import InvalidInput
from tradebook.domain.limits import MAX_NAME
from tradebook.domain.numbers import EXACT, ZERO, non_negative
from tradebook.domain.plain_values import is_instance
from tradebook.domain.validation import Json, argument, json_value
from tradebook.service_layer.decision_draft import seconds, storable
from tradebook.service_layer.handlers.decisions import ActionTerms

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

DECISION_AGENT: Final = "tradebook.decision_agent"
"""The attribute with the agent of that decision: the agent of a span that names none."""

GEN_AI: Final = "gen_ai."
"""The beginning of the names of the attributes by which a span is one of a model, a tool or an agent."""
_OPERATION: Final = "gen_ai.operation.name"
_MODEL: Final = ("gen_ai.response.model", "gen_ai.request.model")
_INPUT_TOKENS: Final = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
_OUTPUT_TOKENS: Final = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
_COST: Final = ("gen_ai.usage.cost", "gen_ai.usage.total_cost")
_PARTS_OF_COST: Final = ("gen_ai.usage.input_cost", "gen_ai.usage.output_cost")
_INPUT: Final = (
    "gen_ai.input.messages",
    "gen_ai.tool.call.arguments",
    "gen_ai.retrieval.query.text",
    "gen_ai.prompt",
)
_OUTPUT: Final = (
    "gen_ai.output.messages",
    "gen_ai.tool.call.result",
    "gen_ai.retrieval.documents",
    "gen_ai.completion",
)
_AROUND_OTHERS: Final = ("invoke_agent", "invoke_workflow")
"""Operations whose model calls are spans of their own, where they run in this process."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def action_terms(
    span: ReadableSpan, *, agent: str = "agent", cost_currency: str = "USD"
) -> ActionTerms:
    """Return the terms of the action that a finished span is, without its decision.

    `reference` is `TRACE/SPAN`, the ids in hexadecimal, so that a span is recorded once. Tokens, cost and model of
    an agent or a workflow that is invoked in this process are left to the spans of its model calls.

    Args:
        span: with `gen_ai.*` attributes.
        agent: the name of the agent where the span has none.
        cost_currency: of its cost, where it has one.

    Raises:
        InvalidInput: the span has no valid ids, or no times.
    """
    context = span.get_span_context()
    if context is None or not context.is_valid:
        raise InvalidInput("span", span.name, "a span with valid trace and span ids")
    if span.start_time is None or span.end_time is None:
        raise InvalidInput("span", span.name, "a finished span")
    values = _attributes(span)
    trace_id, span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"
    operation = _first(values, _OPERATION) or span.name.strip()[:MAX_NAME] or "span"
    terms: ActionTerms = {
        "agent": _first(values, "gen_ai.agent.name", DECISION_AGENT) or agent,
        "action_type": operation,
        "started_at": _EPOCH + timedelta(microseconds=span.start_time // 1_000),
        "duration": seconds(max(span.end_time - span.start_time, 0)),
        "input": _input(values),
        "output": _content(values, *_OUTPUT),
        "trace_id": trace_id,
        "span_id": span_id,
        "reference": f"{trace_id}/{span_id}",
    }
    if span.kind.name != "INTERNAL" or operation not in _AROUND_OTHERS:
        terms = {**terms, **_usage(values, cost_currency)}
    error = _error(span, values)
    return terms if error is None else {**terms, "status": ActionStatus.FAILED, "error": error}


def _attributes(span: ReadableSpan) -> dict[str, Any]:
    """Return the attributes of a span, with those of its events that hold contents."""
    values: dict[str, Any] = {}
    for event in span.events:
        if event.name.startswith(GEN_AI):
            values |= event.attributes or {}
    return values | dict(span.attributes or {})


def _first(values: Mapping[str, Any], *names: str) -> Any:
    return next((values[name] for name in names if values.get(name) not in (None, "")), None)


def _usage(values: Mapping[str, Any], cost_currency: str) -> ActionTerms:
    usage: dict[str, Any] = {
        "model": _first(values, *_MODEL),
        "input_tokens": _first(values, *_INPUT_TOKENS),
        "output_tokens": _first(values, *_OUTPUT_TOKENS),
    }
    cost = _first(values, *_COST)
    parts = [values[name] for name in _PARTS_OF_COST if name in values]
    if cost is None and parts:
        cost = ZERO
        for part in parts:
            cost = EXACT.add(cost, argument("cost", non_negative, part))
    if cost is not None:
        usage |= {"cost": cost, "cost_currency": cost_currency}
    return cast("ActionTerms", usage)


def _input(values: Mapping[str, Any]) -> Json:
    """Return the input of a step, with the tool that it called or the instructions of the system."""
    found = _content(values, *_INPUT)
    tool, system = values.get("gen_ai.tool.name"), _content(values, "gen_ai.system_instructions")
    if tool is not None:
        return {"tool": str(tool), "arguments": found}
    return found if system is None else {"system_instructions": system, "messages": found}


def _content(values: Mapping[str, Any], *names: str) -> Json:
    """Return the first of the attributes that is there as JSON; of one that no book takes, size and digest."""
    found = _first(values, *names)
    if is_instance(found, str):
        with suppress(ValueError, RecursionError):
            return json_value(json.loads(found))
        found = storable(found, len(found))
    try:
        return json_value(found)
    except InvalidInput:
        text = str(found)
        return {
            "characters": len(text),
            "sha256": hashlib.sha256(text.encode("utf-8", "replace")).hexdigest(),
        }


def _error(span: ReadableSpan, values: Mapping[str, Any]) -> str | None:
    """Return the error of a failed span, from its exception, its status or its `error.type`; None for others."""
    kind = values.get("error.type")
    if span.status.status_code.name != "ERROR" and kind is None:
        return None
    raised = [event.attributes or {} for event in span.events if event.name == "exception"]
    parts = [raised[-1].get(f"exception.{part}") for part in ("type", "message")] if raised else []
    found = parts or [kind, span.status.description]
    return storable(": ".join(str(part) for part in found if part) or "failed")
