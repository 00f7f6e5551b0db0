"""The order in which `tradebook import` books the rows of a file."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import URL

from tests.support.command_line import Command
from tradebook.entrypoints.cli.book import row_order

HEADER = "symbol,action,quantity,price,fee,executed_at,order_id"


@pytest.fixture(params=["sqlite", "postgresql"])
def book(request: pytest.FixtureRequest) -> Command:
    """The command line on a book of each backend."""
    if request.param == "sqlite":
        return Command(request.getfixturevalue("sqlite_book"))
    url: URL = request.getfixturevalue("own_postgresql_book")
    return Command(url.render_as_string(hide_password=False))


def written(folder: Path, *rows: str) -> str:
    path = folder / "fills.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return str(path)


def ordinary_rows(count: int = 120) -> list[str]:
    """Rows of two symbols, oldest first, of which many have one time."""
    random = Random(7)
    return [
        f"{random.choice(['AAPL', 'MSFT'])},{random.choice(['buy', 'sell'])},{random.randint(1, 9)},"
        f"{random.randint(90, 110)}.{random.randint(0, 99):02},0.07,2024-05-{1 + n // 40:02}T14:{n % 40 // 3:02}:00Z,o-{n}"
        for n in range(count)
    ]


def booked(tradebook: Command, account: str) -> tuple[Any, Any]:
    """Return all of an account that imports decide: trades in the order of booking, and positions."""
    trades = tradebook.json("trades", "--limit", "1000", "--account", account)["trades"]
    positions = tradebook.json("positions", "--all", "--account", account)["positions"]
    terms = sorted([t["symbol"], t["sequence"], t["order_id"], t["realized_pnl"]] for t in trades)
    dated = ("id", "account", "created_at", "updated_at")
    return terms, [{n: v for n, v in p.items() if n not in dated} for p in positions]


def test_a_file_with_the_newest_first_gives_the_same_book_as_one_with_the_oldest_first(
    book: Command, tmp_path: Path
) -> None:
    rows = ordinary_rows()
    book("import", written(tmp_path, *rows), "--account", "oldest-first")
    book("import", written(tmp_path, *reversed(rows)), "--account", "newest-first")

    oldest = booked(book, "oldest-first")
    assert len(oldest[0]) == len(rows)
    assert booked(book, "newest-first") == oldest
    assert book("verify", "--account", "newest-first").exit_code == 0


def test_sales_before_purchases_are_booked_after_them(sqlite_book: str, tmp_path: Path) -> None:
    tradebook = Command(sqlite_book)
    sale = "AAPL,sell,10,160,0,2024-05-02T10:00:00Z,o-2"
    path = written(tmp_path, sale, "AAPL,buy,10,150,0,2024-05-01T10:00:00Z,o-1")

    tradebook("import", path)
    tradebook("import", path, "--order", "file", "--account", "as-written")

    (position,) = tradebook.json("positions", "--all")["positions"]
    assert (position["quantity"], position["realized_pnl"]) == ("0", "100")
    first = tradebook.json("trades", "--account", "as-written")["trades"]
    assert {t["order_id"]: t["sequence"] for t in first} == {"o-2": 1, "o-1": 2}


@pytest.mark.parametrize("turned_over", [False, True], ids=["oldest-first", "newest-first"])
def test_a_row_without_a_time_follows_the_row_before_it(
    sqlite_book: str, tmp_path: Path, turned_over: bool
) -> None:
    tradebook = Command(sqlite_book)
    blocks = [
        [f"A,buy,1,2,0,2024-05-0{day}T10:00:00Z,o-{day}", f"A,buy,1,2,0,,after-{day}"]
        for day in (1, 2, 3)
    ]
    given = blocks[::-1] if turned_over else [blocks[1], blocks[0], blocks[2]]
    first = "A,buy,1,2,0,,first"

    tradebook("import", written(tmp_path, first, *(row for block in given for row in block)))

    trades = sorted(tradebook.json("trades")["trades"], key=lambda trade: trade["sequence"])
    expected = ["first", "o-1", "after-1", "o-2", "after-2", "o-3", "after-3"]
    assert [trade["order_id"] for trade in trades] == expected


def test_rows_that_cannot_be_kept_on_disk_are_refused_by_a_message(
    sqlite_book: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tradebook = Command(sqlite_book)
    made = row_order.OrderedRows.__init__

    def tiny(self: row_order.OrderedRows, *arguments: Any) -> None:
        made(self, *arguments)
        self._connection.execute("PRAGMA max_page_count = 2")

    monkeypatch.setattr(row_order.OrderedRows, "__init__", tiny)

    message = tradebook.refused("import", written(tmp_path, *ordinary_rows(3000)))

    assert "fills.csv: its rows cannot be kept in a temporary file" in message
    assert "set TMPDIR" in message
    assert tradebook.trades() == 0
