"""A call of each handler that does what it is asked, one after the other."""

from __future__ import annotations

from typing import Any, Final

from reliability.calls import BEGIN
from reliability.sides import Call, Changed, New, Ref
from tradebook import AgentDecision, Alert, Import, Mend, Position, Signal, Trade, handlers


def fill(order_id: str, action: str, quantity: object, price: object, **terms: Any) -> Any:
    """The terms of a trade in AAPL, if no other symbol is given."""
    given = {"order_id": order_id, "action": action, "quantity": quantity, "price": price}
    return {"symbol": "AAPL", **given, **terms}


BEGINNING: Final = [
    Call(handlers.record_signal, {"symbol": "AAPL", "action": "BUY", "reference": "a"}),
    Call(handlers.record_decision, {"agent": "a", "symbol": "AAPL", "action": "BUY"}),
    Call(handlers.raise_alert, {"alert_type": "a", "severity": "INFO", "dedup_key": "a"}),
    Call(handlers.record_cash_flow, {"kind": "DEPOSIT", "amount": "1000.5", "reference": "a"}),
    Call(
        handlers.record_trades,
        {
            "trades": [
                fill("o-1", "BUY", 5, 100, fee="0.25"),
                fill("o-2", "SELL", "7.5", 101, fee="-0.5"),
                fill("o-3", "BUY", 3, -3, symbol="ES", multiplier=50, settlement="MARGINED"),
                fill("o-4", "BUY", 3, 90, status="PENDING"),
                fill("o-5", "SELL", 1, 0, symbol="ES", status="PENDING"),
            ]
        },
    ),
]
"""What a book may begin with, in one unit of work; the tour goes on from there."""

_ALERT: Final = New(Alert, {"alert_type": "b", "severity": "WARNING", "timestamp": BEGIN})
_TIMES: Final = {"created_at": BEGIN, "executed_at": BEGIN}
_ORDER: Final = New(Trade, {**fill("o-6", "BUY", 2, 95, symbol="MSFT"), **_TIMES})
_RESOLVED: Final = {"resolved": True, "resolution": "done", "resolved_at": BEGIN}

TOUR: Final = [
    *BEGINNING,
    Call(handlers.take_snapshot, {}),
    Call(handlers.record_trade, fill("o-7", "BUY", 1, 99, decision_id=Ref(AgentDecision, 0))),
    Call(
        handlers.import_trades,
        {
            "trades": [
                fill("o-8", "BUY", 2, 97),
                fill("o-9", "SELL", 1, 98),
                fill("o-8", "BUY", 2, 97),
            ],
            "source": "f.csv",
        },
    ),
    Call(
        handlers.execute_trade,
        {"order_id": "o-4", "quantity": 1, "price": 90, "execution_id": "x-1"},
    ),
    Call(handlers.execute_trade, {"order_id": "o-4", "price": "90.5"}),
    Call(handlers.cancel_trade, {"order_id": "o-5", "reason": "done"}),
    Call(handlers.create, {"entity": _ORDER}),
    Call(handlers.reject_trade, {"order_id": "o-6"}),
    Call(handlers.correct_trade, {"order_id": "o-1", "price": 98, "reason": "misread"}),
    Call(handlers.bust_trade, {"order_id": "o-2", "reason": "cancelled"}),
    Call(handlers.bust_cash_flow, {"reference": "a", "reason": "another account's"}),
    Call(handlers.undo_import, {"import_id": Ref(Import, 0), "reason": "another account's"}),
    Call(
        handlers.mend,
        {
            "mends": [Mend("record_cash_flow", {"kind": "FEE", "amount": -1, "reference": "m"})],
            "reason": "as the venue says",
        },
    ),
    Call(handlers.rebuild, {}),
    Call(handlers.mark_prices, {"prices": {"AAPL": 103, "ES": "-2.5", "X": 1}}),
    Call(handlers.update_position, {"symbol": "ES", "changes": {"current_price": -1}}),
    Call(handlers.take_snapshot, {}),
    Call(handlers.resolve_alert, {"alert_id": Ref(Alert, 0), "resolution": "done"}),
    Call(
        handlers.record_decision,
        {
            "agent": "b",
            "symbol": "ES",
            "action": "SELL",
            "signals": [Ref(Signal, 0)],
            "parent_id": Ref(AgentDecision, 0),
            "dated_inputs": [{"name": "close", "value": {"b": 1.5, "a": "x"}, "source": "feed"}],
        },
    ),
    Call(
        handlers.record_inputs,
        {"decision_id": Ref(AgentDecision, 0), "inputs": [{"name": "late", "value": None}]},
    ),
    Call(handlers.decide, {"decision_id": Ref(AgentDecision, 0), "status": "REJECTED"}),
    Call(handlers.record_action, {"agent": "a", "action_type": "b", "input": {"n": [1.5, None]}}),
    Call(
        handlers.record_metric,
        {"name": "a", "value": "1.25", "period_start": BEGIN, "period_end": BEGIN},
    ),
    Call(handlers.bulk_create, {"entities": [_ALERT, _ORDER]}),
    Call(handlers.update, {"entity": Changed(Ref(Alert, 0), {"message": "sold"})}),
    Call(
        handlers.bulk_update,
        {
            "entities": [
                Changed(Ref(Position, 1), {"current_price": "90.25"}),
                Changed(Ref(Alert, 0), _RESOLVED),
            ]
        },
    ),
    Call(handlers.delete, {"entity": Changed(Ref(Alert, 1), {})}),
]
