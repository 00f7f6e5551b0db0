"""Logs of the package: silent by default, as text or JSON when configured, without values or passwords."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

import tradebook
from tests.support.loggers import logging_restored
from tradebook import InvalidInput, handlers
from tradebook.adapters import loggers
from tradebook.adapters.engine.slow_queries import masked, masked_plan
from tradebook.adapters.runner.observers import RetryAttempt
from tradebook.adapters.runner.retries import Retries
from tradebook.domain.errors import ConcurrentUpdate, DatabaseUnavailable
from tradebook.operations import logs
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.instrumentation import CallRecord, recorded_call

CALLED = (handlers.record_trade, CallContext(actor="ann", correlation_id="r-42"))


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Return a stream for the logs, and restore the logging configuration afterwards."""
    with logging_restored():
        yield io.StringIO()


def test_a_warning_is_silent_where_nobody_set_up_logging(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    loggers.RETRIES.warning("nobody asked")
    assert capsys.readouterr().err == ""


def test_a_retry_is_one_json_document_that_says_who_and_why(written: io.StringIO) -> None:
    logs.configure(json=True, stream=written)
    Retries("desk-7").add(RetryAttempt(*CALLED, ConcurrentUpdate("another was first"), 3, 0.25))
    document = json.loads(written.getvalue())
    assert document.pop("time").endswith("+00:00")
    assert document == {
        "level": "INFO",
        "logger": "tradebook.retries",
        "message": "record_trade: another was first; tried again",
        "reason": "conflict",
        "handler": "record_trade",
        "account": "desk-7",
        "actor": "ann",
        "correlation_id": "r-42",
        "attempt": 3,
        "wait_seconds": 0.25,
    }


@pytest.mark.parametrize(
    ("error", "given_up", "level", "reason"),
    [
        (ConcurrentUpdate("x"), False, "INFO", "conflict"),
        (DatabaseUnavailable("x"), False, "WARNING", "lost connection"),
        (ConcurrentUpdate("x"), True, "ERROR", "conflict"),
    ],
)
def test_a_lost_connection_and_a_call_given_up_weigh_more_than_a_conflict(
    written: io.StringIO, error: Exception, given_up: bool, level: str, reason: str
) -> None:
    logs.configure(json=True, stream=written)
    retries = Retries()
    (retries.gave_up if given_up else retries.add)(RetryAttempt(*CALLED, error))
    document = json.loads(written.getvalue())
    assert (document["level"], document["reason"]) == (level, reason)
    assert "account" not in document
    assert retries.count == (not given_up)


def test_the_values_that_a_driver_quotes_are_not_logged(written: io.StringIO) -> None:
    logs.configure(json=True, stream=written)
    Retries().add(RetryAttempt(*CALLED, RuntimeError("Key (order_id)=(secret) already exists")))
    assert "secret" not in written.getvalue()
    assert json.loads(written.getvalue())["message"] == "record_trade: RuntimeError; tried again"


def test_a_retry_undoes_what_its_call_has_done() -> None:
    call = CallRecord("record_trade", "main")
    with recorded_call(call):
        call.pending["trades"] = 1
        Retries().add(RetryAttempt(*CALLED, ConcurrentUpdate("x")))
        Retries().gave_up(RetryAttempt(*CALLED, ConcurrentUpdate("x")))
    assert (call.retries, call.conflicts, call.pending.total()) == (1, 2, 0)


def test_the_context_names_who_calls_where_a_record_does_not(written: io.StringIO) -> None:
    logs.configure(json=True, stream=written)
    with tradebook.context(actor="bob", correlation_id="r-1"):
        loggers.MIGRATIONS.info("moved", extra=loggers.about(to_revision="0002", account=""))
    document = json.loads(written.getvalue())
    assert (document["actor"], document["correlation_id"]) == ("bob", "r-1")
    assert document["to_revision"] == "0002"
    assert "account" not in document


def test_text_has_the_fields_after_the_message_and_the_plan_below(written: io.StringIO) -> None:
    logs.configure(stream=written)
    about = loggers.about(handler="record_trade", statement="SELECT ?", summary="took 1 s")
    loggers.SLOW_QUERIES.warning("took 1 s: SELECT ?\n  Seq Scan", extra=about)
    first, second = written.getvalue().splitlines()
    assert first.endswith("took 1 s: SELECT ? [handler=record_trade]")
    assert second == "  Seq Scan"


def test_an_error_is_written_with_its_traceback(written: io.StringIO) -> None:
    logs.configure(json=True, stream=written)
    try:
        raise ValueError("odd")
    except ValueError:
        logging.getLogger("tradebook.mine").exception("failed")
    assert "ValueError: odd" in json.loads(written.getvalue())["exception"]


def test_configuring_again_replaces_what_was_set_up(written: io.StringIO) -> None:
    logs.configure(json=True, stream=io.StringIO())
    logs.configure(json=True, stream=written, level="WARNING")
    loggers.RETRIES.info("not this")
    loggers.RETRIES.warning("this")
    assert [json.loads(line)["message"] for line in written.getvalue().splitlines()] == ["this"]


def test_what_sqlalchemy_says_of_our_pools_is_not_among_it(written: io.StringIO) -> None:
    logs.configure(stream=written)
    logging.getLogger("tradebook.adapters.engine.pool.WatchedPool").info("Pool disposed")
    assert written.getvalue() == ""


def test_the_variable_chooses_the_form(
    written: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure_from({})
    loggers.RETRIES.warning("silent")
    logs.configure_from({"TRADEBOOK_LOG": "json"})
    loggers.RETRIES.warning("said")
    assert json.loads(capsys.readouterr().err)["message"] == "said"
    with pytest.raises(InvalidInput, match="TRADEBOOK_LOG: 'yaml' is not accepted"):
        logs.configure_from({"TRADEBOOK_LOG": "yaml"})


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("SELECT * FROM t WHERE a = 'it''s' AND b = 12.5", "SELECT * FROM t WHERE a = ? AND b = ?"),
        ("SELECT $1::TEXT, :name, %(p1)s, ?", "SELECT $1::TEXT, :name, %(p1)s, ?"),
        ("SELECT E'\\x', $$a secret$$, $tag$b$tag$", "SELECT ?, ?, ?"),
        ("SELECT 'never closed", "SELECT ?"),
        ("SELECT -1, 1e6, t1.c2 FROM t1\n  LIMIT 5", "SELECT ?, ?, t1.c2 FROM t1 LIMIT ?"),
        ("EXECUTE tradebook_booking ('acc', 5)", "EXECUTE tradebook_booking (?, ?)"),
    ],
)
def test_values_in_a_statement_are_masked_and_placeholders_stay(statement: str, shown: str) -> None:
    assert masked(statement) == shown


def test_a_statement_without_end_is_cut() -> None:
    assert len(masked("SELECT a, " * 10_000)) < 5_000


def test_a_plan_keeps_its_figures_and_loses_the_values() -> None:
    plan = [
        "Index Scan using ix_1 on trades  (cost=0.28..8.30 rows=1 width=40)",
        "  Index Cond: ((account = 'main'::text) AND (id > 42))",
        "  Filter: (price > 150.25)",
        "SEARCH trades USING INDEX ix (account=? AND symbol=?)",
    ]
    assert masked_plan(plan) == [
        "Index Scan using ix_1 on trades  (cost=0.28..8.30 rows=1 width=40)",
        "  Index Cond: ((account = ?::text) AND (id > ?))",
        "  Filter: (price > ?)",
        "SEARCH trades USING INDEX ix (account=? AND symbol=?)",
    ]


def test_a_migration_is_logged_once_with_the_revision_that_it_came_to(
    written: io.StringIO, sqlite_url: str
) -> None:
    logs.configure(json=True, stream=written)
    with tradebook.DatabaseManager(sqlite_url) as manager:
        manager.upgrade()
        manager.upgrade()
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    [moved] = [line for line in lines if line["logger"] == "tradebook.migrations"]
    assert "from_revision" not in moved
    assert moved["message"] == f"the schema went from None to {moved['to_revision']}"
    assert moved["database"] == sqlite_url
