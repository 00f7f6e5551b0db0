"""What is wired to what: engines, sessions, units of work and runners; one instance for each manager."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from dependency_injector import containers, providers
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from tradebook.adapters.at_once import AtOnceRunner
from tradebook.adapters.engine import make_engine
from tradebook.adapters.remembered import RememberedPositions
from tradebook.adapters.retrying import Retries
from tradebook.adapters.rows import LookingSession, ReadingSession
from tradebook.adapters.runner import Runner
from tradebook.adapters.transactions import ONE_STATEMENT, READ_ONLY
from tradebook.adapters.unit_of_work import SqlAlchemyUnitOfWork
from tradebook.adapters.watching import AsyncWatchedRunner, WatchedRunner, Watcher
from tradebook.config import DatabaseConfig

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

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
    from tradebook.adapters.by_hand import HandSession

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
