"""What a process counts of its own calls, for a registry of prometheus_client."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, WeakSet, ref

from sqlalchemy import Engine, event

from tradebook.adapters.runner.observers import Observable, RetryAttempt
from tradebook.domain.alerts import Severity
from tradebook.domain.errors import ExtraNotInstalled
from tradebook.operations.metrics import catalog
from tradebook.operations.metrics.catalog import Metric
from tradebook.operations.metrics.statements import statement_name
from tradebook.service_layer import instrumentation
from tradebook.service_layer.instrumentation import CallRecord

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric as Family


# From a round trip on one machine to what a person waits for.
_BUCKETS: Final = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
_BEGUN: Final = "_tradebook_begun"


def instrument(
    book: Observable, *, pool: str | None = None, registry: CollectorRegistry | None = None
) -> None:
    """Count what a manager does, from now on; call it for each, before its first use or later.

    One that is counted in this registry already is not counted twice, and keeps its pool's name.

    Args:
        book: a `DatabaseManager` or an `AsyncDatabaseManager`.
        pool: what its pool is called in the metrics; the database's name by default.
        registry: where the metrics are; prometheus_client's own by default.

    Raises:
        ExtraNotInstalled: prometheus_client is missing.
    """
    try:
        import prometheus_client
    except ImportError:
        raise ExtraNotInstalled("prometheus", "prometheus_client") from None
    instruments = _of(prometheus_client.REGISTRY if registry is None else registry)
    if book in instruments.watched:
        return
    instruments.watched.add(book)
    instruments.pools.add(pool or _pool_name(book), book)
    book.watch(instruments)


_INSTRUMENTS: Final[WeakKeyDictionary[CollectorRegistry, Instruments]] = WeakKeyDictionary()


def _of(registry: CollectorRegistry) -> Instruments:
    """Those of a registry: managers of one process count together."""
    if registry not in _INSTRUMENTS:
        _INSTRUMENTS[registry] = Instruments(registry)
    return _INSTRUMENTS[registry]


def _pool_name(book: Observable) -> str:
    config = book.config
    return str(config.database) if config.path is None else Path(config.path).name


class Instruments:
    """Watches managers, and counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.pools = _Pools()
        self.watched: WeakSet[Observable] = WeakSet()
        registry.register(self.pools)
        self._unit_of_work = _made(catalog.UNIT_OF_WORK, registry)
        self._query = _made(catalog.QUERY, registry)
        self._failures = _made(catalog.QUERY_FAILURES, registry)
        self._retries = _made(catalog.RETRIES, registry)
        self._conflicts = _made(catalog.CONFLICTS, registry)
        self._counters = {
            what: _made(metric, registry)
            for what, metric in (
                (instrumentation.TRADES, catalog.TRADES),
                (instrumentation.DUPLICATES, catalog.DUPLICATES),
                (instrumentation.BUSTS, catalog.BUSTS),
            )
        }
        alerts = _made(catalog.ALERTS, registry)
        for severity in Severity:  # there from the beginning, or the first one makes no increase
            self._counters[instrumentation.ALERTS + severity] = alerts.labels(severity.value)

    def observe_engine(self, engine: Engine) -> None:
        """Time its statements."""
        event.listen(engine, "before_cursor_execute", _begin)
        event.listen(engine, "after_cursor_execute", self._executed)
        event.listen(engine, "handle_error", self._failed)

    @contextmanager
    def observe_call(self, call: CallRecord) -> Iterator[None]:
        """Time a call, and count what it did."""
        begun, outcome = time.perf_counter(), "failed"
        try:
            yield
            outcome = "done"
        finally:
            taken = time.perf_counter() - begun
            self._unit_of_work.labels(call.handler, outcome).observe(taken)
            if call.conflicts:
                self._conflicts.inc(call.conflicts)
            for what, count in call.committed.items():
                self._counters[what].inc(count)

    def observe_retry(self, attempt: RetryAttempt) -> None:
        """Count why."""
        self._retries.labels(attempt.reason).inc()

    def _executed(
        self, _c: object, _cursor: object, statement: str, _p: object, context: Any, _many: object
    ) -> None:
        taken = time.perf_counter() - getattr(context, _BEGUN)
        self._query.labels(statement_name(statement)).observe(taken)

    def _failed(self, failure: Any) -> None:
        if failure.statement is not None:
            self._failures.labels(statement_name(failure.statement)).inc()


def _begin(
    _c: object, _cursor: object, _statement: str, _p: object, context: Any, _many: object
) -> None:
    setattr(context, _BEGUN, time.perf_counter())


def _made(metric: Metric, registry: CollectorRegistry) -> Any:
    import prometheus_client

    if metric.kind == "histogram":
        return prometheus_client.Histogram(
            metric.name, metric.means, metric.labels, registry=registry, buckets=_BUCKETS
        )
    return prometheus_client.Counter(metric.name, metric.means, metric.labels, registry=registry)


class _Pools:
    """The pools of all managers that are alive, asked when somebody asks."""

    def __init__(self) -> None:
        self._books: dict[str, ref[Observable]] = {}

    def add(self, name: str, book: Observable) -> None:
        self._books[name] = ref(book)

    def collect(self) -> Iterator[Family]:
        """What prometheus_client asks for."""
        families = {metric: family_of(metric) for metric in _OF_POOL}
        for name, reference in list(self._books.items()):
            book = reference()
            if book is None:
                del self._books[name]
                continue
            for metric, value in _pool_values(book).items():
                families[metric].add_metric([name], value)
        yield from families.values()


_OF_POOL: Final = (
    catalog.POOL_SIZE,
    catalog.POOL_LIMIT,
    catalog.POOL_CHECKED_OUT,
    catalog.POOL_OVERFLOW,
    catalog.POOL_WAITING,
    catalog.POOL_WAITS,
    catalog.POOL_WAITED,
    catalog.POOL_OLDEST,
)


def _pool_values(book: Observable) -> dict[Metric, float]:
    status = book.pool_status()
    values = (
        status.size,
        status.size + status.max_overflow,
        status.checked_out,
        status.overflow,
        status.waiting,
        status.waits,
        status.waited,
        status.oldest_checkout or 0.0,
    )
    return dict(zip(_OF_POOL, values, strict=True))


def family_of(metric: Metric) -> Any:
    """An empty family of samples, for collectors that ask when they are asked."""
    from prometheus_client import core

    counter = metric.kind == "counter"
    kind = core.CounterMetricFamily if counter else core.GaugeMetricFamily
    return kind(metric.name, metric.means, labels=metric.labels)
