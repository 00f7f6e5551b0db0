"""Metrics of an application's own calls, statements and pools, for a registry of prometheus_client."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, event

from tradebook.adapters.columns import metadata
from tradebook.adapters.ledger.prepared_statement import PREPARED
from tradebook.adapters.runner.observers import Observable, RetryAttempt
from tradebook.domain.alerts import Severity
from tradebook.domain.errors import ExtraNotInstalled
from tradebook.operations.metrics import catalog
from tradebook.operations.metrics.catalog import Metric, Sample, families
from tradebook.service_layer import instrumentation
from tradebook.service_layer.instrumentation import CallRecord

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

# Seconds, from a round trip on one machine (0.2 ms) to the longest that a person waits.
_BUCKETS: Final = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
_BEGAN: Final = "_tradebook_began"
_OTHER: Final = "other"
_BOOKING: Final = "insert trades"
"""Name of the single statement that books a trade and writes three tables."""

_VERB: Final = re.compile(r"\b(insert|update|delete|select|copy)\b", re.IGNORECASE)
_WRITE: Final = re.compile(
    r"\b(insert(?=\s+into)|delete(?=\s+from)|(?<!for )update)\b", re.IGNORECASE
)
_TABLE: Final = re.compile(r"\b(?:from|into|update|join|copy)\s+\"?(\w+)", re.IGNORECASE)


def instrument(
    book: Observable, *, pool: str | None = None, registry: CollectorRegistry | None = None
) -> None:
    """Count and time a manager's calls from now on; call it once for each manager.

    A manager that this registry counts already is not counted twice, and its pool keeps its name.

    Args:
        book: a `DatabaseManager` or an `AsyncDatabaseManager`.
        pool: name of its pool in the metrics; the database's name by default.
        registry: where the metrics are registered; prometheus_client's default registry if None.

    Raises:
        ExtraNotInstalled: prometheus_client is missing.
    """
    try:
        import prometheus_client
    except ImportError:
        raise ExtraNotInstalled("prometheus", "prometheus_client") from None
    registry = registry or prometheus_client.REGISTRY
    instruments = _INSTRUMENTS.get(registry)
    if instruments is None:
        instruments = _INSTRUMENTS[registry] = Instruments(registry)
    if book in instruments.pools:
        return
    config = book.config
    name = str(config.database) if config.path is None else Path(config.path).name
    instruments.pools[book] = pool or name
    book.watch(instruments)


class Instruments:
    """The metrics of one registry, shared by all managers that are counted there."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register every metric of `catalog.PROCESS_METRICS`."""
        # Weak: metrics must not keep a manager alive that its application has dropped.
        self.pools: WeakKeyDictionary[Observable, str] = WeakKeyDictionary()
        registry.register(self)
        self._unit_of_work = _register(catalog.UNIT_OF_WORK, registry)
        self._query = _register(catalog.QUERY, registry)
        self._failures = _register(catalog.QUERY_FAILURES, registry)
        self._retries = _register(catalog.RETRIES, registry)
        self._reads = _register(catalog.READS, registry)
        self._read_wait = _register(catalog.READ_WAIT, registry)
        self._conflicts = _register(catalog.CONFLICTS, registry)
        self._counters = {
            instrumentation.TRADES: _register(catalog.TRADES, registry),
            instrumentation.DUPLICATES: _register(catalog.DUPLICATES, registry),
            instrumentation.BUSTS: _register(catalog.BUSTS, registry),
        }
        alerts = _register(catalog.ALERTS, registry)
        # Prometheus computes an increase only for a series that existed before, so each severity begins at 0.
        for severity in Severity:
            self._counters[instrumentation.ALERTS + severity] = alerts.labels(severity.value)

    def collect(self) -> Iterable[Any]:
        """Read the pools of all living managers, on each scrape of the registry."""
        # Managers may share a pool's name, and a label may appear once: report the last one.
        books = {name: book for book, name in list(self.pools.items())}
        return families(sample for name, book in books.items() for sample in _samples(name, book))

    def observe_engine(self, engine: Engine) -> None:
        """Time the statements of an engine, and count those that fail."""
        event.listen(engine, "before_cursor_execute", _start_timer)
        event.listen(engine, "after_cursor_execute", self._record_statement)
        event.listen(engine, "handle_error", self._record_failure)

    @contextmanager
    def observe_call(self, call: CallRecord) -> Iterator[None]:
        """Time a call, and add what it committed to the counters."""
        began, outcome = time.perf_counter(), "failed"
        try:
            yield
            outcome = "done"
        finally:
            seconds = time.perf_counter() - began
            self._unit_of_work.labels(call.handler, outcome).observe(seconds)
            if call.read_from:
                self._reads.labels(call.read_from, call.read_reason).inc()
                self._read_wait.labels(call.read_from).observe(call.read_wait)
            if call.conflicts:
                self._conflicts.inc(call.conflicts)
            for counter, count in call.committed.items():
                self._counters[counter].inc(count)

    def observe_retry(self, attempt: RetryAttempt) -> None:
        """Count a retry by its reason."""
        self._retries.labels(attempt.reason).inc()

    def _record_statement(
        self, _c: object, _cursor: object, statement: str, _p: object, context: Any, _many: object
    ) -> None:
        seconds = time.perf_counter() - getattr(context, _BEGAN)
        self._query.labels(statement_name(statement)).observe(seconds)

    def _record_failure(self, failure: Any) -> None:
        if failure.statement is not None:  # None where connecting or committing failed
            self._failures.labels(statement_name(failure.statement)).inc()


# Weak: a registry that its application drops takes its metrics along.
_INSTRUMENTS: Final[WeakKeyDictionary[CollectorRegistry, Instruments]] = WeakKeyDictionary()


def _start_timer(
    _c: object, _cursor: object, _statement: str, _p: object, context: Any, _many: object
) -> None:
    setattr(context, _BEGAN, time.perf_counter())


def _register(metric: Metric, registry: CollectorRegistry) -> Any:
    import prometheus_client

    arguments = metric.name, metric.description, metric.labels
    if metric.kind == "histogram":
        return prometheus_client.Histogram(*arguments, registry=registry, buckets=_BUCKETS)
    return prometheus_client.Counter(*arguments, registry=registry)


def _samples(pool: str, book: Observable) -> Iterator[Sample]:
    status = book.pool_status()
    yield catalog.POOL_SIZE, (pool,), status.size
    yield catalog.POOL_LIMIT, (pool,), status.size + status.max_overflow
    yield catalog.POOL_CHECKED_OUT, (pool,), status.checked_out
    yield catalog.POOL_OVERFLOW, (pool,), status.overflow
    yield catalog.POOL_WAITING, (pool,), status.waiting
    yield catalog.POOL_WAITS, (pool,), status.waits
    yield catalog.POOL_WAITED, (pool,), status.waited
    yield catalog.POOL_OLDEST, (pool,), status.oldest_checkout or 0.0


@lru_cache(maxsize=2_000)  # SQLAlchemy sends the same text for the same query, whatever its values
def statement_name(statement: str) -> str:
    """Return a statement's verb and first table of the book, such as `insert trades`; else `other`."""
    beginning = statement.lstrip("( \n")[:7].lower()
    if beginning == "execute":
        return _BOOKING if PREPARED in statement else _OTHER
    # A CTE begins with SELECTs even where it writes: its first write names it.
    found = _WRITE.search(statement) if beginning.startswith(("with", "prepare")) else None
    found = found or _VERB.search(statement)
    if found is None:
        return _OTHER
    tables = (table.lower() for table in _TABLE.findall(statement, found.start()))
    table = next((table for table in tables if table in metadata.tables), None)
    return _OTHER if table is None else f"{found[1].lower()} {table}"
