"""What the contract suite runs on: one `Book` for each kind of store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import URL

from tradebook import CallContext
from tradebook.adapters import orm
from tradebook.adapters.engine import database_url
from tradebook.entrypoints.container import Container
from tradebook.service_layer.book import Book


class AsyncBook(Book):
    """The asyncio path, driven from synchronous tests on one event loop."""

    def __init__(self, url: URL, account: str) -> None:
        orm.start_mappers()
        self.account = account
        self._container = Container(url=database_url(url), account=account, base_currency="USD")
        self._loop = asyncio.Runner()

    def unit_of_work(self, **_options: Any) -> Any:
        raise NotImplementedError("inside asyncio a unit of work lives in run_sync: use run")

    def run(self, handler: Any, /, *args: Any, **kwargs: Any) -> Any:
        runner = self._container.async_runner()
        return self._loop.run(runner.run(CallContext(actor="tester"), handler, *args, **kwargs))

    def read(self, query: Any, /, *args: Any, **kwargs: Any) -> Any:
        runner = self._container.async_runner()
        return self._loop.run(runner.read(CallContext(), query, *args, **kwargs))

    def run_together(self, handler: Any, calls: Sequence[dict[str, Any]]) -> list[Any]:
        async def together() -> list[Any]:
            runner = self._container.async_runner()
            return await asyncio.gather(
                *(runner.run(CallContext(), handler, **call) for call in calls)
            )

        return self._loop.run(together())

    def close(self) -> None:
        self._loop.run(self._container.async_engine().dispose())
        self._loop.close()


def run_together(
    book: Any, handler: Callable[..., Any], calls: Sequence[dict[str, Any]]
) -> list[Any]:
    """Make the calls at the same time: in threads, or as tasks of one loop."""
    if isinstance(book, AsyncBook):
        return book.run_together(handler, calls)
    with ThreadPoolExecutor(max_workers=8) as threads:
        return list(threads.map(lambda call: book.run(handler, **call), calls))
