"""The object graph of a manager: one database and one account, for threads or for asyncio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import getitem
from threading import RLock
from typing import Any, Final, TypeAlias

from attrs import frozen
from dependency_injector import containers, providers
from sqlalchemy import Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, SessionTransaction, sessionmaker

from tradebook.adapters.engine.factory import (
    AnyEngine,
    engine_of_account,
    make_async_engine,
    make_engine,
)
from tradebook.adapters.engine.transactions import ONE_STATEMENT, READ_ONLY
from tradebook.adapters.ledger.position_cache import PositionCache, TaskLock
from tradebook.adapters.replicas.replica import Replica
from tradebook.adapters.replicas.router import ReadRouter
from tradebook.adapters.repositories.entity_rows import AHEAD
from tradebook.adapters.repositories.read_sessions import ReadSession, StatementReadSession
from tradebook.adapters.runner.account_use import AccountCheck, AccountUse, AsyncAccountUse
from tradebook.adapters.runner.fast_record_trade import FastPath
from tradebook.adapters.runner.first_use import AsyncFirstUse, FirstUse
from tradebook.adapters.runner.group_commit import (
    CALLS_ALONE,
    GroupCommit,
    TaskGroupCommit,
    ThreadGroupCommit,
)
from tradebook.adapters.runner.retries import Retries
from tradebook.adapters.runner.runner import AsyncRunner, ReadMakers, Runner
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
    sessions: Callable[[Any, type[Session], DatabaseConfig, ReadRouter | None], Any]
    unit_of_work: type[Any]
    first_use: type[Any]
    account_use: type[Any]
    runner: type[Any]
    lock: Callable[[], Any]
    group_commit: Callable[[FastPath, int], GroupCommit]


def _sessions(
    engine: Engine,
    session_class: type[Session],
    config: DatabaseConfig,
    router: ReadRouter | None,
) -> sessionmaker[Session]:
    return sessionmaker(
        engine,
        class_=_counted(session_class, router),
        expire_on_commit=False,
        info={AHEAD: config.max_ahead},
    )


def _async_sessions(
    engine: AsyncEngine,
    session_class: type[Session],
    config: DatabaseConfig,
    router: ReadRouter | None,
) -> async_sessionmaker[AsyncSession]:
    return async_sessionmaker(
        engine,
        sync_session_class=_counted(session_class, router),
        expire_on_commit=False,
        info={AHEAD: config.max_ahead},
    )


THREADS: Final = Parts(
    make_engine,
    _sessions,
    SqlAlchemyUnitOfWork,
    FirstUse,
    AccountUse,
    Runner,
    RLock,
    ThreadGroupCommit,
)
ASYNCIO: Final = Parts(
    make_async_engine,
    _async_sessions,
    AsyncUnitOfWork,
    AsyncFirstUse,
    AsyncAccountUse,
    AsyncRunner,
    TaskLock,
    TaskGroupCommit,
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

    def unit_of_work(
        engine: Any, session_class: type[Session], cache: Any = None, router: Any = None
    ) -> Any:
        sessions = Single(parts.sessions, engine, session_class, config, router)
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
    else:
        wired.engine = Single(engine_of_account, owner.engine, account)
    # Decisions about writing need the database itself, never a replica that may lag behind.
    wired.own_read_engine = Single(_reading, wired.engine)
    wired.own_statement_engine = Single(_reading_once, wired.engine, config)
    if owner is None:
        wired.readers = Single(_readers, parts.make_engine, config, account)
        wired.router = Single(_router, config, wired.own_statement_engine, wired.readers)
    else:
        wired.readers = Single(_readers_of_account, owner.readers, account)
        wired.router = owner.router
    wired.position_cache = Single(PositionCache, parts.lock)
    wired.ad_hoc_sessions = Single(parts.sessions, wired.engine, AdHocSession, config, wired.router)
    wired.unit_of_work = unit_of_work(
        wired.engine, GuardedSession, wired.position_cache, wired.router
    )
    wired.read_unit_of_work = unit_of_work(wired.own_read_engine, ReadSession)
    wired.statement_unit_of_work = unit_of_work(wired.own_statement_engine, StatementReadSession)
    wired.schema_use = (
        Single(parts.first_use, config, wired.engine.provider, wired.own_read_engine.provider)
        if owner is None
        else owner.schema_use
    )
    wired.first_use = wired.schema_use
    if owner is not None or is_currency_named:
        named = base_currency if is_currency_named else None
        check = AccountCheck(account, named, must_be_visible=owner is not None)
        wired.first_use = Single(parts.account_use, wired.schema_use, check, wired.readers.provider)
    wired.fast_path = Single(
        FastPath,
        wired.engine,
        wired.position_cache,
        account,
        wired.retries,
        config.max_ahead,
        wired.router,
    )
    wired.group_commit = Single(_group_commit, parts.group_commit, wired.fast_path, config)
    makers = []
    for index, of_reader in enumerate(config.for_reading()):
        reader = Single(getitem, wired.readers, index)
        new_read = unit_of_work(Single(_reading, reader), ReadSession)
        new_statement = unit_of_work(Single(_reading_once, reader, of_reader), StatementReadSession)
        makers.append(ReadMakers(new_read, new_statement))
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
        wired.group_commit.provider,
        wired.router,
        makers,
    )
    return wired


def _reading(engine: AnyEngine, **options: Any) -> AnyEngine:
    """Return the engine, on the same pool, for transactions with one consistent view and no write lock."""
    if engine.dialect.driver == "asyncpg":
        consistent = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        options = consistent | options
    return engine.execution_options(**{READ_ONLY: True, **options})


def _reading_once(engine: AnyEngine, config: DatabaseConfig) -> AnyEngine:
    """Return the engine, on the same pool, for transactions of one statement, which sees one instant."""
    # Through a pooler asyncpg sends the limits of a connection with BEGIN; else it needs none.
    alone = engine.dialect.driver == "asyncpg" and config.pooler != TRANSACTION
    options = {"isolation_level": "AUTOCOMMIT"} if alone else {}
    return _reading(engine, **{ONE_STATEMENT: True, **options})


def _counted(session_class: type[Session], router: ReadRouter | None) -> type[Session]:
    """Return a class of sessions whose ended transactions count as writes, where reads go to other servers."""
    if router is None:
        return session_class
    counted = type(session_class.__name__, (session_class,), {})
    written = router.written

    def ended(_session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:
            written.add()

    event.listen(counted, "after_transaction_end", ended)
    return counted


def _group_commit(
    make: Callable[[FastPath, int], GroupCommit], path: FastPath, config: DatabaseConfig
) -> GroupCommit | None:
    """Make the queue of trades that share a transaction; None where each has its own."""
    if not config.group_commit:
        return None
    return make(path, CALLS_ALONE[config.backend])


def _readers(
    make: Callable[[DatabaseConfig, str], AnyEngine], config: DatabaseConfig, account: str
) -> tuple[AnyEngine, ...]:
    """Make an engine for each server that reads may go to."""
    return tuple(make(reader, account) for reader in config.for_reading())


def _readers_of_account(readers: Sequence[AnyEngine], account: str) -> tuple[AnyEngine, ...]:
    return tuple(engine_of_account(reader, account) for reader in readers)


def _router(
    config: DatabaseConfig, own_statement_engine: AnyEngine, readers: Sequence[AnyEngine]
) -> ReadRouter | None:
    """Make the router of reads; None where all of them go to the database itself."""
    if not readers:
        return None
    replicas = [
        Replica(
            f"{each.host}:{each.port}",
            _synchronous(_reading_once(reader, each)),
            is_one_server="," not in str(each.host),
        )
        for each, reader in zip(config.for_reading(), readers, strict=True)
    ]
    return ReadRouter(
        _synchronous(own_statement_engine),
        replicas,
        config.read_consistency,
        config.read_wait / 1000,
        config.read_max_lag,
    )


def _synchronous(engine: Engine | AsyncEngine) -> Engine:
    return engine.sync_engine if isinstance(engine, AsyncEngine) else engine
