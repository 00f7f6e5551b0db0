"""Every kind of change that a book knows, one call each, and a count of what is in a book."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from tradebook import (
    AgentAction,
    AgentDecision,
    Alert,
    CashFlow,
    DecisionInput,
    Event,
    Import,
    Mend,
    PerformanceMetric,
    Portfolio,
    PortfolioPosition,
    Position,
    Signal,
    Trade,
)

BUY: Final[dict[str, Any]] = {"symbol": "A", "action": "BUY", "quantity": 3, "price": "1.5"}
KINDS: Final = (
    AgentAction,
    AgentDecision,
    Alert,
    CashFlow,
    DecisionInput,
    Event,
    Import,
    PerformanceMetric,
    Portfolio,
    PortfolioPosition,
    Position,
    Signal,
    Trade,
)
_SPRING: Final = datetime(2026, 3, 1, tzinfo=UTC)
_PERIOD: Final = {"period_start": _SPRING, "period_end": datetime(2026, 6, 1, tzinfo=UTC)}

Did = dict[str, Any]
CHANGES: Final[dict[str, Callable[[Any, Did], Any]]] = {
    "trade": lambda book, did: book.record_trade(**BUY),
    "import": lambda book, did: book.import_trades([{**BUY, "symbol": symbol} for symbol in "ABA"]),
    "import of a file": lambda book, did: book.import_trades(
        [{**BUY, "order_id": "f-1"}, {**BUY, "order_id": "f-2"}], source="f.csv"
    ),
    "undone": lambda book, did: book.undo_import(
        did["import of a file"].import_id, reason="another account's"
    ),
    "trades": lambda book, did: book.record_trades([{**BUY, "symbol": symbol} for symbol in "ABA"]),
    "order": lambda book, did: book.record_trade(**BUY, status="PENDING", order_id="o-1"),
    "fill": lambda book, did: book.execute_trade(order_id="o-1", price=2),
    "order to cancel": lambda book, did: book.record_trade(**BUY, status="PENDING", order_id="o-2"),
    "cancelled": lambda book, did: book.cancel_trade(order_id="o-2", reason="too late"),
    "order to reject": lambda book, did: book.record_trade(**BUY, status="PENDING", order_id="o-3"),
    "rejected": lambda book, did: book.reject_trade(order_id="o-3", reason="margin"),
    "corrected": lambda book, did: book.correct_trade(
        trade_id=did["trade"].id, price=1, reason="misread"
    ),
    "busted": lambda book, did: book.bust_trade(order_id="o-1", reason="cancelled by the venue"),
    "marks": lambda book, did: book.mark_prices({"A": 2, "B": 3}),
    "position": lambda book, did: book.update_position("A", {"current_price": 4}),
    "cash": lambda book, did: book.record_cash_flow("DEPOSIT", 1000),
    "cash to bust": lambda book, did: book.record_cash_flow("DEPOSIT", 5, reference="wrong"),
    "cash busted": lambda book, did: book.bust_cash_flow("wrong", reason="another account's"),
    "mended": lambda book, did: book.mend(
        [
            Mend("bust_trade", {"trade_id": did["trades"].trades[0].id}),
            Mend("record_trade", {**BUY, "order_id": "m-1"}),
        ],
        reason="as the venue says",
    ),
    "snapshot": lambda book, did: book.take_snapshot(),
    "alert": lambda book, did: book.raise_alert("drawdown", "WARNING", "down 5 %"),
    "resolved": lambda book, did: book.resolve_alert(did["alert"].id, "bought back"),
    "signal": lambda book, did: book.record_signal("A", "BUY", confidence="0.8"),
    "decision": lambda book, did: book.record_decision(
        "momentum",
        "A",
        "BUY",
        signals=[did["signal"].id],
        dated_inputs=[{"name": "close", "value": "1.5"}],
    ),
    "input": lambda book, did: book.record_inputs(
        did["decision"].id, [{"name": "late", "value": [1, None]}]
    ),
    "decided": lambda book, did: book.decide(did["decision"].id, "APPROVED", reason="in limits"),
    "decided trade": lambda book, did: book.record_trade(**BUY, decision_id=did["decision"].id),
    "action": lambda book, did: book.record_action("momentum", "tool", input={"price": "1.5"}),
    "metric": lambda book, did: book.record_metric("sharpe_ratio", "1.2", **_PERIOD),
    "created": lambda book, did: book.create(
        Alert(alert_type="limit", severity="INFO", message="")
    ),
    "updated": lambda book, did: book.update(_with_message(did["created"])),
    "bulk created": lambda book, did: book.bulk_create(
        [PerformanceMetric(name=name, value=1, **_PERIOD) for name in ("calmar", "sortino")]
    ),
    "deleted": lambda book, did: book.delete(did["created"]),
    "rebuilt": lambda book, did: book.rebuild(),
}
"""By a name, each a call that is not the same as any before it."""


def every_change(book: Any) -> Iterator[str]:
    """Make every change; gives its name before each, and looks at its result."""
    did: Did = {}
    for name, change in CHANGES.items():
        yield name
        did[name] = change(book, did)
        _read(did[name])


def contents(book: Any) -> Counter[str]:
    """How many records of each kind, and events of each type, are in a book."""
    kinds = Counter({kind.__name__: book.count(kind) for kind in KINDS})
    return kinds + Counter(event.event_type for event in book.iterate(Event))


def _with_message(alert: Alert) -> Alert:
    alert.message = "near the limit"
    return alert


def _read(result: Any) -> None:
    """A result can be read, though its transaction is over: nothing of it is loaded later."""
    for record in result if isinstance(result, list) else [result]:
        if hasattr(record, "id"):
            assert record.id > 0
            assert repr(record)
