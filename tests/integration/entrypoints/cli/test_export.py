"""`tradebook export`: files that other programs read, with every digit."""

from __future__ import annotations

import csv
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from tests.integration.entrypoints.cli.test_cli import Command
from tradebook import DatabaseManager

PRICE = "150.123456789012345678"


@pytest.fixture
def tradebook(sqlite_book: str) -> Command:
    with DatabaseManager(sqlite_book) as book:
        for number, symbol in enumerate(("AAPL", "MSFT", "AAPL")):
            at = datetime(2026, 3, number + 1, 12, tzinfo=UTC)
            book.record_trade(symbol=symbol, action="BUY", quantity=1, price=PRICE, executed_at=at)
    return Command(sqlite_book)


def read(file: Path) -> list[dict[str, Any]]:
    if file.suffix == ".csv":
        return list(csv.DictReader(file.read_text().splitlines()))
    if file.suffix == ".arrow":
        return list(pyarrow.ipc.open_file(file).read_all().to_pylist())
    return list(pyarrow.parquet.read_table(file).to_pylist())


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv"])
def test_every_format_has_every_trade_and_digit(
    tradebook: Command, tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"trades.{suffix}"
    assert tradebook("export", str(file)).stdout == f"3 records exported to {file}\n"
    rows = read(file)
    assert [row["symbol"] for row in rows] == ["AAPL", "MSFT", "AAPL"]
    assert {Decimal(row["price"]) for row in rows} == {Decimal(PRICE)}
    assert {row["action"] for row in rows} == {"BUY"}
    assert list(tmp_path.glob("*.part")) == []


def test_conditions_and_times_choose_and_json_says_how_many(
    tradebook: Command, tmp_path: Path
) -> None:
    file = tmp_path / "some.parquet"
    document = tradebook.json(
        *("export", str(file), "--where", "symbol=AAPL", "--since", "2026-03-02")
    )
    assert document == {"file": str(file), "kind": "trades", "records": 1}
    assert [row["symbol"] for row in read(file)] == ["AAPL"]
    assert tradebook.json("export", str(file), "--kind", "positions")["records"] == 2


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (["trades.xls"], 2, ".parquet"),
        (["trades.csv", "--where", "symbol"], 2, "FIELD=VALUE"),
        (["trades.csv", "--where", "nothing=1"], 1, "nothing"),
        (["missing/trades.csv"], 2, "cannot be written"),
    ],
)
def test_what_cannot_be_exported_is_refused_and_leaves_no_file(
    tradebook: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    exit_code: int,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = list(tmp_path.iterdir())
    result = tradebook("export", *arguments)
    assert result.exit_code == exit_code
    assert says in result.stderr
    assert list(tmp_path.iterdir()) == before


def test_a_file_that_was_there_stays_when_an_export_fails(
    tradebook: Command, tmp_path: Path
) -> None:
    with DatabaseManager(tradebook.url) as book:
        book.record_trade(symbol="X", action="BUY", quantity=1, price="9" * 38)
    file = tmp_path / "trades.parquet"
    file.write_text("the old one")
    result = tradebook("export", str(file))
    assert (result.exit_code, file.read_text()) == (1, "the old one")
    assert "price" in result.stderr
    assert list(tmp_path.glob("*.part")) == []


def test_without_pyarrow_the_extra_is_named(
    tradebook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = tradebook("export", str(tmp_path / "trades.parquet"))
    assert result.exit_code == 1
    assert "pip install 'tradebook[arrow]'" in result.stderr
