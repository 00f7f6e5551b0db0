"""`rebuild` puts right what `verify` reports of positions and trades, and says what it changed."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import delete

from tests.integration.service_layer.test_verification import POSITION, spoil
from tradebook import DatabaseManager
from tradebook.adapters import orm
from tradebook.adapters.unit_of_work import SqlAlchemyUnitOfWork

FILLS = [("a", "BUY", 2, 10), ("b", "BUY", 3, 12), ("c", "SELL", 1, 15)]


@pytest.fixture(params=["sqlite", "postgresql"])
def manager(request: pytest.FixtureRequest) -> Iterator[DatabaseManager]:
    name = "sqlite_book" if request.param == "sqlite" else "postgresql_book"
    with DatabaseManager(request.getfixturevalue(name), account=uuid4().hex) as made:
        for order, action, quantity, price in FILLS:
            made.record_trade(
                symbol="KEPT", order_id=order, action=action, quantity=quantity, price=price
            )
        made.correct_trade(order_id="b", price=13, reason="misread")
        made.bust_trade(order_id="a", reason="cancelled")
        made.record_trade(symbol="OTHER", action="SELL", quantity=1, price=1)
        made.take_snapshot()
        assert made.verify().proven
        yield made


def remove_position(manager: DatabaseManager, symbol: str) -> None:
    with manager.unit_of_work() as uow:
        assert isinstance(uow, SqlAlchemyUnitOfWork)
        columns = orm.positions.c
        uow.session.execute(
            delete(orm.positions).where(
                columns.account == manager.account, columns.symbol == symbol
            )
        )
        uow.commit()


@pytest.mark.parametrize(("column", "value"), POSITION)
def test_a_spoilt_position_is_put_right_with_an_event(
    manager: DatabaseManager, column: str, value: object
) -> None:
    sound = manager.get_position_by_symbol("KEPT")
    spoil(manager, "positions", column, value, symbol="KEPT")
    assert not manager.verify().proven
    rebuilt = manager.rebuild()
    assert (rebuilt.positions, rebuilt.restated) == (("KEPT",), 0)
    assert manager.verify().proven
    assert getattr(manager.get_position_by_symbol("KEPT"), column) == getattr(sound, column)
    [event] = manager.get_events(event_type="PositionRebuilt")
    assert event.payload["symbol"] == "KEPT"
    assert set(event.payload["before"]) == set(event.payload["after"]) == {column}
    assert event.payload["before"] != event.payload["after"]


def test_spoilt_pnl_of_trades_is_restated(manager: DatabaseManager) -> None:
    spoil(manager, "trades", "realized_pnl", Decimal(99), order_id="c")
    spoil(manager, "trades", "realized_pnl", Decimal(1), order_id="a")  # busted: nothing
    rebuilt = manager.rebuild("KEPT")
    assert (rebuilt.positions, rebuilt.restated, rebuilt.trades) == (("KEPT",), 2, 4)
    assert manager.verify().proven
    [event] = manager.get_events(event_type="PositionRebuilt")
    assert (event.payload["trades"], event.payload["before"]) == (2, {})


def test_a_position_that_was_deleted_comes_back(manager: DatabaseManager) -> None:
    sound = manager.get_position_by_symbol("KEPT")
    remove_position(manager, "KEPT")
    assert manager.get_position_by_symbol("KEPT") is None
    assert not manager.verify().proven
    assert manager.rebuild().positions == ("KEPT",)
    assert manager.verify().proven
    found = manager.get_position_by_symbol("KEPT")
    assert found is not None
    assert sound is not None
    assert (found.quantity, found.sequence) == (sound.quantity, sound.sequence)
    manager.record_trade(symbol="KEPT", order_id="d", action="BUY", quantity=1, price=9)
    assert manager.verify().proven


def test_another_symbol_is_left_alone(manager: DatabaseManager) -> None:
    spoil(manager, "positions", "fees", Decimal(5), symbol="KEPT")
    assert manager.rebuild("OTHER").positions == ()
    assert not manager.verify().proven


def test_what_does_not_follow_from_trades_stays_reported(manager: DatabaseManager) -> None:
    spoil(manager, "portfolios", "fees", Decimal(5))
    spoil(manager, "positions", "fees", Decimal(5), symbol="KEPT")
    manager.rebuild()
    assert {difference.entity for difference in manager.verify().differences} == {"Portfolio"}


def test_a_missing_trade_is_no_obstacle_and_stays_reported(manager: DatabaseManager) -> None:
    spoil(manager, "trades", "symbol", "STOLEN", order_id="c")
    manager.rebuild()
    assert {d.field for d in manager.verify().differences} >= {"sequence"}
    manager.record_trade(symbol="KEPT", order_id="d", action="BUY", quantity=1, price=9)
    assert manager.get_position_by_symbol("KEPT").sequence == 7  # type: ignore[union-attr]
