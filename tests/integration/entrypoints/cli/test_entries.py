"""Entries by hand on the command line: trades, cash and prices; signals, decisions and actions shown."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.command_line import Command
from tradebook import DatabaseManager
from tradebook.entrypoints.cli.book.trades import NewTerms
from tradebook.entrypoints.cli.output import field_names
from tradebook.service_layer.handlers import TradeTerms

ADD = ("trades", "add", "AAPL", "BUY", "100", "150.25", "--fee", "1", "--order-id", "o-17")


# Trades


def test_a_trade_is_booked_once_and_the_position_is_shown(tradebook: Command) -> None:
    first, second = tradebook(*ADD), tradebook(*ADD)
    assert first.stdout == (
        "order 'o-17' for AAPL: BUY 100 at 150.25 USD, fee 1, is booked\n"
        "AAPL: quantity 100, realized P&L 0, fees 1 USD\n"
    )
    assert "was recorded before; nothing was changed" in second.stdout
    document = tradebook.json(*ADD)
    assert document["recorded_before"] is True
    assert (document["trade"]["id"], document["position"]["quantity"]) == (1, "100")


def test_every_term_of_a_trade_can_be_given(tradebook: Command) -> None:
    arguments = {"symbol", "action", "quantity", "price"}
    assert arguments | {*field_names(NewTerms)} == TradeTerms.__annotations__.keys()
    with DatabaseManager(tradebook.url) as book:
        decision = book.record_decision(agent="a", symbol="OIL", action="SELL")
    added = tradebook.json(
        *("trades", "add", "OIL", "sell", "2", "-3.5", "--fee", "-0.1", "--fee-currency", "BNB"),
        *("--currency", "EUR", "--multiplier", "50", "--settlement", "margined", "--asset", "WTI"),
        *("--at", "2024-05-17T14:30", "--execution-id", "f-1", "--venue", "NYMEX"),
        *("--strategy", "roll", "--decision-id", str(decision.id), "--detail", "desk=a=b"),
        *("--by", "ann"),
    )
    expected = {
        "price": "-3.5", "fee": "-0.1", "fee_currency": "BNB", "currency": "EUR", "asset": "WTI",
        "multiplier": "50", "settlement": "MARGINED", "execution_id": "f-1", "venue": "NYMEX",
        "executed_at": "2024-05-17T14:30:00+00:00", "strategy": "roll", "status": "EXECUTED",
        "decision_id": decision.id, "details": {"desk": "a=b"},
    }  # fmt: skip
    assert expected.items() <= added["trade"].items()
    assert added["trade"]["order_id"] != ""
    with DatabaseManager(tradebook.url) as book:
        (event,) = book.get_events(event_type="TradeRecorded")
        assert event.actor == "ann"


def test_an_order_that_is_not_filled_yet_is_open(tradebook: Command) -> None:
    order = (*ADD[:5], "--status", "pending", "--order-id", "o-1")
    said = tradebook(*order).stdout
    assert "BUY 100 at the market, fee 0, is open\n" in said
    filled = (*ADD[:6], "--order-id", "o-1")
    assert "is booked" in tradebook(*filled).stdout
    assert "was recorded before" in tradebook(*filled).stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((*ADD[:5], "151", *ADD[6:]), "recorded with other terms: price is '150.25'"),
        (("trades", "add", "AAPL", "BUY", "ten", "1"), "'ten'"),
        (("trades", "add", "AAPL", "HOLD", "1", "1"), "BUY, SELL"),
        (("trades", "add", "AAPL", "BUY", "1"), "only a PENDING order may have none"),
        (("trades", "add", "AAPL", "BUY", "1", "1", "--currency", "EUR"), "AAPL"),
        (("cash", "add", "WITHDRAWAL", "5"), "a WITHDRAWAL below 0"),
        (("cash", "add", "GIFT", "5"), "DEPOSIT, WITHDRAWAL"),
        (("prices", "set", "AAPL=152", "MSFT=1"), "no position 'MSFT'"),
        (("prices", "set", "AAPL=x"), "prices['AAPL']"),
        (("trades", "show", "o-9"), "no order 'o-9'"),
        (("signals", "show", "9"), "no signal 9"),
        (("decisions", "show", "9"), "no decision 9"),
        (("actions", "show", "9"), "no action 9"),
    ],
)
def test_what_is_refused_changes_nothing(
    tradebook: Command, arguments: tuple[str, ...], expected: str
) -> None:
    tradebook(*ADD)
    with DatabaseManager(tradebook.url) as book:
        before = (book.get_positions()[0].current_price, len(book.get_events()))
    assert expected in tradebook.refused(*arguments)
    with DatabaseManager(tradebook.url) as book:
        assert (book.get_positions()[0].current_price, len(book.get_events())) == before


def test_an_order_is_shown_with_every_revision_and_the_events_of_it(tradebook: Command) -> None:
    tradebook(*ADD)
    tradebook("trades", "correct", "o-17", "--price", "150.5", "--reason", "misread")
    said = tradebook("trades", "show", "o-17").stdout
    assert "2 trades of order o-17" in said
    assert "3 events" in said
    assert "price 150.25 -> 150.5" in said
    shown = tradebook.json("trades", "show", "o-17", "--symbol", "AAPL")
    assert [(t["revision"], t["status"]) for t in shown["trades"]] == [
        (0, "BUSTED"),
        (1, "EXECUTED"),
    ]
    kinds = [event["event_type"] for event in shown["events"]]
    assert kinds == ["TradeRecorded", "TradeBusted", "TradeCorrected"]
    assert "no order 'o-17'" in tradebook.refused("trades", "show", "o-17", "--venue", "XNAS")


# Cash and prices


def test_cash_is_recorded_once_under_a_reference(tradebook: Command) -> None:
    deposit = ("cash", "add", "deposit", "1000", "--reference", "wire-1", "--by", "ann")
    assert tradebook(*deposit).stdout == (
        "DEPOSIT of 1000 USD, reference wire-1, is recorded\nUSD: balance 1000\n"
    )
    assert "was recorded before; nothing was changed" in tradebook(*deposit).stdout
    dividend = tradebook.json(
        *("cash", "add", "WITHDRAWAL", "-2.5", "--currency", "EUR", "--symbol", "AAPL"),
        *("--at", "2024-05-17"),
    )
    flow = dividend["cash_flow"]
    assert (flow["amount"], flow["symbol"], flow["currency"]) == ("-2.5", "AAPL", "EUR")
    assert flow["occurred_at"] == "2024-05-17T00:00:00+00:00"
    assert dividend["recorded_before"] is False
    balances = {each["currency"]: each["balance"] for each in dividend["balances"]}
    assert balances == {"USD": "1000", "EUR": "-2.5"}
    with DatabaseManager(tradebook.url) as book:
        assert "ann" in {event.actor for event in book.get_events(event_type="CashFlowRecorded")}


def test_prices_are_set_unless_a_later_one_is_known(tradebook: Command) -> None:
    assert "nothing was traded" in tradebook("prices").stdout
    tradebook(*ADD)
    said = tradebook("prices", "set", "AAPL=152.1").stdout
    assert said == "AAPL: price 152.1 USD, unrealized P&L 185 USD\n"
    kept = tradebook("prices", "set", "AAPL=1", "--at", "2024-01-01").stdout
    assert kept.startswith("AAPL keeps its later price 152.1 USD of ")
    (price,) = tradebook.json("prices")["prices"]
    assert (price["symbol"], price["current_price"]) == ("AAPL", "152.1")
    assert "write SYMBOL=PRICE" in tradebook.refused("prices", "set", "AAPL", exit_code=2)
    twice = tradebook.refused("prices", "set", "AAPL=1", "AAPL=2", exit_code=2)
    assert "'AAPL' is given twice" in twice


# Agents


@pytest.fixture
def desk(tradebook: Command) -> Command:
    """The command line on a book with a decision that signals led to, and that led to a trade."""
    terms: dict[str, Any] = {"symbol": "AAPL", "action": "BUY"}
    with DatabaseManager(tradebook.url) as book:
        signal = book.record_signal(**terms, source="rsi", strategy="momentum")
        book.record_signal(symbol="MSFT", action="SELL")
        decision = book.record_decision(
            agent="bot", **terms, reasoning="the trend is up", signals=[signal.id]
        )
        book.record_action(
            agent="bot", action_type="tool_call", decision_id=decision.id, input={"q": 1}
        )
        book.record_action(agent="other", action_type="model_call", status="FAILED", error="none")
        book.record_trade(**terms, quantity=1, price=2, decision_id=decision.id, order_id="o-1")
    return tradebook


def test_a_decision_is_shown_with_its_signals_actions_and_trades(desk: Command) -> None:
    said = desk("decisions", "show", "1").stdout
    for part in ("the trend is up", "1 signal", "rsi", "1 action", "tool_call", "1 trade", "o-1"):
        assert part in said
    shown = desk.json("decisions", "show", "1")
    assert shown["decision"]["status"] == "EXECUTED"
    assert [each["source"] for each in shown["decision"]["signals"]] == ["rsi"]
    assert [each["action_type"] for each in shown["actions"]] == ["tool_call"]
    assert [each["order_id"] for each in shown["trades"]] == ["o-1"]


def test_signals_and_actions_are_listed_and_shown(desk: Command) -> None:
    assert "2 signals of account main" in desk("signals").stdout
    assert desk.json("signals", "show", "1")["signal"]["strategy"] == "momentum"
    assert "momentum" in desk("signals", "show", "1").stdout
    assert "2 actions of account main" in desk("actions").stdout
    assert '{"q": 1}' in desk("actions", "show", "1").stdout
    assert "1 decision of account main" in desk("decisions").stdout
    (decision,) = desk.json("decisions")["decisions"]
    assert [signal["source"] for signal in decision["signals"]] == ["rsi"]
