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
from tradebook.entrypoints.cli.book import exporting
from tradebook.entrypoints.cli.book.csv_export import IMPORTED, CsvFile
from tradebook.entrypoints.cli.book.trade_columns import COLUMNS

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


def test_a_large_csv_file_is_written_from_columns(
    tradebook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = tmp_path / "small.csv", tmp_path / "large.csv"
    assert tradebook("export", str(small)).exit_code == 0
    monkeypatch.setattr(exporting, "BATCH", 2)
    monkeypatch.delattr(CsvFile, "write")
    assert tradebook("export", str(large)).exit_code == 0
    assert large.read_bytes() == small.read_bytes()


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


def test_without_pyarrow_the_extra_is_named_and_csv_is_written(
    tradebook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = tradebook("export", str(tmp_path / "trades.parquet"))
    assert result.exit_code == 1
    assert "pip install 'tradebook[arrow]'" in result.stderr
    assert tradebook.json("export", str(tmp_path / "trades.csv"))["records"] == 3
    assert {row["price"] for row in read(tmp_path / "trades.csv")} == {PRICE}


def test_numbers_are_written_in_the_form_that_is_asked_for(
    tradebook: Command, tmp_path: Path
) -> None:
    file, text = tmp_path / "x.parquet", tmp_path / "x.csv"
    price = pyarrow.decimal128(21, 18)
    for decimals, type_, value in (
        ("decimal128", price, Decimal(PRICE)),
        ("float", pyarrow.float64(), float(PRICE)),
        ("text", pyarrow.string(), PRICE),
    ):
        tradebook.json("export", str(file), "--decimals", decimals)
        assert pyarrow.parquet.read_schema(file).field("price").type == type_
        assert {row["price"] for row in read(file)} == {value}
    tradebook.json("export", str(text), "--decimals", "float")
    assert {row["price"] for row in read(text)} == {repr(float(PRICE))}
    refused = tradebook.refused("export", str(text), "--decimals", "decimal128", exit_code=2)
    assert "CSV has no types" in refused
    with DatabaseManager(tradebook.url) as book:
        book.record_trade(symbol="X", action="BUY", quantity=1e200, price=1e200)
    for path in (file, text):
        export = ("export", str(path), "--kind", "positions", "--decimals", "float")
        assert "cost_basis: " in tradebook.refused(*export)


# What is exported can be imported


@pytest.fixture
def lived_book(sqlite_book: str) -> Command:
    """A book whose trades were corrected, busted, filled in parts and paid for in other currencies."""
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with DatabaseManager(sqlite_book) as book:
        eth: dict[str, Any] = {"symbol": "ETH/USDT", "currency": "USDT", "executed_at": noon}
        for number in range(4):
            side = "SELL" if number % 2 else "BUY"
            terms = {"action": side, "quantity": 3 - number, "price": 0.1 + number / 7}
            fee = {"fee": "0.0001", "fee_currency": ("BNB", "ETH")[number % 2]}
            if number < 3:
                book.record_trade(**eth, **terms, **fee, order_id=f"=e-{number}")
        book.correct_trade(order_id="=e-0", quantity="4.5", reason="misread")
        book.bust_trade(order_id="=e-2", reason="not ours")
        es: dict[str, Any] = {"symbol": "ES", "multiplier": 50, "settlement": "MARGINED"}
        es |= {"executed_at": noon, "order_id": "o-1", "venue": 'X "1", 2\n3'}
        book.record_trade(**es, action="SELL", quantity=5, price=5000, status="PENDING")
        for number in range(2):
            book.record_trade(
                **es, action="SELL", quantity=2, price=5001 + number, execution_id=f"f-{number}"
            )
    return Command(sqlite_book)


def test_what_is_exported_for_import_makes_the_same_positions_and_profit(
    lived_book: Command, tmp_path: Path
) -> None:
    file = tmp_path / "moved.csv"
    assert lived_book.json("export", str(file), "--for-import")["records"] == 4
    assert lived_book.json("import", str(file), "--account", "copy")["booked"] == 4
    assert lived_book.json("import", str(file))["duplicates"] == 4
    amounts = ("quantity", "cost_basis", "realized_pnl", "fees", "other_fees", "cash_flow")
    names = ("symbol", "currency", "multiplier", "settlement", "asset", *amounts)
    both = []
    for account in ("main", "copy"):
        found = lived_book.json("positions", "--all", "--account", account)["positions"]
        both.append([{name: each[name] for name in names} for each in found])
    assert both[0] == both[1]
    assert lived_book("verify", "--account", "copy").exit_code == 0
    assert lived_book.json("export", str(file), "--for-import", "--symbol", "ES")["records"] == 2
    late = ("--since", "2026-03-01T12:01")
    assert lived_book.json("export", str(file), "--for-import", *late)["records"] == 0


def test_the_cash_flows_that_are_exported_for_import_make_the_same_cash(
    tradebook: Command, tmp_path: Path
) -> None:
    for kind, amount, reference in (
        ("DEPOSIT", "1000.123456789", "w-1"),
        ("DEPOSIT", "7", "w-2"),
        ("FUNDING", "-0.5", "f-1"),
    ):
        at = ("--at", "2024-05-17", "--symbol", "ES", "--reference", reference)
        tradebook("cash", "add", kind, amount, *at)
    tradebook("cash", "bust", "w-2", "--reason", "another account's")
    file = tmp_path / "moved.csv"
    exported = ("export", str(file), "--kind", "cash-flows", "--for-import")

    assert tradebook.json(*exported)["records"] == 2
    arguments = ("import", str(file), "--kind", "cash-flows")
    assert tradebook.json(*arguments, "--account", "copy")["cash_flows"] == 2
    assert tradebook.json(*arguments)["cash_flow_duplicates"] == 2
    (copied,) = tradebook.json("cash", "--account", "copy")["balances"]
    assert (copied["external"], copied["income"]) == ("1000.123456789", "-0.5")
    assert tradebook.json(*exported, "--where", "reference=w-2")["records"] == 0
    assert tradebook.json(*exported, "--since", "2024-05-18")["records"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["x.csv", "--kind", "alerts"],
        ["x.parquet"],
        ["x.csv", "--escape-formulas"],
        ["x.csv", "--decimals", "float"],
    ],
    ids=" ".join,
)
def test_a_file_that_could_not_be_imported_is_not_exported_for_it(
    tradebook: Command, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = tradebook.refused("export", *arguments, "--for-import", exit_code=2)
    assert "goes with trades or cash flows in CSV" in refused
    assert list(tmp_path.glob("x.*")) == []


def test_the_columns_for_import_are_those_that_it_knows() -> None:
    assert set(IMPORTED) == set(COLUMNS)


# Other programs


@pytest.mark.full  # the three libraries take seconds to load
@pytest.mark.parametrize(
    ("suffix", "decimals"),
    [
        *(("parquet", form) for form in ("text", "decimal128", "float")),
        *(("csv", form) for form in ("exact", "float")),
    ],
)
def test_pandas_polars_and_duckdb_read_the_files(
    tradebook: Command, tmp_path: Path, suffix: str, decimals: str
) -> None:
    import duckdb
    import pandas as pd
    import polars as pl

    file = tmp_path / f"trades.{suffix}"
    tradebook.json("export", str(file), "--decimals", decimals)
    if suffix == "csv":
        frames = [
            pd.read_csv(file, parse_dates=["executed_at"]),
            pl.read_csv(file, try_parse_dates=True),
        ]
    else:
        frames = [pd.read_parquet(file), pl.read_parquet(file)]
    relation = duckdb.sql(f"SELECT * FROM '{file}'")
    for frame in frames:
        assert list(frame["symbol"]) == ["AAPL", "MSFT", "AAPL"]
        assert {float(price) for price in frame["price"]} == {float(PRICE)}
        assert [time.day for time in frame["executed_at"]] == [3, 2, 1]
    rows = relation.project("symbol, price, executed_at").fetchall()
    assert [row[0] for row in rows] == ["AAPL", "MSFT", "AAPL"]
    assert {float(row[1]) for row in rows} == {float(PRICE)}
    assert [row[2].day for row in rows] == [3, 2, 1]
    if decimals == "decimal128":
        assert frames[0]["price"].sum() == rows[0][1] * 3 == Decimal(PRICE) * 3
        assert frames[1]["price"].sum() == Decimal(PRICE) * 3


@pytest.mark.full
def test_of_decimals_of_76_digits_pandas_keeps_all_duckdb_a_float_and_polars_none(
    tradebook: Command, tmp_path: Path
) -> None:
    import duckdb
    import pandas as pd
    import polars as pl

    file = tmp_path / "trades.parquet"
    tradebook.json("export", str(file))
    assert set(pd.read_parquet(file)["price"]) == {Decimal(PRICE)}
    (price,) = duckdb.sql(f"SELECT DISTINCT price FROM '{file}'").fetchall()
    assert price == (pytest.approx(float(PRICE)),)
    with pytest.raises(pl.exceptions.InvalidOperationError, match="precision"):
        pl.read_parquet(file)
