"""`tradebook import --dry-run`, and what both it and an import warn of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import URL

from tests.support.command_line import Command
from tradebook.entrypoints.cli.book import import_run

HEADER = "symbol,action,quantity,price,fee,executed_at,order_id"
Write = Callable[..., str]


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest) -> Command:
    """The command line on a book of each backend."""
    if request.param == "sqlite":
        return Command(request.getfixturevalue("sqlite_book"))
    url: URL = request.getfixturevalue("own_postgresql_book")
    return Command(url.render_as_string(hide_password=False))


@pytest.fixture
def tradebook(sqlite_book: str) -> Command:
    return Command(sqlite_book)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*rows: str, name: str = "may.csv", header: str = HEADER) -> str:
        (tmp_path / name).write_text("\n".join([header, *rows]) + "\n")
        return str(tmp_path / name)

    return write


FLOWS = "kind,amount,currency,occurred_at,reference\n"


def at(minute: int) -> str:
    return f"2024-05-01T14:{minute:02}:00Z"


def rows(count: int = 40, *, seed: int = 3) -> list[str]:
    random = Random(seed)
    return [
        f"{random.choice(['AAPL', 'ETH/USD'])},{random.choice(['buy', 'buy', 'sell'])},{random.randint(1, 9)}.5,"
        f"{random.randint(90, 110)}.25,0.07,{at(n)},o-{n}"
        for n in range(count)
    ]


def of_book(tradebook: Command) -> tuple[Any, Any]:
    kept = ("symbol", "quantity", "cost_basis", "realized_pnl", "fees", "cash_flow", "other_fees")
    positions = tradebook.json("positions", "--all")["positions"]
    return [{n: p[n] for n in kept} for p in positions], tradebook.json("balances")["balances"]


def of_preview(document: dict[str, Any]) -> tuple[Any, Any]:
    kept = ("symbol", "quantity", "cost_basis", "realized_pnl", "fees", "cash_flow", "other_fees")
    return [{n: p[n] for n in kept} for p in document["positions"]], document["balances"]


def test_a_dry_run_shows_the_book_that_the_import_makes_and_writes_nothing(
    either: Command, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradebook.service_layer.queries.previews.BATCH_OF_TRADES", 7)
    either("import", write(*rows()[:15]))
    before = of_book(either), either.json("imports")
    path = write(*rows()[10:], rows()[20], name="june.csv")

    preview = either.json("import", path, "--dry-run")
    assert (of_book(either), either.json("imports")) == before
    booked = either.json("import", path)

    assert (preview["new"], preview["duplicates"], preview["repeated"]) == (25, 5, 1)
    assert (booked["booked"], booked["duplicates"], booked["repeated"]) == (25, 6, 1)
    assert of_preview(preview) == of_book(either)
    assert (preview["first"], preview["last"]) == (
        "2024-05-01T14:10:00+00:00",
        "2024-05-01T14:39:00+00:00",
    )
    assert preview["symbols"] == ["AAPL", "ETH/USD"]
    assert preview["bad"] == []


def test_a_dry_run_begins_with_an_empty_account(tradebook: Command, write: Write) -> None:
    path = write("AAPL,buy,2,100,1,,o-1")

    shown = tradebook("import", path, "--dry-run", "--account", "new")

    assert "may.csv: 1 trade would be booked in 1 position" in shown.stdout
    assert "nothing was written" in shown.stdout
    assert "AAPL" in shown.stdout
    assert tradebook.json("accounts")["accounts"] == []


def test_a_dry_run_lists_the_rows_that_would_be_refused(tradebook: Command, write: Write) -> None:
    tradebook("import", write("AAPL,buy,2,100,1,,o-1"))
    path = write(
        "AAPL,buy,3,100,1,,o-1",
        "AAPL,buy,none,100,1,,o-2",
        "AAPL,buy,3,100,1,,o-3",
        name="june.csv",
    )

    refused = tradebook.json("import", path, "--dry-run", exit_code=1)
    accepted = tradebook.json("import", path, "--dry-run", "--skip-bad")

    bad = [(row["line"], row["column"]) for row in refused["bad"]]
    assert bad == [(2, "quantity"), (3, "quantity")]
    assert "given '3'" in refused["bad"][0]["reason"]
    assert (accepted["new"], accepted["positions"][0]["quantity"]) == (1, "5")
    assert tradebook.trades() == 1


def test_a_dry_run_names_another_currency_and_a_known_file(
    tradebook: Command, write: Write
) -> None:
    path = write("AAPL,buy,2,100,1,,o-1")
    tradebook("import", path)
    other = write("AAPL,buy,2,100,EUR,o-2", header="symbol,action,quantity,price,currency,order_id")

    (bad,) = tradebook.json("import", other, "--dry-run", exit_code=1)["bad"]
    again = tradebook.json("import", write("AAPL,buy,2,100,1,,o-1"), "--dry-run")

    assert bad["column"] == "currency"
    assert "USD" in bad["reason"]
    assert (again["is_known_file"], again["new"], again["duplicates"]) == (True, 0, 1)
    assert "may.csv is the file of import 1" in again["warnings"][0]


def test_a_dry_run_after_an_undo_counts_the_fills_as_new(tradebook: Command, write: Write) -> None:
    path = write(*rows(8))
    tradebook("import", path)
    tradebook("trades", "bust", "o-3", "--reason", "misread")
    tradebook("imports", "undo", "1", "--reason", "misread")

    preview = tradebook.json("import", path, "--dry-run")

    assert (preview["new"], preview["duplicates"]) == (7, 1)
    tradebook("import", path)
    assert of_preview(preview) == of_book(tradebook)


WARNINGS = {
    "newest first": (
        [f"A,buy,1,2,0,{at(9 - n)},o-{n}" for n in range(4)],
        "the newest rows come first",
    ),
    "times run backwards": (
        [f"A,buy,1,2,0,{at(n)},o-{n}" for n in (1, 2, 0, 3, 4)],
        "times run backwards at 1 row of the file",
    ),
    "negative fees": (
        [f"A,buy,1,2,{fee},{at(n)},o-{n}" for n, fee in enumerate((-1, -1, 1, -1))],
        "3 of 4 fees are below 0",
    ),
    "a short": (
        [f"A,buy,1,2,0,{at(1)},o-1", f"A,sell,2,2,0,{at(2)},o-2"],
        "more is sold than held of A",
    ),
    "a repeated order": ([f"A,buy,1,2,0,{at(1)},o-1"] * 2, "1 row repeated an order"),
    "a price that is far off": (
        [f"A,buy,1,{p},0,{at(n)},o-{n}" for n, p in enumerate((100, 101, "9.2", 99, 98))],
        "a price is 10 times off its neighbours in line 4",
    ),
}


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)], ids=["import", "dry-run"])
@pytest.mark.parametrize("which", WARNINGS)
def test_what_looks_wrong_is_said(
    tradebook: Command, write: Write, which: str, dry_run: tuple[str, ...]
) -> None:
    given, expected = WARNINGS[which]
    document = tradebook.json("import", write(*given), *dry_run)
    shown = tradebook("import", write(*given), "--account", "again", *dry_run)

    (warning,) = document["warnings"]
    assert expected in warning
    assert f"warning: {warning}" in " ".join(shown.stdout.split())


def test_nothing_is_said_of_an_ordinary_file(tradebook: Command, write: Write) -> None:
    split = [f"A,buy,1,{100 if n < 5 else 4},-1,{at(n)},o-{n}" for n in range(9)]
    fees = [row.replace(",-1,", ",1,") for row in split]
    held = "A,sell,5,4,0,2024-05-02T10:00:00Z,o-9"
    margined = "symbol,action,quantity,price,settlement"

    assert tradebook.json("import", write(*fees))["warnings"] == []
    assert tradebook.json("import", write(held, name="b.csv"))["warnings"] == []
    future = write("ES,sell,5,4,margined", name="c.csv", header=margined)
    assert tradebook.json("import", future)["warnings"] == []


def test_rows_are_previewed_part_by_part(
    tradebook: Command, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_run, "BATCH_OF_TRADES", 3)
    path = write(*rows(20))

    preview = tradebook.json("import", path, "--dry-run")
    tradebook("import", path)

    assert of_preview(preview) == of_book(tradebook)


def test_a_dry_run_shows_the_cash_flows_and_balances_that_the_import_makes(
    either: Command, tmp_path: Path
) -> None:
    path = tmp_path / "cash.csv"
    flows = ("import", "--kind", "cash-flows", str(path), "--skip-bad")
    path.write_text(f"{FLOWS}DEPOSIT,1000,USD,2024-05-01,w-1\nFEE,-2.5,EUR,2024-05-02,f-1\n")
    either(*flows)
    either("cash", "bust", "f-1", "--reason", "misread")
    path.write_text(
        f"{FLOWS}DEPOSIT,1000,USD,2024-05-01,w-1\nDIVIDEND,3.123456789,USD,2024-05-09,d-1\n"
        "FEE,-2.5,EUR,2024-05-02,f-1\nTAX,-1,GBP,2024-04-30,t-1\nTAX,-1,GBP,2024-04-30,t-1\n"
        "TAX,-2,GBP,2024-04-30,t-1\nDEPOSIT,1001,USD,2024-05-01,w-1\n"
    )

    preview = either.json(*flows, "--dry-run")
    shown = either(*flows, "--dry-run", "--wide").stdout
    before = either.json("cash")
    booked = either.json(*flows)

    assert preview["balances"] == either.json("balances")["balances"]
    assert [flow["reference"] for flow in before["flows"]] == ["bust of 2", "f-1", "w-1"]
    counts = ("cash_flows", "cash_flow_duplicates")
    assert [preview[name] for name in counts] == [booked[name] for name in counts] == [2, 2]
    assert preview["cash_flow_kinds"] == {"DIVIDEND": 1, "TAX": 1}
    assert preview["bad"] == booked["skipped"]
    bad = [(each["line"], each["column"], each["value"]) for each in preview["bad"]]
    assert bad == [(4, "", ""), (7, "amount", "-2"), (8, "amount", "1001")]
    assert (preview["first"][:10], preview["last"][:10]) == ("2024-04-30", "2024-05-09")
    assert "2 cash flows would be recorded (1 DIVIDEND, 1 TAX), 2 duplicates recognised" in shown
    assert "1,003.123456789" in shown
    refused = either.refused(*flows[:-1], "--json")
    assert "line 4: " in refused
    assert "--skip-bad" in refused


def test_a_dry_run_adds_the_cash_flows_of_a_venue_to_its_trades(
    tradebook: Command, write: Write
) -> None:
    sample = Path(__file__).parents[3] / "data" / "venues" / "alpaca" / "activities.json"
    arguments = ("import", "--from", "alpaca", str(sample))

    preview = tradebook.json(*arguments, "--dry-run")
    shown = tradebook(*arguments, "--dry-run").stdout
    booked = tradebook.json(*arguments)

    assert of_preview(preview) == of_book(tradebook)
    assert preview["left_out"] == booked["left_out"]
    assert "1 x activity_type 'SSP': shares that move without a price (first: 4)" in shown


def test_a_dry_run_needs_no_file_where_the_import_needs_none(tmp_path: Path, write: Write) -> None:
    path = tmp_path / "new.db"
    tradebook = Command(f"sqlite:///{path}")

    shown = tradebook.json("import", write("AAPL,buy,2,100,1,,o-1"), "--dry-run")

    assert (shown["new"], shown["positions"][0]["quantity"]) == (1, "2")
    assert not path.exists()


def test_a_dry_run_of_several_files_is_one_document(tradebook: Command, write: Write) -> None:
    paths = [write("AAPL,buy,2,100,1,,o-1"), write("AAPL,buy,none,100,1,,o-2", name="june.csv")]

    document = tradebook.json("import", *reversed(paths), "--dry-run", exit_code=1)
    shown = tradebook("import", *reversed(paths), "--dry-run").stdout

    found = [(each["file"], each["new"], len(each["bad"])) for each in document["files"]]
    assert found == [("june.csv", 0, 1), ("may.csv", 1, 0)]
    assert shown.index("june.csv: ") < shown.index("1 bad row\n") < shown.index("may.csv: ")
    assert tradebook.json("import", *paths, "--dry-run", "--skip-bad")["account"] == "main"
