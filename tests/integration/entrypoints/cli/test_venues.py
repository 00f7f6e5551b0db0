"""Files of venues, imported by their presets: balances are asserted against the files' own columns."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.ccxt_venue import traded_account
from tests.support.command_line import Command
from tests.support.venue_moves import (
    CASES,
    SAMPLES,
    expected_balances,
    expected_contracts,
    freqtrade_profits,
)


@pytest.fixture
def tradebook(sqlite_book: str) -> Command:
    return Command(sqlite_book)


def balances(tradebook: Command) -> dict[str, Fraction]:
    found = tradebook.json("balances")["balances"]
    return {each["asset"]: Fraction(each["balance"]) for each in found if float(each["balance"])}


@pytest.fixture
def path_of(tmp_path: Path) -> Callable[[str], str]:
    """A function that returns the path of a sample; a database is made of its SQL first."""

    def path_of(sample: str) -> str:
        path = SAMPLES / sample
        if path.suffix == ".sql":
            path = tmp_path / f"{path.stem}.sqlite"
            if not path.exists():
                with closing(sqlite3.connect(path)) as connection:
                    connection.executescript((SAMPLES / sample).read_text())
        return str(path)

    return path_of


def imported(tradebook: Command, sample: str, *options: str, path: str = "") -> dict[str, Any]:
    path = path or str(SAMPLES / sample)
    return tradebook.json("import", "--from", sample.partition("/")[0], path, *options)


@pytest.mark.parametrize("sample", CASES)
def test_a_sample_gives_the_balances_that_its_records_say(
    tradebook: Command, path_of: Callable[[str], str], sample: str
) -> None:
    case = CASES[sample]

    summary = imported(tradebook, sample, path=path_of(sample))

    assert balances(tradebook) == expected_balances(sample)
    open_contracts = {
        each["symbol"]: Fraction(each["quantity"])
        for each in tradebook.json("positions")["positions"]
        if each["settlement"] == "MARGINED"
    }
    assert open_contracts == expected_contracts(sample)
    assert case.trades + case.flows + case.left_out >= 20
    assert (summary["booked"], summary["cash_flows"]) == (case.trades, case.flows)
    assert sum(each["count"] for each in summary["left_out"]) == case.left_out
    assert summary["skipped"] == []


def some(*tried: str) -> list[Any]:
    """Return the samples, those that are not named as tests of full runs."""
    return [pytest.param(each, marks=() if each in tried else pytest.mark.full) for each in CASES]


@pytest.mark.parametrize(
    "sample",
    some("binance/spot-new.csv", "freqtrade/trades.sql", "ibkr/activity.csv", "kraken/ledgers.csv"),
)
def test_a_sample_that_is_imported_again_books_nothing(
    tradebook: Command, path_of: Callable[[str], str], sample: str
) -> None:
    imported(tradebook, sample, path=path_of(sample))
    before = balances(tradebook)

    again = imported(tradebook, sample, "--skip-bad", path=path_of(sample))

    assert (again["booked"], again["cash_flows"]) == (0, 0)
    assert again["duplicates"] == CASES[sample].trades
    assert balances(tradebook) == before


def test_trades_and_ledger_of_ccxt_give_the_balances_of_the_venue(tradebook: Command) -> None:
    for name in ("trades", "ledger"):
        summary = imported(tradebook, f"ccxt/{name}.json")
        assert summary["skipped"] == []

    exact = traded_account().exact_balances()
    assert balances(tradebook) == {asset: each for asset, each in exact.items() if each}


def test_every_closed_trade_of_freqtrade_earned_what_freqtrade_says(
    tradebook: Command, path_of: Callable[[str], str]
) -> None:
    path = path_of("freqtrade/orm.sql")

    imported(tradebook, "freqtrade/orm.sql", path=path)

    earned: dict[str, Fraction] = defaultdict(Fraction)
    trade_of: dict[str, str] = {}
    for trade in tradebook.json("trades", "--limit", "1000")["trades"]:
        is_in_kind = trade["fee_currency"] != trade["currency"]
        fee = Fraction(trade["fee"]) * (Fraction(trade["price"]) if is_in_kind else 1)
        trade_of[trade["order_id"]] = trade["details"]["freqtrade_trade"]
        earned[trade_of[trade["order_id"]]] += Fraction(trade["realized_pnl"]) - fee
    for flow in tradebook.json("cash", "--limit", "1000")["flows"]:
        earned[trade_of[flow["reference"].split(":")[-2]]] += Fraction(flow["amount"])
    closed = freqtrade_profits("freqtrade/orm.sql")
    assert len(closed) == 25
    for number, profit in closed.items():
        # freqtrade rounds the profit of each exit to the eighth decimal; floats of this size are exact to the eleventh.
        rounded = profit.exits * Fraction("5e-9") + Fraction("1e-11")
        assert abs(earned[number] + profit.not_counted - profit.said) <= rounded
    total = sum(earned[number] + profit.not_counted for number, profit in closed.items())
    assert round(total, 7) == round(sum(profit.said for profit in closed.values()), 7)


def test_a_bot_of_freqtrade_that_learned_another_rate_since_is_imported_again(
    tradebook: Command, path_of: Callable[[str], str]
) -> None:
    path = path_of("freqtrade/orm.sql")
    with closing(sqlite3.connect(path)) as connection:
        (trade,) = connection.execute("SELECT id FROM trades WHERE pair = 'TON/USDT'").fetchone()
        orders = connection.execute("SELECT * FROM orders WHERE ft_trade_id = ?", [trade])
        later = list(orders)[2:]
        connection.executemany("DELETE FROM orders WHERE id = ?", [row[:1] for row in later])
        connection.execute("UPDATE trades SET fee_open = 0.002 WHERE id = ?", [trade])
        connection.commit()
        first = imported(tradebook, "freqtrade/orm.sql", path=path)
        fees = {each["order_id"]: each["fee"] for each in trades_of(tradebook)}

        connection.executemany(f"INSERT INTO orders VALUES ({','.join('?' * 26)})", later)
        connection.execute("UPDATE trades SET fee_open = 0.00075 WHERE id = ?", [trade])
        connection.commit()
        preview = imported(tradebook, "freqtrade/orm.sql", "--dry-run", path=path)
        again = imported(tradebook, "freqtrade/orm.sql", path=path)

    assert (first["booked"], preview["new"], again["booked"]) == (66, 3, 3)
    assert (preview["bad"], again["duplicates"]) == ([], 66)
    kept = {each["order_id"]: each["fee"] for each in trades_of(tradebook)}
    assert {order: kept[order] for order in fees} == fees
    said = "2 trades recorded with another fee than the file has now: kept as recorded"
    assert said in preview["warnings"]
    assert said in again["warnings"]


def trades_of(tradebook: Command) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tradebook.json("trades", "--limit", "1000")["trades"]
    return found


def test_a_trade_of_freqtrade_keeps_its_tags_and_strategy(
    tradebook: Command, path_of: Callable[[str], str]
) -> None:
    imported(tradebook, "freqtrade/trades.sql", path=path_of("freqtrade/trades.sql"))

    trades = tradebook.json("trades", "--limit", "100")["trades"]
    (trade,) = [each for each in trades if each["order_id"] == "x1006"]
    assert (trade["strategy"], trade["venue"]) == ("Awesome", "binance")
    assert trade["details"]["enter_tag"] == "rsi_dip"
    assert trade["details"]["exit_reason"] == "stop_loss"
    assert trade["action"] == "SELL"


def test_partial_fills_keep_their_order_and_a_venue_its_name(tradebook: Command) -> None:
    imported(tradebook, "kraken/trades.csv")

    order = tradebook.json("orders", "show", "O99999-AAAAA-BBBBBB")

    found = json.dumps(order)
    assert "T00021-SB6EI-XIRITS" in found
    assert "T00022-SB6EI-XIRITS" in found
    trades = tradebook.json("trades", "--limit", "100")["trades"]
    assert {trade["venue"] for trade in trades} == {"kraken"}


def test_what_is_left_out_is_listed_and_counted_with_the_reason(tradebook: Command) -> None:
    result = tradebook("import", "--from", "kraken", str(SAMPLES / "kraken" / "ledgers.csv"))

    assert "15 cash flows booked" in result.stdout
    assert "10 records left out" in result.stdout
    assert "2 x type 'trade': part of a trade; import the trades, too (first: 5)" in result.stdout
    assert "1 x type 'nfttrade': unknown to the preset (first: 22)" in result.stdout


def test_several_files_are_booked_one_after_the_other(tradebook: Command) -> None:
    paths = [str(SAMPLES / "kraken" / name) for name in ("trades.csv", "ledgers.csv")]

    answer = tradebook.json("import", "--from", "kraken", *paths)

    assert [each["file"] for each in answer["files"]] == ["trades.csv", "ledgers.csv"]
    assert [each["booked"] + each["cash_flows"] for each in answer["files"]] == [22, 15]


def test_a_file_that_is_refused_says_which_were_booked_before_it(tradebook: Command) -> None:
    paths = [str(SAMPLES / name) for name in ("kraken/trades.csv", "coinbase/fills.csv")]

    said = tradebook.refused("import", "--from", "kraken", *paths)

    assert "trades.csv was booked before" in said
    assert "It is a file of: --from coinbase" in said
    assert tradebook.trades() == 22


# Files of other records than trades


def test_cash_flows_are_imported_from_a_file_and_again(tradebook: Command, tmp_path: Path) -> None:
    path = tmp_path / "flows.csv"
    path.write_text(
        "Kind;amount;currency;Datum;reference\n"
        "deposit;1.000,50;EUR;01.03.2024;wire-1\n"
        "fee;-3;;02.03.2024;\n"
        "fee;-3;;02.03.2024;\n"
    )
    options = ["--decimal", ",", "--date-format", "%d.%m.%Y", "--map", "Datum=occurred_at"]

    first = tradebook.json("import", "--kind", "cash-flows", str(path), *options)
    again = tradebook.json("import", "--kind", "cash-flows", str(path), *options)

    assert (first["cash_flows"], first["cash_flow_duplicates"]) == (3, 0)
    assert (again["cash_flows"], again["cash_flow_duplicates"]) == (0, 3)
    assert balances(tradebook) == {"EUR": Fraction("1000.5"), "USD": Fraction(-6)}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("kind,amount\ngift,1\n", "line 2, column kind: 'GIFT'"),
        ("kind,amount\ndeposit,-1\n", "line 2, column amount: '-1'"),
        ("kind,amount\ndeposit,\n", "line 2, column amount: '': it is empty, and required"),
        ("kind,sum\ndeposit,1\n", "no column for amount"),
        ("kind,amount,occured_at\ndeposit,1,2024-01-01\n", "unknown column 'occured_at'"),
        ("kind,amount,occurred_at\ndeposit,1,soon\n", "expected an ISO 8601 time"),
    ],
)
def test_a_wrong_file_of_cash_flows_is_refused_with_the_place(
    tradebook: Command, tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "flows.csv").write_text(content)

    found = tradebook.refused("import", "--kind", "cash-flows", str(tmp_path / "flows.csv"))

    assert said in found
    assert balances(tradebook) == {}


def test_open_orders_are_imported_from_a_file(tradebook: Command, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(
        "symbol,side,quantity,price,order_id\nAAPL,buy,10,150.5,o-1\nAAPL,sell,5,,o-2\n"
    )

    tradebook.json("import", "--kind", "orders", str(path), "--map", "side=action")

    orders = tradebook.json("orders")["orders"]
    assert {each["order_id"]: each["status"] for each in orders} == {
        "o-1": "PENDING",
        "o-2": "PENDING",
    }


def test_prices_of_a_file_become_marks(tradebook: Command, tmp_path: Path) -> None:
    (tmp_path / "trades.csv").write_text(
        "symbol,action,quantity,price,executed_at\nAAPL,BUY,1,100,2024-01-01\n"
    )
    path = tmp_path / "prices.csv"
    path.write_text(
        "symbol,price,date\nAAPL,120.5,2024-01-03\nAAPL,110,2024-01-02\nMSFT,1,2024-01-02\n"
    )
    tradebook.json("import", str(tmp_path / "trades.csv"))

    answer = tradebook.json("import", "--kind", "prices", str(path), "--map", "date=executed_at")

    assert (answer["marked"], answer["unknown"]) == (["AAPL"], ["MSFT"])
    (position,) = tradebook.json("positions")["positions"]
    assert position["current_price"] == "120.5"
    path.write_text("symbol,price\nAAPL,dear\n")
    assert "line 2, column price: 'dear'" in tradebook.refused(
        "import", "--kind", "prices", str(path)
    )


# Hostile variants


@pytest.fixture
def variant(tmp_path: Path) -> Callable[[str, str, str], str]:
    """A function that writes a sample with one text replaced, once, and returns the path."""

    def write(sample: str, old: str, new: str) -> str:
        text = (SAMPLES / sample).read_text()
        assert old in text
        path = tmp_path / Path(sample).name
        path.write_text(text.replace(old, new, 1))
        return str(path)

    return write


def test_a_file_of_another_venue_is_named_with_its_preset(tradebook: Command) -> None:
    said = tradebook.refused("import", "--from", "binance", str(SAMPLES / "kraken" / "trades.csv"))

    assert "preset 'binance' does not know its columns" in said
    assert "It is a file of: --from kraken" in said
    assert tradebook.trades() == 0


@pytest.mark.parametrize(
    ("sample", "old", "new", "said"),
    [
        ("binance/spot-new.csv", '"Executed"', '"Filled"', "would also have 'Executed'"),
        ("binance/spot-new.csv", "3.014BTC", "3,014BTC BTC", "line 2, column Executed: '3,014BTC"),
        ("binance/spot-new.csv", "61,862.60100", "61.862,60100", "line 2, column Price: '61.862,6"),
        ("binance/spot-new.csv", "2024-03-22 10", "22.03.2024 10", "--date-format"),
        ("binance/spot-old.csv", "SOLUSDT", "SOLXYZ", "cannot tell the asset and the currency"),
        ("kraken/trades.csv", '"0.42550000"', '""', "line 2, column vol: '': it is empty"),
        ("kraken/ledgers.csv", '"-0.0500000000"', '"0.05"', "line 7, column amount: '0.05'"),
        ("coinbase/fills.csv", ",SELL,", ",SELL,SELL,", "line 2: it has 12 cells"),
        ("alpaca/activities.json", '"net_amount": "24.00"', '"net_amount": "much"', "'much'"),
        (
            "ibkr/flex.xml",
            'dateTime="20240102;093001"',
            'dateTime="02.01.2024"',
            "record 1, column",
        ),
        ("ibkr/flex.xml", "FlexQueryResponse ", "FlexWebService ", "XML of 'FlexWebService'"),
        ("ibkr/flex.xml", "<FlexQ", '<!DOCTYPE a [<!ENTITY b "c">]><FlexQ', "with entities"),
        ("ibkr/activity.csv", "Trades,Header", "Handel,Header", "section 'Trades' has no header"),
        ("nautilus/fills.csv", "0.05 USDT", "some USDT", "column commission: 'some USDT'"),
        ("ccxt/trades.json", '"price": 60123.45', '"price": "a lot"', "record 1, column price"),
    ],
)
def test_a_hostile_variant_is_refused_with_the_place_and_nothing_is_booked(
    tradebook: Command,
    variant: Callable[[str, str, str], str],
    sample: str,
    old: str,
    new: str,
    said: str,
) -> None:
    path = variant(sample, old, new)

    assert said in tradebook.refused("import", "--from", sample.partition("/")[0], path)
    assert tradebook.trades() == 0
    assert balances(tradebook) == {}


@pytest.mark.parametrize(
    "sample",
    [*some("hummingbot/fills.sql", "ibkr/flex.xml", "kraken/trades.csv"), "ccxt/trades.json"],
)
def test_a_truncated_file_is_refused(
    tradebook: Command, tmp_path: Path, path_of: Callable[[str], str], sample: str
) -> None:
    whole = Path(path_of(sample))
    path = tmp_path / f"cut{whole.suffix}"
    data = whole.read_bytes().rstrip()
    if sample == "ibkr/activity.csv":
        data = data[: data.rindex(b"Dividends,Data")].rstrip()
    ends = {".json": b":", ".csv": b",", ".xml": b"<"}
    path.write_bytes(
        data[: data.rindex(ends[path.suffix])] if path.suffix in ends else data[: len(data) // 2]
    )

    tradebook.refused("import", "--from", sample.partition("/")[0], str(path))

    assert balances(tradebook) == {}


def test_a_database_whose_names_are_no_text_is_refused(
    tradebook: Command, path_of: Callable[[str], str]
) -> None:
    path = Path(path_of("freqtrade/trades.sql"))
    path.write_bytes(path.read_bytes().replace(b"ft_order_side", b"ft_order_\xedide"))

    assert "cannot be read as a SQLite database" in tradebook.refused(
        "import", "--from", "freqtrade", str(path)
    )


def test_a_file_that_a_spreadsheet_saved_in_another_locale_is_read_with_its_options(
    tradebook: Command, tmp_path: Path
) -> None:
    sample = "coinbase/fills.csv"
    header, *rows = (SAMPLES / sample).read_text().replace(",", ";").splitlines()
    path = tmp_path / "fills.csv"
    saved = [re.sub(r"(?<=;)(-?\d+)\.(\d+)(?=;)", r"\1,\2", row) for row in rows]
    path.write_text("\n".join([header, *saved]))

    assert "column size" in tradebook.refused("import", "--from", "coinbase", str(path))
    imported(tradebook, sample, "--decimal", ",", "--details", "total", path=str(path))

    assert balances(tradebook) == expected_balances(sample)
    trades = tradebook.json("trades")["trades"]
    assert all({"portfolio", "total"} <= trade["details"].keys() for trade in trades)


@pytest.mark.parametrize(
    "option", ["--kind orders", "--negate fee", "--sign-from-quantity", "--units"]
)
def test_an_option_that_a_preset_says_itself_is_refused(tradebook: Command, option: str) -> None:
    path = str(SAMPLES / "kraken" / "trades.csv")

    said = tradebook.refused("import", "--from", "kraken", path, *option.split(), exit_code=2)

    assert "it has no effect with --from" in said


def test_a_database_of_another_program_is_refused(
    tradebook: Command, path_of: Callable[[str], str]
) -> None:
    path = path_of("hummingbot/fills.sql")

    said = tradebook.refused("import", "--from", "freqtrade", path)

    assert "it is no database of preset 'freqtrade': it has no o.order_id" in said
    assert "preset 'kraken' reads a table" in tradebook.refused("import", "--from", "kraken", path)
    assert "it is a SQLite database" in tradebook.refused("import", path)
    read = Path(path).read_bytes()
    assert "name the file" in " ".join(
        tradebook("import", "--from", "hummingbot", "-", stdin=read).stderr.split()
    )


def test_a_trade_that_the_book_refuses_is_named_by_its_record_and_column(
    tradebook: Command, variant: Callable[[str, str, str], str]
) -> None:
    imported(tradebook, "ccxt/trades.json")
    path = variant("ccxt/trades.json", '"price": 60123.45', '"price": 60123.46')

    said = tradebook.refused("import", "--from", "ccxt", path)

    assert "record 1, column price: '60123.46'" in said


def test_bad_records_are_skipped_on_request(
    tradebook: Command, variant: Callable[[str, str, str], str]
) -> None:
    path = variant("kraken/ledgers.csv", '"-0.0500000000"', '"0.05"')

    summary = tradebook.json("import", "--from", "kraken", path, "--skip-bad")

    (bad,) = summary["skipped"]
    assert (bad["line"], bad["column"], bad["value"]) == (7, "amount", "0.05")
    assert summary["cash_flows"] == 13  # the amount and its fee belong together


def test_a_cash_flow_that_the_book_refuses_takes_the_whole_file_back(
    tradebook: Command, variant: Callable[[str, str, str], str]
) -> None:
    imported(tradebook, "kraken/ledgers.csv")
    before = balances(tradebook)
    path = variant("kraken/ledgers.csv", '"-250.0000","0.0900"', '"-251.0000","0.0900"')

    said = tradebook.refused("import", "--from", "kraken", path)

    assert "line 18" in said
    assert "nothing was booked" in said
    (bad,) = tradebook.json("import", "--from", "kraken", path, "--skip-bad")["skipped"]
    assert bad["line"] == 18
    assert balances(tradebook) == before


# Presets


def test_venues_lists_presets_with_what_they_read_and_leave_out(tradebook: Command) -> None:
    listed = tradebook.json("venues")["venues"]

    assert {each["name"] for each in listed} == {
        *(
            "alpaca",
            "binance",
            "ccxt",
            "coinbase",
            "freqtrade",
            "hummingbot",
            "ibkr",
            "kraken",
            "nautilus",
        )
    }
    for each in listed:
        assert each["reads"]
        assert each["exported"]
        assert all(url.startswith("https://") for url in each["documented"])
    assert "leaves out: trades on margin" in tradebook("venues", "kraken").stdout
    assert "kraken: Kraken" in tradebook("venues").stdout


def test_an_unknown_preset_is_refused_with_those_that_there_are(tradebook: Command) -> None:
    said = tradebook.refused("import", "--from", "enron", str(SAMPLES / "kraken" / "trades.csv"))

    assert "no preset 'enron'; there are alpaca, binance, ccxt, coinbase" in said


OWN: Final = """
name = "my"
title = "My broker"
exported = "by mail"
documented = ["https://example.com"]

[[forms]]
name = "trades"
columns = ["Ticker", "Side", "Qty", "Px"]

[[forms.entries]]
kind = "trade"
details = { note = "Note" }
[forms.entries.terms]
symbol = "Ticker"
action = { column = "Side", map = { b = "BUY", s = "SELL" } }
quantity = "Qty"
price = { column = "Px", scale = -2 }
"""


def test_a_user_adds_a_preset_by_a_file(tradebook: Command, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(OWN)
    (tmp_path / "t.csv").write_text("Ticker,Side,Qty,Price,Note\nAAPL,B,3,15025,first\n")

    tradebook.json(
        *("import", "--from", f"{tmp_path}/my.toml", f"{tmp_path}/t.csv", "--map", "Price=Px")
    )

    (trade,) = tradebook.json("trades")["trades"]
    assert (trade["action"], trade["price"], trade["details"]) == (
        "BUY",
        "150.25",
        {"note": "first"},
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "my"', "name = ", "no TOML"),
        ('title = "My broker"', "", "title"),
        ('kind = "trade"', 'kind = "gift"', "kind must be one of trade, cash-flow, position"),
        ('quantity = "Qty"', "quantity = { colum = 'Qty' }", "no key 'colum'"),
        ("map = { b", "pattern = '(', map = { b", "unterminated subpattern"),
        ("map = { b", "pattern = 'b', map = { b", "a pattern needs a group"),
        ('quantity = "Qty"', 'quanity = "Qty"', "no term 'quanity'; known are action, asset"),
        ('quantity = "Qty"', "", "a trade needs the term quantity"),
        ('quantity = "Qty"', "quantity = {}", "write one of column, value, template and product"),
        ('quantity = "Qty"', "quantity = 3", "terms.quantity: 3: write a table"),
        ("scale = -2", "part = 'half'", "part must be one of number, unit"),
        ("[[forms]]", "pairs = ['(A)B']\n[[forms]]", "a pattern needs two groups"),
        ("columns =", "source = 'sqlite'\ncolumns =", "needs tables, query"),
        ("columns =", "source = 'xml'\ncolumns =", "needs elements"),
        ("columns =", "zone = 'Mars'\ncolumns =", "there is no 'Mars'"),
        ('"Side", "Qty", "Px"]', '"Side"]\nkind = 3', "no key 'kind'"),
        ("[[forms]]", "[forms]", "forms[1]"),
        ("details = {", "when = 'b'\ndetails = {", "entries[1]"),
    ],
)
def test_a_preset_that_is_wrong_is_refused_with_the_place(
    tradebook: Command, tmp_path: Path, old: str, new: str, said: str
) -> None:
    (tmp_path / "my.toml").write_text(OWN.replace(old, new, 1))

    assert said in tradebook.refused("venues", f"{tmp_path}/my.toml")


def test_a_package_adds_a_preset_by_an_entry_point(
    tradebook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "my_broker-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: my-broker\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[tradebook.venues]\nmy = my_broker:PATH\n")
    (tmp_path / "my_broker.py").write_text(f"PATH = {str(tmp_path / 'my.toml')!r}\n")
    monkeypatch.syspath_prepend(tmp_path)

    assert "it gives no file" in tradebook.refused("venues", "my")
    (tmp_path / "my.toml").write_text(OWN)
    assert "my: My broker" in tradebook("venues").stdout
