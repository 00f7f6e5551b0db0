"""The unit of work on an asyncio session: the synchronous one, run inside `run_sync`."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from tradebook.adapters.errors import translated_errors
from tradebook.service_layer.async_unit_of_work import AbstractAsyncUnitOfWork
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork, CallContext

P = ParamSpec("P")
R = TypeVar("R")


class AsyncUnitOfWork(AbstractAsyncUnitOfWork):
    """One database transaction of asyncio. Entities stay readable after it ends.

    Args:
        new_session: makes the asyncio session.
        new_unit_of_work: makes the synchronous unit of work on the session inside it.
        context: the time, actor and correlation id of the call; the time now by default.

    Attributes:
        session: the `AsyncSession`, for queries of your own; open while the unit of work is.
    """

    session: AsyncSession

    def __init__(
        self,
        new_session: Callable[[], AsyncSession],
        new_unit_of_work: Callable[..., AbstractUnitOfWork],
        context: CallContext | None = None,
    ) -> None:
        self._new_session = new_session
        self._new_unit_of_work = new_unit_of_work
        self._context = context

    async def __aenter__(self) -> Self:
        self.session = self._new_session()
        self._uow = self._new_unit_of_work(lambda: self.session.sync_session, context=self._context)
        self._uow.__enter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with translated_errors():
            # Not close(): this one finishes, the connection returned, though the task is cancelled.
            await self.session.__aexit__(exc_type, exc, traceback)
        self._uow.__exit__(exc_type, exc, traceback)

    async def run(
        self,
        function: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        return await self.session.run_sync(lambda _: function(self._uow, *args, **kwargs))

    async def commit(self) -> None:
        await self.session.run_sync(lambda _: self._uow.commit())

    async def rollback(self) -> None:
        await self.session.run_sync(lambda _: self._uow.rollback())
