"""The files of the package that one warm call enters on a SQLite file: bounded, and listed in docs/architecture.md."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.call_paths import files_entered
from tests.support.checkout import ROOT
from tradebook import DatabaseManager

Call = Callable[[], object]
NUMBERS = count()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()


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


def resolved(book: DatabaseManager) -> Iterator[Call]:
    """Resolutions of alerts."""
    for key in "ab":
        alert = book.raise_alert("drawdown", "INFO", dedup_key=key)
        yield partial(book.resolve_alert, alert.id, "hedged")


def recent(book: DatabaseManager) -> Iterator[Call]:
    """Pages of recent trades."""
    book.record_trade(**fill("AAPL"))
    for _ in range(2):
        yield book.get_recent_trades


def imported(book: DatabaseManager) -> Iterator[Call]:
    """Imports of 50 trades."""
    for _ in range(2):
        yield lambda: book.import_trades([fill("BULK") for _ in range(50)])


CALLS: list[tuple[str, Callable[[DatabaseManager], Iterator[Call]], int]] = [
    ("`record_trade`, fast path", fast, 16),
    ("`record_trade`, ordinary path", ordinary, 24),
    ("`resolve_alert`", resolved, 14),
    ("`get_recent_trades`", recent, 13),
    ("`import_trades` of 50", imported, 24),
]


@pytest.mark.parametrize(("name", "calls", "bound"), CALLS, ids=[name for name, *_ in CALLS])
def test_a_warm_call_enters_few_files(
    book: DatabaseManager,
    name: str,
    calls: Callable[[DatabaseManager], Iterator[Call]],
    bound: int,
) -> None:
    *warming, last = calls(book)
    for call in warming:
        call()
    entered = files_entered(last)
    assert len(entered) <= bound, entered
    assert row(name, entered, bound) in ARCHITECTURE, row(name, entered, bound)


def row(name: str, entered: list[str], bound: int) -> str:
    """Return the row of the table in docs/architecture.md."""
    folders: dict[str, list[str]] = {}
    for file in entered:
        folders.setdefault(str(Path(file).parent), []).append(f"`{Path(file).stem}`")
    listed = "; ".join(f"{folder}: {', '.join(files)}" for folder, files in folders.items())
    return f"| {name} | {len(entered)} | {bound} | {listed} |"


def test_the_table_has_a_row_for_each_call() -> None:
    table = ARCHITECTURE.partition("| call | files | at most |")[2].partition("\n\n")[0]
    assert len(re.findall(r"^\| `", table, flags=re.MULTILINE)) == len(CALLS)
