"""Marks, cash, snapshots, agents, alerts, metrics and events, on every backend."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.support.backends import run_together
from tradebook import (
    AbstractUnitOfWork,
    DuplicateRecord,
    InvalidInput,
    InvalidTransition,
    MissingRate,
    NotFound,
    exact,
    handlers,
)
from tradebook.service_layer.book import Book

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def buy(
    book: Book, symbol: str = "AAPL", quantity: int = 10, price: Any = 100, **terms: Any
) -> None:
    book.record_trade(
        symbol=symbol, action="BUY", quantity=quantity, price=price, executed_at=NOON, **terms
    )


# Marks


def test_marks_value_positions_and_an_older_one_is_ignored(book: Book) -> None:
    buy(book)
    later, earlier = NOON + timedelta(hours=2), NOON + timedelta(hours=1)
    [marked] = book.mark_prices({"AAPL": "110.5", "NEVER-TRADED": 1}, at=later)
    assert (marked.market_value, marked.unrealized_pnl) == (1105, 105)
    assert book.mark_prices({"AAPL": 90}, at=earlier) == []
    [position] = book.get_open_positions()
    assert (position.current_price, position.marked_at) == (Decimal("110.5"), later)
    assert (position.version, position.sequence) == (1, 1)


def test_marks_leave_no_event(book: Book) -> None:
    buy(book)
    before = len(book.read(lambda uow: uow.events.in_order()))
    book.mark_prices({"AAPL": 101})
    book.update_position("AAPL", {"current_price": 102.5})
    assert len(book.read(lambda uow: uow.events.in_order())) == before
    [position] = book.get_open_positions()
    assert position.current_price == Decimal("102.5")


def test_only_the_mark_of_a_position_can_be_set(book: Book) -> None:
    buy(book)
    for field in ("quantity", "realized_pnl", "market_value", "nonsense"):
        with pytest.raises(InvalidInput, match=field):
            book.update_position("AAPL", {field: 1, "current_price": 1})
    with pytest.raises(NotFound, match="'MSFT'"):
        book.update_position("MSFT", {"current_price": 1})
    with pytest.raises(InvalidInput, match=r"prices\['AAPL'\]"):
        book.mark_prices({"AAPL": float("nan")})
    [position] = book.get_open_positions()
    assert position.current_price == 100


def test_a_symbol_with_nothing_but_a_pending_order_cannot_be_marked(book: Book) -> None:
    book.record_trade(symbol="NEW", action="BUY", quantity=1, price=1, status="PENDING")
    assert book.mark_prices({"NEW": 2}) == []
    with pytest.raises(NotFound, match="NEW"):
        book.update_position("NEW", {"current_price": 2})
    with pytest.raises(InvalidInput, match="current_price: 'x'"):
        book.update_position("NEW", {"current_price": "x"})


def test_opening_again_marks_at_the_fill_unless_a_later_mark_exists(book: Book) -> None:
    buy(book)
    book.record_trade(symbol="AAPL", action="SELL", quantity=10, price=105, executed_at=NOON)
    book.mark_prices({"AAPL": 120}, at=NOON + timedelta(hours=1))
    buy(book, price=107)
    [position] = book.get_open_positions()
    assert position.current_price == 120


# Cash and snapshots


def test_cash_is_the_sum_of_flows_and_of_what_positions_paid(book: Book) -> None:
    book.record_cash_flow("DEPOSIT", "10000.000000000000000001")
    book.record_cash_flow("WITHDRAWAL", -500)
    book.record_cash_flow("DIVIDEND", "12.5", symbol="AAPL")
    book.record_cash_flow("DEPOSIT", "1e20", currency="JPY")
    buy(book, fee=1)
    euro, yen = sorted(book.get_cash_balances(), key=lambda b: b.currency, reverse=True)
    assert (euro.currency, euro.external) == ("USD", Decimal("9500.000000000000000001"))
    assert (euro.income, euro.trading) == (Decimal("12.5"), -1001)
    assert euro.balance == Decimal("8511.500000000000000001")
    assert yen.balance == 10**20


def test_a_cash_flow_is_recorded_once_under_its_reference(book: Book) -> None:
    first = book.record_cash_flow("DEPOSIT", 100, reference="wire-1", occurred_at=NOON)
    assert book.record_cash_flow("DEPOSIT", 100, reference="wire-1").id == first.id
    with pytest.raises(DuplicateRecord, match="amount is '100', given '101'"):
        book.record_cash_flow("DEPOSIT", 101, reference="wire-1")
    assert len(book.get_cash_flows()) == 1


def test_cash_flows_of_the_wrong_sign_are_refused(book: Book) -> None:
    for kind, amount in [("DEPOSIT", -1), ("WITHDRAWAL", 1), ("FEE", 0), ("GIFT", 1)]:
        with pytest.raises(InvalidInput):
            book.record_cash_flow(kind, amount)
    assert book.get_cash_flows() == []


def test_a_snapshot_obeys_its_identities_to_the_last_digit(book: Book) -> None:
    book.record_cash_flow("DEPOSIT", "100000.01")
    book.record_cash_flow("INTEREST", "3.3333333333")
    buy(book, "AAPL", 3, "33.333333333", fee="0.1")
    buy(book, "MSFT", 7, "0.7777777", fee="-0.01")
    book.record_trade(symbol="MSFT", action="SELL", quantity=3, price="0.8")
    book.record_trade(symbol="GONE", action="SELL", quantity=3, price="9.99")
    book.record_trade(symbol="GONE", action="BUY", quantity=3, price="7")
    buy(book, "ESZ6", 1, 5000, multiplier=50, settlement="MARGINED")
    book.mark_prices({"AAPL": "34.1", "ESZ6": 4990})
    snapshot = book.take_snapshot()
    s = book.get_latest_portfolio()
    assert s is not None
    assert s.id == snapshot.id
    with exact():
        assert s.total_value == s.cash_balance + s.positions_value
        assert s.total_value == (
            s.external_flows + s.income + s.realized_pnl + s.unrealized_pnl - s.fees
        )
    assert s.external_flows == Decimal("100000.01")
    assert s.gross_exposure == 249500 + Decimal("102.3") + 4 * Decimal("0.8")
    assert s.closed_sequences == {"GONE": 2}
    rows = book.get_portfolio_positions(s.id)
    assert [(row.symbol, row.sequence) for row in rows] == [("AAPL", 1), ("ESZ6", 1), ("MSFT", 2)]
    assert book.verify().proven


def test_a_snapshot_converts_currencies_and_refuses_a_missing_rate_by_name(book: Book) -> None:
    book.record_cash_flow("DEPOSIT", 1000)
    book.record_cash_flow("DEPOSIT", 100, currency="EUR")
    buy(book, "SAP", 1, 90, currency="EUR")
    with pytest.raises(MissingRate, match="EUR"):
        book.take_snapshot()
    assert book.get_latest_portfolio() is None
    snapshot = book.take_snapshot(rates={"EUR": "1.1"})
    assert (snapshot.total_value, snapshot.rates) == (1110, {"EUR": "1.1"})
    assert book.verify().proven


def test_the_history_of_snapshots_is_newest_first(book: Book) -> None:
    taken = [book.take_snapshot() for _ in range(3)]
    history = book.get_portfolio_history(days=1)
    assert [s.id for s in history] == [s.id for s in reversed(taken)]


# Agents


def test_signals_and_decisions_are_recorded_once_under_their_reference(book: Book) -> None:
    signal = book.record_signal(
        "AAPL", "BUY", strength="1.5", confidence="0.75", reference="s-1", horizon=3600
    )
    assert book.record_signal("AAPL", "BUY", reference="s-1").id == signal.id
    with pytest.raises(DuplicateRecord, match="action is 'BUY', given 'SELL'"):
        book.record_signal("AAPL", "SELL", reference="s-1")
    decision = book.record_decision("bot", "AAPL", "BUY", signals=[signal.id], reference="d-1")
    again = book.record_decision("bot", "AAPL", "BUY", signals=[signal.id], reference="d-1")
    assert again.id == decision.id
    other = book.record_signal("AAPL", "BUY")
    with pytest.raises(DuplicateRecord, match="signals"):
        book.record_decision("bot", "AAPL", "BUY", signals=[other.id], reference="d-1")
    with_signals = book.read(lambda uow: uow.decisions.with_signals.get(decision.id))
    assert [s.reference for s in with_signals.signals] == ["s-1"]
    _, read = book.get_signals(symbol="AAPL")
    assert (read.strength, read.horizon) == (Decimal("1.5"), 3600)
    assert book.record_signal("AAPL", "HOLD").id != signal.id


def test_a_decision_of_unknown_signals_is_refused(book: Book) -> None:
    with pytest.raises(NotFound, match="Signal"):
        book.record_decision("bot", "AAPL", "BUY", signals=[10**9])
    assert book.get_decisions() == []


def test_a_decision_is_approved_or_rejected_once(book: Book) -> None:
    decision = book.record_decision("bot", "AAPL", "BUY", quantity=5, reasoning="cheap")
    assert book.decide(decision.id, "APPROVED", reason="within limits").status == "APPROVED"
    book.decide(decision.id, "APPROVED")
    assert book.decide(decision.id, "EXPIRED").status == "EXPIRED"
    with pytest.raises(InvalidTransition, match="EXPIRED"):
        book.decide(decision.id, "APPROVED")
    with pytest.raises(InvalidTransition, match="cannot become PROPOSED"):
        book.decide(decision.id, "PROPOSED")
    with pytest.raises(InvalidInput, match="APPROVED"):
        book.decide(decision.id, "MAYBE")
    events = book.read(lambda uow: uow.events.of("AgentDecision", decision.id))
    assert [e.event_type for e in events] == ["DecisionRecorded"] + ["DecisionResolved"] * 2


def test_a_fill_against_a_rejected_decision_is_kept_and_the_verdict_stands(book: Book) -> None:
    decision = book.record_decision("bot", "AAPL", "BUY")
    book.decide(decision.id, "REJECTED")
    buy(book, decision_id=decision.id)
    assert book.get_decisions()[0].status == "REJECTED"
    assert len(book.get_open_positions()) == 1


def test_actions_of_agents_keep_json_of_any_kind(book: Book) -> None:
    decision = book.record_decision("bot", "AAPL", "BUY")
    book.record_action(
        "bot",
        "tool_call",
        input={"q": ["price", 1]},
        output="150.25",
        duration="0.25",
        cost="0.0003",
        decision_id=decision.id,
        reference="a-1",
    )
    book.record_action("bot", "tool_call", status="FAILED", error="timed out")
    failed, done = book.get_actions(agent="bot")
    assert (done.input, done.output, done.duration) == (
        {"q": ["price", 1]},
        "150.25",
        Decimal("0.25"),
    )
    assert (failed.status, failed.input, failed.error) == ("FAILED", None, "timed out")
    with pytest.raises(NotFound):
        book.record_action("bot", "x", decision_id=10**9)


@pytest.mark.parametrize(
    "value",
    [
        123456789012345678901234567890,
        -(2**64),
        10**500 + 1,
        2**63,
        7,
        1.0,
        0.1,
        True,
        "123456789012345678901234567890",
        "1e5",
        [123456789012345678901234567890, {"n": -(2**70)}],
    ],
    ids=lambda value: repr(value)[:40],
)
def test_json_keeps_every_digit_and_its_type(book: Book, value: object) -> None:
    book.record_action("bot", "tool_call", input=value, output={"nested": [value]})
    [action] = book.get_actions(agent="bot")
    assert repr(action.input) == repr(value)
    assert repr(action.output) == repr({"nested": [value]})


def test_decimals_in_json_come_back_as_their_plain_text(book: Book) -> None:
    price = Decimal("12345678901234567890.123456789012345678")
    book.record_action("bot", "tool_call", input=price, output=[price])
    [action] = book.get_actions(agent="bot")
    assert (action.input, action.output) == (str(price), [str(price)])


# Alerts and metrics


def test_an_alert_is_raised_once_until_it_is_resolved(book: Book) -> None:
    alert = book.raise_alert("drawdown", "WARNING", "10 %", dedup_key="dd")
    assert book.raise_alert("drawdown", "CRITICAL", "20 %", dedup_key="dd").id == alert.id
    assert book.raise_alert("drawdown", "INFO", "no key").id != alert.id
    assert [a.severity for a in book.get_unresolved_alerts(severity="WARNING")] == ["WARNING"]
    assert len(book.get_unresolved_alerts()) == 2
    resolved = book.resolve_alert(alert.id, "hedged", resolved_by="ann")
    assert (resolved.resolved, resolved.resolved_by) == (True, "ann")
    assert book.raise_alert("drawdown", "WARNING", "again", dedup_key="dd").id != alert.id


def test_the_same_resolution_again_is_accepted_and_another_is_refused(book: Book) -> None:
    alert = book.raise_alert("limit", "CRITICAL")
    first = book.resolve_alert(alert.id, "Issue fixed")
    again = book.resolve_alert(alert.id, "Issue fixed")
    assert again.resolved_at == first.resolved_at
    with pytest.raises(InvalidTransition, match="Issue fixed"):
        book.resolve_alert(alert.id, "ignored")
    with pytest.raises(NotFound, match="Alert"):
        book.resolve_alert(alert.id + 10**6, "x")
    events = book.read(lambda uow: uow.events.of("Alert", alert.id))
    assert [e.event_type for e in events] == ["AlertRaised", "AlertResolved"]


def test_an_alert_resolved_and_raised_in_one_unit_of_work_frees_its_key(book: Book) -> None:
    alert = book.raise_alert("limit", "CRITICAL", dedup_key="k")

    def again(uow: AbstractUnitOfWork) -> int:
        handlers.resolve_alert(uow, alert.id, "restarted")
        return handlers.raise_alert(uow, "limit", "CRITICAL", dedup_key="k").id

    assert book.run(again) != alert.id
    assert len(book.get_unresolved_alerts()) == 1


def test_metrics_keep_their_conventions(book: Book) -> None:
    book.record_metric(
        "sharpe_ratio",
        "1.25",
        period_start=NOON,
        period_end=NOON + timedelta(days=30),
        parameters={"periods_per_year": 252},
    )
    [metric] = book.get_metrics(name="sharpe_ratio")
    assert (metric.value, metric.parameters) == (Decimal("1.25"), {"periods_per_year": 252})
    with pytest.raises(InvalidInput, match="period_start"):
        book.record_metric("x", 1, period_start=NOON, period_end=NOON - timedelta(days=1))


# The unit of work


def test_what_fails_half_way_leaves_nothing(book: Book) -> None:
    def half(uow: AbstractUnitOfWork) -> None:
        handlers.record_trade(uow, symbol="X", action="BUY", quantity=1, price=1)
        handlers.raise_alert(uow, "a", "INFO")
        handlers.record_cash_flow(uow, "DEPOSIT", 5)
        raise KeyError("stop")

    with pytest.raises(KeyError):
        book.run(half)
    assert book.get_positions() == []
    assert book.get_alerts() == []
    assert book.get_cash_flows() == []
    assert book.read(lambda uow: uow.events.in_order()) == []


def test_handlers_compose_and_see_each_other(book: Book) -> None:
    def day(uow: AbstractUnitOfWork) -> Any:
        handlers.record_cash_flow(uow, "DEPOSIT", 1000)
        trade = handlers.record_trade(uow, symbol="X", action="BUY", quantity=1, price=10)
        seen = uow.positions.by_symbol("X")
        handlers.record_trade(uow, symbol="X", action="BUY", quantity=2, price=11)
        handlers.mark_prices(uow, {"X": 12})
        assert seen is not None
        assert (seen.quantity, seen.current_price, seen.version) == (3, 12, 2)
        return trade, handlers.take_snapshot(uow)

    trade, snapshot = book.run(day)
    assert snapshot.total_value == 1004
    assert trade.price == 10  # readable after the unit of work
    assert book.verify().proven


def test_every_change_names_who_made_it_in_one_event(book: Book) -> None:
    buy(book, order_id="o-1")
    opened, recorded = book.read(lambda uow: uow.events.in_order())
    assert (opened.event_type, opened.entity) == ("AccountOpened", "Account")
    assert (recorded.event_type, recorded.entity) == ("TradeRecorded", "Trade")
    assert recorded.actor == "tester"
    assert recorded.entity_id == book.get_trades_by_symbol("AAPL")[0].id
    assert recorded.payload["effect"] == "OPENED"
    assert (recorded.payload["price"], recorded.payload["quantity_after"]) == ("100", "10")


def test_changing_a_loaded_record_is_written_by_commit(book: Book) -> None:
    alert = book.raise_alert("a", "INFO", dedup_key="k")

    def rename(uow: AbstractUnitOfWork) -> None:
        loaded = uow.alerts.get(alert.id)
        assert uow.alerts.get(alert.id) is loaded
        loaded.message = "changed"

    book.run(rename)
    assert book.get_alerts()[0].message == "changed"


def test_accounts_are_opened_once_by_many_first_users(book: Book) -> None:
    run_together(
        book,
        handlers.record_cash_flow,
        [{"kind": "DEPOSIT", "amount": i + 1, "reference": f"r{i % 4}"} for i in range(4)] * 2,
    )
    events = book.read(lambda uow: uow.events.in_order())
    assert [e.event_type for e in events].count("AccountOpened") == 1
    assert [e.event_type for e in events].count("CashFlowRecorded") == 4
