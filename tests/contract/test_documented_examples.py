"""The examples of the document that the project began with: each runs as written, but for the imports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import joinedload, sessionmaker

from tests.support.backends import each_backend
from tests.support.servers import configured
from tradebook import (
    AgentDecision,
    Alert,
    AsyncDatabaseManager,
    DatabaseConfig,
    DatabaseEnvironment,
    DatabaseManager,
    InvalidInput,
    InvalidTransition,
    Portfolio,
    Position,
    PositionStatus,
    SchemaNotReady,
    Signal,
    Trade,
    TradeStatus,
    col,
    metadata,
)


@pytest.fixture(params=each_backend(["sqlite-memory", "sqlite-file", "postgresql"]))
def config(request: pytest.FixtureRequest) -> DatabaseConfig:
    """A database with the book's schema, or one that gets it by itself."""
    if request.param == "sqlite-memory":
        return DatabaseConfig(path=":memory:")
    if request.param == "sqlite-file":
        return DatabaseConfig.from_url(request.getfixturevalue("sqlite_url"))
    return configured(request.getfixturevalue("postgresql_book"))


@pytest.fixture
def manager(config: DatabaseConfig) -> Iterator[DatabaseManager]:
    with DatabaseManager(config, f"test-{uuid4().hex}") as made:
        yield made


@pytest.fixture
def in_async(config: DatabaseConfig) -> Callable[[Callable[[Any], Awaitable[None]]], None]:
    """Runs an asyncio example with a manager of its own."""

    def run(example: Callable[[Any], Awaitable[None]]) -> None:
        async def example_of_its_own() -> None:
            async with AsyncDatabaseManager(config, f"test-{uuid4().hex}") as async_manager:
                await example(async_manager)

        asyncio.run(example_of_its_own())

    return run


# Configuration


def test_a_config_is_made_by_hand_or_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    config = DatabaseConfig(
        host="localhost",
        port=5432,
        database="trading_system",
        username="trader",
        password="secure_password",
        pool_size=10,
        max_overflow=20,
    )
    assert str(config.url) == (
        "postgresql+psycopg2://trader:secure_password@localhost:5432/trading_system"
    )
    monkeypatch.setenv("TRADEBOOK_DB_HOST", "db.example.com")
    monkeypatch.setenv("TRADEBOOK_DB_USER", "user")
    monkeypatch.setenv("TRADEBOOK_DB_PASSWORD", "encoded@password")
    config = DatabaseConfig.from_env()
    assert "user:encoded%40password@db.example.com:5432/" in str(config.url)
    assert str(config.async_url).startswith(
        "postgresql+asyncpg://user:encoded%40password@db.example.com:5432/"
    )


def test_pool_settings_alone_are_a_config() -> None:
    config = DatabaseConfig(
        pool_size=10,  # Number of persistent connections
        max_overflow=20,  # Maximum overflow connections
        pool_timeout=30,  # Timeout for getting connection
        pool_recycle=3600,  # Recycle connections after 1 hour
    )
    assert (config.pool_size, config.max_overflow) == (10, 20)
    assert (config.pool_timeout, config.pool_recycle) == (30, 3600)


def test_environments_are_chosen_by_name() -> None:
    db_env = DatabaseEnvironment()
    db_env.set_environment("production")
    config = db_env.current
    assert (config.backend, config.sslmode, config.pool_pre_ping) == ("postgresql", "require", True)
    db_env.set_environment("testing")
    with DatabaseManager(db_env.current) as manager:
        assert manager.get_all(Trade) == []


# Synchronous operations


def test_a_session_commits_on_success(manager: DatabaseManager) -> None:
    with manager.get_session() as session:
        trade = Trade(symbol="AAPL", action="BUY", quantity=100, price=150.00)
        session.add(trade)
        # Automatically commits on success, rolls back on error
    [found] = manager.get_all(Trade)
    assert (found.id, found.symbol, found.quantity, found.price) == (trade.id, "AAPL", 100, 150)
    assert (found.status, found.account) == (TradeStatus.PENDING, manager.account)


def test_a_session_rolls_back_on_error_and_returns_its_connection(
    manager: DatabaseManager,
) -> None:
    def fails() -> None:
        with manager.get_session() as session:
            session.add(Trade(symbol="AAPL", action="BUY", quantity=100, price=150.00))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert manager.get_all(Trade) == []
    assert manager.pool_status().checked_out == 0


def test_create_get_all_get_update_delete(manager: DatabaseManager) -> None:
    trade_obj = Trade(symbol="AAPL", action="BUY", quantity=100, price=150.00)
    trade = manager.create(trade_obj)
    trade_id = trade.id
    trades = manager.get_all(Trade, limit=100)
    assert [t.id for t in trades] == [trade_id]
    trade = manager.get(Trade, trade_id)  # type: ignore[assignment]
    assert trade.symbol == "AAPL"
    trade_obj.quantity = 50  # type: ignore[assignment]
    manager.update(trade_obj)
    assert manager.get(Trade, trade_id).quantity == 50  # type: ignore[union-attr]
    manager.delete(trade_obj)
    assert manager.get(Trade, trade_id) is None


def test_get_all_takes_equalities_and_pages(manager: DatabaseManager) -> None:
    manager.bulk_create(
        [Trade(symbol=s, action="BUY", quantity=1, price=1) for s in ("AAPL", "MSFT", "AAPL")]
    )
    assert manager.count(Trade, symbol="AAPL") == 2
    assert manager.exists(Trade, symbol="MSFT")
    assert not manager.exists(Trade, symbol="GOOG")
    first = manager.get_all(Trade, limit=2)
    last = manager.get_all(Trade, limit=2, after=first.after)
    assert (len(first), len(last), last.after) == (2, 1, None)
    assert {t.id for t in first} | {t.id for t in last} == {t.id for t in manager.iterate(Trade)}


# Asynchronous operations


def test_an_async_session_selects_by_a_mapped_attribute(in_async: Any) -> None:
    async def example(async_manager: AsyncDatabaseManager) -> None:
        await async_manager.create(Trade(symbol="MSFT", action="BUY", quantity=1, price=1))
        async with async_manager.get_session() as session:
            session.add(Trade(symbol="AAPL", action="BUY", quantity=100, price=150.00))
        async with async_manager.get_session() as session:
            result = await session.execute(select(Trade).where(Trade.symbol == "AAPL"))  # type: ignore[arg-type]
            trades = result.scalars().all()
        assert [trade.quantity for trade in trades] == [100]

    in_async(example)


def test_the_specialised_calls_answer_in_asyncio_too(in_async: Any) -> None:
    async def example(async_manager: AsyncDatabaseManager) -> None:
        await async_manager.record_trade(symbol="AAPL", action="BUY", quantity=100, price=150.00)
        recent_trades = await async_manager.get_recent_trades(limit=100, days=7)
        symbol_trades = await async_manager.get_trades_by_symbol("AAPL")
        assert [t.id for t in recent_trades] == [t.id for t in symbol_trades]
        await async_manager.update_position("AAPL", {"current_price": 155.00})
        [position] = await async_manager.get_open_positions()
        assert position.unrealized_pnl == 500
        await async_manager.take_snapshot()
        assert len(await async_manager.get_portfolio_history(days=30)) == 1
        alert = await async_manager.raise_alert("drawdown", "CRITICAL")
        await async_manager.resolve_alert(alert.id, resolution="Issue fixed")
        assert await async_manager.get_unresolved_alerts() == []

    in_async(example)


# Specialised operations


def test_trade_operations(manager: DatabaseManager) -> None:
    old = datetime.now(UTC) - timedelta(days=8)
    manager.record_trade(symbol="AAPL", action="BUY", quantity=1, price=1, executed_at=old)
    new = manager.record_trade(symbol="AAPL", action="BUY", quantity=1, price=1)
    recent_trades = manager.get_recent_trades(limit=100, days=7)
    symbol_trades = manager.get_trades_by_symbol("AAPL")
    assert [trade.id for trade in recent_trades] == [new.id]
    assert len(symbol_trades) == 2


def test_position_operations(manager: DatabaseManager) -> None:
    manager.record_trade(symbol="AAPL", action="BUY", quantity=100, price=150.00)
    open_positions = manager.get_open_positions()
    position = manager.get_position_by_symbol("AAPL")
    assert position is not None
    assert [p.id for p in open_positions] == [position.id]
    manager.update_position("AAPL", {"current_price": 155.00})
    position = manager.get_position_by_symbol("AAPL")
    assert position is not None
    assert (position.entry_price, position.market_value, position.unrealized_pnl) == (
        150,
        15500,
        500,
    )


def test_portfolio_operations(manager: DatabaseManager) -> None:
    assert manager.get_latest_portfolio() is None
    manager.record_cash_flow("DEPOSIT", 1000)
    manager.take_snapshot()
    latest_portfolio = manager.get_latest_portfolio()
    portfolio_history = manager.get_portfolio_history(days=30)
    assert latest_portfolio is not None
    assert latest_portfolio.total_value == 1000
    assert [p.id for p in portfolio_history] == [latest_portfolio.id]


def test_alert_operations(manager: DatabaseManager) -> None:
    alert_id = manager.raise_alert("drawdown", "WARNING", "down 5 %").id
    unresolved_alerts = manager.get_unresolved_alerts()
    assert [alert.id for alert in unresolved_alerts] == [alert_id]
    assert manager.get_unresolved_alerts("CRITICAL") == []
    manager.resolve_alert(alert_id, resolution="Issue fixed")
    assert manager.get_unresolved_alerts() == []


# Best practices


def test_a_trade_and_a_position_are_committed_together(manager: DatabaseManager) -> None:
    with manager.get_session() as session:
        trade = Trade(symbol="AAPL", action="BUY", quantity=100, price=150.00)
        position = Position(symbol="AAPL")
        session.add_all([trade, position])
        # Both committed together or rolled back
    assert (trade.status, position.quantity) == (TradeStatus.PENDING, 0)
    assert manager.count(Trade) == manager.count(Position) == 1
    manager.execute_trade(trade_id=trade.id)
    [held] = manager.get_open_positions()
    assert (held.id, held.quantity) == (position.id, 100)
    assert manager.verify().proven


def test_a_trade_and_a_position_are_rolled_back_together(manager: DatabaseManager) -> None:
    with pytest.raises(InvalidInput, match=r"quantity.*record_trade"), manager.get_session() as s:
        s.add_all(
            [
                Trade(symbol="AAPL", action="BUY", quantity=100, price=150.00),
                Position(symbol="AAPL", quantity=100),
            ]
        )
    assert manager.count(Trade) == manager.count(Position) == 0


def test_enumerations_compare_with_their_names(manager: DatabaseManager) -> None:
    manager.record_trade(symbol="AAPL", action="BUY", quantity=100, price=150.00)
    with manager.get_session() as session:
        position = session.query(Position).one()
        position.status = PositionStatus.OPEN  # Not 'OPEN' string
        assert position.status == "OPEN"
    assert manager.get_all(Position, status="OPEN")[0].status is PositionStatus.OPEN
    with pytest.raises(InvalidInput, match="one of OPEN, CLOSED"):
        manager.get_all(Position, status="OPENED")


def test_a_session_queries_by_indexed_columns(manager: DatabaseManager) -> None:
    cutoff_date = datetime.now(UTC) - timedelta(days=1)
    for days in (0, 2):
        manager.record_trade(
            symbol="AAPL",
            action="BUY",
            quantity=1,
            price=1,
            executed_at=datetime.now(UTC) - timedelta(days=days),
        )
    with manager.get_session() as session:
        trades = (
            session.query(Trade)
            .filter(Trade.symbol == "AAPL", Trade.executed_at >= cutoff_date)  # type: ignore[arg-type]
            .all()
        )
        assert len(trades) == 1
        user_input = "AAPL' OR '1'='1"
        assert session.query(Trade).filter(Trade.symbol == user_input).all() == []  # type: ignore[arg-type]


def test_the_signals_of_decisions_are_loaded_in_one_query(manager: DatabaseManager) -> None:
    signal = Signal(symbol="AAPL", action="BUY")
    manager.create(AgentDecision(agent="a", symbol="AAPL", action="BUY", signals=[signal]))
    with manager.get_session() as session:
        eagerly = select(AgentDecision).options(joinedload(col(AgentDecision.signals)))
        [decision] = session.scalars(eagerly).unique()
    assert [s.symbol for s in decision.signals] == ["AAPL"]
    [decision] = manager.get_decisions(with_signals=True)
    assert [s.symbol for s in decision.signals] == ["AAPL"]


def test_a_portfolio_built_by_hand_is_kept_as_external(manager: DatabaseManager) -> None:
    with manager.get_session() as session:
        session.add(Portfolio(total_value=100000.0, cash_balance=25000.0))
    latest = manager.get_latest_portfolio()
    assert latest is not None
    assert (latest.source, latest.total_value) == ("external", 100000)
    assert manager.verify().proven


def test_an_alert_is_raised_by_hand(manager: DatabaseManager) -> None:
    with manager.get_session() as session:
        alert = Alert(alert_type="risk", severity="EMERGENCY", message="margin call", source="bot")
        session.add(alert)
    assert [found.id for found in manager.get_unresolved_alerts()] == [alert.id]
    manager.resolve_alert(alert.id, resolution="Issue fixed")


# Testing


def test_the_documents_own_fixture_works_on_a_plain_engine(sample_trade: dict[str, Any]) -> None:
    engine = create_engine("sqlite:///:memory:")
    metadata.create_all(engine)
    Session = sessionmaker(bind=engine)  # noqa: N806  # as the document has it
    session = Session()
    session.add(Trade(**sample_trade))
    session.commit()
    trade = session.query(Trade).one()
    assert trade.price == Decimal("150.5")
    assert trade.executed_at == sample_trade["executed_at"].replace(tzinfo=UTC)
    session.close()
    engine.dispose()


def test_the_offered_session_in_memory_takes_the_sample_trade(
    in_memory_db: Any, sample_trade: dict[str, Any]
) -> None:
    in_memory_db.add(Trade(**sample_trade))
    in_memory_db.commit()
    assert in_memory_db.query(Trade).filter(Trade.symbol == "AAPL").count() == 1
    in_memory_db.add(Trade(**sample_trade, status="EXECUTED"))
    with pytest.raises(InvalidInput, match="record_trade"):
        in_memory_db.commit()


def test_a_booked_trade_is_not_deleted_in_a_session_either(manager: DatabaseManager) -> None:
    trade = manager.record_trade(symbol="AAPL", action="BUY", quantity=100, price=150.00)
    with pytest.raises(InvalidTransition, match="bust_trade"), manager.get_session() as session:
        session.delete(session.query(Trade).filter(Trade.id == trade.id).one())  # type: ignore[arg-type]
    assert manager.verify().proven
    assert manager.count(Trade) == 1


@pytest.mark.slow
def test_a_thousand_records_and_more_are_inserted_in_bulk(manager: DatabaseManager) -> None:
    start = datetime.now(UTC) - timedelta(hours=1)
    trades = [
        Trade(
            symbol=f"S{i % 7}",
            action="BUY" if i % 3 else "SELL",
            quantity=1 + i % 5,
            price=Decimal(100 + i) / 8,
            executed_at=start + timedelta(seconds=i),
            status="EXECUTED",
        )
        for i in range(1500)
    ]
    signals = [Signal(symbol="AAPL", action="HOLD", reference=f"s{i}") for i in range(1000)]
    assert len(manager.bulk_create(trades)) == 1500
    assert len(manager.bulk_create(signals)) == 1000
    assert (manager.count(Trade), manager.count(Signal)) == (1500, 1000)
    assert [t.id for t in manager.iterate(Trade)] == [t.id for t in reversed(trades)]
    assert manager.verify().proven


def test_a_server_without_the_schema_says_what_to_run(new_database: Callable[[], Any]) -> None:
    with DatabaseManager(new_database()) as manager:
        with pytest.raises(SchemaNotReady, match="tradebook db upgrade"):
            manager.get_all(Trade)
        manager.upgrade()
        assert manager.get_all(Trade) == []
