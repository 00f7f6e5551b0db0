"""`attribution` and `agents` on the command line."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.command_line import Command
from tradebook import DatabaseManager

AAPL: dict[str, Any] = {"symbol": "AAPL", "quantity": 10, "executed_at": "2026-03-02T12:00"}
SAP: dict[str, Any] = {"symbol": "SAP", "action": "BUY", "quantity": 1, "price": 100}


@pytest.fixture
def desk(tradebook: Command) -> Command:
    """The command line, on a book of two agents that share a symbol, and of a trade in euro."""
    with DatabaseManager(tradebook.url) as book:
        ann = book.record_decision("ann", "AAPL", "BUY", cost="0.5").id
        bob = book.record_decision("bob", "AAPL", "BUY").id
        book.decide(book.record_decision("bob", "AAPL", "SELL", cost=0).id, "REJECTED")
        book.record_trade(**AAPL, action="BUY", price=100, decision_id=ann)
        book.record_trade(**AAPL, action="BUY", price=120, decision_id=bob)
        book.record_trade(**AAPL, action="SELL", price=130, decision_id=bob, fee=1)
        book.record_trade(**SAP, currency="EUR", strategy="old")
        book.mark_prices({"SAP": 110})
    return tradebook


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_table_has_the_total_the_book_and_the_difference(desk: Command) -> None:
    shown = desk("attribution", "--rate", "EUR=2", "--wide").stdout
    rows = {words[0]: words for words in lines(shown) if words}
    header = next(words for words in lines(shown) if words[:1] == ["group"])
    assert header[:5] == ["group", "kind", "trades", "net", "P&L"]
    assert rows["ann"][:6] == ["ann", "agent", "1", "300", "0", "300"]
    assert rows["bob"][:7] == ["bob", "agent", "2", "99", "100", "0", "1"]
    assert rows["old"][:4] == ["old", "strategy", "1", "20"]
    assert rows["total"][:4] == ["total", "total", "4", "419"]
    assert rows["the"][:6] == ["the", "book", "419", "200", "220", "1"]
    assert rows["difference"][:4] == ["difference", "0", "-100", "100"]
    assert "100 USD moved from realized to unrealized on own cost bases" in shown


def test_without_rates_there_is_a_total_for_each_currency(desk: Command) -> None:
    document = desk.json("attribution", "--by", "STRATEGY")
    assert [(row["group"], row["currency"]) for row in document["rows"]] == [
        ("old", "EUR"),
        ("none", "USD"),
    ]
    assert [total["currency"] for total in document["totals"]] == ["EUR", "USD"]
    assert (document["ties"], document["totals"][1]["difference"]) == (True, "0")
    assert document["totals"][1]["moved"] == "0"
    assert document["rows"][1]["holding_time"] is None
    (bob,) = (row for row in desk.json("attribution")["rows"] if row["group"] == "bob")
    assert (bob["holding_time"], bob["win_rate"], bob["net_after_costs"]) == ("0", "1", None)


def test_a_period_and_an_empty_one(desk: Command) -> None:
    shown = desk("attribution", "--until", "2026-03-02").stdout
    assert shown == (
        "nothing to attribute in account main, until 2026-03-02 00:00:00 UTC\n"
    ).replace("account main", "account 'main'")
    document = desk.json("attribution", "--since", "2026-03-02", "--until", "2026-03-03")
    assert [row["group"] for row in document["rows"]] == ["ann", "bob"]


def test_agents_have_a_line_each(desk: Command) -> None:
    shown = desk("agents", "--rate", "EUR=2", "--wide").stdout
    rows = {words[0]: words for words in lines(shown) if words}
    assert rows["2"] == ["2", "agents", "of", "account", "main"]
    assert rows["agent"][:3] == ["agent", "rejected", "executed"]
    assert rows["ann"] == ["ann", "1", "1", "300", "0.5", "0", "299.5", "USD"]
    assert rows["bob"] == ["bob", "1", "1", "2", "99", "0", "1", "1", "USD"]
    bob = desk.json("agents", "--rate", "EUR=2")["agents"][1]
    assert bob["decisions"] == {"EXECUTED": 1, "REJECTED": 1}
    assert desk("agents", "--account", "main", "--until", "2020-01-01").stdout == (
        "no agents in account 'main'\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["attribution", "--by", "colour"], "'--by'", 2),
        (["attribution", "--rate", "EUR"], "--rate", 2),
        (["attribution", "--rate", "GBP=2"], "--rate EUR=NUMBER", 1),
        (["agents", "--rate", "GBP=2"], "--rate EUR=NUMBER", 1),
        (["attribution", "--since", "2027-01-01", "--until", "2026-01-01"], "start", 1),
    ],
)
def test_bad_options_are_named(desk: Command, arguments: list[str], said: str, code: int) -> None:
    assert said in desk.refused(*arguments, exit_code=code)
