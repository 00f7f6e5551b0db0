"""Traces in OpenTelemetry's form: a span for each call of a book, and for each statement one below it.

    from tradebook.operations import tracing

    tracing.instrument(book)

Needs the extra `otel`. Spans go to the application's own tracer provider, and its exporters. Spans of statements come
from `opentelemetry-instrumentation-sqlalchemy`. That package says that it knows SQLAlchemy up to 2.0, so its
`SQLAlchemyInstrumentor` does nothing with 2.1; what listens to one engine, its `EngineTracer`, works with 2.1 as
it is (a test records its spans), and no other engine of the process is touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine

from tradebook.adapters.runner.observers import Observable, RetryAttempt
from tradebook.domain.errors import ExtraNotInstalled
from tradebook.service_layer.instrumentation import CallRecord

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider


NAME: Final = "tradebook"
HANDLER: Final = "tradebook.handler"
ACCOUNT: Final = "tradebook.account"
ACTOR: Final = "tradebook.actor"
CORRELATION_ID: Final = "tradebook.correlation_id"
RETRIES: Final = "tradebook.retries"


def instrument(
    book: Observable, *, provider: TracerProvider | None = None, statements: bool = True
) -> None:
    """Trace what a manager does, from now on; call it once for each.

    Args:
        book: a `DatabaseManager` or an `AsyncDatabaseManager`.
        provider: of tracers; the process' own by default.
        statements: whether statements get spans too. They hold the text as it is sent, without parameters.

    Raises:
        ExtraNotInstalled: OpenTelemetry is missing.
    """
    try:
        from opentelemetry import metrics, trace
        from opentelemetry.instrumentation.sqlalchemy.engine import EngineTracer
    except ImportError:
        raise ExtraNotInstalled("otel", "opentelemetry-instrumentation-sqlalchemy") from None

    tracer = trace.get_tracer(NAME, tracer_provider=provider)
    usage = metrics.get_meter(NAME).create_up_down_counter("db.client.connections.usage")
    of_engine: Any = EngineTracer
    book.watch(_Tracing(tracer, lambda engine: of_engine(tracer, engine, usage), statements))


class _Tracing:
    """Watches a manager, and makes spans."""

    def __init__(self, tracer: Any, trace_engine: Any, statements: bool) -> None:
        from opentelemetry.trace import StatusCode

        self._tracer, self._trace_engine, self._statements = tracer, trace_engine, statements
        self._failed = StatusCode.ERROR

    def observe_engine(self, engine: Engine) -> None:
        """Let its statements have spans."""
        if self._statements:
            self._trace_engine(engine)

    @contextmanager
    def observe_call(self, call: CallRecord) -> Iterator[None]:
        """The span of a call; of an error that leaves it the kind alone, for messages quote values."""
        attributes = {
            HANDLER: call.handler,
            ACCOUNT: call.account,
            ACTOR: call.actor,
            CORRELATION_ID: call.correlation_id,
        }
        known = {name: value for name, value in attributes.items() if value}
        with self._tracer.start_as_current_span(
            f"{NAME}.{call.handler}",
            attributes=known,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as error:
                span.set_status(self._failed, type(error).__name__)
                raise
            finally:
                span.set_attribute(RETRIES, call.retries)

    def observe_retry(self, attempt: RetryAttempt) -> None:
        """An event in the span."""
        from opentelemetry import trace

        trace.get_current_span().add_event(
            f"{NAME}.retry", {"reason": attempt.reason, "attempt": attempt.number}
        )
