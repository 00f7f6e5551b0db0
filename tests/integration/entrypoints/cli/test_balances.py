"""Balances of assets, and their comparison with a venue's, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import Command
from tradebook import DatabaseManager


@pytest.fixture
def desk(tradebook: Command) -> Command:
    """The command line, on a book with bitcoin and cash."""
    bitcoin: Any = {"symbol": "BTC/USDT", "action": "BUY", "currency": "USDT"}
    with DatabaseManager(tradebook.url) as book:
        book.upgrade()
        book.record_trade(
            **bitcoin, quantity=1, price=60_000, fee="0.001", fee_currency="BTC", order_id="one"
        )
        book.record_cash_flow("DEPOSIT", 70_000, currency="USDT", reference="wire")
    return tradebook


def test_balances_are_listed_by_asset(desk: Command) -> None:
    assert desk.json("balances")["balances"] == [
        {"asset": "BTC", "positions": "0.999", "cash": "0", "balance": "0.999"},
        {"asset": "USDT", "positions": "0", "cash": "10000", "balance": "10000"},
    ]
    assert "10,000" in desk("balances").stdout


@pytest.mark.parametrize(
    "text",
    [
        "asset,balance\nBTC,0.999\nUSDT,10000\n",
        "Coin;Total\nUSDT;10000\n\nBTC;0.9990\n",
        '{"BTC": 0.999, "USDT": "10000", "ETH": 0}',
        '{"info": {}, "free": {}, "total": {"BTC": 0.999, "USDT": 10000.0}}',
    ],
)
def test_files_that_say_the_same_agree(desk: Command, tmp_path: Path, text: str) -> None:
    file = tmp_path / "balances"
    file.write_text(text)

    said = desk("reconcile", str(file))

    assert said.exit_code == 0
    assert said.stdout.startswith("account 'main' agrees in ")
    assert desk("reconcile", "-", stdin=text).exit_code == 0


def test_a_difference_ends_with_1_and_names_the_last_entries(desk: Command, tmp_path: Path) -> None:
    file = tmp_path / "balances.json"
    file.write_text(json.dumps({"BTC": 1, "USDT": 10000}))

    document = desk.json("reconcile", str(file), exit_code=1)
    said = desk("reconcile", str(file)).stdout

    [difference] = document["differences"]
    assert (difference["asset"], difference["difference"]) == ("BTC", "0.001")
    assert difference["entries"][0]["name"] == "'one' for BTC/USDT"
    assert said.startswith("1 of 2 assets differ")
    assert "the last entries that changed BTC" in said
    assert desk("reconcile", str(file), "--tolerance", "0.001").exit_code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("BTC,1\n", "expected a first line that names a column asset or"),
        ("asset,balance\nBTC,many\n", "'line 2' is not accepted; expected a number"),
        ("asset,balance\nBTC\n", "'line 2' is not accepted; expected 2 cells"),
        ("asset,balance\nBTC,1\nBTC,2\n", "one line for each asset: 'BTC' has two"),
        ("asset,balance\nBTC,NaN\n", "balances['BTC']: 'NaN' is not accepted"),
        ("asset,balance\n" + "B" * 200_000, "expected CSV: field larger than"),
        ('{"BTC": ', "expected JSON: "),
        ("[1]", "expected a JSON object: the balance of each asset"),
        ('{"BTC": null}', "leave the asset out"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_line(
    desk: Command, tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "balances"
    file.write_text(text)

    assert message in desk.refused("reconcile", str(file))


def test_a_file_that_is_missing_binary_or_endless_is_refused(desk: Command, tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")

    assert "a file that can be read: No such file" in desk.refused("reconcile", "nope.csv")
    assert "a file of UTF-8 text" in desk.refused("reconcile", str(binary))
    assert "at most 10,000,000 bytes" in desk.refused("reconcile", "/dev/zero")
