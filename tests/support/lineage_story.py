"""A story whose every number is known: two signals, two decisions, an order filled in parts, a sale that closes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import tradebook

NINE: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)


def at(minute: int) -> datetime:
    """Return a time of the story."""
    return NINE + timedelta(minutes=minute)


def tell(book: Any) -> dict[str, int]:
    """Record the story, and return the ids of its records by name."""
    rsi = book.record_signal(
        "AAPL", "BUY", strength="0.8", confidence="0.7", source="rsi", generated_at=at(0)
    )
    news = book.record_signal("AAPL", "BUY", source="news", price="9.99", generated_at=at(1))
    idea = book.record_decision(
        "analyst", "AAPL", "BUY", decided_at=at(2), signals=[rsi.id, news.id], model="m-1", cost=0
    )
    plan = book.record_decision(
        "trader",
        "AAPL",
        "BUY",
        strategy="momentum",
        quantity=100,
        confidence="0.6",
        reasoning="it goes up",
        model="m-2",
        parameters={"temperature": 0},
        prompt_hash="abc",
        decided_at=at(5),
        cost="0.5",
        parent_id=idea.id,
        signals=[rsi.id],
        dated_inputs=[
            {"name": "close", "value": [9.8, 9.9], "available_at": at(3), "source": "bars.csv"},
            {"name": "note", "value": "x" * 500, "available_at": at(4)},
        ],
    )
    call = book.record_action(
        "trader",
        "model_call",
        started_at=at(3),
        duration="1.5",
        cost="0.0125",
        model="m-2",
        input_tokens=1200,
        output_tokens=300,
        decision_id=plan.id,
    )
    book.record_action("trader", "tool_call", started_at=at(4), decision_id=plan.id, error="late")
    with tradebook.context(actor="risk officer"):
        book.decide(plan.id, "APPROVED", reason="within limits")
    order = {"symbol": "AAPL", "action": "BUY", "order_id": "o-1", "strategy": "momentum"}
    book.record_trade(**order, quantity=100, price=10, status="PENDING", decision_id=plan.id)
    part = book.record_trade(
        **order, quantity=60, price=10, fee="0.3", execution_id="e-1", executed_at=at(6)
    )
    rest = book.record_trade(
        **order, quantity=40, price="10.05", fee="0.2", execution_id="e-2", executed_at=at(7)
    )
    out = book.record_decision("trader", "AAPL", "SELL", decided_at=at(8), parent_id=plan.id)
    sale = book.record_trade(
        symbol="AAPL",
        action="SELL",
        quantity=70,
        price="11.1",
        fee="0.35",
        order_id="o-2",
        executed_at=at(9),
        decision_id=out.id,
    )
    return {
        "rsi": rsi.id, "news": news.id, "idea": idea.id, "plan": plan.id, "call": call.id,
        "part": part.id, "rest": rest.id, "out": out.id, "sale": sale.id,
    }  # fmt: skip
