"""Marks, cash, snapshots, alerts, agents and metrics, and the events that they leave."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.unit.conftest import Clock
from tradebook import (
    ConcurrentUpdate,
    DuplicateRecord,
    InvalidInput,
    InvalidTransition,
    MissingRate,
    NotFound,
    handlers,
)
from tradebook.testing import FakeBook


def buy(book: FakeBook, symbol: str = "AAPL", **terms: Any) -> None:
    book.record_trade(**{"symbol": symbol, "action": "BUY", "quantity": 10, "price": 100, **terms})


def event_types(book: FakeBook) -> list[str]:
    with book.unit_of_work(read_only=True) as uow:
        return [event.event_type for event in uow.events.in_order()]


def test_each_change_leaves_exactly_one_event(book: FakeBook, clock: Clock) -> None:
    book.record_trade(symbol="A", action="BUY", quantity=1, price=1, status="PENDING", order_id="o")
    book.execute_trade(order_id="o")
    book.record_trade(symbol="A", action="BUY", quantity=1, price=1, status="PENDING", order_id="c")
    book.cancel_trade(order_id="c")
    book.record_cash_flow("DEPOSIT", 100)
    book.take_snapshot()
    alert = book.raise_alert("drawdown", "WARNING")
    book.resolve_alert(alert.id, "seen")
    signal = book.record_signal("A", "BUY")
    decision = book.record_decision("bot", "A", "BUY", signals=[signal.id])
    book.decide(decision.id, "APPROVED")
    book.record_action("bot", "tool_call")
    book.record_metric("sharpe_ratio", 1, period_start=clock.now, period_end=clock.now)

    assert event_types(book) == [
        "AccountOpened",
        "TradeSubmitted",
        "TradeRecorded",
        "TradeSubmitted",
        "TradeCancelled",
        "CashFlowRecorded",
        "SnapshotTaken",
        "AlertRaised",
        "AlertResolved",
        "SignalRecorded",
        "DecisionRecorded",
        "DecisionResolved",
        "ActionRecorded",
        "MetricRecorded",
    ]


def test_an_event_says_who_when_and_what(book: FakeBook, clock: Clock) -> None:
    trade = book.record_trade(symbol="A", action="BUY", quantity=1, price=1, order_id="o")

    with book.unit_of_work() as uow:
        (event,) = uow.events.of("Trade", trade.id)

    assert (event.actor, event.occurred_at, event.account) == ("tester", clock.now, "main")
    assert event.payload["order_id"] == "o"
    assert event.payload["effect"] == "OPENED"


def test_a_mark_values_positions_and_leaves_no_event(book: FakeBook) -> None:
    buy(book)
    before = event_types(book)

    marked = book.mark_prices({"AAPL": "101.5", "NEVER": 5})

    assert [p.symbol for p in marked] == ["AAPL"]
    position = book.get_open_positions()[0]
    assert (position.unrealized_pnl, position.version) == (15, 1)
    assert event_types(book) == before
    assert book.get_position_by_symbol("NEVER") is None


def test_an_older_mark_is_ignored(book: FakeBook, clock: Clock) -> None:
    buy(book)
    book.mark_prices({"AAPL": 110}, at=clock.now + timedelta(minutes=2))

    assert book.mark_prices({"AAPL": 90}, at=clock.now + timedelta(minutes=1)) == []
    assert book.get_open_positions()[0].current_price == 110


def test_a_mark_that_is_no_price_is_refused_and_none_is_taken(book: FakeBook) -> None:
    buy(book)

    with pytest.raises(InvalidInput, match=r"prices\['MSFT'\]: 'dear' is not accepted"):
        book.mark_prices({"AAPL": 110, "MSFT": "dear"})

    assert book.get_open_positions()[0].current_price == 100


def test_only_the_mark_of_a_position_can_be_set_by_hand(book: FakeBook) -> None:
    buy(book)

    assert book.update_position("AAPL", {"current_price": 105}).current_price == 105
    assert book.get_open_positions()[0].current_price == 105
    with pytest.raises(InvalidInput, match=r"quantity: 5 is not accepted; .* follows from trades"):
        book.update_position("AAPL", {"current_price": 1, "quantity": 5})
    with pytest.raises(InvalidInput, match="current_price: None"):
        book.update_position("AAPL", {})
    with pytest.raises(NotFound, match="no position 'MSFT'"):
        book.update_position("MSFT", {"current_price": 1})
    assert book.get_open_positions()[0].current_price == 105


def test_setting_an_older_mark_by_hand_changes_nothing(book: FakeBook, clock: Clock) -> None:
    buy(book)

    older = {"current_price": 1, "marked_at": clock.now - timedelta(1)}

    assert book.update_position("AAPL", older).current_price == 100


def test_a_cash_flow_is_recorded_once_under_its_reference(book: FakeBook, clock: Clock) -> None:
    first = book.record_cash_flow("DIVIDEND", "12.34", symbol="AAPL", reference="d-1")
    clock.forward(days=1)

    assert book.record_cash_flow("DIVIDEND", "12.34", reference="d-1").id == first.id
    with pytest.raises(DuplicateRecord, match=r"amount is '12.34', given '12.35'"):
        book.record_cash_flow("DIVIDEND", "12.35", reference="d-1")
    assert len(book.get_cash_flows()) == 1
    assert event_types(book).count("CashFlowRecorded") == 1


def test_cash_flows_without_a_reference_are_different_entries(book: FakeBook) -> None:
    book.record_cash_flow("DEPOSIT", 100)
    book.record_cash_flow("DEPOSIT", 100)

    assert book.get_cash_balances()[0].external == 200


def test_cash_is_in_the_accounts_currency_unless_told_otherwise(book: FakeBook) -> None:
    FakeBook(store=book.store, base_currency="EUR").record_cash_flow("DEPOSIT", 100)

    assert book.record_cash_flow("FEE", -1).currency == "EUR"
    assert book.record_cash_flow("INTEREST", 1, currency="USD").currency == "USD"


def test_cash_balances_split_by_where_the_cash_came_from(book: FakeBook) -> None:
    book.record_cash_flow("DEPOSIT", 5000)
    book.record_cash_flow("DIVIDEND", 7)
    book.record_cash_flow("INTEREST", "0.5", currency="EUR")
    buy(book, fee=1)

    euro, dollar = book.get_cash_balances()

    assert (euro.currency, euro.balance, euro.trading) == ("EUR", Decimal("0.5"), 0)
    assert (dollar.external, dollar.income, dollar.trading) == (5000, 7, -1001)
    assert dollar.balance == 4006


def test_a_snapshot_of_several_currencies_needs_their_rates(book: FakeBook) -> None:
    book.record_cash_flow("DEPOSIT", 1000)
    buy(book)
    buy(book, "SAP", currency="EUR", price=50)

    with pytest.raises(MissingRate, match="no rate from EUR to USD"):
        book.take_snapshot()
    assert book.get_latest_portfolio() is None

    portfolio = book.take_snapshot(rates={"EUR": "1.2"})
    assert portfolio.cash_balance == 1000 - 1000 - 600
    assert portfolio.positions_value == 1600
    assert portfolio.rates == {"EUR": "1.2"}
    assert [p.symbol for p in book.get_portfolio_positions(portfolio.id)] == ["AAPL", "SAP"]
    assert book.verify().proven


def test_the_history_of_snapshots_is_newest_first(book: FakeBook, clock: Clock) -> None:
    book.take_snapshot()
    clock.forward(days=40)
    book.record_cash_flow("DEPOSIT", 1)
    newest = book.take_snapshot()

    latest = book.get_latest_portfolio()
    assert latest is not None
    assert latest.id == newest.id
    assert [p.total_value for p in book.get_portfolio_history(days=50)] == [1, 0]
    assert len(book.get_portfolio_history(days=30)) == 1


def test_an_alert_is_raised_once_until_it_is_resolved(book: FakeBook) -> None:
    first = book.raise_alert("drawdown", "CRITICAL", "down 10 %", dedup_key="dd")

    assert book.raise_alert("drawdown", "CRITICAL", "down 11 %", dedup_key="dd").id == first.id
    book.resolve_alert(first.id, "hedged")
    assert book.raise_alert("drawdown", "CRITICAL", "down 12 %", dedup_key="dd").id != first.id
    assert event_types(book) == ["AlertRaised", "AlertResolved", "AlertRaised"]


def test_alerts_without_a_key_are_all_raised(book: FakeBook) -> None:
    assert book.raise_alert("tick", "INFO").id != book.raise_alert("tick", "INFO").id


def test_the_same_resolution_again_changes_nothing_and_another_is_refused(book: FakeBook) -> None:
    alert = book.raise_alert("drawdown", "WARNING")

    assert book.resolve_alert(alert.id, "hedged").resolved_by == "tester"
    assert book.resolve_alert(alert.id, "hedged", resolved_by="bob").resolved_by == "tester"
    with pytest.raises(InvalidTransition, match=r"already resolved by tester .* 'hedged'"):
        book.resolve_alert(alert.id, "ignored")
    with pytest.raises(NotFound, match="no Alert 404"):
        book.resolve_alert(404, "hedged")
    assert event_types(book) == ["AlertRaised", "AlertResolved"]


def test_unresolved_alerts_are_listed_by_severity(book: FakeBook, clock: Clock) -> None:
    book.raise_alert("a", "INFO")
    clock.forward(seconds=1)
    book.raise_alert("b", "CRITICAL")
    seen = book.raise_alert("c", "CRITICAL")
    book.resolve_alert(seen.id, "seen")

    assert [a.alert_type for a in book.get_unresolved_alerts()] == ["b", "a"]
    assert [a.alert_type for a in book.get_unresolved_alerts(severity="INFO")] == ["a"]
    assert len(book.get_alerts()) == 3
    with pytest.raises(InvalidInput, match="one of INFO"):
        book.get_unresolved_alerts(severity="LOUD")


@pytest.mark.parametrize(
    ("record", "other"),
    [
        (lambda b, **t: b.record_signal("AAPL", "BUY", **t), {"confidence": "0.5"}),
        (lambda b, **t: b.record_decision("bot", "AAPL", "BUY", **t), {"reasoning": "no"}),
        (lambda b, **t: b.record_action("bot", "tool_call", **t), {"input": [1]}),
    ],
    ids=["signal", "decision", "action"],
)
def test_what_agents_record_is_recognised_by_its_reference(
    book: FakeBook, clock: Clock, record: Any, other: dict[str, Any]
) -> None:
    first = record(book, reference="r-1")
    clock.forward(minutes=1)

    assert record(book, reference="r-1").id == first.id
    assert len(event_types(book)) == 1
    with pytest.raises(DuplicateRecord, match=f"'r-1' is already .*: {next(iter(other))} is"):
        record(book, reference="r-1", **other)
    assert record(book).id != record(book).id


def test_a_decision_names_the_signals_behind_it(book: FakeBook) -> None:
    ids = [book.record_signal("AAPL", "BUY", source=source).id for source in ("a", "b")]

    decision = book.record_decision("bot", "AAPL", "BUY", signals=[*ids, ids[0]])

    with book.unit_of_work() as uow:
        signals = uow.decisions.with_signals.get(decision.id).signals
        (event,) = uow.events.of("AgentDecision", decision.id)
    assert [signal.source for signal in signals] == ["a", "b"]
    assert event.payload["signals"] == ids
    with pytest.raises(NotFound, match="no Signal 404"):
        book.record_decision("bot", "AAPL", "BUY", signals=[ids[0], 404])


def test_a_decision_takes_one_verdict(book: FakeBook) -> None:
    decision = book.record_decision("bot", "AAPL", "BUY")

    assert book.decide(decision.id, "APPROVED", reason="in limits").status == "APPROVED"
    book.decide(decision.id, "APPROVED")
    book.decide(decision.id, "REJECTED", reason="limits changed")

    with pytest.raises(InvalidTransition, match="is REJECTED and cannot become APPROVED"):
        book.decide(decision.id, "APPROVED")
    assert event_types(book) == ["DecisionRecorded", "DecisionResolved", "DecisionResolved"]


def test_a_step_of_an_unknown_decision_is_refused(book: FakeBook) -> None:
    with pytest.raises(NotFound, match="no AgentDecision 404"):
        book.record_action("bot", "tool_call", decision_id=404)

    assert book.get_actions() == []


def test_lists_are_newest_first_and_narrowed(book: FakeBook, clock: Clock) -> None:
    for agent, symbol in (("a", "AAPL"), ("b", "MSFT"), ("a", "MSFT")):
        book.record_signal(symbol, "HOLD")
        book.record_decision(agent, symbol, "HOLD")
        book.record_action(agent, "tool_call")
        book.record_metric(agent, 1, period_start=clock.now, period_end=clock.now)
        clock.forward(seconds=1)

    assert [s.symbol for s in book.get_signals()] == ["MSFT", "MSFT", "AAPL"]
    assert [s.id for s in book.get_signals(symbol="MSFT", limit=1)] == [3]
    assert [d.id for d in book.get_decisions(agent="a")] == [3, 1]
    assert [a.id for a in book.get_actions(agent="b")] == [2]
    assert [m.id for m in book.get_metrics(name="a")] == [3, 1]


def test_recent_trades_are_within_the_days_and_newest_first(book: FakeBook, clock: Clock) -> None:
    for age in (10, 1, 3):
        buy(book, order_id=f"o-{age}", executed_at=clock.now - timedelta(days=age))

    assert [t.order_id for t in book.get_recent_trades()] == ["o-1", "o-3"]
    assert [t.order_id for t in book.get_trades_by_symbol("AAPL", limit=2)] == ["o-1", "o-3"]
    assert book.get_trades_by_symbol("MSFT") == []


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_handlers_never_commit(book: FakeBook, clock: Clock) -> None:
    with book.unit_of_work() as uow:
        handlers.record_trade(uow, symbol="A", action="BUY", quantity=1, price=1)
        handlers.record_cash_flow(uow, "DEPOSIT", 1)
        handlers.raise_alert(uow, "a", "INFO")
        handlers.record_signal(uow, "A", "BUY")
        handlers.record_decision(uow, "bot", "A", "BUY")
        handlers.record_action(uow, "bot", "tool_call")
        handlers.mark_prices(uow, {"A": 2})
        handlers.take_snapshot(uow)
        handlers.record_metric(uow, "m", 1, period_start=clock.now, period_end=clock.now)

    assert event_types(book) == []
    assert book.get_positions() == []
    assert book.get_recent_trades() == []
    assert book.get_latest_portfolio() is None


def test_handlers_compose_in_one_unit_of_work(book: FakeBook) -> None:
    with book.unit_of_work() as uow:
        signal = handlers.record_signal(uow, "A", "BUY")
        decision = handlers.record_decision(uow, "bot", "A", "BUY", signals=[signal.id])
        handlers.record_trade(
            uow, symbol="A", action="BUY", quantity=1, price=1, decision_id=decision.id
        )
        handlers.mark_prices(uow, {"A": 3})
        portfolio = handlers.take_snapshot(uow)
        uow.commit()

    assert decision.status == "EXECUTED"
    assert portfolio.unrealized_pnl == 2
    assert book.verify().proven


def test_a_conflict_runs_the_whole_unit_of_work_again(book: FakeBook) -> None:
    buy(book)
    tries = []

    def sell_with_a_rival(uow: Any) -> None:
        tries.append(uow.now())
        handlers.record_trade(uow, symbol="AAPL", action="SELL", quantity=1, price=110)
        if len(tries) == 1:
            buy(book)

    book.run(sell_with_a_rival)

    assert len(tries) == 2
    assert tries[0] == tries[1]
    assert book.get_open_positions()[0].quantity == 19


def test_conflicts_that_outlast_every_retry_are_told(book: FakeBook) -> None:
    def always_late(_: Any) -> None:
        raise ConcurrentUpdate("too late")

    with pytest.raises(Exception, match="other writers were first 20 times") as refusal:
        book.run(always_late)

    assert type(refusal.value).__name__ == "BookBusy"
    assert isinstance(refusal.value.__cause__, ConcurrentUpdate)
