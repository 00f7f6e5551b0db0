"""`explain` and `why`, from the command line: trees, JSON, flowcharts, and what is refused."""

from __future__ import annotations

import pytest

from tests.support.command_line import Command
from tests.support.lineage_story import tell
from tradebook import DatabaseManager


@pytest.fixture
def ids(tradebook: Command) -> dict[str, int]:
    """The ids of the story's records, told into the book of the command line."""
    with DatabaseManager(tradebook.url) as book:
        return tell(book)


def test_a_trade_is_shown_as_a_tree_that_ends_in_its_profit(
    tradebook: Command, ids: dict[str, int]
) -> None:
    said = tradebook("explain", "trade", str(ids["sale"])).stdout
    assert said.startswith(f"trade {ids['sale']}: SELL 70 AAPL at 11.1 USD")
    assert "RSI" not in said
    assert f"signal {ids['rsi']}: BUY AAPL from rsi" in said
    assert "APPROVED by risk officer" in said
    last = " ".join(said.splitlines()[-1].split())
    assert last == "realized P&L 75.6 USD, fees 0.35 USD, net P&L 75.25 USD"
    assert "└── " in said


def test_wide_trees_have_no_broken_lines(tradebook: Command, ids: dict[str, int]) -> None:
    wide = tradebook("explain", "trade", str(ids["part"]), "--wide").stdout
    with DatabaseManager(tradebook.url) as book:
        assert wide == f"{book.explain(trade=ids['part'])}\n"
    assert "(500 characters)" in wide
    assert "x" * 101 not in wide


def test_json_has_every_value_whole_and_every_digit(
    tradebook: Command, ids: dict[str, int]
) -> None:
    tree = tradebook.json("explain", "trade", str(ids["sale"]))["explanation"]
    assert tree["kind"] == "trade"
    assert tree["at"] == "2026-03-02T09:09:00+00:00"
    assert tree["amounts"]["realized_pnl"] == {"value": "75.6", "unit": "USD"}
    assert tree["children"][-1]["amounts"]["net_pnl"] == {"value": "75.25", "unit": "USD"}
    plan = tree["children"][0]["children"][0]
    [text] = [each for each in plan["children"] if each["facts"].get("name") == "note"]
    assert text["facts"]["value"] == "x" * 500
    assert text["facts"]["available_at"] == "2026-03-02T09:04:00+00:00"


@pytest.mark.parametrize("kind", ["position", "decision", "alert"])
def test_the_other_records_are_explained_too(
    tradebook: Command, ids: dict[str, int], kind: str
) -> None:
    with DatabaseManager(tradebook.url) as book:
        alert = book.raise_alert("drawdown", "INFO", symbol="AAPL")
    record = {"position": "AAPL", "decision": str(ids["plan"]), "alert": str(alert.id)}[kind]
    assert tradebook("explain", kind, record).stdout.startswith(f"{kind} {record}: ")
    assert tradebook.json("explain", kind, record)["explanation"]["kind"] == kind


def test_a_flowchart_goes_to_stdout_as_it_is(tradebook: Command, ids: dict[str, int]) -> None:
    said = tradebook("explain", "decision", str(ids["plan"]), "--format", "mermaid").stdout
    assert said.startswith('flowchart LR\n    n0{{"decision ')
    assert said.endswith("\n")
    assert all(line.startswith("    n") for line in said.splitlines()[1:])


def test_why_explains_an_order_from_its_decision_to_its_profit(
    tradebook: Command, ids: dict[str, int]
) -> None:
    said = tradebook("why", "o-1").stdout
    assert said.startswith("order o-1 for AAPL: BUY 100, FILLED")
    assert f"decision {ids['plan']}: trader BUY 100 AAPL, EXECUTED" in said
    assert f"trade {ids['part']}: BUY 60 AAPL at 10 USD" in said
    assert f"trade {ids['rest']}: BUY 40 AAPL at 10.05 USD" in said
    assert "net -0.5 USD" in said
    [tree] = tradebook.json("why", "o-1")["explanations"]
    assert tree["facts"]["order_id"] == "o-1"


def test_why_explains_each_order_with_this_id_or_the_one_of_a_symbol(
    tradebook: Command, ids: dict[str, int]
) -> None:
    assert ids
    with DatabaseManager(tradebook.url) as book:
        book.record_trade(symbol="MSFT", action="BUY", quantity=1, price=1, order_id="o-1")
    said = tradebook("why", "o-1").stdout
    assert "order o-1 for AAPL" in said
    assert "order o-1 for MSFT" in said
    assert "AAPL" not in tradebook("why", "o-1", "--symbol", "MSFT").stdout
    charts = tradebook("why", "o-1", "--format", "mermaid").stdout
    assert charts.count("flowchart LR\n") == 2


def test_recorded_text_moves_no_terminal_and_is_no_markup(tradebook: Command) -> None:
    with DatabaseManager(tradebook.url) as book:
        made = book.record_decision("[red]ann[/red]", "AAPL", "BUY", reasoning="\x1b[2Jup")
    for options in ((), ("--wide",)):
        said = tradebook("explain", "decision", str(made.id), *options).stdout
        assert "[red]ann[/red]" in said
        assert "\x1b[2J" not in said
        assert "\\x1b[2Jup" in said


def test_what_is_not_there_is_named_with_what_helps(
    tradebook: Command, ids: dict[str, int]
) -> None:
    assert ids
    assert "no Trade 999 in account 'main'" in tradebook.refused("explain", "trade", "999")
    assert "no Position 'MSFT'" in tradebook.refused("explain", "position", "MSFT")
    said = tradebook.refused("why", "o-9")
    assert "no order 'o-9' in account 'main'; list the open ones with: tradebook orders" in said


@pytest.mark.parametrize("wrong", ["x", "-1", "1.5", "٣", "9" * 30])
def test_an_id_that_is_no_whole_number_is_refused(tradebook: Command, wrong: str) -> None:
    said = tradebook.refused("explain", "trade", "--", wrong, exit_code=2)
    assert "write the id of a record, a whole number" in said.replace("│ ", "")


def test_an_unknown_kind_of_record_is_refused(tradebook: Command) -> None:
    assert "'order'" in tradebook.refused("explain", "order", "o-1", exit_code=2)
