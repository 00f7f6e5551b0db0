"""The number of files of the package that one warm call enters on a SQLite file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any

import pytest

from tests.support.call_paths import files_entered
from tradebook import DatabaseManager

Call = Callable[[], object]
NUMBERS = count()


@pytest.fixture
def book(sqlite_url: str) -> Iterator[DatabaseManager]:
    with DatabaseManager(sqlite_url) as manager:
        yield manager


def fill(symbol: str) -> dict[str, Any]:
    terms = {"symbol": symbol, "action": "BUY", "quantity": 1, "price": "10.5"}
    return {**terms, "order_id": f"o-{next(NUMBERS)}"}


def fast(book: DatabaseManager) -> Iterator[Call]:
    """Trades of one symbol: all but the first are booked on the cached position."""
    for _ in range(4):
        yield lambda: book.record_trade(**fill("FAST"))


def ordinary(book: DatabaseManager) -> Iterator[Call]:
    """First trades of symbols."""
    for number in range(3):
        yield partial(lambda symbol: book.record_trade(**fill(symbol)), f"NEW{number}")


def imported(book: DatabaseManager) -> Iterator[Call]:
    """Imports of 50 trades."""
    for _ in range(2):
        yield lambda: book.import_trades([fill("BULK") for _ in range(50)])


@pytest.mark.parametrize(("calls", "bound"), [(fast, 14), (ordinary, 22), (imported, 24)])
def test_a_warm_call_enters_few_files(
    book: DatabaseManager, calls: Callable[[DatabaseManager], Iterator[Call]], bound: int
) -> None:
    *warming, last = calls(book)
    for call in warming:
        call()
    entered = files_entered(last)
    assert len(entered) <= bound, entered
