"""The backends of the contract suite, and the adapter that drives an asyncio book from synchronous tests."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from types import TracebackType
from typing import Any, Final, Self

import pytest

from tradebook import AsyncBook, AsyncDatabaseManager, DatabaseManager
from tradebook.testing import AsyncFakeBook, FakeBook

BACKENDS = {
    "fake": (FakeBook, None),
    "fake-async": (AsyncFakeBook, None),
    "sqlite-memory": (DatabaseManager, "memory_url"),
    "sqlite-memory-async": (AsyncDatabaseManager, "memory_url"),
    "sqlite-file": (DatabaseManager, "sqlite_book"),
    "sqlite-async": (AsyncDatabaseManager, "sqlite_book"),
    "postgresql": (DatabaseManager, "postgresql_book"),
    "postgresql-async": (AsyncDatabaseManager, "postgresql_book"),
}
"""For each backend its kind of book, and the fixture of its URL."""

ONLY_IN_FULL_RUNS: Final = ("fake-async", "sqlite-memory", "sqlite-memory-async")
"""Backends whose code the other five run too: the fake's store, or SQLite with another file."""


def in_full_runs(*values: Any) -> Any:
    """Return the parameters of a test that `make test` leaves out, and `make full` and `make test FULL=1` do not."""
    return pytest.param(*values, marks=pytest.mark.full)


def each_backend(
    names: Iterable[str] = BACKENDS, *, only_in_full_runs: Iterable[str] = ()
) -> list[Any]:
    """Return the parameters of a test that runs on these backends.

    Those of `ONLY_IN_FULL_RUNS` are marked `full`, and those that a heavy test adds.
    """
    left_out = {*ONLY_IN_FULL_RUNS, *only_in_full_runs}
    return [in_full_runs(name) if name in left_out else name for name in names]


class Driven:
    """An asyncio object driven from synchronous tests, on one event loop.

    What it would await is awaited; its `async with` is a `with`, its `async for` a `for`.
    """

    def __init__(self, target: Any, loop: asyncio.Runner) -> None:
        self.target = target
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return self._driven(getattr(self.target, name))

    def __enter__(self) -> Any:
        return self._driven(self._await(self.target.__aenter__()))

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> Any:
        return self._await(self.target.__aexit__(exc_type, exc, traceback))

    def run_together(
        self, handler: Callable[..., Any], calls: Sequence[dict[str, Any]]
    ) -> list[Any]:
        """Make the calls as tasks of the loop."""

        async def together() -> list[Any]:
            return await asyncio.gather(*(self.target.run(handler, **call) for call in calls))

        return self._loop.run(together())

    def _driven(self, value: Any) -> Any:
        if inspect.ismethod(value):
            return lambda *args, **kwargs: self._driven(value(*args, **kwargs))
        if isinstance(value, Awaitable):
            return self._await(value)
        if hasattr(value, "__aenter__"):
            return Driven(value, self._loop)
        return self._each(value) if isinstance(value, AsyncIterator) else value

    def _each(self, items: Any) -> Iterator[Any]:
        try:
            while True:
                yield self._await(anext(items))
        except StopAsyncIteration:
            return
        finally:
            self._await(items.aclose())

    def _await(self, awaitable: Awaitable[Any]) -> Any:
        async def waiting() -> Any:
            return await awaitable

        # In the caller's context: a Runner has one of its own, of the time when it was made.
        return self._loop.run(waiting(), context=copy_context())


class DrivenBook(Driven):
    """An `AsyncBook` as the contract tests call it: like a `Book`."""

    def __init__(self, book: AsyncBook) -> None:
        super().__init__(book, asyncio.Runner())

    def close(self) -> None:
        """Close the book and its event loop."""
        self._loop.run(self.target.aclose())
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def new_book(kind: type[Any], *args: Any, **options: Any) -> Any:
    """A book of a kind that is asyncio or not, to be called as a `Book`."""
    book = kind(*args, **options)
    return DrivenBook(book) if isinstance(book, AsyncBook) else book


def within(uow: Any, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a handler or query in a unit of work of any backend."""
    if isinstance(uow, Driven):
        return uow.run(function, *args, **kwargs)
    return function(uow, *args, **kwargs)


def run_together(
    book: Any, handler: Callable[..., Any], calls: Sequence[dict[str, Any]], workers: int = 8
) -> list[Any]:
    """Make the calls at the same time: in so many threads, or as tasks of one loop."""
    if isinstance(book, Driven):
        return book.run_together(handler, calls)
    with ThreadPoolExecutor(max_workers=workers) as threads:
        return list(threads.map(lambda call: book.run(handler, **call), calls))
