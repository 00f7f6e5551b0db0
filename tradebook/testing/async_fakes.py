"""A book in memory for the unit tests of asyncio trading bots, on top of `FakeBook`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import copy
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from attrs import frozen
from typing_extensions import override

from tradebook.domain.entity import DEFAULT_ACCOUNT
from tradebook.domain.limits import MAX_SECONDS_AHEAD
from tradebook.domain.validation import utc_now
from tradebook.service_layer.async_book import AsyncBook
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.unit_of_work import (
    AbstractAsyncUnitOfWork,
    AbstractUnitOfWork,
    warn_uncommitted,
)
from tradebook.testing.fake_store import FakeStore
from tradebook.testing.fakes import FakeBook, FakeUnitOfWork

P = ParamSpec("P")
R = TypeVar("R")


class AsyncFakeUnitOfWork(AbstractAsyncUnitOfWork):
    """An asyncio transaction on a `FakeStore`; every call lets other tasks run, as a database's does."""

    def __init__(self, uow: FakeUnitOfWork) -> None:
        """Wrap the synchronous unit of work that does the work."""
        self._uow = uow

    @override
    async def __aenter__(self) -> Self:
        self._uow.__enter__()
        return self

    @override
    async def __aexit__(self, exc_type: object, *_: object) -> None:
        if self._uow.end() and exc_type is None:
            warn_uncommitted(frames=1)

    @override
    async def run(
        self,
        function: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        await asyncio.sleep(0)
        return function(self._uow, *args, **kwargs)


@frozen
class _AsyncFakeRunner:
    book: FakeBook

    async def run(self, handler: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Let other tasks run, then call a handler and commit; repeat the whole call on a conflict."""
        await asyncio.sleep(0)
        return self.book.run(handler, *args, **kwargs)

    async def read(self, query: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Let other tasks run, then call a query in a read-only unit of work."""
        await asyncio.sleep(0)
        return self.book.read(query, *args, **kwargs)


class AsyncFakeBook(AsyncBook):
    """A book in memory, with every method that `AsyncDatabaseManager` has for bots.

    Args:
        account: the account of the book.
        base_currency: of the account; see `FakeBook`.
        actor: the actor of events outside any `tradebook.context`.
        clock: returns the time of a call; a test may pass its own.
        store: to share with other books, asyncio or not; a new one by default.
        max_seconds_ahead: see `FakeBook`.
    """

    def __init__(
        self,
        *,
        account: str = DEFAULT_ACCOUNT,
        base_currency: str | None = None,
        actor: str = "",
        clock: Callable[[], datetime] = utc_now,
        store: FakeStore | None = None,
        max_seconds_ahead: int = MAX_SECONDS_AHEAD,
    ) -> None:
        """Open an empty book, or one on the records of `store`."""
        self._open(
            FakeBook(
                account=account,
                base_currency=base_currency,
                actor=actor,
                clock=clock,
                store=store,
                max_seconds_ahead=max_seconds_ahead,
            )
        )

    def for_account(self, name: str, *, base_currency: str | None = None) -> Self:
        """Open the book of another account on the same store; see `Book.for_account`."""
        made = copy(self)
        made._open(self._book.for_account(name, base_currency=base_currency))
        return made

    def _open(self, book: FakeBook) -> None:
        self._book = book
        self.account = book.account
        self.base_currency = book.base_currency
        self.store = book.store
        self._runner = _AsyncFakeRunner(book)

    def unit_of_work(
        self, *, read_only: bool = False, context: CallContext | None = None
    ) -> AsyncFakeUnitOfWork:
        """Open a unit of work: `async with book.unit_of_work() as uow: ...; await uow.commit()`."""
        return AsyncFakeUnitOfWork(self._book.unit_of_work(read_only=read_only, context=context))

    async def aclose(self) -> None:
        """Do nothing; a bot may close its book as it would one on a database."""
