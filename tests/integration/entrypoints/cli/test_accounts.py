"""Accounts on the command line: listed, named by a variable, shown together, and missing ones said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import Command
from tradebook import DatabaseManager
from tradebook.entrypoints.cli.app import COMMANDS

BUY: dict[str, Any] = {"symbol": "ETH", "action": "BUY", "quantity": 2, "price": 10}


@pytest.fixture(scope="module")
def desk(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command line on a book of two accounts, one in dollars and one in euros; nothing here changes it."""
    file = shutil.copy(migrated_file, tmp_path_factory.mktemp("desk"))
    tradebook = Command(f"sqlite:///{file}")
    with DatabaseManager(tradebook.url) as main:
        main.record_trade(**BUY, order_id="o-1")
        euros = main.for_account("euros", base_currency="EUR")
        euros.record_trade(**BUY)
        euros.raise_alert("drawdown", "INFO")
    return tradebook


def test_accounts_are_listed(desk: Command) -> None:
    listed = desk.json("accounts")["accounts"]
    assert [(a["account"], a["base_currency"]) for a in listed] == [
        ("euros", "EUR"),
        ("main", "USD"),
    ]
    assert "2 accounts in sqlite" in desk("accounts").stdout


def test_a_database_without_accounts_says_how_to_open_one(tradebook: Command) -> None:
    assert tradebook("accounts").stdout.startswith("no account is open; ")
    assert tradebook.json("accounts")["accounts"] == []


READS = (
    ["trades"], ["positions"], ["positions", "--as-of", "2026-01-01"], ["portfolio"],
    ["portfolio", "--history", "3"], ["cash"], ["alerts"], ["alerts", "--all"], ["verify"],
    ["export", "x.csv"], ["audit", "check"], ["audit", "export", "x.json"],
)  # fmt: skip


@pytest.mark.parametrize("command", READS, ids=" ".join)
def test_a_read_of_an_account_that_does_not_exist_names_those_that_do(
    desk: Command, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    message = desk.refused(*command, "--account", "mian")
    assert message.startswith("tradebook: no account 'mian' in sqlite:///")
    assert message.endswith("; accounts that exist: euros, main")
    assert [*tmp_path.glob("x.*")] == []


def test_many_accounts_are_not_all_named(tradebook: Command) -> None:
    with DatabaseManager(tradebook.url) as book:
        for number in range(12):
            book.for_account(f"a-{number:02}").record_cash_flow("DEPOSIT", 1)
    message = tradebook.refused("positions")
    assert message.startswith("tradebook: no account 'main' in ")
    assert message.endswith("a-08, a-09 and 2 more")


def test_an_empty_database_refuses_only_an_account_that_was_named(
    tradebook: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tradebook("positions").exit_code == 0
    assert tradebook.refused("positions", "--account", "paper").endswith("that exist: none")
    monkeypatch.setenv("TRADEBOOK_ACCOUNT", "paper")
    assert "no account 'paper'" in tradebook.refused("positions")


def test_an_account_that_has_nothing_but_an_alert_exists(tradebook: Command) -> None:
    with DatabaseManager(tradebook.url, "watcher") as book:
        book.raise_alert("drawdown", "INFO")
    assert len(tradebook.json("alerts", "--account", "watcher")["alerts"]) == 1
    assert tradebook("positions", "--account", "watcher").exit_code == 0


# Variables


def test_a_variable_names_the_account_and_an_option_another(
    desk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADEBOOK_ACCOUNT", "euros")
    assert desk.json("positions")["account"] == "euros"
    assert desk.json("positions", "--account", "main")["account"] == "main"
    shown = {s["field"]: s for s in desk.json("config")["settings"]}
    assert (shown["account"]["value"], shown["account"]["source"]) == ("euros", "TRADEBOOK_ACCOUNT")
    assert (shown["base_currency"]["value"], shown["base_currency"]["source"]) == ("USD", "default")
    monkeypatch.setenv("TRADEBOOK_ACCOUNT", "")
    assert desk.json("positions")["account"] == "main"


def test_a_variable_with_another_base_currency_than_the_accounts_is_refused(
    desk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADEBOOK_BASE_CURRENCY", "EUR")
    assert desk("positions", "--account", "euros").exit_code == 0
    assert "'EUR' is not accepted; expected USD" in desk.refused("positions")


def test_a_variable_names_the_base_currency_of_a_new_account(
    tradebook: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADEBOOK_BASE_CURRENCY", "EUR")
    assert tradebook.json("init", "--account", "new")["account"]["base_currency"] == "EUR"


# The base currency


def test_init_opens_an_account_in_a_base_currency_which_never_changes(sqlite_url: str) -> None:
    tradebook = Command(sqlite_url)
    for _ in range(2):
        opened = tradebook.json("init", "--account", "paper", "--base-currency", "CHF")
        assert (opened["account"]["account"], opened["account"]["base_currency"]) == (
            "paper",
            "CHF",
        )
    message = tradebook.refused("init", "--account", "paper", "--base-currency", "USD")
    assert "'USD' is not accepted; expected CHF, in which account 'paper' was opened" in message
    assert [a["account"] for a in tradebook.json("accounts")["accounts"]] == ["paper"]


def test_init_without_a_base_currency_opens_no_account(sqlite_url: str) -> None:
    tradebook = Command(sqlite_url)
    noted = tradebook("init", "--account", "paper")
    assert noted.stderr.startswith("--account has no effect on `tradebook init` without")
    assert tradebook.json("accounts")["accounts"] == []


# All accounts together


def test_the_positions_of_all_accounts_are_shown_with_totals(desk: Command) -> None:
    shown = desk.json("positions", "--account", "all")
    assert shown["account"] == "all"
    assert [(p["account"], p["quantity"]) for p in shown["positions"]] == [
        ("euros", "2"),
        ("main", "2"),
    ]
    assert {total["currency"] for total in shown["totals"]} == {"EUR", "USD"}
    assert "2 positions of all accounts" in desk("positions", "--account", "all").stdout
    everything = ("positions", "--account", "all")
    assert desk.json(*everything, "--symbol", "MSFT")["positions"] == []
    assert "--symbol" in desk.refused(*everything, "--agent", "x", exit_code=2)


def test_the_portfolio_of_all_accounts_is_in_one_currency(
    desk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    everyone = ("portfolio", "--account", "all")
    assert "the accounts have EUR, USD" in desk.refused(*everyone)
    assert "--rate EUR=NUMBER" in desk.refused(*everyone, "--base-currency", "USD")
    monkeypatch.setenv("TRADEBOOK_BASE_CURRENCY", "USD")
    shown = desk.json(*everyone, "--rate", "EUR=1.5")
    assert shown["portfolio"]["positions_value"] == "50"
    assert [p["positions_value"] for p in shown["portfolios"]] == ["30", "20"]
    text = desk(*everyone, "--rate", "EUR=1.5").stdout
    assert "2 accounts at " in text
    assert "1 EUR = 1.5 USD" in text
    with DatabaseManager(desk.url, base_currency="USD") as book:
        assert book.get_latest_portfolio() is None


CHANGES = (
    ["import", "{file}"], ["trades", "bust", "o-1", "--reason", "r"],
    ["trades", "correct", "o-1", "--price", "1", "--reason", "r"], ["rebuild"], ["audit", "seal"],
    ["alerts", "resolve", "1", "--resolution", "r"], ["init", "--base-currency", "USD"],
    ["portfolio", "--snapshot"], ["trades", "add", "ETH", "BUY", "1", "1"],
    ["cash", "add", "DEPOSIT", "1"], ["prices", "set", "ETH=1"],
)  # fmt: skip
OTHER_READS = (
    ["trades"], ["orders"], ["orders", "show", "o-1"], ["cash"], ["alerts"], ["verify"],
    ["balances"], ["reconcile", "{file}"], ["export", "x.csv"], ["audit", "check"],
    ["audit", "export", "x.json"], ["doctor"],
    ["portfolio", "--history", "3"], ["portfolio", "--id", "1"], ["trades", "show", "o-1"],
    ["prices"], ["signals"], ["signals", "show", "1"], ["decisions"], ["decisions", "show", "1"],
    ["explain", "trade", "1"], ["why", "o-1"],
    ["actions"], ["actions", "show", "1"], ["imports"], ["imports", "show", "1"],
    ["calibration", "--horizon", "1h"], ["counterfactuals", "--horizon", "1h"],
    ["attribution"], ["agents"], ["equity"], ["replay", "1"], ["look-ahead"],
    ["portfolio", "--as-of", "2026-01-01"], ["positions", "--as-of", "2026-01-01"],
)  # fmt: skip


@pytest.mark.parametrize("command", [*CHANGES, *OTHER_READS], ids=" ".join)
def test_every_other_command_is_refused_by_name_and_changes_nothing(
    desk: Command, command: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "trades.csv"
    file.write_text("symbol,action,quantity,price\nETH,BUY,1,1\n")
    before = Path(desk.url.removeprefix("sqlite:///")).read_bytes()
    arguments = [part.format(file=file) for part in (*command, "--account", "all")]
    is_option = command[0] in ("portfolio", "positions")
    result = desk(*arguments)
    named = (
        command[1] if is_option else f"`tradebook {' '.join(words(command))}` works on one account"
    )
    assert result.exit_code == (2 if is_option else 1)
    assert named in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert Path(desk.url.removeprefix("sqlite:///")).read_bytes() == before


def words(command: list[str]) -> list[str]:
    """The command and its subcommand, without arguments."""
    subcommands = ("add", "bust", "correct", "resolve", "set", "show")
    has_subcommand = (command[1:2] and command[1] in subcommands) or command[0] == "audit"
    return command[: 1 + bool(has_subcommand)]


def test_every_command_of_an_account_is_tried() -> None:
    book = {name for name, entry in COMMANDS.items() if entry.where.startswith("book.")}
    tried = {command[0] for command in (*CHANGES, *OTHER_READS)}
    assert book - tried == {"accounts", "demo", "venues"}


def test_a_currency_goes_with_all_accounts_only(desk: Command) -> None:
    message = desk.refused("portfolio", "--base-currency", "USD", exit_code=2)
    assert "goes with --account all" in message


def test_the_commands_across_accounts_need_none_of_their_own(
    desk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADEBOOK_ACCOUNT", "all")
    assert len(desk.json("accounts")["accounts"]) == 2
    assert len(desk.json("positions")["positions"]) == 2
    assert json.loads(desk("init", "--json").stdout)["ready"] is True
    assert "`tradebook rebuild` works on one account" in desk.refused("rebuild")
