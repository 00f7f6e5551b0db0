"""The asyncio manager: what a cancelled task leaves behind, and what tasks do at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any
from uuid import uuid4

import attrs
import pytest
from sqlalchemy import URL, event, text

from tests.support.backends import in_full_runs
from tests.support.cancellation import MOMENTS, interruptions
from tests.support.servers import configured
from tradebook import AbstractUnitOfWork, Alert, AsyncDatabaseManager, Signal, handlers


@pytest.fixture(params=MOMENTS)
def moment(request: pytest.FixtureRequest) -> str:
    """When a task is cancelled, of the two moments of each wait."""
    return str(request.param)


@pytest.fixture(params=[in_full_runs("memory"), in_full_runs("sqlite_url"), "postgresql_book"])
def manager(request: pytest.FixtureRequest) -> AsyncDatabaseManager:
    """A manager of a new account."""
    url = "sqlite://" if request.param == "memory" else request.getfixturevalue(request.param)
    return AsyncDatabaseManager(url, uuid4().hex)


def buying(number: int) -> dict[str, Any]:
    return {"symbol": "X", "action": "BUY", "quantity": 1, "price": 1, "order_id": f"o-{number}"}


async def nothing_is_left_behind(manager: AsyncDatabaseManager) -> None:
    """No connection is out, and trades and position agree."""
    assert manager.pool_status().checked_out == 0
    position = await manager.get_position_by_symbol("X")
    trades = await manager.get_trades_by_symbol("X", limit=1000)
    assert len(trades) == (0 if position is None else position.quantity)
    assert (await manager.verify()).proven


@pytest.mark.parametrize("way", ["at once", "ordinary"])
def test_a_cancelled_call_is_booked_whole_or_not_at_all(
    manager: AsyncDatabaseManager, moment: str, way: str
) -> None:
    async def record(number: int) -> None:
        if way == "ordinary":
            manager._container.position_cache().clear()
        await manager.record_trade(**buying(number))

    async def main() -> None:
        async with manager:
            await record(-1)
            cancelled = -1
            async for cancelled in interruptions(record, moment):
                await nothing_is_left_behind(manager)
                await record(cancelled)
                assert len(await manager.get_trades_by_symbol("X", limit=1000)) == cancelled + 2
            assert cancelled >= (0 if way == "at once" else 4)

    asyncio.run(main())


def test_a_cancelled_query_returns_its_connection(
    manager: AsyncDatabaseManager, moment: str
) -> None:
    async def main() -> None:
        async with manager:
            await manager.get_positions()
            async for _ in interruptions(lambda _: manager.get_positions(), moment):
                assert manager.pool_status().checked_out == 0

    asyncio.run(main())


def test_a_cancelled_update_is_recorded_with_its_event_or_not_at_all(
    manager: AsyncDatabaseManager, moment: str
) -> None:
    async def main() -> None:
        async with manager:
            alert = await manager.raise_alert("a", "INFO")
            numbers = []

            def update(number: int) -> Coroutine[Any, Any, Any]:
                numbers.append(number)
                alert.message = f"message {number}"
                return manager.update(alert)

            async for _ in interruptions(update, moment):
                assert manager.pool_status().checked_out == 0
                alert = await read_again(manager, alert)
                events = await manager.get_events(event_type="RecordUpdated")
                last = events[0].payload["changes"]["message"][1] if events else ""
                assert alert.message == last
            assert len(numbers) > 4
            assert (await read_again(manager, alert)).message == f"message {numbers[-1]}"

    asyncio.run(main())


async def read_again(manager: AsyncDatabaseManager, alert: Alert) -> Alert:
    found = await manager.get(Alert, alert.id)
    assert found is not None
    return found


@pytest.mark.parametrize("cancellations", [1, 2])
@pytest.mark.parametrize("way", ["session", "unit of work"])
def test_a_body_that_is_cancelled_even_twice_commits_nothing_and_keeps_its_connection(
    manager: AsyncDatabaseManager, way: str, cancellations: int
) -> None:
    async def in_a_session(written: asyncio.Event) -> None:
        async with manager.get_session() as session:
            session.add(Signal(symbol="X", action="BUY"))
            await session.flush()
            await waiting_for_ever(written)

    async def in_a_unit_of_work(written: asyncio.Event) -> None:
        async with manager.unit_of_work() as uow:
            await uow.run(handlers.record_signal, "X", "BUY")
            await waiting_for_ever(written)

    async def main() -> None:
        body = in_a_session if way == "session" else in_a_unit_of_work
        connected: list[str] = []
        async with manager:
            async with manager.get_session() as session:
                event.listen(
                    session.get_bind(), "connect", lambda *_: connected.append("once more")
                )
            for turns in range(8):  # of the event loop, between two cancellations
                written = asyncio.Event()
                task = asyncio.create_task(body(written))
                await written.wait()
                for _ in range(cancellations):
                    task.cancel()
                    for _ in range(turns):
                        await asyncio.sleep(0)
                await asyncio.wait([task])
                assert task.cancelled()
                assert manager.pool_status().checked_out == 0
            assert await manager.get_signals() == []
            assert connected == []
            assert await manager.get_events() == []

    asyncio.run(main())


async def waiting_for_ever(written: asyncio.Event) -> None:
    written.set()
    await asyncio.Event().wait()


def test_a_task_cancelled_in_a_unit_of_work_leaves_all_of_it_or_nothing(
    manager: AsyncDatabaseManager, moment: str
) -> None:
    async def two_trades(number: int) -> None:
        async with manager.unit_of_work() as uow:
            await uow.run(handlers.record_trade, **buying(2 * number))
            await uow.run(handlers.record_trade, **buying(2 * number + 1))
            await uow.commit()

    async def main() -> None:
        async with manager:
            await manager.get_positions()
            async for _ in interruptions(two_trades, moment):
                await nothing_is_left_behind(manager)
                assert len(await manager.get_trades_by_symbol("X", limit=1000)) % 2 == 0

    asyncio.run(main())


def test_a_task_cancelled_in_a_session_leaves_all_of_it_or_nothing(
    manager: AsyncDatabaseManager, moment: str
) -> None:
    async def two_signals(_: int) -> None:
        async with manager.get_session() as session:
            session.add(Signal(symbol="X", action="BUY"))
            await session.flush()
            session.add(Signal(symbol="X", action="SELL"))

    async def main() -> None:
        async with manager:
            await manager.get_positions()
            async for _ in interruptions(two_signals, moment):
                assert manager.pool_status().checked_out == 0
                assert len(await manager.get_signals(limit=1000)) % 2 == 0

    asyncio.run(main())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "moment", "every"),
    [
        ("memory", "before", 7),  # each makes a schema
        in_full_runs("memory", "before", 1),
        ("postgresql", "before", 1),
        ("postgresql", "after", 1),
    ],
)
def test_a_first_call_cancelled_leaves_a_manager_that_works(
    where: str, moment: str, every: int, request: pytest.FixtureRequest
) -> None:
    def new_manager() -> AsyncDatabaseManager:
        if where == "postgresql":
            return AsyncDatabaseManager(request.getfixturevalue("postgresql_book"), uuid4().hex)
        return AsyncDatabaseManager("sqlite://")

    managers: list[AsyncDatabaseManager] = []

    def first_call(_: int) -> Coroutine[Any, Any, Any]:
        managers.append(new_manager())
        return managers[-1].record_trade(**buying(0))

    async def main() -> None:
        async for _ in interruptions(first_call, moment, every):
            async with managers[-1] as manager:
                await nothing_is_left_behind(manager)
                await manager.record_trade(**buying(0))
                [position] = await manager.get_open_positions()
                assert position.quantity == 1
        await managers[-1].aclose()

    asyncio.run(main())


def test_a_call_cancelled_while_it_waits_for_a_connection_waits_no_longer(
    postgresql_book: URL,
) -> None:
    one = attrs.evolve(configured(postgresql_book), pool_size=1, max_overflow=0)

    async def main() -> None:
        async with AsyncDatabaseManager(one, uuid4().hex) as manager:
            async with manager.unit_of_work() as holding:
                await holding.run(handlers.record_trade, **buying(0))
                second = asyncio.create_task(manager.record_trade(**buying(1)))
                while not manager.pool_status().waiting:
                    await asyncio.sleep(0)
                second.cancel()
                await asyncio.wait([second])
                assert second.cancelled()
                assert manager.pool_status().waiting == 0
                await holding.commit()
            await nothing_is_left_behind(manager)
            assert len(await manager.get_trades_by_symbol("X")) == 1

    asyncio.run(main())


def test_a_call_cancelled_while_it_waits_for_a_lock_lets_the_others_go_on(
    postgresql_book: URL,
) -> None:
    manager = AsyncDatabaseManager(postgresql_book, uuid4().hex)

    def waits_for_a_lock(uow: AbstractUnitOfWork) -> bool:
        waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return bool(uow.session.scalar(waiting))  # type: ignore[attr-defined]

    async def main() -> None:
        async with manager:
            await manager.record_trade(**buying(0))
            async with manager.unit_of_work() as holding:
                await holding.run(handlers.record_trade, **buying(1))
                second = asyncio.create_task(manager.record_trade(**buying(2)))
                while not await manager.read(waits_for_a_lock):
                    pass
                second.cancel()
                await asyncio.wait([second])
                assert second.cancelled()
                assert manager.pool_status().checked_out == 1
                await holding.commit()
            await nothing_is_left_behind(manager)
            assert len(await manager.get_trades_by_symbol("X")) == 2

    asyncio.run(main())
