"""The first use of a database by a manager: its schema is checked, and a new embedded file gets its tables."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from attrs import define, field
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.errors import translated_errors
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.adapters.migrations.schema_state import (
    EMPTY,
    SchemaState,
    read_async_schema_state,
    read_schema_state,
)
from tradebook.config import DatabaseConfig


@define
class FirstUse:
    """The check of a database's schema before its first use, done once it was found to be right."""

    config: DatabaseConfig
    engine: Callable[[], Engine]
    read_engine: Callable[[], Engine]
    is_done: bool = False
    _lock: AbstractContextManager[bool] = field(factory=threading.Lock, init=False)

    def prepare(self) -> None:
        """Check the schema once; create the tables of a new and empty embedded database.

        Raises:
            SchemaNotReady: the schema is not the one of this version.
        """
        with self._lock:
            if not self.is_done:
                if _lacks_tables(read_schema_state(self.read_engine()), self.config):
                    migrations.upgrade(self.engine())
                self.is_done = True


@define
class AsyncFirstUse:
    """`FirstUse` for asyncio; `loop` is the event loop in which the schema was found to be right."""

    config: DatabaseConfig
    engine: Callable[[], AsyncEngine]
    read_engine: Callable[[], AsyncEngine]
    loop: asyncio.AbstractEventLoop | None = None
    _lock: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    def reset(self) -> None:
        """Allow another event loop to be the next user."""
        self.loop, self._lock = None, asyncio.Lock()

    async def prepare(self) -> None:
        """Check the schema once; see `FirstUse.prepare`.

        Raises:
            SchemaNotReady: the schema is not the one of this version.
            RuntimeError: another event loop uses the manager: its connections belong to that loop.
        """
        loop = asyncio.get_running_loop()
        if self.loop not in (None, loop):
            raise RuntimeError(
                "this AsyncDatabaseManager belongs to another event loop: await its aclose() there "
                "first, or make one for each loop"
            )
        async with self._lock:
            if self.loop is None:
                if _lacks_tables(await read_async_schema_state(self.read_engine()), self.config):
                    await self.upgrade()
                self.loop = loop

    async def upgrade(self) -> None:
        """Bring the schema to this version, in a thread."""
        with translated_errors():
            # A database in memory lasts as long as a connection to it: the pool keeps this one.
            async with self.engine().connect():
                await asyncio.to_thread(_upgrade, self.config)


def _upgrade(config: DatabaseConfig) -> None:
    # On an engine of its own: this thread goes on when the task that awaits it is cancelled.
    with engine_for(config.for_sessions()) as engine:
        migrations.upgrade(engine)


def _lacks_tables(state: SchemaState, config: DatabaseConfig) -> bool:
    if state.name == EMPTY and config.backend == "sqlite":
        return True
    state.require()
    return False
