"""The object graph of a manager: one database and one account, for threads or for asyncio."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Any, Final, TypeAlias

from attrs import frozen
from dependency_injector import containers, providers
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from tradebook.adapters.engine.factory import (
    AnyEngine,
    engine_of_account,
    make_async_engine,
    make_engine,
)
from tradebook.adapters.engine.transactions import ONE_STATEMENT, READ_ONLY
from tradebook.adapters.ledger.position_cache import PositionCache, TaskLock
from tradebook.adapters.repositories.entity_rows import AHEAD
from tradebook.adapters.repositories.read_sessions import ReadSession, StatementReadSession
from tradebook.adapters.runner.account_use import AccountCheck, AccountUse, AsyncAccountUse
from tradebook.adapters.runner.fast_record_trade import FastPath
from tradebook.adapters.runner.first_use import AsyncFirstUse, FirstUse
from tradebook.adapters.runner.retries import Retries
from tradebook.adapters.runner.runner import AsyncRunner, Runner
from tradebook.adapters.sessions.account_session import AdHocSession
from tradebook.adapters.sessions.write_guard import GuardedSession
from tradebook.adapters.unit_of_work import AsyncUnitOfWork, SqlAlchemyUnitOfWork
from tradebook.config import DatabaseConfig
from tradebook.config.texts import TRANSACTION

Graph: TypeAlias = containers.DynamicContainer

Single = providers.ThreadSafeSingleton
"""Used throughout: the plain `Singleton` makes several engines when threads race."""


@frozen
class Parts:
    """The classes that differ between managers for threads and for asyncio."""

    make_engine: Callable[[DatabaseConfig, str], Any]
    sessions: Callable[[Any, type[Session], DatabaseConfig], Any]
    unit_of_work: type[Any]
    first_use: type[Any]
    account_use: type[Any]
    runner: type[Any]
    lock: Callable[[], Any]


def _sessions(
    engine: Engine, session_class: type[Session], config: DatabaseConfig
) -> sessionmaker[Session]:
    return sessionmaker(
        engine, class_=session_class, expire_on_commit=False, info={AHEAD: config.max_ahead}
    )


def _async_sessions(
    engine: AsyncEngine, session_class: type[Session], config: DatabaseConfig
) -> async_sessionmaker[AsyncSession]:
    return async_sessionmaker(
        engine,
        sync_session_class=session_class,
        expire_on_commit=False,
        info={AHEAD: config.max_ahead},
    )


THREADS: Final = Parts(
    make_engine, _sessions, SqlAlchemyUnitOfWork, FirstUse, AccountUse, Runner, RLock
)
ASYNCIO: Final = Parts(
    make_async_engine,
    _async_sessions,
    AsyncUnitOfWork,
    AsyncFirstUse,
    AsyncAccountUse,
    AsyncRunner,
    TaskLock,
)


def new_container(
    parts: Parts,
    config: DatabaseConfig,
    account: str,
    base_currency: str,
    actor: str,
    *,
    is_currency_named: bool = False,
    owner: Graph | None = None,
) -> Graph:
    """Wire the object graph of one manager; nothing connects before it is used.

    Args:
        parts: the classes.
        config: the database.
        account: the account of the book.
        base_currency: of the account, when its first use opens it.
        actor: the default actor.
        is_currency_named: whether an account in another base currency is refused.
        owner: the graph of the manager whose engines, observers and check of the schema this one shares.
    """

    def unit_of_work(engine: Any, session_class: type[Session], cache: Any = None) -> Any:
        sessions = Single(parts.sessions, engine, session_class, config)
        return providers.Factory(
            parts.unit_of_work,
            sessions,
            account,
            base_currency,
            position_cache=cache,
            is_currency_named=is_currency_named,
        )

    wired = Graph()
    wired.observers = Single(list) if owner is None else owner.observers
    wired.retries = Single(Retries, account, wired.observers)
    if owner is None:
        wired.engine = Single(parts.make_engine, config, account)
        wired.reader = Single(_reader, parts.make_engine, config, account, wired.engine)
    else:
        wired.engine = Single(engine_of_account, owner.engine, account)
        wired.reader = Single(engine_of_account, owner.reader, account)
    # Decisions about writing need the database itself, never a replica that may lag behind.
    wired.own_read_engine = Single(_reading, wired.engine)
    wired.position_cache = Single(PositionCache, parts.lock)
    wired.ad_hoc_sessions = Single(parts.sessions, wired.engine, AdHocSession, config)
    wired.unit_of_work = unit_of_work(wired.engine, GuardedSession, wired.position_cache)
    wired.read_unit_of_work = unit_of_work(Single(_reading, wired.reader), ReadSession)
    # Through a pooler asyncpg sends the limits of a connection with BEGIN.
    autocommit = config.for_reading().pooler != TRANSACTION
    wired.statement_unit_of_work = unit_of_work(
        Single(_reading, wired.reader, one_statement=True, autocommit=autocommit),
        StatementReadSession,
    )
    wired.schema_use = (
        Single(parts.first_use, config, wired.engine.provider, wired.own_read_engine.provider)
        if owner is None
        else owner.schema_use
    )
    wired.first_use = wired.schema_use
    if owner is not None or is_currency_named:
        named = base_currency if is_currency_named else None
        check = AccountCheck(account, named, must_be_visible=owner is not None)
        reader = None if config.read_url is None else wired.reader.provider
        wired.first_use = Single(parts.account_use, wired.schema_use, check, reader)
    wired.fast_path = Single(
        FastPath, wired.engine, wired.position_cache, account, wired.retries, config.max_ahead
    )
    wired.runner = Single(
        parts.runner,
        wired.unit_of_work.provider,
        wired.read_unit_of_work.provider,
        wired.statement_unit_of_work.provider,
        wired.first_use,
        wired.retries,
        account,
        actor,
        wired.observers,
        wired.fast_path.provider,
    )
    return wired


def _reading(
    engine: AnyEngine, *, one_statement: bool = False, autocommit: bool = False
) -> AnyEngine:
    """Return the engine, on the same pool, for transactions with one consistent view and no write lock.

    With `one_statement` each transaction has one statement, and sees one instant; on asyncpg it is then sent
    without BEGIN where `autocommit` is set.
    """
    options: dict[str, Any] = {READ_ONLY: True, ONE_STATEMENT: one_statement}
    if engine.dialect.driver == "asyncpg":
        consistent = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        options |= {"isolation_level": "AUTOCOMMIT"} if autocommit else consistent
    return engine.execution_options(**options)


def _reader(
    make: Callable[[DatabaseConfig, str], AnyEngine],
    config: DatabaseConfig,
    account: str,
    engine: AnyEngine,
) -> AnyEngine:
    """Return the engine for queries: one of its own where `read_url` names another server or role."""
    return engine if config.read_url is None else make(config.for_reading(), account)
