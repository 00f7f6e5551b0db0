"""Late corrections, repair and the past, from the command line."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.integration.service_layer.test_verification import spoil
from tests.support.command_line import Command
from tradebook import DatabaseManager

FILLS = """symbol,action,quantity,price,fee,order_id,executed_at
AAPL,BUY,10,100,1,one,2026-03-02T10:00
AAPL,BUY,10,120,1,two,2026-03-02T11:00
AAPL,SELL,10,130,1,three,2026-03-02T12:00
"""


@pytest.fixture
def imported(tradebook: Command, tmp_path: Path) -> Command:
    """The command line, on a book of three trades."""
    path = tmp_path / "fills.csv"
    path.write_text(FILLS)
    assert tradebook("import", str(path)).exit_code == 0
    return tradebook


def test_a_bust_takes_a_trade_out_and_says_what_is_held(imported: Command) -> None:
    said = imported("trades", "bust", "three", "--reason", "not ours").stdout

    assert "order 'three' for AAPL is busted: not ours" in said
    assert "AAPL: quantity 20, realized P&L 0, fees 2 USD" in said
    [busted] = [t for t in imported.json("trades")["trades"] if t["status"] == "BUSTED"]
    assert (busted["order_id"], busted["busted_by"]) == ("three", getpass.getuser())
    assert imported("verify").exit_code == 0


def test_a_bust_in_json_has_the_trade_and_its_position(imported: Command) -> None:
    document = imported.json("trades", "bust", "one", "--reason", "late", "--by", "ann")

    assert document["trade"]["busted_by"] == "ann"
    assert (document["position"]["quantity"], document["position"]["cost_basis"]) == ("0", "0")
    assert imported.json("trades", "bust", "one", "--reason", "late") == document


def test_a_correction_counts_in_the_place_of_the_wrong_trade(imported: Command) -> None:
    correct = ["trades", "correct", "two", "--price", "110", "--fee", "0.5", "--reason", "misread"]

    said = imported(*correct).stdout

    assert "order 'two' for AAPL counts as BUY 10 at 110 USD, fee 0.5 (revision 1)" in said
    assert "realized P&L 250, fees 2.5 USD" in said
    assert imported(*correct).stdout == said
    assert imported.trades() == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bust", "--reason", "r"], "either ORDER_ID or --trade-id ID"),
        (["bust", "one", "--trade-id", "1", "--reason", "r"], "either ORDER_ID or --trade-id ID"),
        (["bust", "one"], "Missing option '--reason'"),
        (["correct", "one", "--reason", "r"], "--executed-at"),
        (["correct", "one", "--executed-at", "20260302", "--reason", "r"], "ISO 8601"),
    ],
)
def test_a_correction_that_does_not_say_enough_is_wrong_usage(
    imported: Command, arguments: list[str], message: str
) -> None:
    assert message in imported.refused("trades", *arguments, exit_code=2)
    assert imported.trades() == 3


def test_options_before_bust_are_honoured(imported: Command) -> None:
    bust = ("bust", "one", "--reason", "r")

    assert "account 'other'" in imported.refused("trades", "--account", "other", *bust)
    assert imported.trades() == 3
    refused = imported.refused("trades", "--symbol", "AAPL", *bust, exit_code=2)
    assert "`tradebook trades bust` has no such option" in refused
    assert imported("verify").stdout.startswith("the book is proven (3 trades")
    document = json.loads(imported("trades", "--json", *bust).stdout)
    assert document["trade"]["status"] == "BUSTED"


def test_a_correction_that_the_book_refuses_changes_nothing(imported: Command) -> None:
    before = imported.json("positions")

    assert "no order 'four'" in imported.refused("trades", "bust", "four", "--reason", "r")
    assert "price" in imported.refused("trades", "correct", "one", "--price", "x", "--reason", "r")

    assert imported.json("positions") == before


def test_a_snapshot_says_what_was_amended_since(imported: Command) -> None:
    imported("portfolio", "--snapshot")
    imported("trades", "correct", "two", "--price", "110", "--reason", "misread")
    imported("trades", "bust", "three", "--reason", "not ours")

    said = imported("portfolio").stdout
    amendments = imported.json("portfolio", "--id", "1")["portfolio"]["amendments"]

    assert "2 trades in it busted or corrected since" in said
    assert [a["busted"]["order_id"] for a in amendments] == ["two", "three"]
    assert [a["correction"] and a["correction"]["price"] for a in amendments] == ["110", None]
    assert "no snapshot 2" in imported.refused("portfolio", "--id", "2")


def test_the_past_is_told_by_trade_times_or_as_the_book_said(imported: Command) -> None:
    then = ["--as-of", "2026-03-02T11:00"]

    true_then = imported.json("positions", *then, "--by", "executed")
    said_then = imported.json("positions", *then)

    assert [p["quantity"] for p in true_then["positions"]] == ["20"]
    assert said_then["positions"] == []
    assert "--by executed goes by trade times" in imported("positions", *then).stdout


def test_the_past_is_valued_at_the_prices_given(imported: Command) -> None:
    command = [
        "portfolio",
        "--as-of",
        "2026-03-02T11:30",
        "--by",
        "executed",
        "--price",
        "AAPL=121",
    ]

    portfolio = imported.json(*command)["portfolio"]

    assert (portfolio["total_value"], portfolio["source"]) == ("218", "as of")
    assert imported.json("portfolio", "--history", "1")["portfolios"] == []
    assert "by trade times" in imported(*command).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["positions", "--by", "executed"],
        ["portfolio", "--by", "booked"],
        ["portfolio", "--price", "AAPL=1"],
        ["portfolio", "--id", "1", "--snapshot"],
        ["portfolio", "--as-of", "2026-03-02", "--history", "3"],
        ["positions", "--as-of", "noon"],
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(
    imported: Command, arguments: list[str]
) -> None:
    imported.refused(*arguments, exit_code=2)


def test_rebuild_puts_a_spoilt_position_right(imported: Command) -> None:
    with DatabaseManager(imported.url) as manager:
        spoil(manager, "positions", "fees", Decimal(5), symbol="AAPL")
    assert imported("verify").exit_code == 1

    said = imported("rebuild").stdout

    assert "3 trades folded: 1 position (AAPL) put right, 0 trades restated" in said
    assert "the book is proven" in said
    assert imported.json("rebuild", "--symbol", "AAPL")["positions"] == []


def test_rebuild_repairs_times_of_a_wrong_clock_on_request(imported: Command) -> None:
    imported("portfolio", "--snapshot")
    with DatabaseManager(imported.url) as manager:
        ahead = datetime.now(UTC) + timedelta(days=2)
        spoil(manager, "positions", "updated_at", ahead, symbol="AAPL")
        spoil(manager, "portfolios", "timestamp", ahead)
    assert "rebuild --times" in imported.refused("portfolio", "--snapshot")
    # No entry of its ledger has the position's time, so that it is wrong by itself.
    assert "1 position (AAPL) put right, 0 trades restated\n" in imported("rebuild").stdout
    said = imported("rebuild", "--times").stdout
    assert "0 positions put right, 0 trades restated, 1 snapshot redated" in said
    assert "the book is proven" in said
    assert imported("portfolio", "--snapshot").exit_code == 0


def test_rebuild_says_what_it_cannot_put_right(imported: Command) -> None:
    imported("portfolio", "--snapshot")
    with DatabaseManager(imported.url) as manager:
        spoil(manager, "portfolios", "fees", Decimal(5))

    result = imported("rebuild", "--json")

    assert (result.exit_code, json.loads(result.stdout)["proven"]) == (1, False)
    assert "no booked trade of 'MSFT'" in imported.refused("rebuild", "--symbol", "MSFT")


def test_a_bust_of_cash_is_shown_with_the_balance(tradebook: Command) -> None:
    with DatabaseManager(tradebook.url) as book:
        book.upgrade()
        book.record_cash_flow("DEPOSIT", 1000, reference="wire-1")
        wrong = book.record_cash_flow("DEPOSIT", 70, reference="wire-2").id

    said = tradebook("cash", "bust", "wire-2", "--reason", "not ours").stdout
    assert f"cash flow {wrong} is busted: DEPOSIT of -70 USD" in said
    assert "USD: balance 1000" in said
    again = tradebook.json("cash", "bust", "--cash-flow-id", str(wrong), "--reason", "not ours")
    assert (again["reversal"]["busts_id"], again["reversal"]["amount"]) == (wrong, "-70")
    assert tradebook.json("cash")["balances"][0]["balance"] == "1000"
    refused = tradebook.refused("cash", "bust", "--reason", "r", exit_code=2)
    assert "either REFERENCE or --cash-flow-id ID" in refused
    assert "no cash flow 'wire-9'" in tradebook.refused("cash", "bust", "wire-9", "--reason", "r")
