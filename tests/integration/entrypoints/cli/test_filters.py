"""The options that choose the records of a list."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.command_line import Command
from tradebook import DatabaseManager


@pytest.fixture(scope="module")
def desk(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command line on a book with two records of every kind, a day apart; nothing here changes it."""
    file = tmp_path_factory.mktemp("desk") / "book.db"
    file.write_bytes(migrated_file.read_bytes())
    tradebook = Command(f"sqlite:///{file}")
    with DatabaseManager(tradebook.url) as book:
        for day, symbol, agent in ((1, "AAPL", "ann"), (2, "MSFT", "bob")):
            at = datetime(2024, 5, day, 12, tzinfo=UTC)
            side = {"symbol": symbol, "action": "BUY"}
            decided = {"agent": agent, "strategy": f"of {agent}"}
            trade = {**side, "quantity": 1, "executed_at": at, "strategy": f"of {agent}"}
            book.record_trade(**trade, price=2, order_id=f"o-{day}")
            book.record_trade(**trade, status="PENDING", order_id=f"p-{day}")
            book.record_cash_flow("DIVIDEND", 1, symbol=symbol, occurred_at=at)
            book.raise_alert("drawdown", "INFO", symbol=symbol)
            book.record_signal(**side, generated_at=at, strategy=f"of {agent}")
            decision = book.record_decision(**side, **decided, decided_at=at)
            book.record_action(agent=agent, action_type="call", started_at=at)
            if agent == "bob":
                book.decide(decision.id, "REJECTED", reason="too late")
        book.take_snapshot()
    return tradebook


BOTH = ("trades", "cash", "signals", "decisions", "actions")
SINCE, UNTIL = ("--since", "2024-05-02"), ("--until", "2024-05-02")


@pytest.mark.parametrize(
    ("command", "options", "symbols"),
    [
        *(([name], [*SINCE], ["MSFT"]) for name in ("signals", "decisions")),
        *(([name], [*UNTIL], ["AAPL"]) for name in ("signals", "decisions")),
        *(
            ([name], ["--symbol", "MSFT"], ["MSFT"])
            for name in ("signals", "decisions", "alerts", "prices", "positions", "orders")
        ),
        (["cash"], [*SINCE], ["MSFT"]),
        (["cash"], ["--symbol", "AAPL"], ["AAPL"]),
        (["trades"], [*UNTIL, "--status", "executed"], ["AAPL"]),
        (["trades"], ["--strategy", "of bob", "--status", "PENDING"], ["MSFT"]),
        (["trades"], ["--limit", "1", "--status", "executed"], ["MSFT"]),
        (["signals"], ["--strategy", "of ann"], ["AAPL"]),
        (["decisions"], ["--agent", "bob"], ["MSFT"]),
        (["decisions"], ["--status", "rejected"], ["MSFT"]),
        (["decisions"], ["--strategy", "of ann", "--agent", "bob"], []),
        (["alerts"], ["--since", "2024-05-02"], ["MSFT", "AAPL"]),
        (["alerts"], ["--all", "--until", "2024-05-02"], []),
        (["orders"], ["--status", "partially_filled"], []),
        (["orders"], ["--status", "pending", "--since", "2024-05-02"], ["AAPL", "MSFT"]),
        (["orders"], ["--until", "2024-05-02"], []),
    ],
)
def test_lists_show_what_was_asked_for(
    desk: Command, command: list[str], options: list[str], symbols: list[str]
) -> None:
    document = desk.json(*command, *options)
    name = "flows" if command == ["cash"] else command[0]
    assert [each["symbol"] for each in document[name]] == symbols


def test_actions_are_chosen_by_agent_and_status(desk: Command) -> None:
    (found,) = desk.json("actions", "--agent", "ann", "--status", "succeeded")["actions"]
    assert found["agent"] == "ann"
    assert desk.json("actions", "--status", "failed")["actions"] == []


@pytest.mark.parametrize(
    ("command", "option", "others"),
    [
        ("trades", "--agent", "--since, --until, --symbol, --strategy, --status"),
        ("cash", "--status", "--since, --until, --symbol"),
        ("alerts", "--strategy", "--since, --until, --symbol"),
        ("signals", "--status", "--since, --until, --symbol, --strategy"),
        ("actions", "--symbol", "--since, --until, --status, --agent"),
        ("orders", "--agent", "--since, --until, --symbol, --status"),
        ("positions", "--since", "--symbol"),
        ("prices", "--until", "--symbol"),
    ],
)
def test_an_option_that_a_kind_has_no_field_for_is_refused_and_the_others_are_named(
    desk: Command, command: str, option: str, others: str
) -> None:
    value = "2024-05-02" if option in ("--since", "--until") else "x"
    message = desk.refused(command, option, value, exit_code=2).replace("│ │ ", "")
    assert f"{option}: {command}" in message.replace("cash flows", "cash")
    assert others in message


def test_a_value_that_a_field_cannot_have_is_refused(desk: Command) -> None:
    for command in ("trades", "orders"):
        assert "PENDING" in desk.refused(command, "--status", "lost")
    assert "does not go with --since" in desk.refused("trades", *SINCE, "--days", "2", exit_code=2)


def test_a_list_that_is_cut_says_so(desk: Command) -> None:
    result = desk("decisions", "--limit", "1")
    assert result.stderr == "these are the newest 1 decisions; --limit shows more\n"
    assert "1 decision of" in result.stdout
    assert desk("decisions", "--limit", "2").stderr == ""


def test_an_export_is_chosen_by_the_same_options(desk: Command, tmp_path: Path) -> None:
    export = ("export", str(tmp_path / "x.csv"))
    assert desk.json(*export, "--symbol", "AAPL", "--status", "executed")["records"] == 1
    assert desk.json(*export, "--kind", "decisions", "--agent", "bob")["records"] == 1
    assert "--agent" in desk.refused(*export, "--agent", "bob", exit_code=2)


@pytest.mark.parametrize(
    "command",
    [
        *(["trades"], ["orders"], ["positions"], ["prices"], ["cash"], ["balances"], ["alerts"]),
        *(["signals"], ["decisions"], ["actions"], ["accounts"], ["portfolio", "--history", "1"]),
        *(["trades", "show", "o-1"], ["orders", "show", "o-1"], ["decisions", "show", "2"]),
    ],
    ids=" ".join,
)
def test_tables_fit_80_characters_unless_they_are_wide(desk: Command, command: list[str]) -> None:
    lines = desk(*command).stdout.splitlines()
    assert len(lines) > 4
    titles = ("order o-1 is", "1 account in ")  # the second names the database's file
    assert max(len(line) for line in lines if not line.startswith(titles)) <= 80
    assert "left out" not in desk(*command, "--wide").stdout
