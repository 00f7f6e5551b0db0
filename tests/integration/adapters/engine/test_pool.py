"""The pools: who has the connections, who waits, and what is said when there is none left."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import pytest
from sqlalchemy import URL, Connection, Engine, text

from tests.support.servers import configured
from tradebook import DatabaseConfig, DatabaseManager, PoolExhausted
from tradebook.adapters.engine.factory import make_async_engine, make_engine
from tradebook.adapters.engine.pool import pool_status


@pytest.fixture(params=["file", "memory", "postgresql"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseConfig:
    """A pool of one connection and one more, whose patience ends soon."""
    if request.param == "postgresql":
        url: str | URL = request.getfixturevalue("postgresql")
    else:
        url = "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path / 'book.db'}"
    return attrs.evolve(configured(url), pool_size=1, max_overflow=1, pool_timeout=0.05)


@pytest.fixture
def engine(config: DatabaseConfig) -> Iterator[Engine]:
    made = make_engine(config)
    yield made
    made.dispose()


def busy(engine: Engine) -> tuple[int, int, int]:
    status = pool_status(engine)
    return status.checked_out, status.checked_in, status.waiting


def until(happened: Callable[[], bool]) -> None:
    """Look again until it is so; what never comes fails after a minute."""
    for _ in range(60_000):
        if happened():
            return
        threading.Event().wait(0.001)
    raise AssertionError("it never came")


def test_a_pool_counts_what_is_in_use_free_and_beyond_its_size(engine: Engine) -> None:
    assert busy(engine) == (0, 0, 0)
    assert pool_status(engine).oldest_checkout is None
    with engine.connect(), engine.connect():
        status = pool_status(engine)
        assert (status.size, status.max_overflow) == (1, 1)
        assert (status.checked_out, status.checked_in, status.overflow) == (2, 0, 1)
        assert status.oldest_checkout is not None
        assert status.oldest_checkout >= 0
    assert busy(engine) == (0, 1, 0)
    assert pool_status(engine).oldest_checkout is None


def test_an_exhausted_pool_names_its_size_the_oldest_user_and_what_to_do(engine: Engine) -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="forgetful") as threads:
        kept = threads.submit(engine.connect).result()
        with engine.connect(), pytest.raises(PoolExhausted) as exhausted:
            engine.connect()
        kept.close()
    message = str(exhausted.value)
    assert "pool_size=1, max_overflow=1" in message
    assert "by thread forgetful_0" in message
    assert "0 more wait" in message
    assert "TRADEBOOK_DB_POOL_SIZE" in message
    assert "`with`" in message


def test_those_that_really_wait_are_counted(config: DatabaseConfig) -> None:
    engine = make_engine(attrs.evolve(config, pool_timeout=60))
    kept = [engine.connect(), engine.connect()]
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(lambda: engine.connect().close()) for _ in range(3)]
        until(lambda: pool_status(engine).waiting == 3)
        for connection in kept:
            connection.close()
        for each in waiting:
            each.result()
    assert pool_status(engine).waiting == 0
    engine.dispose()


def test_the_message_counts_the_others_that_wait(config: DatabaseConfig) -> None:
    patient = make_engine(attrs.evolve(config, pool_timeout=60))
    kept = [patient.connect(), patient.connect()]
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(lambda: patient.connect().close()) for _ in range(2)]
        until(lambda: pool_status(patient).waiting == 2)
        patient.pool._timeout = 0.01  # type: ignore[attr-defined]
        with pytest.raises(PoolExhausted, match="2 more wait"):
            patient.connect()
        for connection in kept:
            connection.close()
        for each in waiting:
            each.result()
    patient.dispose()


def forgotten(connection: Connection) -> None:
    """Nobody closes it: it comes back when the last reference goes."""
    del connection
    gc.collect()


def invalidated(connection: Connection) -> None:
    connection.invalidate()
    connection.close()


def detached(connection: Connection) -> None:
    connection.detach()
    connection.close()


@pytest.mark.parametrize("end", [Connection.close, invalidated, detached, forgotten])
def test_however_a_connection_ends_it_is_in_use_no_longer(
    engine: Engine, end: Callable[[Connection], None]
) -> None:
    for _ in range(5):  # more than there are places
        end(engine.connect())
    assert busy(engine)[0] == 0
    assert pool_status(engine).oldest_checkout is None
    with engine.connect(), engine.connect():
        assert busy(engine)[0] == 2


def test_a_pool_that_is_disposed_of_starts_anew(engine: Engine) -> None:
    kept = engine.connect()
    engine.dispose()
    assert busy(engine) == (0, 0, 0)
    kept.close()
    with engine.connect(), engine.connect():
        assert busy(engine)[0] == 2


def test_a_connection_that_could_not_be_made_takes_no_place() -> None:
    config = DatabaseConfig(host="127.0.0.1", port=1, pool_size=1, max_overflow=0, pool_timeout=0.1)
    with DatabaseManager(config) as manager:
        for _ in range(3):
            assert not manager.health().reachable
        assert manager.pool_status().checked_out == 0


def test_tasks_that_wait_are_counted_and_the_oldest_task_is_named(config: DatabaseConfig) -> None:
    async def crowd() -> str:
        engine = make_async_engine(attrs.evolve(config, max_overflow=0, pool_timeout=0.1))
        is_held, may_end = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
                is_held.set()
                await may_end.wait()

        holder = asyncio.create_task(hold(), name="forgetful")
        await is_held.wait()
        waiter = asyncio.create_task(engine.connect().__aenter__())
        while pool_status(engine.sync_engine).waiting == 0:
            await asyncio.sleep(0)
        assert busy(engine.sync_engine) == (1, 0, 1)
        with pytest.raises(PoolExhausted) as exhausted:
            await waiter
        assert busy(engine.sync_engine) == (1, 0, 0)
        may_end.set()
        await holder
        assert busy(engine.sync_engine) == (0, 1, 0)
        await engine.dispose()
        return str(exhausted.value)

    message = asyncio.run(crowd())
    assert "pool_size=1, max_overflow=0" in message
    assert "by task forgetful" in message
    assert "0 more wait" in message


def test_a_task_that_is_cancelled_while_it_waits_waits_no_longer(config: DatabaseConfig) -> None:
    async def crowd() -> None:
        engine = make_async_engine(attrs.evolve(config, max_overflow=0, pool_timeout=60))
        async with engine.connect():
            waiter = asyncio.create_task(engine.connect().__aenter__())
            while pool_status(engine.sync_engine).waiting == 0:
                await asyncio.sleep(0)
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
            assert busy(engine.sync_engine) == (1, 0, 0)
        await engine.dispose()

    asyncio.run(crowd())


def test_a_manager_says_that_its_pool_is_exhausted(sqlite_book: str) -> None:
    config = attrs.evolve(configured(sqlite_book), pool_size=1, max_overflow=0, pool_timeout=0.01)
    with DatabaseManager(config) as manager:
        manager.get_positions()
        with manager.unit_of_work() as uow:
            uow.positions.by_symbol("X")
            with pytest.raises(PoolExhausted):
                manager.get_positions()
            health: Any = manager.health()
            assert "pool_size=1" in health.error
        assert manager.get_positions() == []
