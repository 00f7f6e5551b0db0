"""`AsyncDatabaseManager`: the book on a database, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Concatenate, ParamSpec, TypeVar, Unpack

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncSession

from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.engine.pool import pool_status
from tradebook.adapters.errors import translated_errors
from tradebook.adapters.health import async_health
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.adapters.migrations.schema_state import read_async_schema_state
from tradebook.adapters.runner.watched_runner import SESSION, UNIT_OF_WORK, watched
from tradebook.adapters.sessions.account_session import async_ad_hoc_session
from tradebook.adapters.unit_of_work import AsyncUnitOfWork
from tradebook.config import DatabaseConfig
from tradebook.domain.entity import DEFAULT_ACCOUNT
from tradebook.domain.plain_values import function
from tradebook.domain.trades import Trade
from tradebook.domain.validation import argument, boolean
from tradebook.entrypoints.container import AsyncContainer
from tradebook.entrypoints.manager import Managed
from tradebook.service_layer import handlers
from tradebook.service_layer.async_book import AsyncBook
from tradebook.service_layer.call_context import DEFAULT_BASE_CURRENCY, CallContext
from tradebook.service_layer.handlers import TradeTerms
from tradebook.service_layer.ports.health import Health, PoolStatus
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

P = ParamSpec("P")
R = TypeVar("R")


class AsyncDatabaseManager(Managed, AsyncBook):
    """`DatabaseManager` for asyncio: the same calls, awaited; cheap to make, and safe to share between tasks.

    The same handlers run on asyncpg or aiosqlite. It belongs to the event loop that it is first used in:
    `await aclose()` there before another loop uses it, or make one for each loop.

    Args:
        config: a `DatabaseConfig`, or a URL; what the environment's variables say by default.
        account: the tenant whose book this is.
        base_currency: of the account, when its first use opens it.
        actor: who writes, for the events, where no `tradebook.context` says so.

    Raises:
        InvalidInput: the configuration, the account or the currency is refused. Connects only when
            first used; then it raises SchemaNotReady where the schema is not the one that it needs.
    """

    _wiring = AsyncContainer
    _container: AsyncContainer

    def __init__(
        self,
        config: DatabaseConfig | str | URL | None = None,
        account: str = DEFAULT_ACCOUNT,
        *,
        base_currency: str = DEFAULT_BASE_CURRENCY,
        actor: str = "",
    ) -> None:
        super().__init__(config, account, base_currency=base_currency, actor=actor)
        self._preparing = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def upgrade(self) -> None:
        """Bring the database's schema to this version; does nothing when it is there already."""
        with translated_errors():
            # A database in memory lasts as long as a connection to it: the pool keeps this one.
            async with self._container.async_engine().connect():
                await asyncio.to_thread(_upgrade, self.config)

    @asynccontextmanager
    async def get_session(self) -> AsyncIterator[AsyncSession]:
        """An `AsyncSession` for work by hand: `async with manager.get_session() as session: ...`.

        It commits when the block ends, rolls back on an error, and always returns its connection. It
        reads and writes entities of this account only; what only handlers may do is refused by name, and all else
        leaves an event. `unit_of_work()` discards whatever was not committed.
        """
        await self._prepare()
        by = self._new_context()
        new_session = self._container.async_ad_hoc_sessions()
        session = async_ad_hoc_session(new_session, self.account, by.actor, by.correlation_id)
        with self._watched(SESSION, by):
            async with session as opened:
                yield opened

    @asynccontextmanager
    async def unit_of_work(
        self, *, read_only: bool = False, context: CallContext | None = None
    ) -> AsyncIterator[AsyncUnitOfWork]:
        """One transaction: `async with manager.unit_of_work() as uow: await uow.run(handler, ...)`.

        Handlers and queries compose in it; leaving it without `await uow.commit()` discards everything.
        `get_session()` is the other way round: a plain session that commits at its end.
        """
        only_reads = argument("read_only", boolean, read_only)
        by = self._new_context(context)
        await self._prepare()
        container = self._container
        new = container.read_async_unit_of_work if only_reads else container.async_unit_of_work
        with self._watched(UNIT_OF_WORK, by):
            async with new(context=by) as uow:
                yield uow

    async def run(
        self,
        handler: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call `handler(uow, ...)` in a unit of work and commit it; all again on a conflict.

        All again, too, on a new connection where the connection was lost. Lost at COMMIT, the database is
        asked first whether it was done.
        """
        argument("handler", function, handler)
        await self._prepare()
        runner = self._container.async_runner()
        return await runner.run(self._new_context(), handler, *args, **kwargs)

    async def record_trade(self, /, **terms: Unpack[TradeTerms]) -> Trade:
        """Record one execution; see `handlers.record_trade`. A new fill takes a single statement where it can."""
        await self._prepare()
        runner = self._container.async_trade_runner()
        return await runner.run(self._new_context(), handlers.record_trade, **terms)

    async def read(
        self,
        query: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call `query(uow, ...)` on one consistent view; again where the connection was lost."""
        argument("query", function, query)
        await self._prepare()
        runner = self._container.read_async_runner()
        return await runner.read(self._new_context(), query, *args, **kwargs)

    async def look_up(
        self,
        query: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call `query(uow, ...)`, which is one statement, without a transaction around it."""
        argument("query", function, query)
        await self._prepare()
        runner = self._container.statement_async_runner()
        return await runner.read(self._new_context(), query, *args, **kwargs)

    async def health(self) -> Health:
        """How the database is: reachable, its version, its latency, its schema. Never raises for that."""
        return await async_health(self._container.own_read_async_engine(), self.config)

    def pool_status(self) -> PoolStatus:
        """What the pool of connections is doing now."""
        return pool_status(self._container.async_engine().sync_engine)

    async def aclose(self) -> None:
        """Close every connection; the manager can still be used, and connects again.

        A database in memory ends with its last connection.
        """
        self._loop, self._preparing = None, asyncio.Lock()
        self._container.async_position_cache().clear()
        await self._container.async_reader().dispose()
        await self._container.async_engine().dispose()

    _is_async = True

    def _watched(self, name: str, context: CallContext) -> AbstractContextManager[object]:
        if not self._watchers:
            return nullcontext()
        return watched(self._watched_call(name, context), self._watchers)

    async def _prepare(self) -> None:
        """On first use: give a new and empty embedded database its tables, refuse another's schema."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        if self._loop is not None:
            raise RuntimeError(
                f"{self!r} belongs to another event loop: await its aclose() there first, "
                "or make one for each loop"
            )
        async with self._preparing:
            if self._loop is None:
                engine = self._container.own_read_async_engine()
                if self._lacks_tables(await read_async_schema_state(engine)):
                    await self.upgrade()
                self._loop = loop


def _upgrade(config: DatabaseConfig) -> None:
    """Upgrade on an engine of its own: this thread goes on when the task that waits is cancelled."""

    with engine_for(config) as engine:
        migrations.upgrade(engine)
