"""What mypy rejects: `make lint` fails when it does not (each ignore would be unused)."""

from __future__ import annotations

from sqlalchemy import select

from tradebook import Alert, AsyncDatabaseManager, DatabaseConfig, DatabaseManager, Trade, col


def wrong_calls(manager: DatabaseManager, trade: Trade) -> None:
    manager.record_trade(symbol="A", action="BUY", price=1)  # type: ignore[call-arg]
    manager.record_trade(symbol="A", action="BUY", quantity=1, prize=1)  # type: ignore[call-arg]
    manager.record_trade(symbol=1, action="BUY", quantity=1, price=1)  # type: ignore[arg-type]
    manager.get_recent_trades(limit="100")  # type: ignore[arg-type]
    manager.get_trades_by_symbol()  # type: ignore[call-arg]
    manager.resolve_alert(1)  # type: ignore[call-arg]
    assert manager.get_position_by_symbol("A").quantity  # type: ignore[union-attr]
    manager.get(str, 1)  # type: ignore[type-var]
    manager.create("a trade")  # type: ignore[type-var]
    alert: Alert = manager.create(trade)  # type: ignore[assignment]
    assert alert
    manager.get_rows(Trade)[0].price = 1  # type: ignore[attr-defined]
    manager.update(manager.get_rows(Trade)[0])  # type: ignore[type-var]
    manager.decision("bot")  # type: ignore[call-arg]
    with manager.decision("bot", "A") as d:
        d.decide()  # type: ignore[call-arg]
        d.decide("BUY", colour="red")  # type: ignore[call-arg]
        d.record_trade(prize=1)  # type: ignore[call-arg]
    manager.no_such_call()  # type: ignore[attr-defined]


async def wrong_awaits(manager: AsyncDatabaseManager) -> None:
    assert (await manager.get_all(Trade)).severity  # type: ignore[attr-defined]
    manager.get_all(Trade)[0]  # type: ignore[index]
    await manager.record_trade(symbol="A")  # type: ignore[call-arg]


def wrong_queries() -> None:
    select(Trade).where(Trade.symbol == 1)  # type: ignore[arg-type, comparison-overlap]
    col(Trade.no_such_field)  # type: ignore[attr-defined]


def wrong_config() -> None:
    DatabaseConfig(port="5432")  # type: ignore[arg-type]
    DatabaseConfig(prot=5432)  # type: ignore[call-arg]
