"""A small book with some of everything, for tests that read lists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tradebook import (
    Account,
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
    Seal,
    Signal,
    Trade,
)
from tradebook.service_layer.book import Book

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
KINDS = [
    Account,
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
    Seal,
    Signal,
    Trade,
]


def at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


def fill(book: Book) -> None:
    """Record four of every kind, two by two at the same time."""
    for number in range(4):
        minute = number // 2
        signal = book.record_signal(symbol="AAPL", action="BUY", generated_at=at(minute))
        decision = book.record_decision(
            agent=f"a{number % 2}",
            symbol="AAPL",
            action="BUY",
            decided_at=at(minute),
            signals=[signal.id],
            dated_inputs=[{"name": "close", "value": ["1.50"], "available_at": at(minute)}],
        )
        book.record_action(
            agent="a", action_type="call", started_at=at(minute), decision_id=decision.id
        )
        book.raise_alert(
            alert_type="drawdown",
            severity=("INFO", "WARNING")[number % 2],
            timestamp=at(minute),
            symbol=(None, "AAPL")[number % 2],
        )
        book.record_metric(
            name=f"m{number % 2}", value="1.50", period_start=NOON, period_end=at(minute)
        )
        book.record_cash_flow(
            kind="DEPOSIT", amount="10.50", occurred_at=at(minute), reference=str(number)
        )
        book.record_trade(
            symbol=("AAPL", "MSFT")[number % 2],
            action="BUY",
            quantity=1,
            price="1.50",
            executed_at=at(minute),
            order_id=str(number),
        )
        book.import_trades([], source=f"{number}.csv")
        book.seal()
    book.record_trade(symbol="NEW", action="SELL", quantity=1, price=1, status="PENDING")
    for _ in range(3):
        book.take_snapshot()
