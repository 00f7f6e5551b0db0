"""Slow statements of both managers are logged with plan and caller, without values, and only if configured."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import attrs
import pytest
from sqlalchemy import URL, text

import tradebook
from tests.support.backends import Driven
from tests.support.servers import configured
from tradebook import DatabaseConfig, InvalidInput, StatementCancelled, handlers
from tradebook.adapters.engine import slow_queries
from tradebook.config import DatabaseEnvironment

BUY: dict[str, Any] = {"symbol": "SECRET", "action": "BUY", "quantity": 1, "price": "150.25"}
NewManager = Callable[..., Any]


class Logged(logging.Handler):
    """A handler that collects the records of slow queries."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def about(self, part: str) -> list[dict[str, Any]]:
        """The fields of records whose statement has this part."""
        found = [fields_of(record) for record in self.records]
        return [fields for fields in found if part in fields["statement"]]


def end(manager: Any) -> None:
    """Close a manager of either kind: then everything is logged."""
    (manager.aclose if isinstance(manager, Driven) else manager.close)()


@pytest.fixture
def logged() -> Any:
    handler = Logged()
    logger = logging.getLogger("tradebook.slow_queries")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture(params=["sqlite_book", "memory_url", "postgresql_book"])
def config(request: pytest.FixtureRequest) -> DatabaseConfig:
    """A configuration in which every statement is slow."""
    if request.param == "memory_url":
        return DatabaseConfig(path=":memory:", slow_query_seconds=0)
    return attrs.evolve(configured(request.getfixturevalue(request.param)), slow_query_seconds=0)


@pytest.fixture
def manager(config: DatabaseConfig, new_manager: NewManager) -> Any:
    return new_manager(config, uuid4().hex)


def test_a_slow_statement_is_logged_with_its_plan_and_who_called(
    manager: Any, logged: Logged
) -> None:
    with tradebook.context(actor="ann", correlation_id="request-42"):
        manager.get_position_by_symbol("SECRET")
    end(manager)
    [fields] = logged.about("WHERE positions.account")
    assert fields["plan"]
    assert any("positions" in line for line in fields["plan"])
    assert fields["seconds"] >= 0
    assert (fields["actor"], fields["correlation_id"]) == ("ann", "request-42")
    assert fields["account"] == manager.account


def test_no_value_is_in_a_statement_or_a_plan(manager: Any, logged: Logged) -> None:
    for number in range(3):
        manager.record_trade(**BUY, order_id=f"hidden-{number}")
    manager.get_trades(symbol="SECRET")
    manager.import_trades([BUY, BUY])
    manager.read(lambda uow: uow.session.execute(text("SELECT 'SECRET', 150.25")).all())
    end(manager)
    said = [f"{record.getMessage()} {record.args} {fields_of(record)}" for record in logged.records]
    assert len(said) > 5
    assert not [line for line in said if "SECRET" in line or "hidden-" in line or "150.25" in line]
    assert not [line for line in said if manager.account in line.replace(account_of(line), "")]


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return what we attach to a record; the times that logging adds may hold any digits."""
    fields: dict[str, Any] = record.tradebook  # type: ignore[attr-defined]
    return fields


def account_of(line: str) -> str:
    """The one field that names the account on purpose."""
    return line[line.index("'account': '") :].split(",")[0] if "'account': '" in line else "\0"


def test_the_single_statement_that_books_a_trade_has_a_plan(
    manager: Any, logged: Logged, config: DatabaseConfig
) -> None:
    for _ in range(3):
        manager.record_trade(**BUY)
    end(manager)
    part = "WITH opened AS" if config.backend == "postgresql" else "INSERT INTO trades"
    plans = [
        fields["plan"] for fields in logged.about(part) if "PREPARE" not in fields["statement"]
    ]
    assert len(plans) >= 2
    assert all(plans)


def test_nothing_is_logged_unless_it_is_configured(
    new_manager: NewManager, sqlite_book: str, logged: Logged
) -> None:
    manager = new_manager(sqlite_book)
    manager.record_trade(**BUY)
    end(manager)
    assert logged.records == []
    assert configured(sqlite_book).slow_query_seconds is None


def test_a_statement_below_the_threshold_is_not_logged(
    new_manager: NewManager, sqlite_book: str, logged: Logged
) -> None:
    config = attrs.evolve(configured(sqlite_book), slow_query_seconds=60)
    manager = new_manager(config)
    manager.record_trade(**BUY)
    end(manager)
    assert logged.records == []


def test_a_statement_that_was_cancelled_is_logged_as_failed(
    new_manager: NewManager, postgresql_book: URL, logged: Logged
) -> None:
    config = attrs.evolve(
        configured(postgresql_book), slow_query_seconds=0.04, statement_timeout=50
    )
    manager = new_manager(config)

    def sleep(uow: Any) -> None:
        uow.session.execute(text("SELECT pg_sleep(5)"))

    with pytest.raises(StatementCancelled):
        manager.read(sleep)
    end(manager)
    [fields] = logged.about("pg_sleep")
    assert fields["failed"]
    assert fields["seconds"] >= 0.04


def test_a_plan_that_cannot_be_made_costs_the_plan_only(
    manager: Any, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_queries, "masked_plan", lambda lines: 1 / 0)
    manager.get_positions()
    end(manager)
    [fields] = logged.about("WHERE positions.account")
    assert "plan" not in fields


def test_statements_that_outpace_the_plans_are_logged_without(
    manager: Any, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_queries, "_MOST_WAITING", 0)
    manager.get_positions()
    [fields] = logged.about(
        "WHERE positions.account"
    )  # logged already: there is no thread to wait for
    assert "plan" not in fields
    assert not [t for t in threading.enumerate() if t.name == "tradebook-slow-queries"]


def test_the_thread_that_fetches_plans_ends_with_the_manager(manager: Any) -> None:
    manager.get_positions()
    end(manager)
    manager.get_positions()
    end(manager)
    assert not [t for t in threading.enumerate() if t.name == "tradebook-slow-queries"]


def test_a_watched_call_is_named(manager: Any, logged: Logged) -> None:
    from prometheus_client import CollectorRegistry

    from tradebook.operations import metrics

    metrics.instrument(getattr(manager, "target", manager), registry=CollectorRegistry())
    manager.run(handlers.raise_alert, "drawdown", "INFO")
    end(manager)
    assert logged.about("INSERT INTO alerts")[0]["handler"] == "raise_alert"


@pytest.mark.parametrize("given", ["-1", "soon", "nan"])
def test_a_threshold_that_is_no_time_is_refused(given: str) -> None:
    variable = "TRADEBOOK_DB_SLOW_QUERY_SECONDS"
    environment = DatabaseEnvironment(environ={variable: given})
    with pytest.raises(InvalidInput, match=variable):
        _ = environment.current


def test_the_threshold_comes_from_the_environment_or_the_url() -> None:
    environ = {"TRADEBOOK_DB_SLOW_QUERY_SECONDS": "0.25"}
    assert DatabaseEnvironment(environ=environ).current.slow_query_seconds == 0.25
    url = "postgresql://host/book?slow_query_seconds=1.5"
    assert DatabaseConfig.from_url(url).slow_query_seconds == 1.5
