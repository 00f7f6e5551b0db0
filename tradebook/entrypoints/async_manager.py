"""`AsyncDatabaseManager`: the book on a database, for asyncio."""

from __future__ import annotations

import asyncio
from asyncio import to_thread
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.util import greenlet_spawn
from typing_extensions import override

from tradebook.adapters.health import async_health
from tradebook.adapters.migrations.drift import Difference
from tradebook.adapters.replicas.written import written_token
from tradebook.adapters.runner.observers import SESSION, UNIT_OF_WORK
from tradebook.adapters.runner.runner import AsyncRunner
from tradebook.adapters.sessions.account_session import async_ad_hoc_session
from tradebook.adapters.unit_of_work import AsyncUnitOfWork
from tradebook.config.urls import SQLITE
from tradebook.domain.consistency import Consistency
from tradebook.domain.validation import Json, argument, boolean
from tradebook.entrypoints.container import ASYNCIO
from tradebook.entrypoints.manager import Managed
from tradebook.operations.witnesses import Appending, open_witnesses
from tradebook.service_layer.async_book import AsyncBook
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.call_context import context as call_context
from tradebook.service_layer.handlers.seals import Sealed
from tradebook.service_layer.instrumentation import ProgressCallback
from tradebook.service_layer.ports.health import Health
from tradebook.service_layer.ports.paging import BATCH
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork
from tradebook.service_layer.verification.seal_check import SealCheck, seals_after
from tradebook.service_layer.verification.witness_check import (
    following,
    number_before,
    read_witness,
    with_witnesses,
)

P = ParamSpec("P")
R = TypeVar("R")


class AsyncDatabaseManager(Managed, AsyncBook):
    """`DatabaseManager` for asyncio: the same calls, awaited; cheap to make, and safe to share between tasks.

    The same handlers run on asyncpg or aiosqlite. A manager belongs to the event loop of its first use:
    `await aclose()` there before another loop uses it, or make one for each loop.

    Args:
        config: a `DatabaseConfig`, a URL or a path; see `DatabaseManager`.
        account: the tenant that owns the book; see `DatabaseManager`.
        base_currency: of the account; see `DatabaseManager`.
        actor: recorded in the events where no `tradebook.context` names another.

    Raises:
        InvalidInput: the configuration, the account or the currency is refused; on first use: the account's
            base currency is not the one named.
        SchemaNotReady: on first use: the database's schema is not the one of this version.
    """

    _parts = ASYNCIO
    _runner: AsyncRunner

    async def upgrade(self) -> None:
        """Migrate the database's schema to this version; an up-to-date schema stays as it is."""
        await self._container.schema_use().upgrade()

    @override
    async def seal(self, *, batch: int = BATCH, progress: ProgressCallback | None = None) -> Sealed:
        """Seal the recorded events, and append all seals to the witnesses that lack them.

        See `DatabaseManager.seal`; the witnesses are reached in a thread.
        """
        witnesses, appending = open_witnesses(self.config), Appending()
        sealed = await super().seal(batch=batch, progress=progress)
        for witness in witnesses:
            with appending.to(witness):
                last = await to_thread(witness.last, self.account)
                entries = await self._read_here(seals_after, number_before(last))
                new = following(witness.name, last, entries)
                await to_thread(witness.append, self.account, new)
                appending.done(witness, await to_thread(witness.last, self.account))
        return appending.outcome(sealed)

    @override
    async def check_seals(
        self, kept: Mapping[str, Json] | None = None, *, progress: ProgressCallback | None = None
    ) -> SealCheck:
        """Check that nothing sealed was changed, removed or inserted since, and that witnesses agree.

        See `DatabaseManager.check_seals`; the witnesses are read in a thread.
        """
        witnesses = open_witnesses(self.config)
        checked = await super().check_seals(kept, progress=progress)
        if not witnesses:
            return checked
        readings = [await to_thread(read_witness, each, self.account) for each in witnesses]
        entries = await self._read_here(seals_after, 0)
        return with_witnesses(checked, readings, entries, self.config.max_ahead)

    async def _read_here(
        self,
        query: Callable[Concatenate[AbstractUnitOfWork, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Query the database itself: a standby may lack the last seals, and look cut short."""
        with call_context(consistency=Consistency.STRONG):
            return await self.read(query, *args, **kwargs)

    @asynccontextmanager
    async def get_session(self) -> AsyncIterator[AsyncSession]:
        """Open an `AsyncSession` for direct edits: `async with manager.get_session() as session: ...`.

        It commits when the block ends; see `DatabaseManager.get_session`.
        """
        await self._prepare()
        by = self._runner.context()
        new_session = self._container.ad_hoc_sessions()
        session = async_ad_hoc_session(new_session, self.account, by.actor, by.correlation_id)
        with self._runner.observed(SESSION, by):
            async with session as opened:
                yield opened

    @asynccontextmanager
    async def unit_of_work(
        self, *, read_only: bool = False, context: CallContext | None = None
    ) -> AsyncIterator[AsyncUnitOfWork]:
        """Open a unit of work: `async with manager.unit_of_work() as uow: await uow.run(handler, ...)`.

        Leaving it without `await uow.commit()` discards everything; see `DatabaseManager.unit_of_work`.
        """
        only_reads = argument("read_only", boolean, read_only)
        by = self._runner.context(context)
        await self._prepare()
        runner = self._runner
        route, new = await runner.read_route() if only_reads else (None, runner.new_unit_of_work)
        with runner.observed(UNIT_OF_WORK, by, route):
            async with new(context=by) as uow:
                yield uow

    @override
    async def consistency_token(self) -> str:
        """Return a token of all that is committed; see `DatabaseManager.consistency_token`."""
        if self.config.backend == SQLITE:
            return ""
        await self._prepare()
        engine = self._container.own_statement_engine().sync_engine
        return await greenlet_spawn(written_token, engine)

    async def health(self) -> Health:
        """Return the state of the database: reachable, version, latency, schema; never raise for it."""
        return await async_health(self._container.own_read_engine(), self.config)

    async def check_schema(self) -> tuple[Difference, ...]:
        """Compare the tables with what the migrations and `tradebook db roles` make; see `DatabaseManager`."""
        from tradebook.operations.schema_check import check_schema_async  # as there, for the start

        return await check_schema_async(self._container.engine())

    async def aclose(self) -> None:
        """Close every connection; the manager stays usable, and connects again.

        A database in memory ends with its last connection. The connections of a book that `for_account` made
        are closed with the one that it was made from.
        """
        self._forget()
        if self._owner is not None:
            return
        self._container.schema_use().reset()
        for engine in (*self._container.readers(), self._container.engine()):
            await engine.dispose()

    async def _prepare(self) -> None:
        if self._runner.first_use.loop is not asyncio.get_running_loop():
            await self._runner.first_use.prepare()
