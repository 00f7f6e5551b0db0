"""The object graph of one database and one account, for threads and for asyncio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from dependency_injector import containers, providers
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from tradebook.adapters.engine.factory import make_async_engine, make_engine
from tradebook.adapters.engine.transactions import ONE_STATEMENT, READ_ONLY
from tradebook.adapters.ledger.position_cache import PositionCache, TaskTurn
from tradebook.adapters.repositories.read_sessions import ReadSession, StatementReadSession
from tradebook.adapters.runner.fast_record_trade import AsyncFastRunner, FastRunner
from tradebook.adapters.runner.first_use import AsyncFirstUse, FirstUse
from tradebook.adapters.runner.observers import Observer
from tradebook.adapters.runner.retries import Retries
from tradebook.adapters.sessions.account_session import AdHocSession
from tradebook.adapters.sessions.write_guard import install_write_guard
from tradebook.adapters.unit_of_work import AsyncUnitOfWork, SqlAlchemyUnitOfWork
from tradebook.config import DatabaseConfig

install_write_guard()

AnyEngine = TypeVar("AnyEngine", Engine, AsyncEngine)

Single = providers.ThreadSafeSingleton
"""Used throughout: the plain `Singleton` makes several engines when threads race."""


def _read_only(engine: AnyEngine) -> AnyEngine:
    """Return the engine, on the same pool, for transactions with one consistent view and no write lock."""
    options: dict[str, Any] = {READ_ONLY: True}
    if engine.dialect.driver == "asyncpg":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    return engine.execution_options(**options)


def _single_statement(engine: AnyEngine) -> AnyEngine:
    """Return the engine, on the same pool, for single statements that read: each sees one instant by itself."""
    options: dict[str, Any] = {READ_ONLY: True, ONE_STATEMENT: True}
    if engine.dialect.driver == "asyncpg":
        options["isolation_level"] = "AUTOCOMMIT"
    return engine.execution_options(**options)


def _reader(
    make: Callable[[DatabaseConfig, str], AnyEngine],
    config: DatabaseConfig,
    account: str,
    engine: AnyEngine,
) -> AnyEngine:
    """Return the engine for queries: one of its own where `read_url` names another server or role."""
    return engine if config.read_url is None else make(config.for_reading(), account)


def _unit_of_work(
    engine: providers.Provider[Engine], session_class: type[Session], *of_account: Any
) -> providers.Factory[SqlAlchemyUnitOfWork]:
    sessions = Single(sessionmaker, engine, class_=session_class, expire_on_commit=False)
    return providers.Factory(SqlAlchemyUnitOfWork, sessions, *of_account)


def _async_unit_of_work(
    engine: providers.Provider[AsyncEngine],
    session_class: type[Session],
    inside: providers.Factory[SqlAlchemyUnitOfWork],
) -> providers.Factory[AsyncUnitOfWork]:
    return providers.Factory(
        AsyncUnitOfWork, Single(_async_sessions, engine, session_class), inside.provider
    )


def _async_sessions(
    engine: AsyncEngine, session_class: type[Session]
) -> async_sessionmaker[AsyncSession]:
    return async_sessionmaker(engine, sync_session_class=session_class, expire_on_commit=False)


class Container(containers.DeclarativeContainer):
    """The object graph of one database and one account; nothing connects before it is used."""

    config: providers.Dependency[DatabaseConfig] = providers.Dependency(instance_of=DatabaseConfig)
    account: providers.Dependency[str] = providers.Dependency(instance_of=str)
    base_currency: providers.Dependency[str] = providers.Dependency(instance_of=str)
    actor: providers.Dependency[str] = providers.Dependency(instance_of=str, default="")

    observers: providers.Provider[list[Observer]] = Single(list)
    retries = Single(Retries, account, observers)

    engine = Single(make_engine, config, account)
    # Decisions about writing need the database itself, never a replica that may lag behind.
    own_read_engine = Single(_read_only, engine)
    reader = Single(_reader, make_engine, config, account, engine)
    position_cache = Single(PositionCache)
    ad_hoc_sessions = Single(sessionmaker, engine, class_=AdHocSession, expire_on_commit=False)
    unit_of_work = _unit_of_work(engine, Session, account, base_currency).add_kwargs(
        position_cache=position_cache
    )
    read_unit_of_work = _unit_of_work(
        Single(_read_only, reader), ReadSession, account, base_currency
    )
    statement_unit_of_work = _unit_of_work(
        Single(_single_statement, reader), StatementReadSession, account, base_currency
    )
    runner = Single(
        FastRunner,
        unit_of_work.provider,
        read_unit_of_work.provider,
        statement_unit_of_work.provider,
        Single(FirstUse, config, engine.provider, own_read_engine.provider),
        retries,
        account,
        actor,
        observers,
    ).add_kwargs(engine=engine.provider, position_cache=position_cache, base_currency=base_currency)


class AsyncContainer(Container):
    """The object graph of one database and one account, with the one for asyncio."""

    async_engine = Single(make_async_engine, Container.config, Container.account)
    own_read_async_engine = Single(_read_only, async_engine)
    async_reader = Single(
        _reader, make_async_engine, Container.config, Container.account, async_engine
    )
    async_position_cache = Single(PositionCache, TaskTurn)
    async_ad_hoc_sessions = Single(_async_sessions, async_engine, AdHocSession)
    session_unit_of_work = providers.Factory(
        SqlAlchemyUnitOfWork,
        account=Container.account,
        base_currency=Container.base_currency,
        position_cache=async_position_cache,
    )
    async_unit_of_work = _async_unit_of_work(async_engine, Session, session_unit_of_work)
    read_async_unit_of_work = _async_unit_of_work(
        Single(_read_only, async_reader), ReadSession, session_unit_of_work
    )
    statement_async_unit_of_work = _async_unit_of_work(
        Single(_single_statement, async_reader), StatementReadSession, session_unit_of_work
    )
    async_runner = Single(
        AsyncFastRunner,
        async_unit_of_work.provider,
        read_async_unit_of_work.provider,
        statement_async_unit_of_work.provider,
        Single(
            AsyncFirstUse, Container.config, async_engine.provider, own_read_async_engine.provider
        ),
        Container.retries,
        Container.account,
        Container.actor,
        Container.observers,
    ).add_kwargs(
        engine=async_engine.provider,
        position_cache=async_position_cache,
        base_currency=Container.base_currency,
    )
