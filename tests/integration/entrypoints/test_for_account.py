"""Books of several accounts on the engine of one manager: what they share, and what each keeps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from uuid import uuid4

import attrs
import pytest

from tests.support.backends import Driven
from tests.support.servers import configured
from tradebook import AsyncDatabaseManager, DatabaseManager, InvalidInput

BUY: dict[str, Any] = {"symbol": "X", "action": "BUY", "quantity": 1, "price": 1}


def close(book: Any) -> None:
    """Close a book that `for_account` made."""
    book.aclose() if isinstance(book, Driven) else book.close()


@pytest.mark.parametrize("url", ["sqlite_book", "postgresql_book"])
def test_all_use_one_pool_and_only_the_first_closes_it(
    request: pytest.FixtureRequest, new_manager: Callable[..., Any], url: str
) -> None:
    first = new_manager(request.getfixturevalue(url), uuid4().hex)
    others = [first.for_account(uuid4().hex) for _ in range(3)]
    for book in (first, *others):
        book.record_trade(**BUY)
        book.get_positions()
    assert first.pool_status().checked_in == 1
    assert {book.pool_status().checked_in for book in others} == {1}
    for book in others:
        close(book)
    assert first.pool_status().checked_in == 1
    close(first)
    assert {book.pool_status().checked_in for book in (first, *others)} == {0}
    assert len(others[0].get_positions()) == 1  # connected again
    close(first)


def test_a_database_in_memory_outlives_the_closing_of_another_account(
    new_manager: Callable[..., Any],
) -> None:
    first = new_manager("sqlite://")
    other = first.for_account("other")
    other.record_trade(**BUY)
    close(other)
    assert len(other.get_positions()) == 1
    close(first)
    assert other.get_positions() == []  # a new database, whose tables its first use made
    assert other.record_trade(**BUY).sequence == 1
    close(first)


def test_what_observes_one_observes_all(new_manager: Callable[..., Any], sqlite_book: str) -> None:
    class Seen:
        def __init__(self) -> None:
            self.calls: list[tuple[str, str]] = []
            self.engines = 0

        def observe_call(self, call: Any) -> Any:
            self.calls.append((call.account, call.handler))
            return nullcontext()

        def observe_retry(self, attempt: Any) -> None:
            pass

        def observe_engine(self, engine: Any) -> None:
            self.engines += 1

    first = new_manager(sqlite_book, "first")
    second = first.for_account("second")
    seen = Seen()
    second.watch(seen)
    first.get_positions()
    second.get_positions()
    assert seen.calls == [("first", "get_positions"), ("second", "get_positions")]
    assert seen.engines == 1


def test_slow_statements_are_logged_with_the_account_of_their_book(
    new_manager: Callable[..., Any], sqlite_book: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = new_manager(attrs.evolve(configured(sqlite_book), slow_query_seconds=0), "first")
    second = first.for_account("second")
    with caplog.at_level(logging.WARNING, "tradebook.slow_queries"):
        first.get_cash_balances()
        second.get_open_positions()
        second.record_trade(**BUY)
        second.record_trade(**BUY)  # by a single statement
        close(first)
    fields = [vars(record)["tradebook"] for record in caplog.records]

    def accounts(part: str) -> list[str]:
        return [each["account"] for each in fields if part in each["statement"]]

    assert accounts("UNION ALL") == ["first"]
    assert accounts("positions.status = ") == ["second"]
    assert accounts("INSERT INTO trades") == ["second", "second"]


def test_the_environment_names_the_account_and_its_currency(
    new_manager: Callable[..., Any], sqlite_book: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_manager(sqlite_book, "dollars").record_trade(**BUY)
    monkeypatch.setenv("TRADEBOOK_ACCOUNT", "paper")
    monkeypatch.setenv("TRADEBOOK_BASE_CURRENCY", "EUR")
    named = new_manager(sqlite_book)
    assert named.account == "paper"
    assert named.record_trade(**BUY).currency == "EUR"
    assert new_manager(sqlite_book, "given").get_positions() == []
    with pytest.raises(InvalidInput, match="'EUR' is not accepted; expected USD"):
        new_manager(sqlite_book, "dollars").get_positions()
    assert new_manager(sqlite_book, "dollars", base_currency="USD").get_positions()
    by_hand = new_manager(configured(sqlite_book))  # a configuration: no variable is read
    assert by_hand.record_trade(**BUY).currency == "USD"


@pytest.mark.parametrize("kind", [DatabaseManager, AsyncDatabaseManager])
@pytest.mark.parametrize("name", ["all", "*"])
def test_no_book_is_opened_on_what_stands_for_all_accounts(
    kind: type[Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidInput, match="stands for all"):
        kind("sqlite://", name)
    monkeypatch.setenv("TRADEBOOK_ACCOUNT", name)
    with pytest.raises(InvalidInput, match="stands for all"):
        kind("sqlite://")


def test_an_asyncio_book_of_another_account_follows_its_owner_to_another_loop() -> None:
    owner = AsyncDatabaseManager("sqlite://")
    other = owner.for_account("other", base_currency="EUR")

    async def use() -> int:
        await other.record_trade(**BUY)
        found = len(await other.get_positions())
        await owner.aclose()
        return found

    assert [asyncio.run(use()), asyncio.run(use())] == [1, 1]
