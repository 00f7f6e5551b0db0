"""Traces in OpenTelemetry: a span for each call of a book, and a child span for each of its statements.

    from tradebook.operations import tracing

    tracing.instrument(book)

Needs the extra `otel`. Spans go to the application's own tracer provider and its exporters. Those of statements come from
`opentelemetry-instrumentation-sqlalchemy`, which declares support for SQLAlchemy below 2.1: its `SQLAlchemyInstrumentor`
refuses 2.1, but the `EngineTracer` inside, which listens to one engine, works there (a test records its spans).

The way in: spans of models, tools and agents (`gen_ai.*`) become actions of agents, those that begin inside
`with book.decision(...)` of that decision. See `AgentActionExporter` in `agent_spans.py`.

    exporter = tracing.AgentActionExporter(book)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    provider.add_span_processor(tracing.DecisionSpanProcessor(exporter))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen
from sqlalchemy import Engine

from tradebook.adapters.runner.observers import Observable, RetryAttempt
from tradebook.domain.errors import ExtraNotInstalled
from tradebook.service_layer.instrumentation import CallRecord

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from tradebook.operations.agent_spans import AgentActionExporter as AgentActionExporter
    from tradebook.operations.agent_spans import DecisionSpanProcessor as DecisionSpanProcessor
    from tradebook.operations.span_terms import action_terms as action_terms

_NAME: Final = "tradebook"
_OF_AGENTS: Final = ("AgentActionExporter", "DecisionSpanProcessor", "action_terms")
"""The names of `agent_spans.py`, whose classes are subclasses of the SDK's: it is imported on first use."""


def __getattr__(name: str) -> object:
    if name not in _OF_AGENTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tradebook.operations import agent_spans

    return getattr(agent_spans, name)


def instrument(
    book: Observable, *, provider: TracerProvider | None = None, statements: bool = True
) -> None:
    """Trace a manager's calls from now on; call it once for each manager.

    Args:
        book: a `DatabaseManager` or an `AsyncDatabaseManager`.
        provider: provider of tracers; the process' global one by default.
        statements: whether statements get spans too, with their text but without parameters.

    Raises:
        ExtraNotInstalled: OpenTelemetry is missing.
    """
    try:
        from opentelemetry import metrics, trace
        from opentelemetry.instrumentation.sqlalchemy.engine import EngineTracer
    except ImportError:
        raise ExtraNotInstalled("otel", "opentelemetry-instrumentation-sqlalchemy") from None

    tracer = trace.get_tracer(_NAME, tracer_provider=provider)
    usage = metrics.get_meter(_NAME).create_up_down_counter("db.client.connections.usage")
    engine_tracer: Any = EngineTracer
    trace_engine = (lambda engine: engine_tracer(tracer, engine, usage)) if statements else None
    book.watch(_Tracing(tracer, trace_engine))


@frozen
class _Tracing:
    """Observer that makes a span for each call of a manager."""

    _tracer: Any
    _trace_engine: Callable[[Engine], object] | None

    def observe_engine(self, engine: Engine) -> None:
        if self._trace_engine is not None:
            self._trace_engine(engine)

    @contextmanager
    def observe_call(self, call: CallRecord) -> Iterator[None]:
        from opentelemetry.instrumentation.utils import is_instrumentation_enabled
        from opentelemetry.trace import StatusCode

        # Inside an exporter, whose spans would be exported in turn.
        if not is_instrumentation_enabled():
            yield
            return
        attributes = {
            "tradebook.handler": call.handler,
            "tradebook.account": call.account,
            "tradebook.actor": call.actor,
            "tradebook.correlation_id": call.correlation_id,
        }
        # The exception is not recorded, only its type: messages quote values, and traces leave the process.
        with self._tracer.start_as_current_span(
            f"{_NAME}.{call.handler}",
            attributes={name: value for name, value in attributes.items() if value},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as error:
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise
            finally:
                span.set_attribute("tradebook.retries", call.retries)
                if call.read_from:
                    span.set_attribute("tradebook.read_from", call.read_from)
                    span.set_attribute("tradebook.read_reason", call.read_reason)

    def observe_retry(self, attempt: RetryAttempt) -> None:
        """Add an event to the call's span."""
        from opentelemetry import trace

        trace.get_current_span().add_event(
            f"{_NAME}.retry", {"reason": attempt.reason, "attempt": attempt.number}
        )
