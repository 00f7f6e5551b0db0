"""Tables and JSON documents of records that are not stored."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tradebook.domain.alerts import Severity
from tradebook.domain.positions import Position
from tradebook.entrypoints.cli.book.alerts import SeverityName
from tradebook.entrypoints.cli.messages import counted, printable
from tradebook.entrypoints.cli.output import print_json
from tradebook.entrypoints.cli.tables import (
    Column,
    Kind,
    grouped,
    in_line,
    show,
    totals_by_currency,
)

COLUMNS = [
    Column("symbol", "symbol"),
    Column("quantity", "quantity", Kind.NUMBER, spare=1),
    Column("P&L", "pnl", Kind.GAIN),
    Column("note", "note", Kind.PROSE, spare=2),
]

THIRD = Decimal("0." + "3" * 40)


def shown(
    rows: list[object],
    totals: list[object] | None = None,
    *,
    width: int = 80,
    terminal: bool = False,
    wide: bool = False,
) -> str:
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=terminal,
        color_system="standard" if terminal else None,
        legacy_windows=False,
    )
    show(console, "the title", COLUMNS, rows, totals or [], wide=wide)
    return out.getvalue()


@pytest.mark.parametrize(
    ("value", "exact", "rounded"),
    [
        ("0", "0", "0"),
        ("867601", "867,601", "867,601"),
        ("-1299.84886605", "-1,299.84886605", "-1,299.8489"),
        ("1234567.125", "1,234,567.125", "1,234,567.12"),
        ("0.000000000000000001", "0.000000000000000001", "0.000000000000000001"),
        ("0.12345678", "0.12345678", "0.12345678"),
        ("-0.00150004", "-0.00150004", "-0.00150004"),
        ("0.0015131122847030991", "0.0015131122847030991", "0.0015131123"),
        ("2.99999999999", "2.99999999999", "3"),
    ],
)
def test_numbers_have_separators_and_every_digit_or_those_that_are_asked_for(
    value: str, exact: str, rounded: str
) -> None:
    assert grouped(Decimal(value)) == exact
    assert grouped(Decimal(value), 8) == rounded


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=18, min_value=-(10**19), max_value=10**19
    )
)
def test_no_digit_of_a_number_that_can_be_recorded_is_lost(value: Decimal) -> None:
    assert Decimal(grouped(value).replace(",", "")) == value


def test_decimal_points_stand_in_line() -> None:
    assert in_line(["1", "22.5", "-333.25", ""]) == ["   1   ", "  22.5 ", "-333.25", "       "]


def test_gains_are_green_and_losses_red_and_nothing_is_neither() -> None:
    text = shown([{"pnl": Decimal(1)}, {"pnl": Decimal(-2)}, {"pnl": Decimal(0)}], terminal=True)

    assert "\x1b[32m  1\x1b[0m" in text
    assert "\x1b[31m -2\x1b[0m" in text
    assert "\x1b[32m  0" not in text


def test_no_colours_are_written_to_a_file() -> None:
    assert "\x1b" not in shown([{"pnl": Decimal(1)}])


def test_totals_stand_below_under_their_name() -> None:
    text = shown([{"symbol": "A", "pnl": Decimal(1)}], [{"pnl": Decimal("1234.5")}])

    assert "total   1,234.5" in text


def test_a_wide_table_has_every_column_digit_and_word_in_one_line() -> None:
    digits = "9" * 60
    row = {"symbol": "S" * 60, "quantity": Decimal(digits), "pnl": THIRD, "note": "n " * 60}
    text = shown([row], width=40, wide=True)

    assert f"{int(digits):,}" in text
    assert "n " * 59 in text
    assert str(THIRD) in text
    assert "rounded" not in text


@pytest.mark.parametrize("terminal", [False, True])
def test_a_table_that_is_too_wide_loses_whole_columns_and_says_which(terminal: bool) -> None:
    rows: list[object] = [{"symbol": "A" * 20, "quantity": Decimal(10**15), "note": "why"}]

    text = shown(rows, width=30, terminal=terminal)

    plain = " ".join(re.sub("\x1b\\[[0-9;]*m", "", text).split())
    assert "symbol P&L" in plain
    assert "A" * 20 in plain
    assert "left out for want of width: quantity, note (--wide has all)" in plain


def test_a_total_of_columns_that_are_left_out_is_left_out_too() -> None:
    rows: list[object] = [{"symbol": "A" * 20, "quantity": Decimal(10**15)}]
    assert "total" in shown(rows, [{"quantity": Decimal(10**15)}])
    assert "total" not in shown(rows, [{"quantity": Decimal(10**15)}], width=30)


def test_money_is_rounded_more_than_other_numbers_and_a_note_says_so() -> None:
    text = shown([{"symbol": "A", "quantity": THIRD, "pnl": THIRD}], [{"pnl": THIRD}])
    assert "0.33333333  0.333333" in text
    assert text.endswith("numbers are rounded; --wide has every digit\n")
    assert "rounded" not in shown([{"quantity": Decimal("0.25"), "pnl": Decimal("0.125")}])


def test_numbers_that_are_compared_digit_by_digit_are_never_rounded() -> None:
    console = Console(file=io.StringIO(), width=80)
    show(console, "", [Column("difference", "d", Kind.EXACT)], [{"d": THIRD}])
    assert str(THIRD) in console.file.getvalue()  # type: ignore[attr-defined]


def test_no_header_time_or_digit_is_cut_on_a_terminal() -> None:
    out = io.StringIO()
    columns = [
        Column("market value", "value", Kind.NUMBER),
        Column("at", "at", Kind.TIME),
        Column("name", "name"),
        Column("builds upon", "short"),
        Column("entry price", "price", Kind.NUMBER, spare=1),
    ]
    row = {
        "value": Decimal(7),
        "at": datetime(2024, 3, 1, tzinfo=UTC),
        "name": "two 語語 words",
        "short": "x",
    }

    show(
        Console(file=out, width=76, force_terminal=True),
        "",
        columns,
        [{**row, "price": Decimal(1)}],
    )

    for text in (
        "market value",
        "2024-03-01 00:00:00",
        "two 語語 words",
        "builds upon",
        "width: entry price",
    ):
        assert text in out.getvalue()


def test_columns_without_a_value_are_left_out() -> None:
    assert "note" not in shown([{"symbol": "A", "note": ""}])


def test_text_of_a_record_cannot_command_the_terminal_or_the_markup() -> None:
    text = shown([{"symbol": "[red]A[/red]\x1b[2J\r"}])

    assert "[red]A[/red]" in text
    assert "\\x1b[2J\\r" in text


def test_control_characters_are_written_as_escapes() -> None:
    assert printable("a\x1b]0;title\x07b\nc") == "a\\x1b]0;title\\x07b\nc"


def test_totals_are_exact_and_one_for_each_currency() -> None:
    rows = [
        {"currency": "USD", "fees": Decimal("0.1"), "pnl": Decimal(10**30)},
        {"currency": "ETH", "fees": Decimal(1), "pnl": None},
        {"currency": "USD", "fees": Decimal("0.2"), "pnl": Decimal("1e-18")},
    ]

    assert totals_by_currency(rows, ["fees", "pnl"]) == [
        {"currency": "ETH", "fees": Decimal(1), "pnl": None},
        {"currency": "USD", "fees": Decimal("0.3"), "pnl": Decimal(f"1{'0' * 30}.{'0' * 17}1")},
    ]


def test_json_has_decimals_as_text_times_in_utc_and_what_is_derived(
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened = datetime(2024, 3, 1, 9, 30, tzinfo=timezone(timedelta(hours=-5)))
    position = Position(
        symbol="AAPL",
        quantity=Decimal("1E+3"),
        cost_basis=Decimal("150250.00"),
        current_price="151",
        opened_at=opened,
    )

    print_json({"position": position, "at": opened})

    document = json.loads(capsys.readouterr().out)
    assert document["at"] == "2024-03-01T14:30:00+00:00"
    assert document["position"]["quantity"] == "1000"
    assert document["position"]["entry_price"] == "150.25"
    assert document["position"]["unrealized_pnl"] == "750"
    assert document["position"]["closed_at"] is None


def test_counts_are_written_with_separators_and_the_plural() -> None:
    assert (counted(1, "trade"), counted(12477, "trade")) == ("1 trade", "12,477 trades")


def test_the_severities_of_the_command_line_are_those_of_the_domain() -> None:
    assert get_args(SeverityName) == tuple(Severity)


def test_the_command_line_loads_nothing_heavy_before_it_needs_it() -> None:
    program = "import sys, tradebook.entrypoints.cli; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout.split()

    heavy = {"sqlalchemy", "psycopg2", "alembic", "asyncpg", "rich", "attrs", "dependency_injector"}
    assert heavy.isdisjoint(loaded)


def test_times_in_tables_are_utc() -> None:
    console = Console(file=io.StringIO(), width=80)
    at = datetime(2024, 3, 1, 9, 30, tzinfo=timezone(timedelta(hours=-5)))

    show(console, "", [Column("when", "at", Kind.TIME)], [{"at": at}, {"at": at.astimezone(UTC)}])

    assert console.file.getvalue().count("2024-03-01 14:30:00") == 2  # type: ignore[attr-defined]
