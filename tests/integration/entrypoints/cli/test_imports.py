"""`tradebook imports`, and files that are imported twice."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.command_line import Command

HEADER = "symbol,action,quantity,price,order_id"
ROWS = [f"{symbol},buy,{n},10{n},{symbol}-{n}" for n in (1, 2, 3) for symbol in ("AAPL", "MSFT")]


@pytest.fixture
def tradebook(sqlite_book: str) -> Command:
    return Command(sqlite_book)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return written(tmp_path / "may.csv", *ROWS)


def written(path: Path, *rows: str, header: str = HEADER) -> str:
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def test_imports_are_listed_and_shown(tradebook: Command, path: str) -> None:
    assert "no such imports in account 'main'" in tradebook("imports").stdout
    tradebook("import", path, "--json")

    (listed,) = tradebook.json("imports")["imports"]
    shown = tradebook.json("imports", "show", "1")

    digest = sha256(Path(path).read_bytes()).hexdigest()
    assert (listed["source"], listed["digest"], listed["booked"]) == ("may.csv", digest, 6)
    assert shown["import"] == listed
    orders = {trade["order_id"] for trade in shown["trades"]}
    assert orders == {row.split(",")[4] for row in ROWS}
    assert "import 1 of may.csv: FINISHED" in tradebook("imports", "show", "1").stdout
    assert "may.csv" in tradebook("imports").stdout
    assert "import 2" in tradebook.refused("imports", "show", "2").lower()


def test_an_undone_file_may_be_imported_again(tradebook: Command, path: str) -> None:
    tradebook("import", path)

    undone = tradebook("imports", "undo", "1", "--reason", "wrong account", "--by", "ann")
    again = tradebook.json("imports", "undo", "1", "--reason", "wrong account")

    assert "import 1 of may.csv is undone: wrong account" in undone.stdout
    assert "6 trades busted, 0 cash flows busted" in undone.stdout
    assert again["trades"] == 0
    assert tradebook.json("positions")["positions"] == []
    assert tradebook.json("import", path)["booked"] == 6
    assert len(tradebook.json("positions")["positions"]) == 2
    assert tradebook("verify").exit_code == 0
    statuses = [each["status"] for each in tradebook.json("imports")["imports"]]
    assert statuses == ["FINISHED", "UNDONE"]


def test_an_undo_says_which_orders_stay_open(tradebook: Command, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("symbol,action,quantity,price,order_id\nAAPL,BUY,2,9,o-2\n")
    tradebook("import", str(file), "--kind", "orders")

    undone = tradebook("imports", "undo", "1", "--reason", "wrong account")

    assert "1 order that it submitted stays open: see tradebook orders" in undone.stdout
    assert tradebook.json("orders")["orders"][0]["order_id"] == "o-2"


def test_the_same_file_again_is_recognised_as_a_whole(tradebook: Command, path: str) -> None:
    tradebook("import", path)

    again = tradebook("import", path)
    document = tradebook.json("import", path, "--skip-bad")

    assert again.exit_code == 0
    assert "may.csv is the file of import 1" in again.stderr
    assert "tradebook imports undo 1 --reason TEXT" in again.stderr
    assert (document["booked"], document["duplicates"], document["is_known_file"]) == (0, 6, True)
    assert len(tradebook.json("imports")["imports"]) == 1


def test_the_same_file_read_in_another_way_is_refused(tradebook: Command, tmp_path: Path) -> None:
    path = written(
        tmp_path / "may.csv", "A,buy,1,2,o-1,t-1", header="symbol,action,quantity,price,order,trade"
    )
    tradebook("import", path, "--map", "order=order_id", "--ignore", "trade")

    refused = tradebook.refused("import", path, "--map", "trade=order_id", "--ignore", "order")

    assert "may.csv is the file of import 1" in refused
    assert "1 trade of it would be new; nothing was booked" in refused
    assert tradebook.trades() == 1


IDS = "symbol,action,quantity,price,executed_at,order,trade"


def with_two_ids(*numbers: int) -> list[str]:
    return [f"A,buy,1.50,10{n},2024-05-01T14:0{n}:00Z,o-{n},t-{n}" for n in numbers]


def test_the_same_fills_under_other_ids_need_a_yes(tradebook: Command, tmp_path: Path) -> None:
    by_order = ("--map", "order=order_id", "--ignore", "trade")
    by_trade = ("--map", "trade=order_id", "--ignore", "order")
    tradebook(
        "import", written(tmp_path / "a.csv", *with_two_ids(1, 2, 3, 4), header=IDS), *by_order
    )
    other = written(tmp_path / "b.csv", *with_two_ids(2, 3, 4, 5), header=IDS)

    refused = tradebook.refused("import", other, *by_trade)
    preview = tradebook.json("import", other, *by_trade, "--dry-run")

    assert "3 of 4 rows that were looked at have the symbol, time, quantity and price" in refused
    assert "line 2: order 'o-2' for A" in refused
    assert "nothing was booked: say --yes to do it" in refused
    assert "booked under other order ids" in preview["warnings"][0]
    assert tradebook.trades() == 4
    assert tradebook.json("import", other, *by_order)["booked"] == 1  # the same ids are duplicates
    third = written(tmp_path / "c.csv", *with_two_ids(1, 2, 3), header=IDS)
    assert tradebook.json("import", third, *by_trade, "--yes")["booked"] == 3


def test_new_fills_at_other_times_are_not_suspected(tradebook: Command, tmp_path: Path) -> None:
    by_order = ("--map", "order=order_id", "--ignore", "trade")
    tradebook("import", written(tmp_path / "a.csv", *with_two_ids(1, 2), header=IDS), *by_order)
    later = [row.replace("14:", "15:") for row in with_two_ids(3, 4)]

    assert (
        tradebook.json("import", written(tmp_path / "b.csv", *later, header=IDS), *by_order)[
            "booked"
        ]
        == 2
    )


def test_a_file_of_which_rows_were_skipped_is_read_again(
    tradebook: Command, tmp_path: Path
) -> None:
    path = written(tmp_path / "may.csv", *ROWS, "AAPL,buy,none,100,AAPL-4")
    first = tradebook.json("import", path, "--skip-bad")
    second = tradebook.json("import", path, "--skip-bad")

    assert (first["booked"], second["booked"], second["duplicates"]) == (6, 0, 6)
    assert (first["import_id"], second["import_id"]) == (1, 2)
    assert [i["skipped"] for i in tradebook.json("imports")["imports"]] == [1, 1]
    assert tradebook.json("imports", "undo", "2", "--reason", "r")["trades"] == 0
    assert tradebook.json("imports", "undo", "1", "--reason", "r")["trades"] == 6


def test_a_bad_file_leaves_no_import(tradebook: Command, tmp_path: Path) -> None:
    tradebook.refused("import", written(tmp_path / "may.csv", *ROWS, "AAPL,buy,7,100,AAPL-1"))

    assert tradebook.json("imports")["imports"] == []


def test_an_undo_needs_a_reason(tradebook: Command, path: str) -> None:
    tradebook("import", path)

    assert tradebook("imports", "undo", "1").exit_code == 2
    assert "some words" in tradebook.refused("imports", "undo", "1", "--reason", " ")


def test_cash_flows_belong_to_the_import_of_their_file_and_go_with_it(
    tradebook: Command, tmp_path: Path
) -> None:
    path = tmp_path / "cash.csv"
    path.write_text("kind,amount,reference\nDEPOSIT,1000,w-1\nFEE,-2.5,f-1\n")
    arguments = ("import", "--kind", "cash-flows", str(path))

    tradebook("init")
    seen = tradebook.json(*arguments, "--dry-run")
    first = tradebook.json(*arguments)
    again = tradebook.json(*arguments)

    assert seen["cash_flows"] == first["cash_flows"] == 2
    assert (again["is_known_file"], again["cash_flows"], again["cash_flow_duplicates"]) == (
        True,
        0,
        2,
    )
    undone = tradebook.json("imports", "undo", "1", "--reason", "not ours")
    assert undone["cash_flows"] == 2
    assert all(each["balance"] in ("0", 0) for each in tradebook.json("balances")["balances"])
    assert tradebook.json(*arguments)["cash_flows"] == 2
    [balance] = tradebook.json("balances")["balances"]
    assert balance["balance"] == "997.5"
    assert tradebook.json(*arguments)["cash_flow_duplicates"] == 2
    assert tradebook("verify").exit_code == 0


def test_an_import_counts_and_shows_its_cash_flows(tradebook: Command, tmp_path: Path) -> None:
    path = tmp_path / "cash.csv"
    path.write_text("kind,amount,reference\nDEPOSIT,1000,w-1\nFEE,-2.5,f-1\n")
    tradebook("cash", "add", "DEPOSIT", "7")
    tradebook("import", "--kind", "cash-flows", str(path))
    path.write_text("kind,amount,reference\nFEE,-2.5,f-1\nFEE,-3.123456789,f-2\n")
    tradebook("import", "--kind", "cash-flows", "--skip-bad", str(path))

    counts = [(i["booked"], i["duplicates"]) for i in tradebook.json("imports")["imports"]]
    flows = tradebook.json("imports", "show", "1")["cash_flows"]

    assert counts == [(1, 1), (2, 0)]
    assert [flow["reference"] for flow in flows] == ["w-1", "f-1"]
    assert "DEPOSIT" in tradebook("imports", "show", "1").stdout
    assert "-3.123456789" in tradebook("imports", "show", "2", "--wide").stdout


def test_imports_are_chosen_by_status_and_time(tradebook: Command, path: str) -> None:
    tradebook("import", path)
    tradebook("imports", "undo", "1", "--reason", "r")
    tradebook("import", path)

    def ids(*options: str) -> list[int]:
        return [each["id"] for each in tradebook.json("imports", *options)["imports"]]

    assert (ids(), ids("--status", "undone"), ids("--status", "finished")) == ([2, 1], [1], [2])
    assert (ids("--since", "2100-01-01"), ids("--until", "2100-01-01")) == ([], [2, 1])
    assert ids("--limit", "1") == [2]
    assert "--since, --until, --status" in tradebook("imports", "--agent", "ann").stderr


def test_a_column_that_may_say_that_a_row_is_no_fill_is_not_left_out_unseen(
    tradebook: Command, tmp_path: Path
) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(
        "symbol,action,quantity,price,order_id,Status,note\nA,BUY,1,2,1,FILLED,x\nA,BUY,9,2,2,CANCELED,y\n"
    )

    said = tradebook.refused("import", str(path), "--ignore-others")
    assert "its column 'Status' may say that a row is no fill" in said
    assert "--ignore Status" in said
    assert tradebook.trades() == 0
    path.write_text(path.read_text().rpartition("A,BUY,9")[0])
    assert (
        tradebook.json("import", str(path), "--ignore-others", "--ignore", "Status")["booked"] == 1
    )
