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
from tradebook.adapters.ledger.position_cache import PositionCache, TaskLock
from tradebook.adapters.repositories.read_sessions import ReadSession, StatementReadSession
from tradebook.adapters.runner.fast_record_trade import AsyncFastRecordTrade, FastRecordTrade
from tradebook.adapters.runner.retries import Retries
from tradebook.adapters.runner.runner import AsyncRunner, Runner
from tradebook.adapters.runner.watched_runner import AsyncWatchedRunner, WatchedRunner, Watcher
from tradebook.adapters.sessions.account_session import AdHocSession
from tradebook.adapters.sessions.write_guard import install_write_guard
from tradebook.adapters.unit_of_work import AsyncUnitOfWork, SqlAlchemyUnitOfWork
from tradebook.config import DatabaseConfig

install_write_guard()

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

    return sessionmaker(engine, class_=AdHocSession, expire_on_commit=False)


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
    own_read_engine = providers.ThreadSafeSingleton(reading, engine)
    reader = providers.ThreadSafeSingleton(reader_of, config, account, engine)
    read_engine = providers.ThreadSafeSingleton(reading, reader)
    sessions = providers.ThreadSafeSingleton(sessionmaker, engine, expire_on_commit=False)
    read_sessions = providers.ThreadSafeSingleton(
        sessionmaker, read_engine, class_=ReadSession, expire_on_commit=False
    )
    ad_hoc_sessions = providers.ThreadSafeSingleton(by_hand, engine)
    position_cache = providers.ThreadSafeSingleton(PositionCache)
    unit_of_work = providers.Factory(
        SqlAlchemyUnitOfWork, sessions, account, base_currency, position_cache=position_cache
    )
    read_unit_of_work = providers.Factory(
        SqlAlchemyUnitOfWork, read_sessions, account, base_currency
    )
    ordinary_runner = providers.ThreadSafeSingleton(Runner, unit_of_work.provider, retries)
    runner = providers.ThreadSafeSingleton(Runner, unit_of_work.provider, retries)
    trade_runner = providers.ThreadSafeSingleton(
        FastRecordTrade, ordinary_runner, engine, position_cache, account, base_currency, retries
    )
    statement_engine = providers.ThreadSafeSingleton(looking, reader)
    statement_sessions = providers.ThreadSafeSingleton(
        sessionmaker, statement_engine, class_=StatementReadSession, expire_on_commit=False
    )
    statement_unit_of_work = providers.Factory(
        SqlAlchemyUnitOfWork, statement_sessions, account, base_currency
    )
    read_runner = providers.ThreadSafeSingleton(Runner, read_unit_of_work.provider, retries)
    statement_runner = providers.ThreadSafeSingleton(
        Runner, statement_unit_of_work.provider, retries
    )


def let_watch(container: Any, watchers: Sequence[Watcher], is_async: bool) -> list[Engine]:
    """Put runners that tell `watchers` in the place of those that do not; gives the engines to attend to."""
    c, kind = container, AsyncWatchedRunner if is_async else WatchedRunner
    runners: tuple[Any, ...] = (
        (c.async_runner, c.async_trade_runner, c.read_async_runner, c.statement_async_runner)
        if is_async
        else (c.runner, c.trade_runner, c.read_runner, c.statement_runner)
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
    own_read_async_engine = providers.ThreadSafeSingleton(reading, async_engine)
    async_reader = providers.ThreadSafeSingleton(
        async_reader_of, Container.config, Container.account, async_engine
    )
    read_async_engine = providers.ThreadSafeSingleton(reading, async_reader)
    async_sessions = providers.ThreadSafeSingleton(
        async_sessionmaker, async_engine, class_=AsyncSession, expire_on_commit=False
    )
    read_async_sessions = providers.ThreadSafeSingleton(
        async_sessionmaker,
        read_async_engine,
        class_=AsyncSession,
        sync_session_class=ReadSession,
        expire_on_commit=False,
    )
    async_ad_hoc_sessions = providers.ThreadSafeSingleton(
        async_sessionmaker,
        async_engine,
        class_=AsyncSession,
        sync_session_class=AdHocSession,
        expire_on_commit=False,
    )
    async_position_cache = providers.ThreadSafeSingleton(PositionCache, TaskLock)
    session_unit_of_work = providers.Factory(
        SqlAlchemyUnitOfWork,
        account=Container.account,
        base_currency=Container.base_currency,
        position_cache=async_position_cache,
    )
    statement_async_engine = providers.ThreadSafeSingleton(looking, async_reader)
    statement_async_sessions = providers.ThreadSafeSingleton(
        async_sessionmaker,
        statement_async_engine,
        class_=AsyncSession,
        sync_session_class=StatementReadSession,
        expire_on_commit=False,
    )
    statement_async_unit_of_work = providers.Factory(
        AsyncUnitOfWork, statement_async_sessions, session_unit_of_work.provider
    )
    async_unit_of_work = providers.Factory(
        AsyncUnitOfWork, async_sessions, session_unit_of_work.provider
    )
    read_async_unit_of_work = providers.Factory(
        AsyncUnitOfWork, read_async_sessions, session_unit_of_work.provider
    )
    ordinary_async_runner = providers.ThreadSafeSingleton(
        AsyncRunner, async_unit_of_work.provider, Container.retries
    )
    async_runner = providers.ThreadSafeSingleton(
        AsyncRunner, async_unit_of_work.provider, Container.retries
    )
    async_trade_runner = providers.ThreadSafeSingleton(
        AsyncFastRecordTrade,
        ordinary_async_runner,
        async_engine.provided.sync_engine,
        async_position_cache,
        Container.account,
        Container.base_currency,
        Container.retries,
    )
    read_async_runner = providers.ThreadSafeSingleton(
        AsyncRunner, read_async_unit_of_work.provider, Container.retries
    )
    statement_async_runner = providers.ThreadSafeSingleton(
        AsyncRunner, statement_async_unit_of_work.provider, Container.retries
    )
