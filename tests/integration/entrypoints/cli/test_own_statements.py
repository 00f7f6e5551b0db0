"""Statements that a preset of one's own reads, next to the book."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.support.command_line import Command

PRESET: Final = """
name = "my"
title = "My broker"
exported = "by hand"
documented = ["https://broker.example"]

[[forms]]
name = "statement"
columns = ["Type", "What", "Qty", "Px", "Time"]

[[forms.entries]]
kind = "trade"
when = { Type = "fill" }
[forms.entries.terms]
symbol = "What"
action = { value = "BUY" }
quantity = "Qty"
price = "Px"
executed_at = "Time"

[[forms.entries]]
kind = "position"
when = { Type = "position" }
terms = { symbol = "What", quantity = "Qty" }

[[forms.entries]]
kind = "balance"
when = { Type = "balance" }
terms = { currency = "What", amount = "Qty" }

[[forms.entries]]
kind = "period"
when = { Type = "period" }
terms = { start = "What", end = "Time" }

[[forms.entries]]
kind = "covers"
when = { Type = "covers" }
terms = { entries = "What" }
"""
FILLS: Final = ("fill,ES,2,5000,2024-05-02T10:00", "fill,ES,1,5010,2024-05-03T10:00")
PERIOD: Final = "period,2024-05-01,,,2024-05-31"


@pytest.fixture
def tradebook(sqlite_book: str) -> Command:
    return Command(sqlite_book)


@pytest.fixture
def preset(tmp_path: Path) -> str:
    path = tmp_path / "my.toml"
    path.write_text(PRESET)
    return str(path)


def statement(folder: Path, *rows: str) -> str:
    path = folder / "statement.csv"
    path.write_text("\n".join(["Type,What,Qty,Px,Time", *rows]) + "\n")
    return str(path)


def test_a_statement_may_cover_positions_of_which_there_is_none(
    tradebook: Command, preset: str, tmp_path: Path
) -> None:
    tradebook("import", "--from", preset, statement(tmp_path, *FILLS))
    arguments = ("reconcile", "--from", preset, statement(tmp_path, PERIOD, "covers,position,,,"))

    found = tradebook.json(*arguments, exit_code=1)

    assert found["compared"] == ["positions"]
    assert found["positions"] == [
        {"symbol": "ES", "book": "3", "venue": "0", "difference": "-3"},
    ]


def test_an_empty_list_of_positions_of_a_flex_query_says_that_nothing_is_held(
    tradebook: Command, tmp_path: Path
) -> None:
    tradebook("trades", "add", "AAPL", "BUY", "2", "100", "--at", "2024-03-05")
    path = tmp_path / "statement.xml"
    path.write_text(
        '<FlexQueryResponse queryName="A" type="AF"><FlexStatements count="1">'
        '<FlexStatement accountId="U1" fromDate="20240301" toDate="20240331"><OpenPositions />'
        "</FlexStatement></FlexStatements></FlexQueryResponse>"
    )

    found = tradebook.json("reconcile", "--from", "ibkr", str(path), exit_code=1)

    assert [each["symbol"] for each in found["positions"]] == ["AAPL"]


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        (
            ["covers,trades,,,"],
            (),
            "line 2, column What: 'trades': expected trade, cash-flow, position or balance",
        ),
        (["period,2024-05-31,,,2024-05-01"], (), "end: '2024-05-02 00:00:00+00:00'"),
        ([PERIOD], ("--since", "2024-06-02", "--until", "2024-06-01"), "a time after the start"),
        ([PERIOD], ("--since", "2024-06-02"), "a time after the start"),
    ],
)
def test_what_is_no_statement_is_refused(
    tradebook: Command,
    preset: str,
    tmp_path: Path,
    rows: list[str],
    options: tuple[str, ...],
    said: str,
) -> None:
    tradebook("init")
    path = statement(tmp_path, *rows, *FILLS)
    assert said in tradebook.refused("reconcile", "--from", preset, path, *options)


def test_a_statement_in_another_notation_is_read_as_by_an_import(
    tradebook: Command, preset: str, tmp_path: Path
) -> None:
    path = tmp_path / "statement.csv"
    path.write_text("Type;What;Menge;Px;Time\nfill;ES;1.000,5;5.010,25;02.05.2024 10:00\n")
    how = ("--map", "Menge=Qty", "--decimal", ",", "--thousands")
    how += ("--date-format", "%d.%m.%Y %H:%M", "--settlement", "margined", "--multiplier", "50")
    mended = ("--apply", "--reason", "downtime", "--yes")

    found = tradebook.json("reconcile", "--from", preset, str(path), *how, *mended)

    assert found["agrees"]
    (trade,) = tradebook.json("trades")["trades"]
    assert (trade["quantity"], trade["price"]) == ("1000.5", "5010.25")
    assert (trade["settlement"], trade["multiplier"]) == ("MARGINED", "50")
    refused = tradebook.refused("reconcile", "balances.csv", *how[:2], exit_code=2)
    assert "it has an effect with --from only" in refused
