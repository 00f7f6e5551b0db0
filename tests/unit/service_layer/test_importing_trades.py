"""Importing trades on a book in memory: what a retry reads, and what progress says."""

from __future__ import annotations

from typing import Any

import pytest

from tradebook import AbstractUnitOfWork, BookBusy, ConcurrentUpdate, handlers
from tradebook.service_layer.book import Book
from tradebook.testing import FakeBook


def fills(count: int) -> list[Any]:
    return [
        {"symbol": "AAPL", "action": "BUY", "quantity": 1, "price": 2, "order_id": f"o{n}"}
        for n in range(count)
    ]


class Contended(FakeBook):
    """A book on which the first try of every call loses."""

    def run(self, handler: Any, /, *args: Any, **kwargs: Any) -> Any:
        tries = iter([True])

        def losing(uow: AbstractUnitOfWork, *args: Any, **kwargs: Any) -> Any:
            result = handler(uow, *args, **kwargs)
            if next(tries, False):
                raise ConcurrentUpdate("another writer was first")
            return result

        return super().run(losing, *args, **kwargs)


@pytest.fixture
def contended() -> Book:
    return Contended()


def test_trades_from_an_iterator_survive_a_retry(contended: Book) -> None:
    assert contended.record_trades(iter(fills(3))).booked == 3


def test_a_retried_import_reads_its_trades_again(contended: Book) -> None:
    assert contended.import_trades(fills(3)).booked == 3


def test_a_retried_import_of_an_iterator_books_nothing_and_says_why(contended: Book) -> None:
    with pytest.raises(BookBusy, match="iterator"):
        contended.import_trades(iter(fills(3)))

    assert contended.get_trades_by_symbol("AAPL") == []


def test_an_import_says_how_many_trades_are_dealt_with() -> None:
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        told.append((done, total))

    result = FakeBook().import_trades(fills(5), progress=progress, batch=2)

    assert told == [(2, 5), (4, 5), (5, 5)]
    assert result == handlers.ImportedTrades(5, 0, frozenset({"AAPL"}))


def test_the_total_of_an_import_from_an_iterator_is_what_was_read_so_far() -> None:
    told: list[tuple[int, int]] = []

    FakeBook().import_trades(
        (fill for fill in fills(3)), progress=lambda *done: told.append(done), batch=2
    )

    assert told == [(2, 2), (3, 3)]


def test_an_import_of_nothing_opens_no_account() -> None:
    book = FakeBook()

    assert book.import_trades([]).booked == 0
    with book.unit_of_work(read_only=True) as uow:
        assert uow.accounts.current() is None
