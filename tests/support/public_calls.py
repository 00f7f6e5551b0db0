"""Every public call of a book with valid arguments, for tests that replace them one by one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from types import FunctionType
from typing import Any, Final

from tradebook import (
    Account,
    AgentAction,
    AgentDecision,
    Alert,
    CashFlow,
    Event,
    Import,
    ImportSource,
    Mend,
    PerformanceMetric,
    Portfolio,
    PortfolioPosition,
    Position,
    Signal,
    Trade,
    VenueStatement,
)
from tradebook.domain.entity import Entity
from tradebook.service_layer.book import Book
from tradebook.service_layer.handlers.trade_terms import TradeTerms
from tradebook.service_layer.ports.paging import Window

NOON: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
BUY: Final[Mapping[str, Any]] = {
    "action": "BUY",
    "quantity": 1,
    "price": 1,
    "executed_at": NOON,
}
PERIOD: Final[Mapping[str, Any]] = {"period_start": NOON, "period_end": NOON}

NOT_A_CALL: Final = {"run", "read", "unit_of_work", "for_account", "close"}
"""What takes functions, or opens and closes: attacked on its own."""


def public_calls() -> set[str]:
    """The names of every method of a book that asks or changes something."""
    return {
        name
        for name in vars(Book)
        if isinstance(getattr(Book, name), FunctionType) and name[0] != "_"
    } - NOT_A_CALL


def arguments_taken(function: Callable[..., Any]) -> Iterator[tuple[str, str]]:
    """The arguments of a method, handler or query, each with its type; those inside `**terms` too."""
    for name, parameter in list(inspect.signature(function).parameters.items())[1:]:
        if name == "terms":
            yield from _hints(TradeTerms)
        elif name == "window":
            yield from _hints(Window)
        else:
            yield name, str(parameter.annotation)


def _hints(terms: Any) -> Iterator[tuple[str, str]]:
    return ((name, str(hint)) for name, hint in terms.__annotations__.items())


class Ids(dict[str, int]):
    """The ids of the records that the calls name; and the calls, made when first asked for."""

    calls: dict[str, list[dict[str, Any]]] | None = None

    def calls_on(self, book: Book) -> dict[str, list[dict[str, Any]]]:
        """The valid calls of a book, the same ones each time."""
        if self.calls is None:
            self.calls = valid_calls(book, self)
        return self.calls


def prepared(book: Book) -> Ids:
    """Record what the valid calls name: one record at least of every kind."""
    signal = book.record_signal("AAPL", "BUY", reference="signal", generated_at=NOON)
    decision = book.record_decision("ann", "AAPL", "BUY", reference="decision", signals=[signal.id])
    action = book.record_action("ann", "call", reference="action", decision_id=decision.id)
    trade = book.record_trade(symbol="AAPL", order_id="booked", **BUY)
    wrong = book.record_trade(symbol="AAPL", order_id="wrong", **BUY)
    orders = {
        name: book.record_trade(symbol="AAPL", order_id=name, status="PENDING", **BUY).id
        for name in ("to fill", "to cancel", "to reject", "to change", "to delete")
    }
    flow = book.record_cash_flow("DEPOSIT", 100, reference="flow")
    batch = book.import_trades(
        [{"symbol": "MSFT", "order_id": "undone", **BUY}], source=ImportSource("f.csv", "d")
    )
    wrong_flow = book.record_cash_flow("DEPOSIT", 1, reference="wrong")
    alert = book.raise_alert("drawdown", "INFO", dedup_key="alert", timestamp=NOON)
    gone = book.raise_alert("drawdown", "INFO", dedup_key="gone", timestamp=NOON)
    book.record_metric("sharpe", 1, **PERIOD)
    snapshot = book.take_snapshot()
    book.seal()
    return Ids(
        signal=signal.id, decision=decision.id, action=action.id, trade=trade.id, wrong=wrong.id,
        flow=flow.id, alert=alert.id, gone=gone.id, snapshot=snapshot.id, **orders,
        **{"wrong flow": wrong_flow.id, "import": batch.import_id},
    )  # fmt: skip


def valid_calls(book: Book, ids: Ids) -> dict[str, list[dict[str, Any]]]:
    """For every public call, arguments that the book accepts after `prepared`; all that there are."""
    page = book.get_all(Trade, 1)
    window = {"since": NOON - timedelta(days=1), "until": NOON + timedelta(days=9), "limit": 5}
    listed = {**window, "after": None}
    return {
        "record_trade": [
            {"symbol": "AAPL", "fee": 1, "fee_currency": "USD", "currency": "USD", "multiplier": 1,
             "settlement": "CASH", "asset": "AAPL", "order_id": "new", "execution_id": "1", "venue": "XNAS",
             "strategy": "s", "decision_id": ids["decision"], "details": {"a": [1]},
             "status": "EXECUTED", **BUY},
        ],
        "record_trades": [{"trades": [{"symbol": "AAPL", "order_id": "batch", **BUY}]}],
        "execute_trade": [
            {"order_id": "to fill", "execution_id": "1", "price": 2, "quantity": 1, "fee": 1,
             "executed_at": NOON},
            {"trade_id": ids["to fill"], "price": 2},
        ],
        "cancel_trade": [
            {"order_id": "to cancel", "reason": "late"}, {"trade_id": ids["to cancel"]},
        ],
        "reject_trade": [
            {"order_id": "to reject", "reason": "no"}, {"trade_id": ids["to reject"]},
        ],
        "bust_trade": [
            {"order_id": "wrong", "execution_id": "", "reason": "misread", "progress": None},
            {"trade_id": ids["wrong"], "reason": "misread"},
        ],
        "correct_trade": [
            {"order_id": "booked", "execution_id": "", "action": "BUY", "quantity": 2, "price": 3,
             "fee": 1, "fee_currency": "USD", "executed_at": NOON, "reason": "misread", "progress": None},
            {"trade_id": ids["trade"], "price": 4, "reason": "misread"},
        ],
        "undo_import": [
            {"import_id": ids["import"], "reason": "misread", "progress": None},
        ],
        "mend": [{"mends": [Mend("record_cash_flow", {"kind": "FEE", "amount": -1, "reference": "mended"})],
                  "reason": "as the venue says", "source": "march.xml"}],
        "rebuild": [{"symbol": "AAPL", "times": True, "progress": None}],
        "mark_prices": [{"prices": {"AAPL": 2}, "at": NOON + timedelta(days=1)}],
        "update_position": [
            {"symbol": "AAPL", "changes": {"current_price": 3, "marked_at": NOON}},
        ],
        "record_cash_flow": [
            {"kind": "DEPOSIT", "amount": 1, "currency": "USD", "symbol": "AAPL",
             "occurred_at": NOON, "entitled_at": NOON, "reference": "new"},
        ],
        "bust_cash_flow": [
            {"reference": "wrong", "reason": "misread"},
            {"cash_flow_id": ids["wrong flow"], "reason": "misread"},
        ],
        "take_snapshot": [{"rates": {"EUR": "1.1"}}],
        "raise_alert": [
            {"alert_type": "drawdown", "severity": "INFO", "message": "m", "source": "s",
             "symbol": "AAPL", "dedup_key": "new", "timestamp": NOON},
        ],
        "resolve_alert": [{"alert_id": ids["alert"], "resolution": "done", "resolved_by": "ann"}],
        "record_signal": [
            {"symbol": "AAPL", "action": "BUY", "strength": 1, "confidence": 1, "source": "s",
             "strategy": "s", "price": 1, "generated_at": NOON, "horizon": 60, "reference": "new",
             "details": {"a": 1}},
        ],
        "record_decision": [
            {"agent": "ann", "symbol": "AAPL", "action": "BUY", "strategy": "s", "quantity": 1,
             "price": 1, "confidence": 1, "reasoning": "r", "model": "m", "inputs": {"a": 1},
             "decided_at": NOON, "cost": 1, "cost_currency": "USD", "parent_id": ids["decision"],
             "parameters": {"seed": 1}, "prompt_hash": "ab", "reference": "new",
             "signals": [ids["signal"]],
             "dated_inputs": [{"name": "close", "value": 1, "available_at": NOON, "source": "s"}]},
        ],
        "record_inputs": [
            {"decision_id": ids["decision"],
             "inputs": [{"name": "close", "value": 1, "available_at": NOON, "source": "s"}]},
        ],
        "decision": [
            {"agent": "ann", "symbol": "AAPL", "strategy": "s", "model": "gpt-x", "parameters": {"a": 1},
             "parent_id": ids["decision"], "signals": [ids["signal"]], "reference": "block"},
        ],
        "decide": [{"decision_id": ids["decision"], "status": "APPROVED", "reason": "good"}],
        "record_action": [
            {"agent": "ann", "action_type": "call", "input": 1, "output": {"a": 1},
             "status": "FAILED", "error": "e", "started_at": NOON, "duration": 1, "cost": 1,
             "cost_currency": "USD", "model": "m", "input_tokens": 1, "output_tokens": 2,
             "trace_id": "a1", "span_id": "b2", "reference": "new", "decision_id": ids["decision"]},
        ],
        "record_metric": [
            {"name": "sharpe", "value": 1, "parameters": {"a": 1}, "computed_at": NOON, **PERIOD},
        ],
        "create": [{"entity": Alert(alert_type="a", severity="INFO")}],
        "update": [{"entity": book.get(Alert, ids["alert"])}],
        "delete": [{"entity": book.get(Alert, ids["gone"])}],
        "bulk_create": [{"entities": [Alert(alert_type="a", severity="INFO")]}],
        "bulk_update": [{"entities": [book.get(Alert, ids["alert"])]}],
        "get": [{"kind": Trade, "record_id": ids["trade"]}],
        "get_all": [
            {"kind": Trade, "limit": 5, "after": page.after, "since": NOON, "until": None,
             "equal": {"symbol": "AAPL"}},
        ],
        "get_rows": [
            {"kind": Trade, "limit": 5, "after": page.after, "since": NOON, "until": None,
             "equal": {"symbol": "AAPL"}},
        ],
        "count": [{"kind": Trade, "since": NOON, "until": None, "equal": {"symbol": "AAPL"}}],
        "exists": [{"kind": Trade, "since": NOON, "until": None, "equal": {"symbol": "AAPL"}}],
        "iterate": [
            {"kind": Trade, "since": NOON, "until": None, "batch": 2, "equal": {"symbol": "AAPL"}},
        ],
        "to_arrow": [
            {"kind": Trade, "decimals": "exact", "since": NOON, "until": None,
             "equal": {"symbol": "AAPL"}},
        ],
        "arrow_batches": [
            {"kind": Trade, "decimals": "text", "since": NOON, "until": None,
             "equal": {"symbol": "AAPL"}},
        ],
        "get_accounts": [{}],
        "get_consolidated_positions": [
            {"accounts": [book.account], "include_closed": True},
        ],
        "get_consolidated_portfolio": [
            {"accounts": [book.account], "base_currency": "USD", "rates": {"EUR": 1}},
        ],
        "get_trades": [
            {"symbol": "AAPL", "action": "BUY", "status": "EXECUTED", "strategy": "", **listed},
        ],
        "get_recent_trades": [{"limit": 5, "days": 3, "after": page.after}],
        "get_trades_by_symbol": [{"symbol": "AAPL", **window, "after": page.after}],
        "get_order": [{"order_id": "to fill", "symbol": "AAPL", "venue": ""}],
        "get_open_orders": [{"symbol": "AAPL"}],
        "get_open_positions": [{}],
        "get_positions": [{}],
        "get_position_by_symbol": [{"symbol": "AAPL"}],
        "get_cash_flows": [{"kind": "DEPOSIT", "symbol": "AAPL", **listed}],
        "get_cash_balances": [{}],
        "consistency_token": [{}],
        "get_balances": [{}],
        "reconcile_statement": [
            {"statement": VenueStatement(positions={"AAPL": 1}), "tolerance": 1, "within": timedelta(1)}
        ],
        "reconcile": [{"balances": {"AAPL": 1, "USD": "1.5"}, "tolerance": 1}],
        "get_latest_portfolio": [{}],
        "get_portfolio_history": [{"days": 3, "limit": 5, "after": None}],
        "get_portfolio_positions": [{"portfolio_id": ids["snapshot"]}],
        "get_snapshot": [{"portfolio_id": ids["snapshot"]}],
        "get_alerts": [{"severity": "INFO", "symbol": "AAPL", "resolved": False, **listed}],
        "get_unresolved_alerts": [{"severity": "INFO", "limit": 5, "after": None}],
        "get_signals": [
            {"symbol": "AAPL", "action": "BUY", "source": "", "strategy": "", **listed},
        ],
        "get_decisions": [
            {"agent": "ann", "symbol": "AAPL", "action": "BUY", "status": "PROPOSED",
             "with_signals": True, **listed},
        ],
        "replay": [{"decision_id": ids["decision"]}],
        "look_ahead": [
            {"decision_id": ids["decision"], "agent": "ann", "since": NOON, "until": None,
             "progress": None},
        ],
        "get_inputs": [{"decision_id": ids["decision"], **listed}],
        "get_decision": [{"decision_id": ids["decision"]}],
        "get_actions": [
            {"agent": "ann", "action_type": "call", "decision_id": ids["decision"], **listed},
        ],
        "get_metrics": [{"name": "sharpe", **listed}],
        "get_imports": [{"status": "FINISHED", "digest": "d", **listed}],
        "get_events": [
            {"entity": "Trade", "entity_id": ids["trade"], "event_type": "TradeRecorded", **listed},
        ],
        "positions_as_of": [{"time": NOON, "by": "booked", "symbol": "AAPL", "progress": None}],
        "portfolio_as_of": [
            {"time": NOON, "by": "executed", "prices": {"AAPL": 1}, "rates": {"EUR": 1},
             "progress": None},
        ],
        "equity_curve": [
            {"start": NOON, "end": NOON + timedelta(days=1), "frequency": "6h", "prices": None,
             "basis": "restated", "by": "agent", "rates": {"EUR": 1}, "time_zone": "UTC",
             "progress": None},
            {"frequency": "snapshot", "prices": {"AAPL": [(NOON, 1)], "MSFT": [(NOON, 1)]}},
        ],
        "attribution": [
            {"by": "agent", "start": NOON, "end": NOON + timedelta(days=1), "rates": {"EUR": 1},
             "progress": None},
        ],
        "explain": [
            {"trade": ids["trade"]}, {"position": "AAPL"}, {"decision": ids["decision"]},
            {"alert": ids["alert"]},
        ],
        "calibration": [
            {"agent": "ann", "horizon": "1h", "outcome": "price", "since": NOON, "until": None, "bins": 5,
             "prices": {"AAPL": [(NOON, 1)]}, "progress": None},
            {"horizon": [timedelta(days=1), "PT2H"], "outcome": "pnl", "prices": None},
        ],
        "counterfactuals": [
            {"agent": "ann", "horizon": "1d", "since": NOON, "until": None,
             "prices": {"AAPL": {NOON: 1}}, "rates": {"EUR": 1}, "progress": None},
        ],
        "verify": [{"progress": None}],
        "import_trades": [
            {"trades": [{"symbol": "AAPL", "order_id": "imported", **BUY}], "progress": None, "batch": 10,
             "source": "f.csv"},
        ],
        "seal": [{"batch": 2, "progress": None}],
        "export_seals": [{}],
        "check_seals": [{"kept": None, "progress": None}],
    }  # fmt: skip


KINDS: Final[Mapping[type[Entity], Mapping[str, Any]]] = {
    Account: {"base_currency": "USD"},
    AgentAction: {"agent": "a", "action_type": "b"},
    AgentDecision: {"agent": "a", "symbol": "AAPL", "action": "BUY"},
    Alert: {"alert_type": "a", "severity": "INFO"},
    CashFlow: {"kind": "DEPOSIT", "amount": 1, "reference": "by hand"},
    Event: {"event_type": "Seen", "entity": "Desk", "entity_id": 1, "occurred_at": NOON},
    Import: {"source": "f.csv", "reference": "r"},
    PerformanceMetric: {"name": "sharpe", "value": 1, **PERIOD},
    Portfolio: {"cash_balance": 1, "total_value": 1},
    PortfolioPosition: {
        **dict.fromkeys(("quantity", "cost_basis", "current_price", "market_value"), 1),
        **dict.fromkeys(("unrealized_pnl", "realized_pnl", "fees", "cash_flow"), 0),
        "symbol": "AAPL", "currency": "USD", "multiplier": 1, "settlement": "CASH", "sequence": 1,
    },
    Position: {"symbol": "NEW"},
    Signal: {"symbol": "AAPL", "action": "BUY"},
    Trade: {"symbol": "AAPL", **BUY},
}  # fmt: skip
"""For every kind of record, what it must be given."""


def called(book: Any, method: str, arguments: Mapping[str, Any]) -> Any:
    """Call a method of a book; `equal` is given as names, an iterator is used up."""
    given = dict(arguments)
    equal = given.pop("equal", {})
    places = [given.pop(name) for name in _by_place(method) if name in given]
    result = getattr(book, method)(*places, **given, **equal)
    return list(result) if method in ("iterate", "arrow_batches") else result


@cache
def _by_place(method: str) -> list[str]:
    """The arguments that are given by place."""
    parameters = inspect.signature(getattr(Book, method)).parameters.values()
    return [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
