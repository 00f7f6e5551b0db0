"""Few of our files lie on the path of a warm read and of a warm command."""

from __future__ import annotations

from tests.support.call_paths import files_entered
from tradebook import DatabaseManager


def test_a_page_of_recent_trades_enters_few_files(sqlite_url: str) -> None:
    with DatabaseManager(sqlite_url) as book:
        for number in range(3):
            book.record_trade(symbol="AAPL", action="BUY", quantity=1, price=f"{number}.5")
        book.get_recent_trades()
        entered = files_entered(lambda: book.get_recent_trades())
    assert len(entered) <= 13, entered


def test_resolving_an_alert_enters_few_files(sqlite_url: str) -> None:
    with DatabaseManager(sqlite_url) as book:
        first, second = (book.raise_alert("drawdown", "INFO", dedup_key=key) for key in "ab")
        book.resolve_alert(first.id, "hedged")
        entered = files_entered(lambda: book.resolve_alert(second.id, "hedged"))
    assert len(entered) <= 14, entered
