"""The `tradebook` command on a SQLite file."""

from __future__ import annotations

import gzip
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import URL

from tests.support.checkout import ROOT
from tests.support.command_line import Command
from tradebook import DatabaseManager
from tradebook.entrypoints.cli import options, output
from tradebook.entrypoints.cli.book import import_run

TRADES = ROOT / "tests" / "data" / "trades.csv"
HEADER = "symbol,action,quantity,price"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """A function that writes a file and returns its path."""

    def write(content: str | bytes, name: str = "my trades.csv") -> str:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


# init


def test_init_creates_the_schema_and_may_be_run_again(sqlite_url: str) -> None:
    tradebook = Command(sqlite_url)
    first, second = tradebook("init"), tradebook.json("init")

    assert first.exit_code == 0
    assert first.stdout.startswith("ready: sqlite")
    assert second["ready"] is True


def test_init_does_not_show_the_password_of_the_database(tradebook: Command) -> None:
    message = tradebook.refused("init", "--database", "postgresql://me:secret@localhost:1/book")

    assert "secret" not in message


def test_a_server_database_without_tables_asks_for_init(new_database: Callable[[], URL]) -> None:
    tradebook = Command(new_database().render_as_string(hide_password=False))

    assert "tradebook db upgrade" in tradebook.refused("import", str(TRADES))

    assert tradebook("init").exit_code == 0
    assert tradebook.json("import", str(TRADES))["booked"] == 5
    assert tradebook.json("import", str(TRADES))["duplicates"] == 5
    assert tradebook("verify").exit_code == 0


# import


def test_import_books_a_file_and_says_how_it_went(sqlite_url: str) -> None:
    tradebook = Command(sqlite_url)  # a database that does not exist yet
    summary = tradebook.json("import", str(TRADES))

    assert summary.pop("seconds") >= 0
    assert summary == {
        "account": "main",
        "file": "trades.csv",
        "import_id": 1,
        "is_known_file": False,
        "booked": 5,
        "duplicates": 0,
        "repeated": 0,
        "skipped": [],
        "warnings": ["more is sold than held of AAPL: are earlier purchases missing?"],
        "positions": ["AAPL", "MSFT"],
    }
    positions = {p["symbol"]: p for p in tradebook.json("positions", "--all")["positions"]}
    assert positions["AAPL"]["quantity"] == "-10"
    assert positions["MSFT"]["realized_pnl"] == "245"


def test_import_again_recognises_every_trade(tradebook: Command) -> None:
    tradebook("import", str(TRADES))

    result = tradebook("import", str(TRADES))

    assert result.exit_code == 0
    assert result.stdout.startswith(
        "trades.csv: 0 trades booked in 0 positions, 5 duplicates recognised, 0 rows skipped; "
    )
    assert tradebook.trades() == 5


def test_import_again_recognises_rows_without_an_order_id(
    tradebook: Command, write: Callable[..., str]
) -> None:
    path = write(f"{HEADER}\nAAPL,BUY,1,2\nAAPL,BUY,1,2\nAAPL,SELL,1,3\n")

    assert tradebook.json("import", path)["booked"] == 3
    assert tradebook.json("import", path)["duplicates"] == 3
    assert tradebook.json("import", path, "--skip-bad")["duplicates"] == 3


def test_import_of_a_file_that_has_grown_books_what_is_new(
    tradebook: Command, write: Callable[..., str]
) -> None:
    day_one = f"{HEADER}\nAAPL,BUY,1,2\nAAPL,BUY,1,2\n"
    tradebook("import", write(day_one))

    summary = tradebook.json("import", write(f"{day_one}AAPL,BUY,1,2\nMSFT,BUY,1,2\n"))

    assert (summary["booked"], summary["duplicates"]) == (2, 2)
    assert summary["positions"] == ["AAPL", "MSFT"]


def test_import_reads_gzip_and_standard_input(
    tradebook: Command, write: Callable[..., str]
) -> None:
    packed = gzip.compress(TRADES.read_bytes())

    assert tradebook.json("import", write(packed, "trades.csv.gz"))["booked"] == 5
    again = tradebook("import", "-", "--json", stdin=packed)
    assert json.loads(again.stdout)["duplicates"] == 5
    assert json.loads(again.stdout)["file"] == "standard input"


def test_import_maps_columns_ignores_others_and_sets_the_currency(
    tradebook: Command, write: Callable[..., str]
) -> None:
    path = write("pair;side;qty;price;note\nXRP/ETH;buy;10;0.0014;x\n")

    tradebook(
        *("import", path, "--map", "pair=symbol", "--map", "side=action", "--map", "qty=quantity"),
        *("--ignore", "note", "--currency", "ETH"),
    )

    (trade,) = tradebook.json("trades")["trades"]
    assert (trade["symbol"], trade["currency"], trade["price"]) == ("XRP/ETH", "ETH", "0.0014")


def test_import_reads_a_file_in_another_notation_as_its_options_say(
    tradebook: Command, write: Callable[..., str]
) -> None:
    path = write(
        "Datum;symbol;quantity;price;fee;Art;note\n01.03.2024 15:30;ES;-2;4.500,25;-1,5;limit;x\n",
        "konto.csv",
    )
    options = [
        "--map",
        "Datum=executed_at",
        "--decimal",
        ",",
        "--tz",
        "Europe/Berlin",
        "--sign-from-quantity",
        "--negate",
        "fee",
        "--settlement",
        "margined",
        "--multiplier",
        "50",
        "--details",
        "Art",
        "--ignore-others",
    ]

    tradebook.json("import", path, *options, "--date-format", "%d.%m.%Y %H:%M")

    (trade,) = tradebook.json("trades")["trades"]
    assert (trade["action"], trade["quantity"], trade["price"]) == ("SELL", "2", "4500.25")
    assert (trade["fee"], trade["settlement"], trade["multiplier"]) == ("1.5", "MARGINED", "50")
    assert (trade["executed_at"], trade["details"]) == (
        "2024-03-01T14:30:00+00:00",
        {"Art": "limit"},
    )


@pytest.mark.parametrize(
    "option",
    [
        "--decimal ;",
        "--date-format epoch",
        "--tz Mars/Olympus",
        "--encoding klingon",
        "--negate action",
        "--settlement barter",
    ],
)
def test_import_refuses_an_option_that_is_used_wrongly(
    tradebook: Command, write: Callable[..., str], option: str
) -> None:
    said = tradebook.refused("import", write(HEADER), *option.split(), exit_code=2)

    assert option.split()[0] in said


def test_import_names_unknown_columns_with_what_to_write(
    tradebook: Command, write: Callable[..., str]
) -> None:
    message = tradebook.refused("import", write("symbol,side,quantity,price\nAAPL,buy,1,2\n"))

    assert "my trades.csv: no column for action" in message
    assert "--map side=action" in message


def test_import_books_nothing_of_a_file_with_bad_rows_and_names_them(
    tradebook: Command, write: Callable[..., str]
) -> None:
    path = write(f"{HEADER}\nAAPL,BUY,1,2\nAAPL,BUY,ten,2\nAAPL,HOLD,1,2\n")

    message = tradebook.refused("import", path)

    assert "2 bad rows; nothing was booked" in message
    assert "line 3, column quantity: 'ten': expected a number" in message
    assert "line 4, column action: 'HOLD': expected one of BUY, SELL" in message
    assert "--skip-bad" in message
    assert tradebook.trades() == 0


def test_import_stops_listing_when_hardly_a_row_is_good(
    tradebook: Command, write: Callable[..., str]
) -> None:
    path = write(f"{HEADER}\n" + "AAPL,BUY,ten,2\n" * 1000)

    message = tradebook.refused("import", path)

    assert "at least 100 bad rows" in message
    assert "and 80 more" in message


BAD_FOR_THE_BOOK = pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        ("o-1,AAPL,BUY,101,150.25,,", "quantity", "quantity is '100', given '101'"),
        ("o-9,AAPL,BUY,1,150,EUR,", "currency", "currency is 'USD'"),
        ("o-9,AAPL,BUY,1,150,,10", "multiplier", "multiplier is '1'"),
        ("n-1,NEW,BUY,7,150,,", "quantity", "quantity is '1', given '7'"),
    ],
    ids=["another-fill-of-an-order", "another-currency", "another-multiplier", "within-the-file"],
)


def file_with_a_row(row: str) -> str:
    """Build a file of two symbols' trades around a row that only the book can refuse."""
    good = "".join(f"g-{n},{s},BUY,1,2,,\n" for n in range(20) for s in ("AAPL", "ZZZ"))
    return (
        "order_id,symbol,action,quantity,price,currency,multiplier\n"
        f"n-1,NEW,BUY,1,2,,\n{good}{row}\n{good.replace('g-', 'h-')}"
    )


@BAD_FOR_THE_BOOK
def test_import_names_the_line_of_a_row_that_the_book_refuses_and_books_nothing(
    tradebook: Command,
    write: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    row: str,
    column: str,
    reason: str,
) -> None:
    monkeypatch.setattr(import_run, "BATCH_OF_TRADES", 8)
    tradebook("import", str(TRADES))

    message = tradebook.refused("import", write(file_with_a_row(row)))

    assert f"1 bad row; nothing was booked line 43, column {column}" in message
    assert reason in message
    assert tradebook.trades() == 5


@BAD_FOR_THE_BOOK
def test_import_skips_the_rows_that_the_book_refuses_and_books_the_others_when_told_to(
    tradebook: Command,
    write: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    row: str,
    column: str,
    reason: str,
) -> None:
    monkeypatch.setattr(import_run, "BATCH_OF_TRADES", 8)
    tradebook("import", str(TRADES))

    summary = tradebook.json("import", write(file_with_a_row(row)), "--skip-bad")

    (skipped,) = summary["skipped"]
    assert (skipped["line"], skipped["column"]) == (43, column)
    assert reason in skipped["reason"]
    assert summary["booked"] == 81
    assert tradebook("verify").exit_code == 0


def test_import_lists_what_it_skipped_in_the_order_of_the_file(
    tradebook: Command, write: Callable[..., str]
) -> None:
    tradebook("import", str(TRADES))
    path = write(f"{HEADER},order_id\nAAPL,BUY,7,2,o-1\nAAPL,BUY,0,2,\nAAPL,BUY,1,2,n-1\n")

    result = tradebook("import", path, "--skip-bad")

    assert result.exit_code == 0
    assert "1 trade booked in 1 position, 0 duplicates recognised, 2 rows skipped" in result.stdout
    lines = [line.split() for line in result.stdout.splitlines()]
    listed = [line for line in lines if line and line[1:2] == ["quantity"]]
    assert [line[:3] for line in listed] == [["2", "quantity", "7"], ["3", "quantity", "0"]]


def test_import_says_when_fills_of_one_order_cannot_be_told_apart(
    tradebook: Command, write: Callable[..., str]
) -> None:
    result = tradebook("import", write(f"{HEADER},order_id\n" + "AAPL,BUY,1,2,o-1\n" * 3))

    assert "1 trade booked in 1 position, 2 duplicates" in result.stdout
    assert "2 rows repeated an order" in result.stdout
    assert "execution_id" in result.stdout


class Interrupted:
    """A progress callback that raises KeyboardInterrupt at the second report."""

    def __init__(self) -> None:
        self.reports = 0

    def __call__(self, _done: int, _total: int) -> None:
        self.reports += 1
        if self.reports == 2:
            raise KeyboardInterrupt


@pytest.fixture
def broken_off(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A switch: imports are interrupted in the middle until it is called."""
    originals = import_run.book_all, import_run.book_what_can_be
    monkeypatch.setattr(import_run, "BATCH_OF_TRADES", 2)
    for original in originals:

        def book(*arguments: Any, _original: Any = original) -> Any:
            return _original(*arguments[:-1], Interrupted())

        monkeypatch.setattr(import_run, original.__name__, book)

    def go_on() -> None:
        for original in originals:
            monkeypatch.setattr(import_run, original.__name__, original)

    return go_on


def test_import_that_is_broken_off_has_booked_nothing(
    tradebook: Command, broken_off: Callable[[], None]
) -> None:
    result = tradebook("import", str(TRADES))

    assert result.exit_code == 130
    assert "nothing was booked" in result.stderr
    assert tradebook.trades() == 0


def test_import_with_skip_bad_that_is_broken_off_has_booked_whole_batches_and_goes_on(
    tradebook: Command, broken_off: Callable[[], None]
) -> None:
    result = tradebook("import", str(TRADES), "--skip-bad")

    assert result.exit_code == 130
    assert "run the import again" in result.stderr
    assert tradebook.trades() == 4

    broken_off()
    summary = tradebook.json("import", str(TRADES), "--skip-bad")
    assert (summary["booked"], summary["duplicates"]) == (1, 4)


@pytest.mark.parametrize("mapping", ["side", "=action", "side=", "side=nothing"])
def test_a_mapping_that_is_none_is_wrong_usage(tradebook: Command, mapping: str) -> None:
    message = tradebook.refused("import", str(TRADES), "--map", mapping, exit_code=2)

    assert "THEIRS=OURS" in message


def test_a_file_that_is_not_there_is_wrong_usage(tradebook: Command, tmp_path: Path) -> None:
    assert "does not exist" in tradebook.refused("import", "nowhere.csv", exit_code=2)
    assert "cannot be found" in tradebook.refused("import", "x" * 300, exit_code=2)
    assert "directory" in tradebook.refused("import", str(tmp_path), exit_code=2)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"\x1f\x8bnonsense",
        b"PK\x03\x04",
        b'symbol,"action',
        b"\xe4\xf6\xfc\n",
    ],
)
def test_a_file_of_another_kind_is_refused_in_words(
    tradebook: Command, write: Callable[..., str], content: bytes
) -> None:
    assert "tradebook: my trades.csv: " in tradebook.refused("import", write(content))


def test_import_into_another_account_leaves_the_first_alone(tradebook: Command) -> None:
    tradebook("import", str(TRADES))

    assert tradebook.json("import", str(TRADES), "--account", "second")["booked"] == 5
    assert tradebook.trades() == 5


# trades and positions


def test_trades_are_listed_newest_first_and_can_be_chosen(tradebook: Command) -> None:
    tradebook("import", str(TRADES))

    def orders(*options: str) -> list[str]:
        return [trade["order_id"] for trade in tradebook.json("trades", *options)["trades"]]

    assert orders() == ["o-5", "o-4", "o-3", "o-2", "o-1"]
    assert orders("--symbol", "AAPL", "--limit", "2") == ["o-4", "o-3"]
    assert orders("--days", "1") == []
    assert orders("--symbol", "MSFT", "--days", "36500") == ["o-5", "o-2"]


def test_trades_for_people_have_their_totals(tradebook: Command) -> None:
    tradebook("import", str(TRADES))

    result = tradebook("trades")

    assert "5 trades of account main" in result.stdout
    assert "2024-03-04 14:00:00" in result.stdout
    total = next(line for line in result.stdout.splitlines() if "total" in line)
    assert total.split() == ["total", "5", "444", "USD"]
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "left out for want of width: status, order, id (--wide has all)" in result.stdout
    assert "o-5" in tradebook("trades", "--wide").stdout


def test_a_trade_in_json_has_decimals_as_text_and_times_in_utc(tradebook: Command) -> None:
    tradebook("import", str(TRADES))

    trade = tradebook.json("trades", "--symbol", "AAPL")["trades"][1]

    assert trade["quantity"] == "40"
    assert trade["price"] == "155.75"
    assert trade["executed_at"] == "2024-03-04T14:00:00+00:00"
    assert trade["status"] == "EXECUTED"


def test_positions_show_open_ones_and_with_all_closed_ones_too(tradebook: Command) -> None:
    tradebook("import", str(TRADES))

    assert "1 position of account main" in tradebook("positions").stdout
    everything = tradebook("positions", "--all").stdout
    assert "2 positions of account main" in everything
    assert "MSFT" in everything
    total = tradebook.json("positions", "--all")["totals"]
    assert total == [
        {
            "currency": "USD",
            "market_value": "-1499",
            "unrealized_pnl": "0",
            "realized_pnl": "444",
            "fees": "5",
            "net_pnl": "439",
            "cash_flow": "1938",
        }
    ]


def test_the_entry_price_is_rounded_for_people_and_exact_in_json(
    tradebook: Command, write: Callable[..., str]
) -> None:
    tradebook("import", write(f"{HEADER}\nA,BUY,1,1\nA,BUY,2,2\n"))

    said = tradebook("positions").stdout
    assert " 1.6666667 " in said
    assert "numbers are rounded; --wide has every digit" in said
    assert "1." + "6" * 39 + "7" in tradebook("positions", "--wide").stdout
    (position,) = tradebook.json("positions")["positions"]
    assert position["entry_price"] == "1." + "6" * 39 + "7"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["trades"], "no such trades"),
        (["positions"], "no open positions"),
        (["portfolio"], "take one with: tradebook portfolio --snapshot"),
        (["portfolio", "--history", "30"], "take one with: tradebook portfolio --snapshot"),
        (["cash"], "no cash moved"),
        (["alerts"], "no unresolved alerts"),
        (["alerts", "--all"], "no alerts"),
        (["verify"], "the book is proven (0 trades, 0 positions)"),
    ],
)
def test_an_empty_book_is_answered_in_words(
    tradebook: Command, arguments: list[str], expected: str
) -> None:
    result = tradebook(*arguments)

    assert result.exit_code == 0
    assert expected in result.stdout


@pytest.mark.parametrize(
    ("arguments", "name", "expected"),
    [
        (["trades"], "trades", []),
        (["positions"], "positions", []),
        (["portfolio"], "portfolio", None),
        (["portfolio", "--history", "30"], "portfolios", []),
        (["cash"], "balances", []),
        (["alerts"], "alerts", []),
    ],
)
def test_an_empty_book_is_answered_in_json(
    tradebook: Command, arguments: list[str], name: str, expected: object
) -> None:
    assert tradebook.json(*arguments)[name] == expected


# portfolio and cash


def test_a_snapshot_is_taken_and_shown_with_its_positions(tradebook: Command) -> None:
    tradebook("import", str(TRADES))

    taken = tradebook("portfolio", "--snapshot")

    assert taken.exit_code == 0
    assert "total value" in taken.stdout
    portfolio = tradebook.json("portfolio")["portfolio"]
    assert portfolio["total_value"] == "439"
    assert [p["symbol"] for p in portfolio["positions"]] == ["AAPL"]
    assert len(tradebook.json("portfolio", "--history", "1")["portfolios"]) == 1
    assert "1 snapshot of account main" in tradebook("portfolio", "--history", "1").stdout


def test_a_snapshot_of_several_currencies_asks_for_the_missing_rate(
    tradebook: Command, write: Callable[..., str]
) -> None:
    tradebook("import", write(f"{HEADER}\nXRP/ETH,BUY,10,0.5\n"), "--currency", "ETH")

    assert "--rate ETH=NUMBER" in tradebook.refused("portfolio", "--snapshot")

    portfolio = tradebook.json("portfolio", "--snapshot", "--rate", "ETH=1234.5")["portfolio"]
    assert portfolio["cash_balance"] == "-6172.5"
    assert portfolio["rates"] == {"ETH": "1234.5"}
    assert "1 ETH = 1234.5 USD" in tradebook("portfolio").stdout


def test_rates_are_checked(tradebook: Command) -> None:
    assert "CURRENCY=RATE" in tradebook.refused(
        "portfolio", "--snapshot", "--rate", "ETH", exit_code=2
    )
    assert "--snapshot" in tradebook.refused("portfolio", "--rate", "ETH=1", exit_code=2)
    assert "a number" in tradebook.refused("portfolio", "--snapshot", "--rate", "ETH=high")


def test_cash_shows_balances_by_currency_and_the_latest_flows(tradebook: Command) -> None:
    with DatabaseManager(tradebook.url) as book:
        book.record_cash_flow("DEPOSIT", "10000.50", reference="d-1")
        book.record_cash_flow("INTEREST", "1.25", currency="EUR", reference="i-1")
    tradebook("import", str(TRADES))

    document = tradebook.json("cash")

    assert document["balances"] == [
        {"currency": "EUR", "external": "0", "income": "1.25", "trading": "0", "balance": "1.25"},
        {
            "currency": "USD",
            "external": "10000.5",
            "income": "0",
            "trading": "1938",
            "balance": "11938.5",
        },
    ]
    assert [flow["reference"] for flow in document["flows"]] == ["i-1", "d-1"]
    text = tradebook("cash", "--limit", "1").stdout
    assert "11,938.5" in text
    assert "the latest 1 cash flow" in text
    assert "d-1" not in text


# alerts


@pytest.fixture
def alert(tradebook: Command) -> int:
    """The id of an unresolved CRITICAL alert, raised after an INFO one."""
    with DatabaseManager(tradebook.url) as book:
        book.raise_alert("latency", "INFO", "a little slow")
        return book.raise_alert("drawdown", "CRITICAL", "down [red]10%[/red]", symbol="AAPL").id


def test_alerts_are_listed_and_can_be_chosen_by_severity(tradebook: Command, alert: int) -> None:
    assert [a["id"] for a in tradebook.json("alerts")["alerts"]] == [alert, alert - 1]
    assert [a["id"] for a in tradebook.json("alerts", "--severity", "critical")["alerts"]] == [
        alert
    ]
    assert "down [red]10%[/red]" in tradebook("alerts").stdout
    assert "EMERGENCY" in tradebook.refused("alerts", "--severity", "high", exit_code=2).upper()


def test_resolving_an_alert_takes_it_from_the_list(tradebook: Command, alert: int) -> None:
    result = tradebook("alerts", "resolve", str(alert), "--resolution", "hedged", "--by", "ann")

    assert result.exit_code == 0
    assert f"alert {alert} is resolved: hedged" in result.stdout
    assert [a["severity"] for a in tradebook.json("alerts")["alerts"]] == ["INFO"]
    resolved = tradebook.json("alerts", "--all", "--severity", "CRITICAL")["alerts"][0]
    assert (resolved["resolution"], resolved["resolved_by"]) == ("hedged", "ann")
    assert "hedged" in tradebook("alerts", "--all", "--wide").stdout


def test_resolving_again_changes_nothing_but_not_with_another_resolution(
    tradebook: Command, alert: int
) -> None:
    resolve = ["alerts", "resolve", str(alert), "--by", "ann", "--resolution"]
    tradebook(*resolve, "hedged")

    assert tradebook.json(*resolve, "hedged")["alert"]["resolution"] == "hedged"
    assert "'hedged'" in tradebook.refused(*resolve, "ignored")


def test_resolving_an_alert_that_is_not_there_is_refused(tradebook: Command) -> None:
    assert "no Alert 5" in tradebook.refused("alerts", "resolve", "5", "--resolution", "x")


def test_options_before_resolve_are_honoured(
    tradebook: Command, alert: int, tmp_path: Path
) -> None:
    resolve = ("resolve", str(alert), "--resolution", "x")

    assert "account 'other'" in tradebook.refused("alerts", "--account", "other", *resolve)
    elsewhere = f"sqlite:///{tmp_path}/elsewhere.db"
    tradebook("init", "--database", elsewhere)
    assert f"no Alert {alert}" in tradebook.refused("alerts", "--database", elsewhere, *resolve)
    assert len(tradebook.json("alerts")["alerts"]) == 2
    resolved = Command(elsewhere)("alerts", "--database", tradebook.url, "--json", *resolve)
    assert json.loads(resolved.stdout)["alert"]["resolution"] == "x"
    assert len(tradebook.json("alerts")["alerts"]) == 1


# verify


def test_verify_proves_a_book(tradebook: Command) -> None:
    tradebook("import", str(TRADES))

    result = tradebook("verify")

    assert (result.exit_code, result.stdout) == (
        0,
        "the book is proven (5 trades, 2 positions)\n",
    )
    assert tradebook.json("verify")["proven"] is True


def test_verify_shows_both_values_of_what_does_not_follow_from_the_trades(
    tradebook: Command,
) -> None:
    tradebook("import", str(TRADES))
    connection = sqlite3.connect(tradebook.url.removeprefix("sqlite:///"))
    with connection:
        connection.execute("UPDATE positions SET fees = '4' WHERE symbol = 'AAPL'")
    connection.close()

    result = tradebook("verify")

    assert result.exit_code == 1
    assert "the book is not proven: 2 differences" in result.stdout
    line = next(line for line in result.stdout.splitlines() if " fees " in line)
    assert line.split() == ["Position", "AAPL", "fees", "4", "3"]
    differences = tradebook.json("verify", exit_code=1)["differences"]
    assert differences[0] == {
        "entity": "Position",
        "key": "AAPL",
        "field": "fees",
        "stored": "4",
        "computed": "3",
    }


# demo


def test_demo_runs_on_a_file_of_its_own(
    tradebook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, bool, bool]] = []

    def run_demo(url: str, console: Console, as_json: bool = False, *, quiet: bool) -> None:
        assert isinstance(console, Console)
        ran.append((url, as_json, quiet))

    monkeypatch.setattr("tradebook.entrypoints.cli.book.demo.run_demo", run_demo)

    tradebook("demo")
    tradebook("demo", "--json", "--database", "sqlite:///elsewhere.db")
    tradebook("--quiet", "--database", "sqlite:///before.db", "demo")

    assert ran == [
        ("sqlite:///demo.db", False, False),
        ("sqlite:///elsewhere.db", True, False),
        ("sqlite:///before.db", False, True),
    ]


# The command as such


@pytest.mark.parametrize(
    "command",
    [
        *([name] for name in ("init", "import", "trades", "positions", "portfolio", "cash")),
        *(["verify"], ["demo"], ["alerts"], ["alerts", "resolve"]),
    ],
)
def test_every_command_explains_itself(tradebook: Command, command: list[str]) -> None:
    result = tradebook(*command, "--help")

    assert result.exit_code == 0
    assert "--database" in result.stdout
    assert "--json" in result.stdout
    assert f"tradebook {' '.join(command)}" in result.stdout


def test_the_database_of_the_option_goes_before_that_of_the_environment(
    tradebook: Command, tmp_path: Path
) -> None:
    tradebook("import", str(TRADES))
    elsewhere = f"sqlite:///{tmp_path / 'other.db'}"
    tradebook("init", "--database", elsewhere)

    other = tradebook.json("trades", "--database", elsewhere)

    assert other["trades"] == []


def test_common_options_are_honoured_before_the_command_and_the_last_one_wins(
    tradebook: Command, tmp_path: Path
) -> None:
    tradebook("import", str(TRADES))
    elsewhere = Command(f"sqlite:///{tmp_path / 'elsewhere.db'}")
    here = ("--database", tradebook.url)

    for arguments in (
        (*here, "--json", "positions"),
        ("positions", *here, "--json"),
        ("--database", elsewhere.url, "--json", "positions", *here),
    ):
        document = json.loads(elsewhere(*arguments).stdout)
        assert [p["symbol"] for p in document["positions"]] == ["AAPL"]
    tradebook("import", str(TRADES), "--account", "other")
    other = json.loads(elsewhere("--account", "other", *here, "trades", "--json").stdout)
    assert (other["account"], len(other["trades"])) == ("other", 5)


def test_quiet_hides_notes_and_progress_bars_and_nothing_else(
    tradebook: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    tradebook("import", str(TRADES))
    original = output.progress_bar

    def progress_bar(label: str, *, hidden: bool) -> Any:
        bars.append((label, hidden))
        return original(label, hidden=hidden)

    bars: list[tuple[str, bool]] = []
    monkeypatch.setattr(output, "progress_bar", progress_bar)
    loud, quiet = tradebook("verify"), tradebook("--quiet", "verify")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, loud.stdout, "")
    tradebook("verify", "--json")
    assert bars == [("folding", False), ("folding", True), ("folding", True)]
    noted = tradebook("db", "current", "--account", "other")
    assert noted.stderr.startswith("--account has no effect on `tradebook db current`: ")
    assert tradebook("db", "--quiet", "current", "--account", "other").stderr == ""
    url = "postgresql://me:s3cret@localhost:1/book"
    assert "warning" in tradebook("config", "--database", url).stderr
    assert tradebook("config", "--database", url, "--quiet").stderr == ""
    refused = tradebook("--quiet", "trades", "bust", "o-9", "--reason", "r")
    assert (refused.exit_code, refused.stderr.split(":")[0]) == (1, "tradebook")


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://localhost/book", "sqlite:////no/such/dir/x.db"]
)
def test_a_database_that_cannot_be_used_is_refused_in_words(tradebook: Command, url: str) -> None:
    assert tradebook.refused("positions", "--database", url).startswith("tradebook: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["import"],
        ["trades", "--limit", "0"],
        ["trades", "--limit", "x"],
        ["--nothing"],
    ],
)
def test_wrong_usage_exits_with_2(tradebook: Command, arguments: list[str]) -> None:
    tradebook.refused(*arguments, exit_code=2)


def run_as_a_program(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = "from tradebook.entrypoints.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"PATH": "", "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.full
def test_as_a_program_it_uses_a_file_in_the_working_directory_and_exits_by_the_rules(
    tmp_path: Path,
) -> None:
    imported = run_as_a_program("import", str(TRADES), cwd=tmp_path)
    refused = run_as_a_program("import", str(TRADES), "--currency", "EUR", cwd=tmp_path)
    misused = run_as_a_program("import", cwd=tmp_path)
    version = run_as_a_program("--version", cwd=tmp_path)

    assert (imported.returncode, imported.stderr) == (0, "")
    assert (tmp_path / "tradebook.db").exists()
    assert refused.returncode == 1
    assert refused.stderr.startswith("tradebook: trades.csv: 1 bad row; nothing was booked\n")
    assert misused.returncode == 2
    assert version.stdout.startswith("tradebook ")


def test_every_digit_of_an_import_arrives(tradebook: Command, write: Callable[..., str]) -> None:
    price = "12345678901234567890.123456789012345678"
    tradebook("import", write(f"{HEADER}\nA,BUY,0.000000000000000001,{price}\n"))

    (trade,) = tradebook.json("trades")["trades"]
    (position,) = tradebook.json("positions")["positions"]

    assert (trade["quantity"], trade["price"]) == ("0.000000000000000001", price)
    assert Decimal(position["cost_basis"]) == Decimal("12.345678901234567890123456789012345678")
    assert "12,345,678,901,234,567,890.123456789012345678" in tradebook("trades", "--wide").stdout


def test_ctrl_c_ends_with_the_exit_code_that_help_names(
    tradebook: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_context: options.CommandContext) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(options.CommandContext, "config", interrupt)
    assert tradebook("verify").exit_code == 130
    assert "130 interrupted" in tradebook("--help").stdout


@pytest.mark.usefixtures("brief_outages")
def test_a_server_that_is_waited_for_is_said_once_and_not_in_json() -> None:
    nobody = Command("postgresql://nobody@127.0.0.1:1/book")
    for arguments in (["positions"], ["positions", "--json"]):
        said = nobody(*arguments)
        assert said.exit_code == 1
        assert said.stdout == ""
        assert said.stderr.count("no connection to the server; trying again") == 1
    assert "trying again" not in nobody("positions", "--quiet").stderr
