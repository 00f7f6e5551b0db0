"""`record_trade` watched and not: metrics, traces, the log of slow queries, each by itself and in the same run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from sqlalchemy import URL

from benchmarks.comparing import TIME, Way, measure, repeated
from benchmarks.one_trade import terms
from benchmarks.results import Goal, Result, Settings
from tests.support.servers import configured, create_database, postgresql_server
from tradebook import DatabaseManager
from tradebook.operations import metrics, tracing

OFF = "nothing watches"
METRICS = "metrics"
TRACES = "traces of calls and statements"
SLOW_QUERIES = "the log of slow queries"
# What everybody switches on.
GOALS = {METRICS: Goal(1.5, at_most=True), SLOW_QUERIES: Goal(1.5, at_most=True)}


def results(settings: Settings) -> Iterator[Result]:
    """One client, on PostgreSQL and on a file."""
    with postgresql_server() as server:
        yield _compared("PostgreSQL", create_database(server, "watched"), settings)
    with tempfile.TemporaryDirectory() as folder:
        yield _compared("a SQLite file", f"sqlite:///{Path(folder) / 'watched.db'}", settings)


def _compared(where: str, url: str | URL, settings: Settings) -> Result:
    with ways(url) as made:
        times = measure(made, min(settings.rounds, 7), max(settings.calls // 3, 1))
    return times.result(f"record_trade, watched, on {where}", GOALS, base=OFF, ratio=TIME)


@contextmanager
def ways(url: str | URL) -> Iterator[dict[str, Way]]:
    """A manager of its own for each."""
    with ExitStack() as stack:
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(InMemorySpanExporter()))
        stack.callback(provider.shutdown)

        def counted(book: DatabaseManager) -> None:
            metrics.instrument(book, registry=CollectorRegistry())

        def traced(book: DatabaseManager) -> None:
            tracing.instrument(book, provider=provider)

        kinds: dict[str, tuple[Callable[[DatabaseManager], None], float | None]] = {
            OFF: (lambda _: None, None),
            METRICS: (counted, None),
            TRACES: (traced, None),
            SLOW_QUERIES: (lambda _: None, 5.0),
        }
        made: dict[str, Way] = {}
        for number, (name, (watch, slow)) in enumerate(kinds.items()):
            config = attrs.evolve(configured(url), slow_query_seconds=slow)
            book = stack.enter_context(DatabaseManager(config))
            book.upgrade()
            watch(book)
            made[name] = recording(book, f"W{number}")
        yield made


def recording(book: DatabaseManager, symbol: str) -> Way:
    """Records trades in a symbol that was traded before."""
    book.record_trade(**terms(symbol, 1))
    return repeated(lambda price: book.record_trade(**terms(symbol, price)))
