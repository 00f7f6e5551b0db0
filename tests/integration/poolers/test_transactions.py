"""Calls through PgBouncer in transaction mode: nothing of a client is left on a connection of the server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from attrs import evolve
from sqlalchemy import text

from tests.integration.poolers.conftest import PooledBook
from tests.support.backends import within
from tests.support.backends_behind import left_behind
from tests.support.servers import configured
from tradebook import (
    AsyncDatabaseManager,
    DatabaseManager,
    DatabaseUnavailable,
    StatementCancelled,
    Trade,
)
from tradebook.adapters.ledger import single_trade
from tradebook.domain.trades import TRADE_COLUMNS

NewManager = Callable[..., Any]
BUY: dict[str, Any] = {"symbol": "X", "action": "BUY", "quantity": 1, "price": 10}
IN_BOTH_WAYS = ["database", pytest.param("transaction", marks=pytest.mark.pooler)]
"""The limits are set on the database, or travel with each transaction as in most other tests."""
LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")


def in_force(uow: Any) -> list[str]:
    return [uow.session.execute(text(f"SHOW {name}")).scalar() for name in LIMITS]


def use_of_every_kind(manager: Any) -> None:
    for number in range(6):
        manager.record_trade(**BUY, order_id=f"o-{number}")
    manager.import_trades([{**BUY, "order_id": f"i-{number}"} for number in range(60)])
    manager.bust_trade(order_id="o-1", reason="a test")
    manager.take_snapshot()
    manager.seal()
    assert manager.get_position_by_symbol("X").quantity == 65
    assert manager.verify().proven
    assert manager.check_seals().sound
    assert manager.count(Trade) == 66


@pytest.mark.parametrize("limited_by", IN_BOTH_WAYS)
def test_calls_leave_nothing_on_the_servers_connections(
    pooled: PooledBook, new_manager: NewManager, limited_by: str
) -> None:
    if limited_by == "database":
        pooled.limit_database()
    before = left_behind(pooled.url)
    use_of_every_kind(new_manager(pooled.config, uuid4().hex))
    assert left_behind(pooled.url) == before
    assert len(before) == 1


def test_limits_hold_in_each_transaction(pooled: PooledBook, new_manager: NewManager) -> None:
    manager = new_manager(evolve(pooled.config, statement_timeout=200), uuid4().hex)
    assert manager.run(in_force) == ["200ms", "10s", "10min"]
    assert manager.read(in_force) == ["200ms", "10s", "10min"]
    with pytest.raises(StatementCancelled):
        manager.read(lambda uow: uow.session.execute(text("SELECT pg_sleep(5)")))
    with manager.unit_of_work(read_only=True) as uow:
        assert within(uow, in_force) == ["200ms", "10s", "10min"]


def test_a_limit_of_the_database_is_not_overridden_by_the_default(
    pooled: PooledBook, new_manager: NewManager
) -> None:
    pooled.limit_database()
    stated = evolve(pooled.config, lock_timeout=3000)
    assert new_manager(pooled.config, "a").run(in_force) == ["0", "10s", "10min"]
    assert new_manager(stated, "b").run(in_force) == ["0", "3s", "10min"]


def test_a_pooler_is_recognised_and_asyncpg_asks_which_kind_it_is(pooled: PooledBook) -> None:
    with DatabaseManager(pooled.url, uuid4().hex) as manager:
        use_of_every_kind(manager)
        assert manager.run(in_force) == ["0", "10s", "10min"]
    before = left_behind(pooled.url)
    assert {each[:2] for each in before} == {("0", "0")}
    with pytest.raises(DatabaseUnavailable, match="set TRADEBOOK_DB_POOLER=transaction"):
        new_asyncio_call(pooled)
    assert left_behind(pooled.url) == before


def new_asyncio_call(pooled: PooledBook) -> None:
    async def call() -> None:
        async with AsyncDatabaseManager(configured(pooled.url), uuid4().hex) as manager:
            await manager.record_trade(**BUY)

    asyncio.run(call())


def test_timeouts_that_a_pooler_refuses_at_the_start_are_explained(pooled: PooledBook) -> None:
    config = evolve(configured(pooled.url), statement_timeout=5000)
    with DatabaseManager(config) as manager, pytest.raises(DatabaseUnavailable) as refused:
        manager.get_positions()
    assert "set TRADEBOOK_DB_POOLER=transaction" in str(refused.value)


# Two versions of the booking statement

OLD = tuple(
    {"strategy": "order_id", "order_id": "strategy"}.get(column, column) for column in TRADE_COLUMNS
)
"""The same columns in another order: a client that ran the other's statement would write wrong values."""


@contextmanager
def version(manager: Any, columns: tuple[str, ...]) -> Iterator[None]:
    engine = manager._container.engine()
    dialect, before = engine.dialect, dict(single_trade._writers)
    single_trade._writers[dialect.driver, False] = VERSIONS.setdefault(
        (dialect.driver, columns), single_trade.WRITERS[dialect.driver](dialect, columns)
    )
    try:
        yield
    finally:
        single_trade._writers.clear()
        single_trade._writers.update(before)


VERSIONS: dict[Any, Any] = {}


@pytest.mark.parametrize("limited_by", ["transaction", "database"])
def test_each_client_gets_its_own_version_of_the_booking_statement(
    pooled: PooledBook, new_manager: NewManager, limited_by: str
) -> None:
    if limited_by == "database":
        pooled.limit_database()
    names = {TRADE_COLUMNS: "new", OLD: "old"}
    managers = {c: new_manager(pooled.config, name) for c, name in names.items()}
    for manager in managers.values():
        manager.record_trade(**BUY)
    chance = random.Random(7)
    for number in range(40):
        columns = chance.choice(list(names))
        with version(managers[columns], columns):
            managers[columns].record_trade(**BUY, strategy="mine", order_id=f"o-{number}")
    for manager in managers.values():
        booked = [trade for trade in manager.iterate(Trade) if trade.strategy]
        assert len(booked) > 5
        assert {trade.strategy for trade in booked} == {"mine"}


def test_trades_with_decisions_and_without_take_turns_on_connections(
    pooled: PooledBook, new_manager: NewManager
) -> None:
    manager = new_manager(pooled.config, uuid4().hex)
    manager.record_trade(**BUY)
    ids = [manager.record_decision("bot", "X", "BUY").id for _ in range(6)]
    for id_ in ids:
        manager.record_trade(**BUY, decision_id=id_)
        manager.record_trade(**BUY)
    assert {manager.get_decision(id_).status for id_ in ids} == {"EXECUTED"}
    assert manager.verify().proven
