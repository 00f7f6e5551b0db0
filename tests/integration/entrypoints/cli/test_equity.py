"""`equity` on the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.command_line import Command
from tradebook import DatabaseManager

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
UNTIL = ("--until", "2026-03-05")


@pytest.fixture
def desk(tradebook: Command) -> Command:
    """The command line on a book with a deposit, and a purchase that was imported years later."""
    with DatabaseManager(tradebook.url) as book:
        book.upgrade()
        book.record_cash_flow("DEPOSIT", 1000, occurred_at=NOON - DAY)
        bought = {"symbol": "AAPL", "action": "BUY", "quantity": 2, "price": 100, "fee": 1}
        book.record_trade(**bought, executed_at=NOON, strategy="trend")
    return tradebook


def test_the_curve_is_drawn_and_its_last_points_are_listed(desk: Command, tmp_path: Path) -> None:
    prices = tmp_path / "prices.csv"
    prices.write_text("time,symbol,price\n2026-03-03T12:00Z,AAPL,120\n")
    said = desk(
        "equity", "--basis", "restated", "--by", "strategy", "--prices", str(prices), *UNTIL
    )
    lines = [line.split() for line in said.stdout.splitlines()]
    assert said.stdout.startswith("total value of account main in USD, restated, 5 points\n")
    assert "1,039" in said.stdout  # on the axis
    assert ["2026-03-03", "00:00:00", "999"] in [line[:3] for line in lines]
    assert ["2026-03-05", "00:00:00", "1,039"] in [line[:3] for line in lines]
    assert ["none", "1,000"] in [line[:2] for line in lines]
    assert ["trend", "39"] in [line[:2] for line in lines]


def test_json_has_every_point_and_every_digit(desk: Command) -> None:
    found = desk.json("equity", "--basis", "restated", "--frequency", "12h", *UNTIL)
    assert [point["total_value"] for point in found["points"]] == ["1000", "1000", *["999"] * 6]
    assert (found["basis"], found["by"], found["groups"]) == ("restated", None, [])


def test_an_empty_account_has_one_point(tradebook: Command) -> None:
    with DatabaseManager(tradebook.url) as book:
        book.upgrade()
    assert "1 point" in tradebook("equity").stdout


@pytest.mark.parametrize(
    ("arguments", "named", "code"),
    [
        (["--frequency", "often"], "frequency", 1),
        (["--basis", "believed"], "'--basis'", 2),
        (["--time-zone", "Mars"], "time_zone", 1),
        (["--prices", "missing.csv"], "missing.csv", 1),
        (["--since", "2026-03-06", *UNTIL], "start", 1),
    ],
)
def test_what_is_refused_is_named(
    desk: Command, arguments: list[str], named: str, code: int
) -> None:
    assert named in desk.refused("equity", *arguments, exit_code=code)
