"""What is wired to what for asyncio; besides what `Container` wires."""

from __future__ import annotations

from dependency_injector import providers
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from tradebook.adapters.async_engine import make_async_engine
from tradebook.adapters.async_unit_of_work import AsyncUnitOfWork
from tradebook.adapters.at_once import AsyncAtOnceRunner
from tradebook.adapters.by_hand import HandSession
from tradebook.adapters.remembered import RememberedPositions, TaskTurn
from tradebook.adapters.rows import LookingSession, ReadingSession
from tradebook.adapters.runner import AsyncRunner
from tradebook.adapters.unit_of_work import SqlAlchemyUnitOfWork
from tradebook.config import DatabaseConfig
from tradebook.entrypoints.container import Container, looking, reading


def async_reader_of(config: DatabaseConfig, account: str, engine: AsyncEngine) -> AsyncEngine:
    """As `reader_of`."""
    return engine if config.read_url is None else make_async_engine(config.for_reading(), account)


class AsyncContainer(Container):
    """The object graph of one database and one account, with the one for asyncio."""

    async_engine = providers.ThreadSafeSingleton(
        make_async_engine, Container.config, Container.account
    )
    own_reading_async_engine = providers.ThreadSafeSingleton(reading, async_engine)
    async_reader = providers.ThreadSafeSingleton(
        async_reader_of, Container.config, Container.account, async_engine
    )
    reading_async_engine = providers.ThreadSafeSingleton(reading, async_reader)
    async_sessions = providers.ThreadSafeSingleton(
        async_sessionmaker, async_engine, class_=AsyncSession, expire_on_commit=False
    )
    reading_async_sessions = providers.ThreadSafeSingleton(
        async_sessionmaker,
        reading_async_engine,
        class_=AsyncSession,
        sync_session_class=ReadingSession,
        expire_on_commit=False,
    )
    async_hand_sessions = providers.ThreadSafeSingleton(
        async_sessionmaker,
        async_engine,
        class_=AsyncSession,
        sync_session_class=HandSession,
        expire_on_commit=False,
    )
    async_remembered = providers.ThreadSafeSingleton(RememberedPositions, TaskTurn)
    session_unit_of_work = providers.Factory(
        SqlAlchemyUnitOfWork,
        account=Container.account,
        base_currency=Container.base_currency,
        remembered=async_remembered,
    )
    looking_async_engine = providers.ThreadSafeSingleton(looking, async_reader)
    looking_async_sessions = providers.ThreadSafeSingleton(
        async_sessionmaker,
        looking_async_engine,
        class_=AsyncSession,
        sync_session_class=LookingSession,
        expire_on_commit=False,
    )
    looking_async_unit_of_work = providers.Factory(
        AsyncUnitOfWork, looking_async_sessions, session_unit_of_work.provider
    )
    async_unit_of_work = providers.Factory(
        AsyncUnitOfWork, async_sessions, session_unit_of_work.provider
    )
    reading_async_unit_of_work = providers.Factory(
        AsyncUnitOfWork, reading_async_sessions, session_unit_of_work.provider
    )
    ordinary_async_runner = providers.ThreadSafeSingleton(
        AsyncRunner, async_unit_of_work.provider, Container.retries
    )
    async_runner = providers.ThreadSafeSingleton(
        AsyncAtOnceRunner,
        ordinary_async_runner,
        async_engine,
        async_remembered,
        Container.account,
        Container.base_currency,
        Container.retries,
    )
    reading_async_runner = providers.ThreadSafeSingleton(
        AsyncRunner, reading_async_unit_of_work.provider, Container.retries
    )
    looking_async_runner = providers.ThreadSafeSingleton(
        AsyncRunner, looking_async_unit_of_work.provider, Container.retries
    )
