"""A venue's statement next to the book of a bot, from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.command_line import Command
from tests.support.venue_moves import SAMPLES
from tradebook import DatabaseManager

STATEMENT: Final = str(SAMPLES / "ibkr" / "statement.xml")
COMPARED: Final = ["trades", "cash flows", "positions", "balances"]


@pytest.fixture
def tradebook(sqlite_book: str) -> Command:
    return Command(sqlite_book)


def reconciled(tradebook: Command, *options: str, exit_code: int = 0) -> Any:
    return tradebook.json("reconcile", "--from", "ibkr", STATEMENT, *options, exit_code=exit_code)


def fill(symbol: str, action: str, quantity: int, price: str, at: str, **terms: Any) -> Any:
    """Return a fill as the bot books it: in New York's time, whose clock is 5 hours behind until March 10th, then 4."""
    filled = {"symbol": symbol, "action": action, "quantity": quantity, "price": price}
    return {**filled, "currency": "USD", "executed_at": at, **terms}


@pytest.fixture
def desk(tradebook: Command) -> Command:
    """The command line, on a book of a bot that was down on the 18th, and misread a fee on the 20th."""
    with DatabaseManager(tradebook.url) as book:
        book.record_trades(
            [
                # The whole order in one fill, with the bot's clock and without the venue's ids of its parts.
                fill(
                    "AAPL", "BUY", 100, "179.54", "2024-03-04T14:30:02.5Z", order_id="6001", fee=1
                ),
                fill("AAPL", "BUY", 7, "1", "2024-03-19T15:00:00Z", order_id="test"),
                fill("MSFT", "BUY", 5, "415.1", "2024-03-20T14:11:12.9Z", order_id="b-3", fee=0),
                fill("AAPL", "BUY", 9, "2", "2024-03-19T15:00:00Z", order_id="k", venue="kraken"),
            ]
        )
        book.record_cash_flow("DEPOSIT", 50_000, occurred_at="2024-03-01T12:00:00Z")
        book.record_cash_flow("DEPOSIT", 1, reference="oops", occurred_at="2024-03-02T12:00:00Z")
    return tradebook


def test_an_imported_statement_agrees(tradebook: Command) -> None:
    summary = tradebook.json("import", "--from", "ibkr", STATEMENT)
    assert (summary["booked"], summary["cash_flows"]) == (5, 4)

    found = reconciled(tradebook)

    assert found["agrees"] is True
    assert (found["trades"], found["cash_flows"], found["compared"]) == (5, 4, COMPARED)
    assert (found["start"], found["end"]) == (
        "2024-03-01T05:00:00+00:00",
        "2024-04-01T04:00:00+00:00",
    )
    said = tradebook("reconcile", "--from", "ibkr", STATEMENT).stdout
    assert (
        "account 'main' agrees; compared: trades, cash flows, positions, balances; 5 trades" in said
    )


def test_differences_are_listed_with_what_would_mend_them(desk: Command) -> None:
    found = reconciled(desk, exit_code=1)

    assert [(each["kind"], each["name"].partition(",")[0]) for each in found["discrepancies"]] == [
        ("SURPLUS", "DEPOSIT 1 USD"),
        ("MISSING", "DIVIDEND 24 USD"),
        ("MISSING", "TAX -3.6 USD"),
        ("MISSING", "SELL 30 AAPL at 172.25"),
        ("SURPLUS", "BUY 7 AAPL at 1"),
        ("DIFFERENT", "BUY 5 MSFT at 415.1"),
        ("MISSING", "BUY 5000 EUR/USD at 1.0945"),
        ("MISSING", "FEE -10 USD"),
    ]
    different = found["discrepancies"][5]
    assert different["changes"] == {"fee": ["0", "1"]}
    assert [each["operation"] for each in different["mends"]] == ["correct_trade"]
    assert [(each["symbol"], each["difference"]) for each in found["positions"]] == [
        ("AAPL", "-46")
    ]
    assert {each["asset"] for each in found["balances"]} == {"EUR", "USD"}
    assert found["mended"] is None
    said = desk("reconcile", "--from", "ibkr", STATEMENT, "--wide")
    assert said.exit_code == 1
    assert "fee 0 -> 1 (correct_trade)" in said.stdout
    assert (
        "--apply --reason TEXT writes the entries that mend it: record 5, correct 1, bust 2"
        in said.stdout
    )
    assert desk.trades() == 4


def test_apply_writes_the_entries_with_the_reason_and_compares_again(desk: Command) -> None:
    with DatabaseManager(desk.url) as book:
        book.bust_trade(order_id="k", reason="of another account")

    found = reconciled(desk, "--apply", "--yes", "--reason", "the bot was down")

    assert found["agrees"] is True
    assert found["mended"] == {"recorded": 5, "corrected": 1, "busted": 2, "import_id": 1}
    (imported,) = desk.json("imports")["imports"]
    assert imported["source"] == "reconciliation of statement.xml: the bot was down"
    assert desk("verify").exit_code == 0
    assert reconciled(desk, "--apply", "--yes", "--reason", "again")["mended"] is None
    assert desk.json("imports", "undo", "1", "--reason", "not ours")["trades"] == 2


def test_what_remains_is_shown_after_the_entries_were_written(desk: Command) -> None:
    arguments = (
        "reconcile",
        "--from",
        "ibkr",
        STATEMENT,
        "--apply",
        "--reason",
        "the bot was down",
    )

    declined = desk(*arguments, stdin="n\n")
    assert declined.exit_code == 1
    assert "nothing was written: say --yes to do it" in declined.stderr
    assert desk.json("imports")["imports"] == []
    said = desk(*arguments, stdin="y\n")

    assert said.exit_code == 1
    assert "5 recorded, 1 corrected, 2 busted; import 1" in said.stdout
    assert "when (UTC)" in said.stdout
    assert "positions at the end that differ" in said.stdout  # the trade of the other venue
    assert "account 'main' differs" in said.stdout


def test_a_part_of_the_period_is_compared(desk: Command) -> None:
    period = ("--since", "2024-03-18", "--until", "2024-03-20")

    found = reconciled(desk, *period, exit_code=1)

    assert [each["kind"] for each in found["discrepancies"]] == ["MISSING", "SURPLUS"]
    assert found["compared"] == ["trades", "cash flows"]


def test_statements_of_other_forms_are_compared(tradebook: Command) -> None:
    for venue, sample, compared in (
        ("ibkr", "activity.csv", ["trades", "cash flows", "positions"]),
        ("kraken", "trades.csv", ["trades"]),
    ):
        path = str(SAMPLES / venue / sample)
        account = ("--account", venue)
        tradebook.json("import", "--from", venue, path, *account)

        found = tradebook.json(
            "reconcile", "--from", venue, path, *account, exit_code=int(venue == "ibkr")
        )

        assert found["discrepancies"] == []
        assert found["compared"] == compared
        # The sample's statement leaves the other positions out.
        assert {each["symbol"] for each in found["positions"]} <= {
            "VTI",
            "SAP",
            "MSFT",
            "AAPL 19JAN24 180 P",
        }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["balances.csv", "--apply"], "it has an effect with --from only"),
        (["a.csv", "b.csv"], "write one file, or say whose files they are with --from"),
        (["--from", "ibkr", STATEMENT, "--apply"], "say with --reason why"),
        (["--from", "ibkr", STATEMENT, "--within", "-1"], "--within"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    tradebook: Command, options: list[str], said: str
) -> None:
    assert said in tradebook.refused("reconcile", *options, exit_code=2)


def test_a_statement_that_cannot_be_read_is_refused(desk: Command, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.xml"
    wrong.write_text(Path(STATEMENT).read_text().replace('quantity="60"', 'quantity="sixty"'))
    lacking = tmp_path / "lacking.xml"
    lacking.write_text(Path(STATEMENT).read_text().replace('position="5"', 'position=""'))

    for file, said in ((wrong, "column quantity: 'sixty'"), (lacking, "column position")):
        refused = desk.refused("reconcile", "--from", "ibkr", str(file))
        assert "wrong.xml: 1 bad row; nothing was compared".replace("wrong", file.stem) in refused
        assert said in refused
    assert "cannot be read" in desk.refused("reconcile", "--from", "ibkr", str(tmp_path))
