"""`tradebook export`: files that other programs read, with every digit."""

from __future__ import annotations

import csv
import io
import os
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

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
    ("arguments", "exit_code", "expected"),
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
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = list(tmp_path.iterdir())
    result = tradebook("export", *arguments)
    assert result.exit_code == exit_code
    assert expected in result.stderr
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


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv"])
def test_an_export_is_its_owners_alone_and_follows_no_planted_link(
    tradebook: Command, tmp_path: Path, suffix: str
) -> None:
    file, victim = tmp_path / f"x.{suffix}", tmp_path / "victim"
    victim.write_text("precious")
    for planted in (file.name, f"{file.name}.{os.getpid()}.part"):
        (tmp_path / planted).symlink_to(victim)
    assert tradebook("export", str(file)).exit_code == 0
    assert victim.read_text() == "precious"
    assert not file.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o600


RUN = (
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    " =cmd|' /C calc'!A0",
    "-1e",
    "\uff1d1",
    "-1\n=2",
)
KEPT = ("AAPL", "1=1", "-5", "-1.25", "1", "'=1")


def test_cells_that_a_spreadsheet_would_run_are_escaped_on_request(
    sqlite_book: str, tmp_path: Path
) -> None:
    with DatabaseManager(sqlite_book) as book:
        for place, strategy in enumerate((*RUN, *KEPT)):
            terms = {"order_id": f"-{place}", "strategy": strategy}
            book.record_trade(symbol="A", action="BUY", quantity=1, price=-1.5, **terms)
    tradebook, plain, escaped = Command(sqlite_book), tmp_path / "a.csv", tmp_path / "b.csv"
    assert tradebook("export", str(plain)).exit_code == 0
    assert tradebook("export", str(escaped), "--escape-formulas").exit_code == 0
    rows = {row["order_id"]: row for row in csv.DictReader(io.StringIO(escaped.read_text()))}
    written = [rows[f"-{place}"]["strategy"] for place in range(len(rows))]
    assert written == [*(f"'{cell}" for cell in RUN), *KEPT]
    assert {row["price"] for row in rows.values()} == {"-1.5"}
    assert "'=1+1" not in plain.read_text()
    refused = tradebook("export", str(tmp_path / "a.parquet"), "--escape-formulas")
    assert (refused.exit_code, "is for CSV" in refused.stderr) == (2, True)


REAL_PRICE = 0.00010074887218045112
"""A price of a real bot; its fees are a share of the notional, in floats."""


@pytest.fixture(params=["sqlite", "postgresql"])
def real_bots_book(request: pytest.FixtureRequest, tmp_path: Path) -> Command:
    """A book with the trades of a real bot's file, on each kind of database."""
    if request.param == "sqlite":
        command = Command(request.getfixturevalue("sqlite_url"))
    else:
        url = request.getfixturevalue("postgresql_book")
        command = Command(url.render_as_string(hide_password=False))
    rows = ["order_id,symbol,action,quantity,price,fee"]
    for number in range(1, 5):
        quantity, price = 1234.5678901234567 / number, REAL_PRICE * number
        fee = 0.00075 * quantity * price
        rows.append(f"{number},SHIB,{'SELL' if number % 2 else 'BUY'},{quantity},{price},{fee}")
    (tmp_path / "bot.csv").write_text("\n".join(rows))
    return command


def test_numbers_of_a_real_bot_go_in_by_a_file_and_out_by_another(
    real_bots_book: Command, tmp_path: Path
) -> None:
    given, of_bot = read(tmp_path / "bot.csv"), ("--account", f"bot-{uuid4().hex}")
    assert real_bots_book.json("import", str(tmp_path / "bot.csv"), *of_bot)["booked"] == 4
    assert real_bots_book("verify", *of_bot).exit_code == 0
    for name, *options in (("a.csv",), ("b.arrow", "--decimals", "text"), ("c.parquet",)):
        file = tmp_path / name
        real_bots_book.json("export", str(file), *of_bot, *options)
        rows = {row["order_id"]: row for row in read(file)}
        for row in given:
            for number in ("quantity", "price", "fee"):
                assert Decimal(rows[row["order_id"]][number]) == Decimal(row[number])
    again = tmp_path / "again.csv"
    exported = read(tmp_path / "a.csv")
    terms = ("order_id", "symbol", "action", "quantity", "price", "fee", "executed_at")
    with again.open("w", newline="") as target:
        writer = csv.DictWriter(target, terms, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(exported[::-1])
    assert real_bots_book.json("import", str(again), *of_bot)["booked"] == 0
    of_copy = ("--account", f"copy-{uuid4().hex}")
    assert real_bots_book.json("import", str(again), *of_copy)["booked"] == 4
    assert real_bots_book("verify", *of_copy).exit_code == 0


def test_a_product_too_long_for_a_decimal_of_arrow_is_named_and_exported_as_text(
    real_bots_book: Command, tmp_path: Path
) -> None:
    account = f"long-{uuid4().hex}"
    with DatabaseManager(real_bots_book.url, account=account) as book:
        book.record_trade(symbol="LONG", action="BUY", quantity=1e-21, price=REAL_PRICE)
    file = tmp_path / "positions.parquet"
    arguments = ("export", str(file), "--kind", "positions", "--account", account)
    message = real_bots_book.refused(*arguments)
    assert "cost_basis: Decimal('1.0074887218045112E-25')" in message
    assert "--decimals text" in message
    assert real_bots_book.json(*arguments, "--decimals", "text")["records"] == 1
    assert [row["cost_basis"] for row in read(file)] == ["0." + "0" * 24 + "10074887218045112"]


def test_without_pyarrow_the_extra_is_named(
    tradebook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = tradebook("export", str(tmp_path / "trades.parquet"))
    assert result.exit_code == 1
    assert "pip install 'tradebook[arrow]'" in result.stderr
