"""Uses of the public calls that mypy and pyright accept, with the types that they must infer; checked by `make lint` and `make typing`, never run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from logging import Handler
from pathlib import Path
from typing import Any, assert_type

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, joinedload

from tradebook import (
    Account,
    AgentAction,
    AgentDecision,
    Alert,
    AsyncBook,
    AsyncDatabaseManager,
    AsyncDecisionBlock,
    Book,
    CashFlow,
    DatabaseConfig,
    DatabaseManager,
    DecisionBlock,
    Event,
    Order,
    Page,
    PerformanceMetric,
    Portfolio,
    Position,
    Row,
    Signal,
    Trade,
    TradeAction,
    col,
    handlers,
)
from tradebook.operations import logs, metrics, tracing
from tradebook.testing import AsyncFakeBook, FakeBook


def trades(manager: DatabaseManager, at: datetime) -> None:
    terms: handlers.TradeTerms = {"symbol": "A", "action": "BUY", "quantity": "1.5", "price": 2}
    assert_type(manager.record_trade(**terms), Trade)
    assert_type(
        manager.record_trade(symbol="A", action="SELL", quantity=1, price=1.5, executed_at=at),
        Trade,
    )
    assert_type(manager.record_trades([terms]), handlers.RecordedTrades)
    assert_type(manager.get_recent_trades(limit=100, days=7), Page[Trade])
    assert_type(manager.get_trades_by_symbol("A"), Page[Trade])
    assert_type(manager.get_trades(symbol="A", action="BUY", since=at, after=None), Page[Trade])
    assert_type(manager.execute_trade(order_id="o-1", price=Decimal(1)), Trade)
    market = manager.record_trade(symbol="A", action="BUY", quantity=1, status="PENDING")
    assert_type(market.price, Decimal)
    assert_type(manager.get_order("o-1", venue="x"), Order | None)
    assert_type(manager.get_open_orders(symbol="A")[0].fees, Mapping[str, Decimal])


def records(manager: DatabaseManager, trade: Trade, alert: Alert) -> None:
    assert_type(manager.create(trade), Trade)
    assert_type(manager.update(alert), Alert)
    assert_type(manager.get(Trade, 1), Trade | None)
    assert_type(manager.get_all(Alert, limit=10, severity="INFO"), Page[Alert])
    assert_type(manager.get_all(Alert)[0].message, str)
    rows = manager.get_rows(Trade, limit=10, symbol="A")
    assert_type(rows, Page[Row])
    assert_type(rows[0].price, Any)
    assert_type(rows[0]._asdict(), dict[str, Any])
    assert_type(manager.bulk_create([trade]), list[Trade])
    assert_type(manager.count(CashFlow, currency="USD"), int)
    assert_type(manager.exists(CashFlow, reference="wire-1"), bool)
    for position in manager.iterate(Position, status="OPEN"):
        assert_type(position, Position)


def the_rest(manager: DatabaseManager) -> None:
    assert_type(manager.get_position_by_symbol("A"), Position | None)
    assert_type(manager.update_position("A", {"current_price": 155.00}), Position)
    assert_type(manager.get_latest_portfolio(), Portfolio | None)
    assert_type(manager.get_portfolio_history(days=30), Page[Portfolio])
    assert_type(manager.resolve_alert(1, resolution="Issue fixed"), Alert)
    assert_type(manager.get_unresolved_alerts("CRITICAL"), Page[Alert])
    with manager.get_session() as session:
        assert_type(session, Session)
        query = select(Trade).where(col(Trade.symbol) == "A", col(Trade.price) > Decimal(1))
        assert_type(
            session.scalars(query.order_by(col(Trade.executed_at).desc())).first(), Trade | None
        )
        select(AgentDecision).options(joinedload(col(AgentDecision.signals)))
    with manager.unit_of_work() as uow:
        assert_type(
            handlers.record_trade(uow, symbol="A", action="BUY", quantity=1, price=1), Trade
        )
        uow.commit()


async def in_asyncio(manager: AsyncDatabaseManager, trade: Trade) -> None:
    assert_type(await manager.record_trade(symbol="A", action="BUY", quantity=1, price=1), Trade)
    assert_type(await manager.get_all(Trade, limit=100), Page[Trade])
    assert_type(await manager.get_rows(Trade), Page[Row])
    assert_type(await manager.create(trade), Trade)
    assert_type(await manager.get_unresolved_alerts("CRITICAL"), Page[Alert])
    async for position in manager.iterate(Position):
        assert_type(position, Position)
    async with manager.get_session() as session:
        assert_type(session, AsyncSession)
    async with manager.unit_of_work() as uow:
        assert_type(
            await uow.run(handlers.record_trade, symbol="A", action="BUY", quantity=1, price=1),
            Trade,
        )
        await uow.commit()


def decisions(manager: DatabaseManager, at: datetime) -> None:
    with manager.decision("bot", "A", strategy="s", parameters={"seed": 1}, signals=[1]) as d:
        assert_type(d, DecisionBlock)
        d.input("close", {"A": 1.5}, available_at=at, source="feed")
        with d.model_call("gpt-x", input="buy?") as call, d.action("tool_call"):
            call.output = ["yes"]
            call.tokens(input=3, output=4)
            call.cost = "0.01"
        assert_type(d.decide("BUY", quantity=1, price=1.5, confidence="0.7"), AgentDecision)
        assert_type(d.approve(), AgentDecision)
        assert_type(d.record_trade(price=1, order_id="o-1"), Trade)
        assert_type(d.id, int)


async def decisions_in_asyncio(manager: AsyncDatabaseManager) -> None:
    async with manager.decision("bot", "A") as d:
        assert_type(d, AsyncDecisionBlock)
        with d.model_call("gpt-x") as call:
            call.output = None
        assert_type(await d.decide("HOLD"), AgentDecision)
        assert_type(await d.record_trade(action="BUY", quantity=1, price=1), Trade)


def spans(book: DatabaseManager, provider: TracerProvider) -> None:
    exporter = tracing.AgentActionExporter(book, agent="bot")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    provider.add_span_processor(tracing.DecisionSpanProcessor(exporter))
    assert_type(exporter.counts.recorded, int)


def books_of_bots() -> None:
    config = DatabaseConfig("localhost", 5432, "book", "trader", "secret", pool_size=5)
    DatabaseConfig(seal_witness="/mnt/elsewhere/seals.jsonl")
    DatabaseConfig(seal_witness=[Path("seals.jsonl"), "s3://bucket/seals"])
    book: Book = FakeBook()
    book = DatabaseManager(config, "main")
    assert_type(DatabaseManager(config).for_account("paper"), DatabaseManager)
    assert_type(AsyncFakeBook().for_account("paper", base_currency="EUR"), AsyncFakeBook)
    book.close()
    async_book: AsyncBook = AsyncFakeBook()
    async_book = AsyncDatabaseManager("sqlite://", account="main")
    assert async_book is not None


def watched(book: DatabaseManager, async_book: AsyncDatabaseManager) -> None:
    """Either manager can be instrumented."""
    metrics.instrument(book, pool="trader")
    metrics.instrument(async_book)
    tracing.instrument(book)
    tracing.instrument(async_book, statements=False)
    assert_type(logs.configure(json=True), Handler)


def new_records(at: datetime) -> None:
    """Records take what their converters take; pyright must see it, too."""
    trade = Trade(symbol="A", action="BUY", quantity=1, price="1.5", executed_at="2026-01-01")
    assert_type(trade.price, Decimal)
    assert_type(trade.action, TradeAction)
    assert_type(trade.fee_currency, str)
    Trade(symbol="A", action=TradeAction.SELL, quantity=1.5, price=Decimal(2), order_id=7)
    Account(base_currency="EUR")
    AgentAction(agent="bot", action_type="think", input={"depth": 3}, cost="0.01")
    decision = AgentDecision(agent="bot", symbol="A", action="BUY", price=1.5, confidence="0.7")
    assert_type(decision.signals, list[Signal])
    Alert(alert_type="drawdown", severity="INFO", timestamp=at)
    CashFlow(kind="DEPOSIT", amount="100.50", reference="wire-1", occurred_at=at)
    Event(event_type="Noted", entity="Note", entity_id=1, occurred_at=at)
    PerformanceMetric(name="sharpe", value=1.5, period_start=at, period_end="2026-01-31")
    Portfolio(cash_balance=1, total_value="1.5", timestamp=at)
    Position(symbol="A", current_price="1.5")
    Signal(symbol="A", action="BUY", strength=1.5)
