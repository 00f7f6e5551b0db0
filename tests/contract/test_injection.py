"""Injection attempts in every text that the book takes: kept and matched as text, or refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.backends import each_backend
from tests.support.public_calls import BUY, NOON, PERIOD, arguments_taken
from tradebook import InvalidInput, Mend, Trade, TradebookError, handlers
from tradebook.domain.validation import utc_now
from tradebook.service_layer import queries
from tradebook.service_layer.book import Book
from tradebook.testing import FakeBook

KNOWN = [
    "'; DROP TABLE trades; --",
    "AAPL' OR '1'='1",
    '" OR ""="',
    "%' OR symbol LIKE '%",
    "1; DELETE FROM positions",
    "\\'; SELECT pg_sleep(9); --",
    "$1",
    ":symbol",
    "%(symbol)s",
    "?",
    "{symbol}",
    "a\nb",
    "Robert'); DROP TABLE students;--",
    "e\u0301\u202e\U0001f4a3",
]
attempts = st.one_of(st.sampled_from(KNOWN), st.text(max_size=40))


def writing(
    book: Book, t: str, ids: dict[str, int]
) -> dict[str, list[tuple[Callable[..., Any], dict[str, Any]]]]:
    """For each handler, calls with the attempt in its text arguments."""
    return {
        "record_trade": [
            (
                book.record_trade,
                {**BUY, "symbol": t, "venue": t, "order_id": t, "execution_id": t, "strategy": t,
                 "details": {t: t}, "currency": t, "fee_currency": t, "asset": t},
            ),
            (book.record_trade, {**BUY, "symbol": "X", "settlement": t, "status": t}),
            (book.record_trade, {**BUY, "symbol": "X", "action": t}),
        ],
        "record_trades": [(book.record_trades, {"trades": [{**BUY, "symbol": t, "order_id": "b"}]})],
        "execute_trade": [(book.execute_trade, {"order_id": t, "execution_id": t})],
        "cancel_trade": [(book.cancel_trade, {"order_id": t, "reason": t})],
        "reject_trade": [(book.reject_trade, {"order_id": t, "reason": t})],
        "bust_trade": [
            (book.bust_trade, {"order_id": t, "execution_id": t, "reason": t}),
            (book.bust_trade, {"trade_id": ids["trade"], "reason": t}),
        ],
        "correct_trade": [
            (book.correct_trade, {"order_id": t, "execution_id": t, "action": t, "reason": t,
                                  "fee_currency": t, "executed_at": NOON}),
            (book.correct_trade, {"trade_id": ids["trade"], "price": 3, "reason": t}),
        ],
        "import_trades": [
            (book.import_trades, {"trades": [{**BUY, "symbol": t, "order_id": "i"}], "source": t}),
        ],
        "undo_import": [(book.undo_import, {"import_id": ids["import"], "reason": t})],
        "mend": [
            (book.mend, {"mends": [Mend("record_trade", {**BUY, "symbol": t, "order_id": "m"})],
                         "reason": t, "source": t}),
            (book.mend, {"mends": [Mend(t, {})], "reason": "x"}),
        ],
        "rebuild": [(book.rebuild, {"symbol": t})],
        "mark_prices": [(book.mark_prices, {"prices": {t: 1}})],
        "update_position": [
            (book.update_position, {"symbol": t, "changes": {"current_price": 1}}),
            (book.update_position, {"symbol": "CONTROL", "changes": {t: 1}}),
        ],
        "record_cash_flow": [
            (book.record_cash_flow,
             {"kind": "DEPOSIT", "amount": 1, "currency": t, "symbol": t, "reference": t,
              "occurred_at": NOON}),
            (book.record_cash_flow, {"kind": t, "amount": 1}),
        ],
        "bust_cash_flow": [
            (book.bust_cash_flow, {"reference": t, "reason": t}),
            (book.bust_cash_flow, {"cash_flow_id": ids["flow"], "reason": t}),
        ],
        "take_snapshot": [(book.take_snapshot, {"rates": {t: 1}})],
        "raise_alert": [
            (book.raise_alert, {"alert_type": t, "severity": "INFO", "message": t, "source": t,
                                "symbol": t, "dedup_key": t}),
            (book.raise_alert, {"alert_type": "x", "severity": t}),
        ],
        "resolve_alert": [
            (book.resolve_alert, {"alert_id": ids["alert"], "resolution": t, "resolved_by": t})
        ],
        "record_signal": [
            (book.record_signal, {"symbol": t, "action": "BUY", "source": t, "strategy": t,
                                  "reference": t, "details": {t: t}, "generated_at": NOON}),
            (book.record_signal, {"symbol": "X", "action": t}),
        ],
        "record_decision": [
            (book.record_decision,
             {"agent": t, "symbol": t, "action": "BUY", "strategy": t, "reasoning": t, "model": t,
              "inputs": {t: t}, "cost_currency": t, "reference": t, "decided_at": NOON,
              "parameters": {t: t}, "prompt_hash": t,
              "dated_inputs": [{"name": t, "value": t, "source": t}]}),
            (book.record_decision, {"agent": "a", "symbol": "X", "action": t}),
        ],
        "decide": [
            (book.decide, {"decision_id": ids["decision"], "status": "APPROVED", "reason": t}),
            (book.decide, {"decision_id": ids["decision"], "status": t}),
        ],
        "record_inputs": [
            (book.record_inputs,
             {"decision_id": ids["decision"], "inputs": [{"name": t, "value": {t: t}, "source": t}]}),
        ],
        "record_action": [
            (book.record_action,
             {"agent": t, "action_type": t, "input": t, "output": {t: t}, "error": t,
              "cost_currency": t, "reference": t, "started_at": NOON, "model": t, "trace_id": t,
              "span_id": t}),
            (book.record_action, {"agent": "a", "action_type": "b", "status": t}),
        ],
        "record_metric": [
            (book.record_metric, {"name": t, "value": 1, "parameters": {t: t}, **PERIOD})
        ],
    }  # fmt: skip


def reading(book: Book, t: str) -> dict[str, list[tuple[Callable[..., Any], dict[str, Any], str]]]:
    """For each query, calls with the attempt in a text argument, and the field that it must match."""
    return {
        "get_trades": [
            (book.get_trades, {"symbol": t}, "symbol"),
            (book.get_trades, {"strategy": t}, "strategy"),
            (book.get_trades, {"action": t}, "action"),
            (book.get_trades, {"status": t}, "status"),
        ],
        "get_trades_by_symbol": [(book.get_trades_by_symbol, {"symbol": t}, "symbol")],
        "get_recent_trades": [(book.get_recent_trades, {"after": t}, "")],
        "get_order": [
            (book.get_order, {"order_id": t}, "order_id"),
            (book.get_order, {"order_id": "o", "symbol": t, "venue": t}, "symbol"),
        ],
        "get_open_orders": [(book.get_open_orders, {"symbol": t}, "symbol")],
        "get_position_by_symbol": [(book.get_position_by_symbol, {"symbol": t}, "symbol")],
        "get_cash_flows": [
            (book.get_cash_flows, {"symbol": t}, "symbol"),
            (book.get_cash_flows, {"kind": t}, "kind"),
        ],
        "get_portfolio_history": [(book.get_portfolio_history, {"after": t}, "")],
        "get_consolidated_positions": [
            (book.get_consolidated_positions, {"accounts": t}, ""),
            (book.get_consolidated_positions, {"accounts": [t]}, ""),
        ],
        "get_consolidated_portfolio": [
            (book.get_consolidated_portfolio, {"accounts": t}, ""),
            (book.get_consolidated_portfolio, {"accounts": [], "base_currency": t}, ""),
        ],
        "positions_as_of": [(book.positions_as_of, {"time": utc_now(), "symbol": t}, "symbol")],
        "get_alerts": [
            (book.get_alerts, {"symbol": t}, "symbol"),
            (book.get_alerts, {"severity": t}, "severity"),
        ],
        "get_unresolved_alerts": [(book.get_unresolved_alerts, {"severity": t}, "severity")],
        "get_signals": [
            (book.get_signals, {"symbol": t}, "symbol"),
            (book.get_signals, {"source": t}, "source"),
            (book.get_signals, {"strategy": t}, "strategy"),
            (book.get_signals, {"action": t}, "action"),
        ],
        "get_decisions": [
            (book.get_decisions, {"agent": t}, "agent"),
            (book.get_decisions, {"symbol": t}, "symbol"),
            (book.get_decisions, {"strategy": t}, "strategy"),
            (book.get_decisions, {"action": t}, "action"),
            (book.get_decisions, {"status": t}, "status"),
        ],
        "get_actions": [
            (book.get_actions, {"agent": t}, "agent"),
            (book.get_actions, {"action_type": t}, "action_type"),
        ],
        "get_imports": [
            (book.get_imports, {"digest": t}, "digest"),
            (book.get_imports, {"status": t}, "status"),
        ],
        "get_metrics": [(book.get_metrics, {"name": t}, "name")],
        "get_events": [
            (book.get_events, {"entity": t}, "entity"),
            (book.get_events, {"event_type": t}, "event_type"),
        ],
        "get_all": [
            (partial(book.get_all, Trade), {"order_id": t}, "order_id"),
            (partial(book.get_all, Trade), {t: "x"}, ""),
            (partial(book.get_all, Trade), {"after": t}, ""),
        ],
        "count": [(partial(book.count, Trade), {"order_id": t}, "")],
        "exists": [(partial(book.exists, Trade), {"venue": t}, "")],
    }  # fmt: skip


NOT_FREE_TEXT = {
    # What is no text, though it may be spelt as one, or is read from elsewhere.
    "balances", "tolerance",
    "amount", "by", "changes", "confidence", "cost", "duration", "equal", "fee", "horizon", "inputs",
    "input", "multiplier", "output", "parameters", "price", "prices", "quantity", "rates",
    "strength", "trades", "value", "details", "kind", "executed_at", "occurred_at",
}  # fmt: skip


def texts_taken(function: Callable[..., Any]) -> Iterator[str]:
    """The names of a function's text arguments; of `**terms` and `**window`, those inside."""
    return (name for name, hint in arguments_taken(function) if "str" in hint or "Number" in hint)


def test_every_text_that_a_handler_or_a_query_takes_is_attempted() -> None:
    book = FakeBook()
    ids = dict.fromkeys(("alert", "decision", "trade", "flow", "import"), 1)
    calls = writing(book, "attempt", ids)
    asked = {
        name: [(c, a) for c, a, _ in found] for name, found in reading(book, "attempt").items()
    }
    everything = {**calls, **asked}
    functions = [getattr(handlers, name) for name in handlers.__all__]
    functions += [getattr(queries, name) for name in queries.__all__]
    for function in functions:
        if not inspect.isfunction(function):
            continue
        attempted = {
            name
            for _, arguments in everything.get(function.__name__, [])
            for name, value in arguments.items()
            if value == "attempt"
        }
        missing = {*texts_taken(function)} - attempted - NOT_FREE_TEXT - {"after"}
        assert not missing, f"{function.__name__}: {missing}"


@pytest.fixture
def guarded(book: Book) -> Book:
    """A book with a record that no attempt may touch."""
    book.record_trade(symbol="CONTROL", order_id="control", **BUY)
    return book


@pytest.mark.parametrize(
    "book", each_backend(only_in_full_runs=["sqlite-async", "postgresql-async"]), indirect=True
)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=attempts)
@example(KNOWN[0])
@example(KNOWN[1])
def test_an_attempt_is_text_and_nothing_else(guarded: Book, text: str) -> None:
    book = guarded
    alert = book.raise_alert("x", "INFO").id
    decision = book.record_decision("a", "X", "BUY").id
    trade = book.record_trade(symbol="BUSTED", **BUY).id
    flow = book.record_cash_flow("DEPOSIT", 1).id
    imported = book.import_trades([], source="f.csv").import_id or 0
    ids = {
        "alert": alert,
        "decision": decision,
        "trade": trade,
        "flow": flow,
        "import": imported,
    }
    for calls in writing(book, text, ids).values():
        for call, arguments in calls:
            with suppress(TradebookError):  # refused as text that no name may be, or as no member
                call(**arguments)
    for asked in reading(book, text).values():
        for ask, arguments, field in asked:
            with suppress(InvalidInput):
                _require_matches(ask(**arguments), field, text)
    [control] = book.get_trades_by_symbol("CONTROL")
    assert (control.order_id, control.quantity) == ("control", 1)
    assert book.verify().proven


def _require_matches(found: Any, field: str, text: str) -> None:
    """A list that was asked for a text holds records with that very text only."""
    for record in found if isinstance(found, list) else [found]:
        assert not field or record is None or getattr(record, field) == text


@pytest.mark.parametrize(
    "book", each_backend(only_in_full_runs=["sqlite-async", "postgresql-async"]), indirect=True
)
@pytest.mark.parametrize("text", KNOWN)
def test_an_attempt_is_found_again_as_the_text_that_it_is(guarded: Book, text: str) -> None:
    book = guarded
    trade = book.record_trade(symbol=text, order_id=text, strategy=text, **BUY)
    assert [t.id for t in book.get_trades_by_symbol(text)] == [trade.id]
    assert [t.id for t in book.get_all(Trade, order_id=text, strategy=text)] == [trade.id]
    assert book.get_position_by_symbol(text).symbol == text  # type: ignore[union-attr]
    assert book.count(Trade) == 2
