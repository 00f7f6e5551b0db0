"""What is wired to what for asyncio; besides what `Container` wires."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from dependency_injector import containers, providers
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from tradebook.adapters.engine.factory import make_async_engine, make_engine
from tradebook.adapters.engine.transactions import ONE_STATEMENT, READ_ONLY
from tradebook.adapters.ledger.position_cache import RememberedPositions, TaskTurn
from tradebook.adapters.repositories.read_sessions import LookingSession, ReadingSession
from tradebook.adapters.runner.fast_record_trade import AsyncAtOnceRunner, AtOnceRunner
from tradebook.adapters.runner.retries import Retries
from tradebook.adapters.runner.runner import AsyncRunner, Runner
from tradebook.adapters.runner.watched_runner import AsyncWatchedRunner, WatchedRunner, Watcher
from tradebook.adapters.sessions.account_session import HandSession
from tradebook.adapters.unit_of_work import AsyncUnitOfWork, SqlAlchemyUnitOfWork
from tradebook.config import DatabaseConfig

AnyEngine = TypeVar("AnyEngine", Engine, "AsyncEngine")


def reading(engine: AnyEngine) -> AnyEngine:
    """The same engine and pool for units of work that only read: one consistent view, no write lock."""
    options: dict[str, object] = {READ_ONLY: True}
    if engine.dialect.driver == "asyncpg":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    return engine.execution_options(**options)


def looking(engine: AnyEngine) -> AnyEngine:
    """The same for units of work that read with one statement, which sees one instant by itself."""
    options: dict[str, object] = {READ_ONLY: True, ONE_STATEMENT: True}
    if engine.dialect.driver == "asyncpg":
        options["isolation_level"] = "AUTOCOMMIT"
    return engine.execution_options(**options)


def by_hand(engine: Engine) -> sessionmaker[Session]:
    """What makes the sessions of `get_session`, which few programs ask for."""

    return sessionmaker(engine, class_=HandSession, expire_on_commit=False)


def reader_of(config: DatabaseConfig, account: str, engine: Engine) -> Engine:
    """The engine for queries: one of its own where `read_url` names another server or role."""
    return engine if config.read_url is None else make_engine(config.for_reading(), account)


class Container(containers.DeclarativeContainer):
    """The object graph of one database and one account; nothing connects before it is used.

    ThreadSafeSingleton throughout: the plain Singleton makes several engines when threads race.
    """

    config: providers.Dependency[DatabaseConfig] = providers.Dependency(instance_of=DatabaseConfig)
    account: providers.Dependency[str] = providers.Dependency(instance_of=str)
    base_currency: providers.Dependency[str] = providers.Dependency(instance_of=str)

    retries = providers.ThreadSafeSingleton(Retries, account)

    engine = providers.ThreadSafeSingleton(make_engine, config, account)
    # Of the database itself: what decides whether and how it is written is never read elsewhere.
    own_reading_engine = providers.ThreadSafeSingleton(reading, engine)
    reader = providers.ThreadSafeSingleton(reader_of, config, account, engine)
    reading_engine = providers.ThreadSafeSingleton(reading, reader)
    sessions = providers.ThreadSafeSingleton(sessionmaker, engine, expire_on_commit=False)
    reading_sessions = providers.ThreadSafeSingleton(
        sessionmaker, reading_engine, class_=ReadingSession, expire_on_commit=False
    )
    hand_sessions = providers.ThreadSafeSingleton(by_hand, engine)
    remembered = providers.ThreadSafeSingleton(RememberedPositions)
    unit_of_work = providers.Factory(
        SqlAlchemyUnitOfWork, sessions, account, base_currency, remembered=remembered
    )
    reading_unit_of_work = providers.Factory(
        SqlAlchemyUnitOfWork, reading_sessions, account, base_currency
    )
    ordinary_runner = providers.ThreadSafeSingleton(Runner, unit_of_work.provider, retries)
    runner = providers.ThreadSafeSingleton(
        AtOnceRunner, ordinary_runner, engine, remembered, account, base_currency, retries
    )
    looking_engine = providers.ThreadSafeSingleton(looking, reader)
    looking_sessions = providers.ThreadSafeSingleton(
        sessionmaker, looking_engine, class_=LookingSession, expire_on_commit=False
    )
    looking_unit_of_work = providers.Factory(
        SqlAlchemyUnitOfWork, looking_sessions, account, base_currency
    )
    reading_runner = providers.ThreadSafeSingleton(Runner, reading_unit_of_work.provider, retries)
    looking_runner = providers.ThreadSafeSingleton(Runner, looking_unit_of_work.provider, retries)


def let_watch(container: Any, watchers: Sequence[Watcher], is_async: bool) -> list[Engine]:
    """Put runners that tell `watchers` in the place of those that do not; gives the engines to attend to."""
    c, kind = container, AsyncWatchedRunner if is_async else WatchedRunner
    runners: tuple[Any, ...] = (
        (c.async_runner, c.reading_async_runner, c.looking_async_runner)
        if is_async
        else (c.runner, c.reading_runner, c.looking_runner)
    )
    for provider in runners:
        provider.reset_override()
        provider.override(providers.Object(kind(provider(), c.account(), watchers)))
    if is_async:
        engines = [c.async_engine().sync_engine, c.async_reader().sync_engine]
    else:
        engines = [c.engine(), c.reader()]
    return engines if engines[0] is not engines[1] else engines[:1]


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
