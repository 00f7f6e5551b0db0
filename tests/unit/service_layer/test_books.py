"""Every handler and query is a method of the book, asyncio or not, and of whatever is a book."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest

from tradebook import AsyncBook, AsyncDatabaseManager, Book, DatabaseManager, NotFound, handlers
from tradebook.service_layer import queries
from tradebook.testing import AsyncFakeBook, FakeBook

WRITTEN_OUT = (
    "create",
    "update",
    "bulk_create",
    "bulk_update",
    "import_trades",
    "record_trades",
    "seal",
)
"""Methods that do more than call the handler with what they were given."""
WITNESSED = ("seal", "check_seals")
"""Methods of managers that also append to witnesses of the seals, or read them."""


NOT_AWAITED = ("unit_of_work", "for_account", "decision")
"""Methods that return what is awaited, or entered by `async with`."""


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    """What a function takes after the book or the unit of work."""
    _, *others = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in others]


def functions_of(module: ModuleType) -> Iterator[Callable[..., Any]]:
    """What a module offers to be called with a unit of work."""
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isfunction(value) and "uow" in inspect.signature(value).parameters:
            yield value


def operations_of(book: type) -> dict[str, Any]:
    """A book's public methods by name."""
    return {
        name: value
        for name, value in inspect.getmembers(book, callable)
        if not name.startswith("_") and name not in ("close", "aclose")
    }


@pytest.mark.parametrize("book", [Book, AsyncBook])
@pytest.mark.parametrize("module", [handlers, queries])
def test_every_handler_and_query_is_a_method(book: type, module: ModuleType) -> None:
    functions = list(functions_of(module))
    assert len(functions) > 10
    for function in functions:
        method = getattr(book, function.__name__)
        if method.__name__ not in WRITTEN_OUT:
            assert method.__wrapped__ is function
        assert parameters(method) == parameters(function)


@pytest.mark.parametrize("module", [handlers, queries])
def test_what_a_module_offers_is_all_it_has(module: ModuleType) -> None:
    public = {
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and not name.startswith("_")
        and value.__module__.startswith(module.__name__)
    }
    assert public <= set(module.__all__)


def test_both_books_have_the_same_operations_with_the_same_parameters() -> None:
    sync, awaited = operations_of(Book), operations_of(AsyncBook)
    assert sync.keys() == awaited.keys()
    for name, method in sync.items():
        same = inspect.signature(awaited[name]).parameters
        assert inspect.signature(method).parameters == same, name


def test_the_operations_of_the_async_book_are_awaited() -> None:
    for name, method in operations_of(AsyncBook).items():
        streams = inspect.isasyncgenfunction(method) or name in NOT_AWAITED
        assert streams or inspect.iscoroutinefunction(method), name


@pytest.mark.parametrize(
    ("book", "of"),
    [
        (DatabaseManager, Book),
        (FakeBook, Book),
        (AsyncDatabaseManager, AsyncBook),
        (AsyncFakeBook, AsyncBook),
    ],
)
def test_managers_and_fakes_have_all_of_them(book: type, of: type) -> None:
    own = operations_of(book)
    for name, method in operations_of(of).items():
        if name in WITNESSED:
            assert parameters(own[name]) == parameters(method), name
        elif name not in ("run", "read", "unit_of_work", "for_account", "consistency_token"):
            assert own[name] is method, name


def test_both_managers_are_made_and_used_alike() -> None:
    sync, awaited = operations_of(DatabaseManager), operations_of(AsyncDatabaseManager)
    assert sync.keys() == awaited.keys()
    for name in sync:
        same = inspect.signature(awaited[name]).parameters
        assert inspect.signature(sync[name]).parameters == same, name
    assert inspect.signature(DatabaseManager) == inspect.signature(AsyncDatabaseManager)
    assert inspect.signature(FakeBook) == inspect.signature(AsyncFakeBook)


# The fake for asyncio


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_the_fake_for_asyncio_discards_what_was_not_committed() -> None:
    async def bot(book: AsyncFakeBook) -> None:
        async with book.unit_of_work() as uow:
            await uow.run(handlers.raise_alert, "a", "INFO")
        assert await book.get_alerts() == []
        async with book.unit_of_work() as uow:
            await uow.run(handlers.raise_alert, "lost", "INFO")
            await uow.rollback()
            await uow.run(handlers.raise_alert, "kept", "INFO")
            await uow.commit()
        [alert] = await book.get_alerts()
        assert alert.alert_type == "kept"
        with pytest.raises(NotFound):
            await book.resolve_alert(alert.id + 1, "no such alert")

    asyncio.run(bot(AsyncFakeBook()))


def test_the_fake_for_asyncio_lets_other_tasks_run() -> None:
    async def bots(book: AsyncFakeBook) -> list[str]:
        order: list[str] = []

        async def bot(name: str) -> None:
            for _ in range(2):
                await book.raise_alert(name, "INFO")
                order.append(name)

        await asyncio.gather(bot("a"), bot("b"))
        return order

    assert asyncio.run(bots(AsyncFakeBook())) == ["a", "b", "a", "b"]


def test_the_fakes_share_a_store_clock_and_actor() -> None:
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    awaited = AsyncFakeBook(account="a", base_currency="EUR", actor="bot", clock=lambda: noon)
    trade = asyncio.run(awaited.record_trade(symbol="X", action="BUY", quantity=1, price=1))
    with FakeBook(account="a", store=awaited.store) as book:
        assert [t.id for t in book.get_trades_by_symbol("X")] == [trade.id]
    assert (trade.booked_at, awaited.base_currency) == (noon, "EUR")
    assert asyncio.run(awaited.read(lambda uow: uow.context.actor)) == "bot"
