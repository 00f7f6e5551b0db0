"""Spans of OpenTelemetry as actions of agents: an exporter that records them in a book, and a stamp of their decision.

`span_terms.py` reads the spans. `tradebook.operations.tracing` has these names, too.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from attrs import define, frozen
from typing_extensions import override

from tradebook.adapters.loggers import SPANS, about
from tradebook.domain.errors import (
    BookBusy,
    ConstraintViolated,
    DatabaseFailure,
    ExtraNotInstalled,
    InvalidInput,
    NotFound,
    TradebookError,
)
from tradebook.domain.plain_values import is_instance
from tradebook.domain.validation import argument, identifier, optional_id, optional_identifier
from tradebook.operations.span_terms import DECISION_AGENT, GEN_AI, action_terms
from tradebook.service_layer.book import Book
from tradebook.service_layer.decision_draft import current_decision, open_decision
from tradebook.service_layer.handlers.decisions import ActionTerms, record_actions
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
else:
    try:
        from opentelemetry.sdk.trace import SpanProcessor
        from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    except ImportError:  # making one of the classes names the extra
        SpanExporter = SpanProcessor = object

DECISION: Final = "tradebook.decision"
"""The attribute with the reference of the decision that a span is of."""
DECISION_ID: Final = "tradebook.decision_id"
"""The attribute with the id of that decision, where an application knows it."""
DECISION_ACCOUNT: Final = "tradebook.decision_account"
"""The attribute with the account of that decision: the exporters of other accounts leave the span out."""
MAX_WAITING: Final = 10_000
"""Spans that wait for their decisions; the oldest of more are recorded without."""
MAX_WAIT: Final = timedelta(minutes=5)
"""The longest wait of a span, after its end, for a decision that no open block of this process is about to record."""

_OWN: Final = "tradebook"


class DecisionSpanProcessor(SpanProcessor):
    """Stamps each span that begins inside `with book.decision(...)` with its decision; add it to the tracer provider.

    A span that begins outside, as in another thread, takes the stamp of its parent.

    Args:
        exporter: is flushed when the provider is, which its own processor does not do; add that one before this one.
    """

    def __init__(self, exporter: AgentActionExporter | None = None) -> None:
        """Take the exporter to flush, if any."""
        _require_sdk()
        self._exporter = exporter

    @override
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        from opentelemetry import trace

        if DECISION in (span.attributes or {}):
            return
        draft = current_decision.get()
        if draft is not None:
            stamp: dict[str, Any] = {
                DECISION: draft.reference,
                DECISION_ACCOUNT: draft.account,
                DECISION_AGENT: draft.agent,
            }
        else:
            above = getattr(trace.get_current_span(parent_context), "attributes", None) or {}
            names = (DECISION, DECISION_ACCOUNT, DECISION_AGENT)
            stamp = {name: above[name] for name in names if name in above}
        span.set_attributes(stamp)

    @override
    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter is None or self._exporter.force_flush(timeout_millis)


@frozen
class _Step:
    """A span that is to be recorded.

    Attributes:
        terms: of its action.
        reference: of the decision that it waits for, or None.
        ended_at: the end of the span, in nanoseconds since 1970.
    """

    terms: ActionTerms
    reference: str | None
    ended_at: int


@define
class ExportCounts:
    """The numbers of spans by their outcome: those that are no calls of models, tools or agents are not counted.

    Attributes:
        recorded: in the book, once each.
        refused: without ids, or refused by the book; the log has the reason.
        undecided: recorded without a decision, though they name one that is not on record.
        lost: not recorded, because the database failed until the exporter was shut down.
    """

    recorded: int = 0
    refused: int = 0
    undecided: int = 0
    lost: int = 0


class AgentActionExporter(SpanExporter):
    """Records finished spans of models, tools and agents (`gen_ai.*`) as actions of agents, once each.

    Spans of this package are left out, and writing makes none. A span whose decision is not recorded yet waits for it:
    while the block of the decision is open, else for `MAX_WAIT`; whether it is recorded is seen when the next spans
    are exported. `force_flush` and `shutdown` record what waits.

    Args:
        book: records the actions; a `Book`, also in programs of asyncio, where a `BatchSpanProcessor` uses it in its
            own thread.
        agent: the name of the agent of spans that name none and are outside any decision.
        cost_currency: of the costs that spans state.

    Raises:
        InvalidInput: an argument is refused.
        ExtraNotInstalled: OpenTelemetry's SDK is missing.
    """

    def __init__(self, book: Book, *, agent: str = "agent", cost_currency: str = "USD") -> None:
        """Take the book; nothing is read or written yet."""
        _require_sdk()
        if not is_instance(book, Book):
            raise InvalidInput(
                "book", book, "a Book: an AsyncBook cannot be awaited where spans are exported"
            )
        self._book = book
        self._agent = argument("agent", identifier, agent)
        self._cost_currency = argument("cost_currency", identifier, cost_currency)
        self._waiting: deque[_Step] = deque()
        self._lock = RLock()
        self._is_shut = False
        self.counts = ExportCounts()

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Record the spans that are no longer to wait; FAILURE says that the database failed: they are tried again."""
        with self._lock:
            if self._is_shut:
                return SpanExportResult.FAILURE
            for span in spans:
                self._take(span)
            return self._record(is_last=False)

    @override
    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Record everything that waits, without a decision where it is not on record."""
        with self._lock:
            return self._record(is_last=True) is SpanExportResult.SUCCESS

    @override
    def shutdown(self) -> None:
        """Record everything that waits; what the database did not take is lost, and the log says how much."""
        with self._lock:
            if self._is_shut:
                return
            self._record(is_last=True)
            self._is_shut = True
            self.counts.lost += len(self._waiting)
            if self._waiting:
                SPANS.error("%d spans are lost: the database did not take them", len(self._waiting))
            self._waiting.clear()

    def _take(self, span: ReadableSpan) -> None:
        """Queue a span that is to be recorded in this account."""
        attributes = span.attributes or {}
        scope = span.instrumentation_scope
        if scope is not None and scope.name == _OWN:
            return
        if not any(name.startswith(GEN_AI) for name in attributes):
            return
        if attributes.get(DECISION_ACCOUNT, self._book.account) != self._book.account:
            return
        try:
            terms = action_terms(span, agent=self._agent, cost_currency=self._cost_currency)
            named: dict[str, Any] = dict(attributes)
            reference = argument(DECISION, optional_identifier, named.get(DECISION))
            terms["decision_id"] = argument(DECISION_ID, optional_id, named.get(DECISION_ID))
        except InvalidInput as error:
            self._refuse(span.name, error)
            return
        waits_for = reference if terms["decision_id"] is None else None
        self._waiting.append(_Step(terms, waits_for, span.end_time or 0))

    def _record(self, *, is_last: bool) -> SpanExportResult:
        """Record the steps that are no longer to wait; all of them stay in the queue where the database fails."""
        from opentelemetry.instrumentation.utils import suppress_instrumentation

        if not self._waiting:
            return SpanExportResult.SUCCESS
        try:
            with suppress_instrumentation():
                ready = self._ready(is_last=is_last)
                self._write([terms for _, terms in ready])
        except (DatabaseFailure, BookBusy) as error:
            SPANS.warning("spans are not recorded yet", extra=about(error=type(error).__name__))
            while len(self._waiting) > MAX_WAITING:
                self._waiting.popleft()
                self.counts.lost += 1
            return SpanExportResult.FAILURE
        done = {id(step) for step, _ in ready}
        self._waiting = deque(step for step in self._waiting if id(step) not in done)
        return SpanExportResult.SUCCESS

    def _ready(self, *, is_last: bool) -> list[tuple[_Step, ActionTerms]]:
        """Return the steps that are no longer to wait, with the terms to record them by."""
        known, undecided = self._decisions()
        too_many, now = len(self._waiting) - MAX_WAITING, time.time_ns()
        oldest = now - int(MAX_WAIT.total_seconds()) * 10**9
        ready: list[tuple[_Step, ActionTerms]] = []
        missed = 0
        for number, step in enumerate(self._waiting):
            if step.reference is None:
                ready.append((step, step.terms))
            elif step.reference in known:
                ready.append((step, {**step.terms, "decision_id": known[step.reference]}))
            elif (
                is_last
                or number < too_many
                or (step.reference not in undecided and step.ended_at < oldest)
            ):
                missed += 1
                ready.append((step, step.terms))
        if missed:
            self.counts.undecided += missed
            SPANS.warning(
                "%d spans are recorded without a decision: the one that they name is not on record",
                missed,
            )
        return ready

    def _decisions(self) -> tuple[dict[str, int], set[str]]:
        """Return the decisions on record that steps wait for, by reference, and those whose block is open."""
        known: dict[str, int] = {}
        undecided: set[str] = set()
        to_read: list[str] = []
        for reference in dict.fromkeys(step.reference for step in self._waiting):
            if reference is None:
                continue
            draft = open_decision(self._book.account, reference)
            if draft is None:
                to_read.append(reference)
            elif draft.decision is None:
                undecided.add(reference)
            else:
                known[reference] = draft.decision.id
        return (known | self._book.read(_recorded, to_read) if to_read else known), undecided

    def _write(self, actions: list[ActionTerms]) -> None:
        """Record actions in one transaction, or one by one where one of them is refused."""
        if not actions:
            return
        try:
            self._book.run(record_actions, actions)
            self.counts.recorded += len(actions)
        except TradebookError as error:
            if _is_outage(error):
                raise
            for terms in actions:
                self._write_alone(terms)

    def _write_alone(self, terms: ActionTerms) -> None:
        try:
            self._book.run(record_actions, [terms])
        except NotFound as error:  # its decision: the step is on record all the same
            SPANS.warning("a span names no decision of this account", extra=about(error=str(error)))
            self.counts.undecided += 1
            self._write_alone({**terms, "decision_id": None})
        except TradebookError as error:
            if _is_outage(error):
                raise
            self._refuse(terms["action_type"], error)
        else:
            self.counts.recorded += 1

    def _refuse(self, name: str, error: TradebookError) -> None:
        self.counts.refused += 1
        SPANS.warning(
            "a span is not recorded: %s", error, extra=about(span=name, error=type(error).__name__)
        )


def _require_sdk() -> None:
    try:
        from opentelemetry.sdk import trace  # noqa: F401
    except ImportError:
        raise ExtraNotInstalled("otel", "opentelemetry-sdk") from None


def _is_outage(error: TradebookError) -> bool:
    """Return whether the same call may succeed later."""
    return isinstance(error, DatabaseFailure | BookBusy) and not isinstance(
        error, ConstraintViolated
    )


def _recorded(uow: AbstractUnitOfWork, references: Sequence[str]) -> dict[str, int]:
    """Return the ids of the decisions that are recorded under references."""
    return {
        reference: decision.id
        for reference in references
        for decision in uow.decisions.page(limit=1, reference=reference)
    }
