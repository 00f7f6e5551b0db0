"""One table of direct edits: for each field of each kind, whether an application may set it without a handler.

Direct edits are `create`, `update` and `delete`, and what an application does in a session of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from attrs import fields, frozen

from tests.support.assorted_records import KINDS
from tradebook.domain.entity import Entity
from tradebook.service_layer.book import Book

NOON: Final = datetime(2026, 1, 2, 12, tzinfo=UTC)
LATER: Final = datetime.now(UTC) + timedelta(hours=12)
"""Later than any time in a test's book, and not so far ahead of the clock that it would be refused."""
EARLIER: Final = datetime(2016, 1, 2, 12, tzinfo=UTC)
NINE: Final = Decimal(9)
BOOKKEEPING: Final[Mapping[str, Any]] = {
    "id": 10**9,
    "account": "other",
    "created_at": LATER,
    "updated_at": LATER,
}
"""Fields that the book keeps by itself, and other values for them."""
KEPT: Final = "cannot change"
"""Refused in sessions, for bookkeeping of a record that may change otherwise."""


@frozen
class Edit:
    """One row of the table.

    Attributes:
        record: a key of what `record_one_of_each` returns; for a new record, the name of its kind.
        field: that is set.
        value: what it is set to; the record has another.
        advice: words of the refusal, such as the handler to call; None where the edit is allowed.
    """

    record: str
    field: str
    value: Any
    advice: str | None = None

    @property
    def kind(self) -> type[Entity]:
        """The class of the record."""
        return KIND_OF[self.record.split()[-1]]

    def value_in(self, ids: Mapping[str, int]) -> Any:
        """Return the value, or the id of a decision of the book where the field names one."""
        named = self.field in ("decision_id", "parent_id") and self.value is not None
        return ids["AgentDecision"] if named else self.value


KIND_OF: Final = {kind.__name__: kind for kind in KINDS}


def _allowed(record: str, **values: Any) -> list[Edit]:
    return [Edit(record, field, value) for field, value in values.items()]


def _refused(record: str, advice: str, **values: Any) -> list[Edit]:
    return [Edit(record, field, value, advice) for field, value in values.items()]


def _same(value: Any, *names: str) -> dict[str, Any]:
    return dict.fromkeys(names, value)


_TERMS: Final[Mapping[str, Any]] = {
    **_same("Z", "symbol", "venue", "order_id", "execution_id", "strategy"),
    **_same("EUR", "currency", "fee_currency"),
    **_same(NINE, "quantity", "price", "fee", "multiplier"),
    "settlement": "MARGINED",
    "asset": "Z",
    "executed_at": LATER,
    "details": {"a": 1},
}
_OF_TRADE: Final[Mapping[str, Any]] = {
    **_same(9, "sequence", "revision", "corrects_id", "bust_sequence"),
    **_same(LATER, "booked_at", "busted_at"),
    **_same("Z", "busted_by", "bust_reason"),
    "realized_pnl": NINE,
}
"""Fields of a trade that follow from its booking."""
_OF_POSITION: Final[Mapping[str, Any]] = {
    **_same(NINE, "quantity", "cost_basis", "realized_pnl", "fees", "cash_flow", "multiplier"),
    **_same(LATER, "opened_at", "closed_at"),
    **_same(9, "sequence", "version"),
    "currency": "EUR",
    "settlement": "MARGINED",
    "asset": "Z",
    "other_fees": {"BNB": "9"},
}
"""Fields of a position that follow from its trades."""
_ALERT: Final[Mapping[str, Any]] = {
    **_same("Z", "alert_type", "message", "source", "symbol", "dedup_key"),
    **_same("Z", "resolution", "resolved_by"),
    "severity": "WARNING",
    "timestamp": LATER,
}
_DECISION: Final[Mapping[str, Any]] = {
    **_same("Z", "agent", "strategy", "symbol", "reasoning", "model", "reference"),
    **_same(NINE, "quantity", "price", "cost"),
    "action": "SELL",
    "confidence": Decimal("0.1"),
    "inputs": {"a": 1},
    "decided_at": LATER,
    "cost_currency": "EUR",
    "parent_id": 1,
    "parameters": {"a": 1},
    "prompt_hash": "Z",
}
_INPUT: Final[Mapping[str, Any]] = {
    **_same("Z", "name", "value", "digest", "source"),
    **_same(LATER, "available_at", "recorded_at"),
    "decision_id": 1,
}
_SNAPSHOT: Final[Mapping[str, Any]] = {
    **_same(NINE, "cash_balance", "positions_value", "total_value", "gross_exposure"),
    **_same(NINE, "net_exposure", "realized_pnl", "unrealized_pnl", "fees", "external_flows"),
    **_same(NINE, "income"),
    "currency": "EUR",
    "rates": {"USD": "1"},
    "closed_sequences": {"Z": 1},
    "source": "broker",
    "timestamp": LATER,
}
_SNAPSHOT_ROW: Final[Mapping[str, Any]] = {
    **_same(NINE, "quantity", "cost_basis", "current_price", "market_value", "unrealized_pnl"),
    **_same(NINE, "realized_pnl", "fees", "cash_flow", "multiplier"),
    "portfolio_id": 10**9,
    "sequence": 9,
    "symbol": "Z",
    "currency": "EUR",
    "settlement": "MARGINED",
    "other_fees": {"BNB": "9"},
}
_IMPORT: Final[Mapping[str, Any]] = {
    **_same("Z", "source", "digest", "reference", "actor", "undone_by", "undo_reason"),
    **_same(9, "booked", "duplicates", "skipped"),
    **_same(LATER, "started_at", "finished_at", "undone_at"),
    "status": "UNDONE",
}
_SEAL: Final[Mapping[str, Any]] = {
    **_same(9, "number", "from_id", "to_id", "count", "settled_id", "horizon"),
    **_same("Z", "events_hash", "previous_hash", "actor", "correlation_id", "seal_hash"),
    "covered": [[1, "a"]],
    "sealed_at": LATER,
}
_CASH_FLOW: Final[Mapping[str, Any]] = {
    **_same("Z", "symbol", "reference"),
    "kind": "DIVIDEND",
    "amount": NINE,
    "currency": "EUR",
    "occurred_at": LATER,
    "entitled_at": LATER,
}
_FOR_GOOD: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "Account": ("base currency", {"base_currency": "EUR"}),
    "AgentAction": (
        "record_action",
        {
            **_same("Z", "agent", "action_type", "input", "output", "error", "reference"),
            **_same("Z", "model", "trace_id", "span_id"),
            **_same(9, "input_tokens", "output_tokens"),
            **_same(NINE, "duration", "cost"),
            "status": "FAILED",
            "started_at": LATER,
            "cost_currency": "EUR",
            "decision_id": 1,
        },
    ),
    "CashFlow": (
        "bust_cash_flow",
        {**_CASH_FLOW, "busts_id": 9, "bust_reason": "Z"},
    ),
    "DecisionInput": ("record_inputs", _INPUT),
    "Event": (
        "audit trail",
        {
            **_same("Z", "event_type", "entity", "actor", "correlation_id"),
            "entity_id": 10**9,
            "payload": {"a": 1},
            "occurred_at": LATER,
        },
    ),
    "Import": ("undo_import", _IMPORT),
    "PerformanceMetric": (
        "record_metric",
        {
            **_same(LATER, "period_end", "computed_at"),
            "period_start": EARLIER,
            "name": "Z",
            "value": NINE,
            "parameters": {"a": 1},
        },
    ),
    "Portfolio": ("take_snapshot", _SNAPSHOT),
    "PortfolioPosition": ("take_snapshot", _SNAPSHOT_ROW),
    "Seal": ("seal", _SEAL),
    "Signal": (
        "record_signal",
        {
            **_same("Z", "symbol", "source", "strategy", "reference"),
            **_same(NINE, "strength", "price", "horizon"),
            "action": "SELL",
            "confidence": Decimal("0.1"),
            "generated_at": LATER,
            "details": {"a": 1},
        },
    ),
}
"""Kinds that never change: the words of the refusal, and another value for each field."""

CHANGES: Final[list[Edit]] = [
    *_allowed("Trade", action="BUY", decision_id=1, **_TERMS, status="CANCELLED"),
    *_refused("Trade", "record_trade", **_OF_TRADE),
    *_refused("booked Trade", "bust_trade", action="SELL", decision_id=None, **_TERMS),
    *_refused("booked Trade", "bust_trade", status="PENDING", **_OF_TRADE),
    *_allowed("Position", current_price=NINE, marked_at=LATER),
    *_refused("Position", "marks of trades", mark_source=None),
    *_refused("Position", "record_trade", symbol="Z", status="CLOSED", **_OF_POSITION),
    *_allowed("AgentDecision", status="APPROVED"),
    *_refused("AgentDecision", "record_decision", signals=[], **_DECISION),
    *_allowed("Alert", **_ALERT),
    *_refused("Alert", "resolved_at", resolved=True, resolved_at=LATER),
    *(edit for name, (advice, v) in _FOR_GOOD.items() for edit in _refused(name, advice, **v)),
]
"""Changes of one field of a record that is there."""

_TIMES: Final = dict.fromkeys(("created_at", "updated_at"), LATER)
_MOVED: Final = {name: BOOKKEEPING[name] for name in ("id", "account", "created_at")}
IN_SESSIONS: Final[list[Edit]] = [
    *_refused("Trade", KEPT, **_MOVED),
    *_refused("booked Trade", "bust_trade", **BOOKKEEPING),
    *_refused("Position", KEPT, **BOOKKEEPING),
    *_refused("AgentDecision", "record_decision", **BOOKKEEPING),
    *_refused("Alert", KEPT, **_MOVED),
    *(
        edit
        for name, (advice, _) in _FOR_GOOD.items()
        for edit in _refused(name, advice, **BOOKKEEPING)
    ),
]
"""Changes of bookkeeping, where a session finds them. `update` takes it for the name of another record."""

NEW: Final[list[Edit]] = [
    *_allowed("Trade", action="SELL", decision_id=1, **_TERMS, status="PENDING", **_TIMES),
    *_refused("Trade", "record_trade", **_OF_TRADE),
    *_allowed("Position", symbol="Z", current_price=NINE, marked_at=LATER, **_TIMES),
    *_refused("Position", "marks of trades", mark_source="TRADE"),
    *_refused("Position", "record_trade", status="OPEN", **_OF_POSITION),
    *_allowed("AgentDecision", **_DECISION, signals=[], status="APPROVED", **_TIMES),
    *_allowed("Alert", **_ALERT, **_TIMES),
    *_refused("Alert", "resolved_at", resolved=True, resolved_at=LATER),
    *_allowed("Portfolio", **_SNAPSHOT, **_TIMES),
    *_refused("PortfolioPosition", "take_snapshot", **_SNAPSHOT_ROW, **_TIMES),
    *_refused("Seal", "seal", **_SEAL, **_TIMES),
    *_refused("Import", "import_trades", **_IMPORT, **_TIMES),
    *_refused("DecisionInput", "record_decision", **_INPUT, **_TIMES),
    *_refused("Event", "handlers", **_FOR_GOOD["Event"][1], **_TIMES),
    *(
        edit
        for name in ("Account", "AgentAction", "PerformanceMetric", "Signal")
        for edit in _allowed(name, **_FOR_GOOD[name][1], **_TIMES)
    ),
    *_allowed("CashFlow", **_CASH_FLOW, **_TIMES),
    *_refused("CashFlow", "bust_cash_flow", busts_id=9, bust_reason="Z"),
]
"""New records with one field of their own; ids are the database's, and the account is the book's."""

NEW_STATES: Final[list[Edit]] = [
    *_refused("Trade", "record_trade", status="EXECUTED"),
    *_refused("Trade", "record_trade", status="BUSTED"),
    *_refused("AgentDecision", "booked trade", status="EXECUTED"),
    *_refused("Portfolio", "take_snapshot", source="book"),
]
"""Values that only a handler gives to a field which is free otherwise."""

MADE_BY_HANDLERS: Final = ("DecisionInput", "Event", "Import", "PortfolioPosition", "Seal")
"""Records that no one else makes: they are refused as a whole."""

REMOVALS: Final[Mapping[str, str | None]] = {
    "Account": "base currency",
    "AgentAction": None,
    "AgentDecision": None,
    "Alert": None,
    "CashFlow": "bust_cash_flow",
    "DecisionInput": "record_inputs",
    "Event": "audit trail",
    "Import": "undo_import",
    "PerformanceMetric": None,
    "Portfolio": "take_snapshot",
    "PortfolioPosition": "take_snapshot",
    "Position": "record_trade",
    "Seal": "seal",
    "Signal": None,
    "Trade": None,
    "booked Trade": "bust_trade",
}
"""For each record the words of the refusal to delete it; None where it may be deleted."""


def new_record(kind: type[Any], /, **values: Any) -> Any:
    """Build a record of a kind with what it needs at least, and these values."""
    return kind(**{**_NEEDED.get(kind.__name__, {}), **values})


_NEEDED: Final[Mapping[str, Mapping[str, Any]]] = {
    "AgentAction": {"agent": "bot", "action_type": "think"},
    "AgentDecision": {"agent": "bot", "symbol": "X", "action": "BUY"},
    "Alert": {"alert_type": "a", "severity": "INFO"},
    "CashFlow": {"kind": "DEPOSIT", "amount": 1, "reference": "r"},
    "DecisionInput": {**_INPUT, "available_at": NOON, "recorded_at": NOON},
    "Event": {"event_type": "Noted", "entity": "Note", "entity_id": 1, "occurred_at": NOON},
    "Import": {"source": "f.csv", "reference": "r"},
    "PerformanceMetric": {"name": "n", "value": 1, "period_start": NOON, "period_end": NOON},
    "Portfolio": {"cash_balance": 1, "total_value": 1, "timestamp": NOON},
    "PortfolioPosition": {**_SNAPSHOT_ROW, "currency": "USD", "settlement": "CASH"},
    "Position": {"symbol": "X"},
    "Seal": _SEAL,
    "Signal": {"symbol": "X", "action": "BUY"},
    "Trade": {"symbol": "X", "action": "BUY", "quantity": 100, "price": 150},
}


def record_one_of_each(book: Book) -> dict[str, int]:
    """Record something of each kind by handlers, and return its id by the name that the table has for it."""
    book.record_cash_flow("DEPOSIT", 1000)
    signal = book.record_signal("X", "BUY")
    behind = book.record_decision("bot", "X", "BUY", signals=[signal.id])
    fill = {"symbol": "X", "action": "BUY", "quantity": 2, "price": 10, "order_id": "done"}
    booked = book.record_trade(**fill, decision_id=behind.id)  # type: ignore[arg-type]
    order = {"symbol": "X", "action": "SELL", "quantity": 1, "price": 11, "order_id": "open"}
    pending = book.record_trade(**order, status="PENDING")  # type: ignore[arg-type]
    decision = book.record_decision("bot", "X", "BUY", signals=[book.record_signal("X", "BUY").id])
    book.record_inputs(behind.id, [{"name": "close", "value": 1}])
    book.record_action("bot", "think")
    book.record_metric("sharpe", 1, period_start=NOON, period_end=NOON)
    book.raise_alert("a", "INFO")
    book.import_trades([], source="f.csv")
    book.take_snapshot()
    book.seal()
    newest: dict[str, int] = {kind.__name__: book.get_all(kind, 1)[0].id for kind in KINDS}
    return newest | {
        "booked Trade": booked.id,
        "Trade": pending.id,
        "AgentDecision": decision.id,
        "Signal": book.record_signal("X", "BUY").id,  # no decision holds this one
    }


def values_of_new(ids: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Return for each kind all values that a new record of it may have."""
    values: dict[str, dict[str, Any]] = {}
    for edit in NEW:
        if edit.advice is None:
            values.setdefault(edit.record, {})[edit.field] = edit.value_in(ids)
    return values


def names_of(kind: type[Any]) -> set[str]:
    """Return the names of a kind's fields."""
    return {field.name for field in fields(kind)}
