"""Counters of calls, names of statements, and names of all metrics."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tradebook import DatabaseConfig, ExtraNotInstalled, handlers
from tradebook.adapters.runner.observers import RetryAttempt
from tradebook.domain.errors import ConcurrentUpdate, DatabaseUnavailable, NotFound
from tradebook.operations import metrics, tracing
from tradebook.operations.metrics import catalog
from tradebook.operations.metrics.catalog import Metric
from tradebook.operations.metrics.database import database_registry
from tradebook.operations.metrics.process import Instruments, statement_name
from tradebook.service_layer import instrumentation
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.instrumentation import (
    CallRecord,
    handler_name,
    increment,
    recorded_call,
)
from tradebook.service_layer.ports.health import PoolStatus

ALL = (*catalog.PROCESS_METRICS, *catalog.DATABASE_METRICS)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def instruments(registry: CollectorRegistry) -> Instruments:
    return Instruments(registry)


class FakeManager:
    """Manager with a pool, and no database."""

    def __init__(self, url: str, waits: int = 0) -> None:
        self.config = DatabaseConfig.from_url(url)
        self.watchers: list[object] = []
        self.waits = waits

    def watch(self, watcher: object) -> None:
        self.watchers.append(watcher)

    def pool_status(self) -> PoolStatus:
        return PoolStatus(10, 20, 12, 0, 2, 3, 7.5, self.waits, 1.25)


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_every_metric_is_named_as_prometheus_asks(metric: Metric) -> None:
    assert re.fullmatch(r"tradebook_[a-z]+(_[a-z]+)*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.kind != "histogram" or metric.name.endswith("_seconds")
    assert metric.description.endswith(".")


def test_no_two_metrics_have_one_name() -> None:
    assert len({metric.name for metric in ALL}) == len(ALL)


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("SELECT trades.id FROM trades WHERE trades.account = $1", "select trades"),
        ("INSERT INTO events (account) VALUES (?)", "insert events"),
        ("UPDATE positions SET version = 2", "update positions"),
        ("DELETE FROM signals WHERE id = 1", "delete signals"),
        (
            "WITH opened AS (SELECT id FROM positions FOR UPDATE), trade AS (INSERT INTO trades (a) "
            "SELECT 1), moved AS (UPDATE positions SET a = 1) SELECT 1",
            "insert trades",
        ),
        ("WITH newest AS (SELECT max(id) FROM alerts) SELECT * FROM newest", "select alerts"),
        ("EXECUTE tradebook_booking (%(a)s)", "insert trades"),
        ("EXECUTE theirs (1)", "other"),
        ("SELECT * FROM a_table_of_somebody", "other"),
        ("BEGIN IMMEDIATE", "other"),
        ("", "other"),
    ],
)
def test_a_statement_is_called_by_its_verb_and_table(statement: str, name: str) -> None:
    assert statement_name(statement) == name


def test_there_are_few_names_of_statements_however_many_statements() -> None:
    names = {statement_name(f"SELECT {n} FROM table_{n} JOIN trades") for n in range(5_000)}
    assert names == {"select trades"}


def test_only_the_books_own_handlers_have_names() -> None:
    assert handler_name(handlers.record_trade) == "record_trade"
    assert handler_name(lambda uow: uow) == "custom"
    assert handler_name(test_only_the_books_own_handlers_have_names) == "custom"


def test_what_a_call_did_counts_when_it_is_committed(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    call = CallRecord("record_trades", "main")
    with instruments.observe_call(call), recorded_call(call):
        increment(instrumentation.TRADES, 3)
        increment(instrumentation.DUPLICATES)
        call.commit()
        increment(instrumentation.TRADES, 5)
        call.rollback()
        increment(instrumentation.BUSTS)
    value = registry.get_sample_value
    assert value("tradebook_trades_total") == 3
    assert value("tradebook_duplicates_total") == 1
    assert value("tradebook_busts_total") == 0
    labels = {"handler": "record_trades", "outcome": "done"}
    assert value("tradebook_unit_of_work_seconds_count", labels) == 1


def test_nothing_is_counted_where_no_call_is_observed() -> None:
    increment(instrumentation.TRADES)
    assert instrumentation.current_call.get() is None


def test_a_call_inside_another_counts_for_itself(instruments: Instruments) -> None:
    outer, inner = CallRecord("unit_of_work", "main"), CallRecord("record_trade", "main")
    with recorded_call(outer):
        increment(instrumentation.TRADES)
        with recorded_call(inner):
            increment(instrumentation.TRADES)
        increment(instrumentation.TRADES)
    assert (outer.pending["trades"], inner.pending["trades"]) == (2, 1)


def test_a_call_that_raises_has_failed(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    with pytest.raises(NotFound), instruments.observe_call(CallRecord("bust_trade", "main")):
        raise NotFound("trade", 1, "main")
    labels = {"handler": "bust_trade", "outcome": "failed"}
    assert registry.get_sample_value("tradebook_unit_of_work_seconds_count", labels) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConcurrentUpdate("first"), "conflict"),
        (DatabaseUnavailable("away"), "lost connection"),
        (type("OperationalError", (Exception,), {})("cut"), "lost connection"),
        (ValueError("a"), "other"),
    ],
)
def test_retries_are_counted_by_their_reason(
    registry: CollectorRegistry, instruments: Instruments, error: Exception, reason: str
) -> None:
    instruments.observe_retry(RetryAttempt(handlers.record_trade, CallContext(), error))
    assert registry.get_sample_value("tradebook_retries_total", {"reason": reason}) == 1


def test_every_severity_of_alerts_is_there_from_the_beginning(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    for severity in ("INFO", "WARNING", "CRITICAL", "EMERGENCY"):
        assert registry.get_sample_value("tradebook_alerts_total", {"severity": severity}) == 0


def test_pools_are_asked_when_somebody_asks(registry: CollectorRegistry) -> None:
    manager = FakeManager("postgresql://host/live")
    metrics.instrument(manager, registry=registry)
    manager.waits = 4
    value = registry.get_sample_value
    pool = {"pool": "live"}
    assert value("tradebook_pool_limit", pool) == 30
    assert value("tradebook_pool_checked_out", pool) == 12
    assert value("tradebook_pool_waiting", pool) == 3
    assert value("tradebook_pool_waits_total", pool) == 4
    assert value("tradebook_pool_wait_seconds_total", pool) == 1.25
    assert value("tradebook_pool_oldest_checkout_seconds", pool) == 7.5


def test_managers_share_one_registry_and_a_dead_ones_pool_is_gone(
    registry: CollectorRegistry,
) -> None:
    kept, dropped = FakeManager("sqlite:////tmp/kept.db"), FakeManager("sqlite://")
    metrics.instrument(kept, registry=registry)
    metrics.instrument(dropped, registry=registry, pool="dropped")
    assert kept.watchers == dropped.watchers
    del dropped.watchers[:]
    del dropped
    assert registry.get_sample_value("tradebook_pool_size", {"pool": "dropped"}) is None
    assert registry.get_sample_value("tradebook_pool_size", {"pool": "kept.db"}) == 10


@pytest.mark.parametrize(
    ("module", "extra", "call"),
    [
        ("prometheus_client", "prometheus", lambda: metrics.instrument(FakeManager("sqlite://"))),
        ("prometheus_client", "prometheus", lambda: database_registry(None)),
        ("opentelemetry", "otel", lambda: tracing.instrument(FakeManager("sqlite://"))),
    ],
)
def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, module: str, extra: str, call: Any
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ExtraNotInstalled, match=rf"tradebook\[{extra}\]"):
        call()
