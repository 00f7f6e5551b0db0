"""Each entity's own rules: what it refuses, what freezes, and what its state changes return."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs
import pytest

from tradebook import (
    Account,
    AgentAction,
    AgentDecision,
    Alert,
    CashFlow,
    DecisionStatus,
    DuplicateOrder,
    Event,
    InvalidInput,
    InvalidTransition,
    PerformanceMetric,
    Portfolio,
    Position,
    Settlement,
    Signal,
    Trade,
    TradeStatus,
)
from tradebook.domain.events import (
    ActionRecorded,
    AlertRaised,
    AlertResolved,
    DecisionExecuted,
    DecisionRecorded,
    DecisionResolved,
    Effect,
    MetricRecorded,
    SignalRecorded,
    TradeCancelled,
    TradeRecorded,
    TradeRejected,
)
from tradebook.domain.imports import Import
from tradebook.domain.orders import take_order_terms

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)

ENTITIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "Account": (Account, {}),
    "AgentAction": (AgentAction, {"agent": "bot", "action_type": "tool_call"}),
    "AgentDecision": (AgentDecision, {"agent": "bot", "symbol": "AAPL", "action": "BUY"}),
    "Alert": (Alert, {"alert_type": "drawdown", "severity": "WARNING"}),
    "CashFlow": (CashFlow, {"kind": "DEPOSIT", "amount": 1, "reference": "r"}),
    "Event": (
        Event,
        {"event_type": "Tested", "entity": "Trade", "entity_id": 1, "occurred_at": NOW},
    ),
    "Import": (Import, {"source": "f.csv", "reference": "r"}),
    "PerformanceMetric": (
        PerformanceMetric,
        {"name": "sharpe_ratio", "value": 1, "period_start": NOW, "period_end": NOW},
    ),
    "Portfolio": (Portfolio, {"cash_balance": Decimal(1), "total_value": Decimal(1)}),
    "Position": (Position, {"symbol": "AAPL"}),
    "Signal": (Signal, {"symbol": "AAPL", "action": "BUY"}),
    "Trade": (Trade, {"symbol": "AAPL", "action": "BUY", "quantity": 10, "price": "150.25"}),
}


def make(entity: str, **changes: Any) -> Any:
    kind, values = ENTITIES[entity]
    return kind(**{**values, **changes})


@pytest.mark.parametrize("entity", ENTITIES)
def test_every_entity_belongs_to_an_account_and_has_times_in_utc(entity: str) -> None:
    made = make(entity)

    assert made.id is None
    assert made.account == "main"
    assert made.created_at == made.updated_at
    assert made.created_at.tzinfo is UTC


@pytest.mark.parametrize("entity", ENTITIES)
def test_equality_is_identity(entity: str) -> None:
    assert make(entity, created_at=NOW) != make(entity, created_at=NOW)


@pytest.mark.parametrize(
    ("entity", "field", "value", "expected"),
    [
        ("Account", "base_currency", "", "not empty"),
        ("Account", "account", " main", "no blanks around it"),
        ("AgentAction", "agent", "", "not empty"),
        ("AgentAction", "action_type", "", "not empty"),
        ("AgentAction", "input", object(), "a JSON value"),
        ("AgentAction", "output", float("nan"), "a finite number"),
        ("AgentAction", "status", "DONE", "one of SUCCEEDED, FAILED"),
        ("AgentAction", "duration", -1, "0 or above"),
        ("AgentAction", "cost", "-0.01", "0 or above"),
        ("AgentAction", "decision_id", "7", "a record's id"),
        ("AgentAction", "input_tokens", -1, "a count"),
        ("AgentAction", "output_tokens", "7", "a count"),
        ("AgentDecision", "parameters", [], "a mapping"),
        ("AgentDecision", "parent_id", "7", "a record's id"),
        ("AgentDecision", "agent", "", "not empty"),
        ("AgentDecision", "action", "WAIT", "one of BUY, SELL, HOLD"),
        ("AgentDecision", "quantity", 0, "above 0"),
        ("AgentDecision", "confidence", "1.1", "from 0 to 1"),
        ("AgentDecision", "inputs", [1], "a mapping"),
        ("AgentDecision", "status", "MAYBE", "one of PROPOSED"),
        ("AgentDecision", "cost", -1, "0 or above"),
        ("AgentDecision", "reference", "", "not empty"),
        ("Alert", "alert_type", "", "not empty"),
        ("Alert", "severity", "FATAL", "one of INFO, WARNING, CRITICAL, EMERGENCY"),
        ("Alert", "message", 7, "text"),
        ("Alert", "dedup_key", "", "not empty"),
        ("Alert", "timestamp", "now", "a datetime"),
        ("CashFlow", "kind", "GIFT", "one of DEPOSIT"),
        ("CashFlow", "amount", 0, "other than 0"),
        ("CashFlow", "amount", -1, "a DEPOSIT above 0"),
        ("CashFlow", "reference", "", "not empty"),
        ("Event", "event_type", "", "not empty"),
        ("Event", "payload", "text", "a mapping"),
        ("PerformanceMetric", "name", "", "not empty"),
        ("PerformanceMetric", "value", "high", "a number"),
        ("PerformanceMetric", "period_start", NOW + timedelta(1), "not after period_end"),
        ("Portfolio", "cash_balance", "much", "a number such as"),
        ("Position", "symbol", "", "not empty"),
        ("Position", "current_price", "NaN", "a finite number"),
        ("Position", "status", "HALF", "one of OPEN, CLOSED"),
        ("Signal", "symbol", "", "not empty"),
        ("Signal", "action", "purchase", "one of BUY, SELL, HOLD"),
        ("Signal", "confidence", -1, "from 0 to 1"),
        ("Signal", "strength", "strong", "a number"),
        ("Signal", "details", [], "a mapping"),
        ("Trade", "symbol", "", "not empty"),
        ("Trade", "action", "HOLD", "one of BUY, SELL"),
        ("Trade", "quantity", 0, "above 0"),
        ("Trade", "quantity", "-1", "above 0"),
        ("Trade", "price", "NaN", "a finite number"),
        ("Trade", "fee", "free", "a number"),
        ("Trade", "currency", "", "not empty"),
        ("Trade", "multiplier", 0, "above 0"),
        ("Trade", "settlement", "CREDIT", "one of CASH, MARGINED"),
        ("Trade", "executed_at", "today", "a datetime"),
        ("Trade", "order_id", "", "not empty"),
        ("Trade", "execution_id", "x" * 201, "at most 200 characters"),
        ("Trade", "details", {1: 2}, "text as the key"),
        ("Trade", "status", "FILLED", "one of PENDING"),
        ("Trade", "venue", 5, "text"),
    ],
)
def test_a_refusal_names_the_field_the_value_and_what_is_expected(
    entity: str, field: str, value: Any, expected: str
) -> None:
    with pytest.raises(InvalidInput, match=expected) as refusal:
        make(entity, **{field: value})

    assert refusal.value.field == field
    assert str(refusal.value).startswith(f"{field}: ")
    assert isinstance(refusal.value, ValueError)


def test_assignment_converts_and_checks_as_construction_does() -> None:
    alert = make("Alert")

    alert.severity = "CRITICAL"
    with pytest.raises(InvalidInput, match="severity: 'FATAL'"):
        alert.severity = "FATAL"

    assert alert.severity == "CRITICAL"


def test_a_withdrawal_is_below_zero() -> None:
    with pytest.raises(InvalidInput, match="a WITHDRAWAL below 0"):
        make("CashFlow", kind="WITHDRAWAL", amount=5)

    assert make("CashFlow", kind="WITHDRAWAL", amount=-5).amount == -5


@pytest.mark.parametrize(
    ("entity", "field"),
    [
        (entity, field.name)
        for entity in ("AgentAction", "CashFlow", "Event", "PerformanceMetric", "Signal")
        for field in attrs.fields(ENTITIES[entity][0])
        if field.name not in ("id", "account", "created_at", "updated_at", "entity_id")
    ]
    + [("Portfolio", "total_value"), ("Portfolio", "rates"), ("AgentDecision", "reasoning")],
)
def test_records_of_what_happened_are_immutable(entity: str, field: str) -> None:
    made = make(entity)

    with pytest.raises(InvalidTransition, match=f"{field} cannot change; record a new one"):
        setattr(made, field, getattr(made, field))


def test_a_trade_gets_an_order_id_and_its_fee_the_currency_of_the_price() -> None:
    trade = make("Trade", currency="EUR")

    assert trade.fee_currency == "EUR"
    assert len(trade.order_id) == 32
    assert trade.order_id != make("Trade").order_id
    assert trade.status is TradeStatus.PENDING


def test_terms_can_change_until_a_trade_is_booked() -> None:
    trade = make("Trade")
    trade.price = "151"

    trade.book(sequence=1, booked_at=NOW, realized_pnl=Decimal(0))

    assert trade.price == 151
    for term in ("price", "quantity", "fee", "action", "symbol", "executed_at", "settlement"):
        with pytest.raises(InvalidTransition, match=f"{term} cannot change; the terms of a booked"):
            setattr(trade, term, getattr(trade, term))
    trade.strategy = "late label"


def test_a_trade_is_booked_once() -> None:
    trade = make("Trade", order_id="o-1")
    trade.book(sequence=1, booked_at=NOW, realized_pnl=Decimal(0))

    with pytest.raises(InvalidTransition, match="order 'o-1' for AAPL is EXECUTED and cannot be"):
        trade.book(sequence=2, booked_at=NOW, realized_pnl=Decimal(0))

    assert trade.sequence == 1


def test_a_pending_trade_is_cancelled_or_rejected_once() -> None:
    cancelled, rejected = make("Trade", order_id="c"), make("Trade", order_id="r")

    assert cancelled.cancel("changed my mind", NOW) == TradeCancelled(
        order_id="c", reason="changed my mind", changes={"status": ["PENDING", "CANCELLED"]}
    )
    assert cancelled.updated_at == NOW
    assert cancelled.cancel("again", NOW) is None
    assert rejected.reject("no margin", NOW) == TradeRejected(
        order_id="r", reason="no margin", changes={"status": ["PENDING", "REJECTED"]}
    )
    assert rejected.reject("again", NOW) is None
    with pytest.raises(InvalidTransition, match="is CANCELLED and cannot be rejected"):
        cancelled.reject("", NOW)
    with pytest.raises(InvalidTransition, match="is REJECTED and cannot be cancelled"):
        rejected.cancel("", NOW)
    with pytest.raises(InvalidTransition, match="is REJECTED and cannot be booked"):
        rejected.book(sequence=1, booked_at=NOW, realized_pnl=Decimal(0))


def test_a_replay_must_agree_on_the_terms_that_its_caller_gave() -> None:
    recorded = make("Trade", order_id="o-1", fee=1)
    replay = make("Trade", order_id="o-1", price="150.26", fee=2, executed_at=NOW)

    with pytest.raises(DuplicateOrder) as refusal:
        recorded.confirm(replay, {"price", "fee"})

    assert refusal.value.differences == {
        "price": (Decimal("150.25"), Decimal("150.26")),
        "fee": (Decimal(1), Decimal(2)),
    }
    assert "order 'o-1' for AAPL is already recorded with other terms" in str(refusal.value)
    assert "price is '150.25', given '150.26'" in str(refusal.value)
    recorded.confirm(replay, {"quantity", "action"})


def test_only_a_pending_order_can_be_filled() -> None:
    order = make("Trade", order_id="o-1")
    order.cancel("", NOW)

    with pytest.raises(InvalidTransition, match="is CANCELLED and cannot be filled"):
        take_order_terms(make("Trade", order_id="o-1"), order, set())


def test_the_identity_of_a_fill_is_told_in_words() -> None:
    trade = make("Trade", order_id="o-1", execution_id="e-2", venue="XNAS")

    assert trade.identity == "'o-1' execution 'e-2' for AAPL at XNAS"


def test_signed_quantity_is_negative_for_sales() -> None:
    assert make("Trade").signed_quantity == 10
    assert make("Trade", action="SELL").signed_quantity == -10


def test_resolving_an_alert_says_what_happened_and_repeats_nothing() -> None:
    alert = make("Alert", id=7)

    assert alert.resolve("restarted", by="ann", at=NOW) == AlertResolved(
        resolution="restarted",
        resolved_by="ann",
        changes={
            "resolved": [False, True],
            "resolution": [None, "restarted"],
            "resolved_at": [None, NOW],
            "resolved_by": [None, "ann"],
        },
    )
    assert (alert.resolved, alert.resolved_at, alert.updated_at) == (True, NOW, NOW)
    assert alert.resolve("restarted", by="bob", at=NOW) is None
    assert alert.resolved_by == "ann"
    with pytest.raises(InvalidTransition, match=r"alert 7 was already resolved by ann .* 'restart"):
        alert.resolve("ignored", by="bob", at=NOW)


def test_who_resolved_an_alert_may_be_unknown() -> None:
    alert = make("Alert")
    alert.resolve("restarted", by="", at=NOW)

    with pytest.raises(
        InvalidTransition, match="already resolved by an unnamed caller at 2026-03-02"
    ):
        alert.resolve("ignored", by="bob", at=NOW)


def test_a_period_that_ends_before_it_starts_is_refused_with_its_start() -> None:
    with pytest.raises(InvalidInput) as refusal:
        make("PerformanceMetric", period_start=NOW + timedelta(1))

    assert refusal.value.value == "2026-03-03T14:30:00+00:00"


@pytest.mark.parametrize("verdict", ["APPROVED", "REJECTED", "EXPIRED"])
def test_a_proposed_decision_takes_a_verdict(verdict: str) -> None:
    decision = make("AgentDecision")

    happened = decision.resolve(DecisionStatus(verdict), reason="policy", at=NOW)

    changes = {"status": ["PROPOSED", verdict]}
    assert happened == DecisionResolved(status=verdict, reason="policy", changes=changes)
    assert (decision.status, decision.updated_at) == (verdict, NOW)
    assert decision.resolve(DecisionStatus(verdict), reason="policy", at=NOW) is None


@pytest.mark.parametrize(
    ("before", "verdict"),
    [
        ("REJECTED", "APPROVED"),
        ("EXPIRED", "APPROVED"),
        ("EXECUTED", "REJECTED"),
        ("REJECTED", "EXPIRED"),
        ("PROPOSED", "EXECUTED"),
        ("APPROVED", "PROPOSED"),
        ("EXECUTED", "EXECUTED"),
        ("PROPOSED", "PROPOSED"),
    ],
)
def test_a_verdict_stands(before: str, verdict: str) -> None:
    decision = make("AgentDecision", id=3, status=before)

    with pytest.raises(InvalidTransition, match=f"decision 3 is {before} and cannot become"):
        decision.resolve(DecisionStatus(verdict), reason="", at=NOW)

    assert decision.status == before


@pytest.mark.parametrize("before", ["PROPOSED", "APPROVED"])
def test_the_first_booked_trade_executes_a_decision(before: str) -> None:
    decision = make("AgentDecision", status=before)

    changes = {"status": [before, "EXECUTED"]}
    assert decision.execute(11, NOW) == DecisionExecuted(trade_id=11, changes=changes)
    assert decision.execute(12, NOW) is None
    assert decision.status is DecisionStatus.EXECUTED


@pytest.mark.parametrize("before", ["REJECTED", "EXPIRED"])
def test_a_trade_against_a_verdict_leaves_the_contradiction_visible(before: str) -> None:
    decision = make("AgentDecision", status=before)

    assert decision.execute(11, NOW) is None
    assert decision.status == before


def test_an_approved_decision_can_still_be_withdrawn() -> None:
    decision = make("AgentDecision", status="APPROVED")

    assert decision.resolve(DecisionStatus.EXPIRED, reason="", at=NOW) is not None


def test_records_say_what_happened_when_they_were_recorded() -> None:
    signal = make("Signal", id=5, source="model")
    decision = make("AgentDecision", signals=[signal])

    assert signal.recorded() == SignalRecorded(symbol="AAPL", action="BUY", source="model")
    assert decision.recorded() == DecisionRecorded(
        agent="bot", symbol="AAPL", action="BUY", status="PROPOSED", signals=[5]
    )
    assert make("AgentAction").recorded() == ActionRecorded(
        agent="bot", action_type="tool_call", status="SUCCEEDED"
    )
    assert make("Alert").raised() == AlertRaised(
        alert_type="drawdown", severity="WARNING", message=""
    )
    assert make("PerformanceMetric").recorded() == MetricRecorded(
        name="sharpe_ratio", value=Decimal(1)
    )


def test_a_payload_is_json_without_what_is_none() -> None:
    happened = TradeRecorded(
        symbol="AAPL",
        order_id="o-1",
        execution_id="",
        action="BUY",
        quantity=Decimal("1.50"),
        price=Decimal(10),
        fee=Decimal(0),
        currency="USD",
        executed_at=NOW,
        sequence=1,
        effect=Effect.OPENED,
        quantity_before=Decimal(0),
        quantity_after=Decimal("1.5"),
        realized_pnl=Decimal(0),
    )

    payload = happened.payload()

    assert payload["quantity"] == "1.5"
    assert payload["executed_at"] == "2026-03-02T14:30:00+00:00"
    assert payload["effect"] == "OPENED"
    assert payload["sequence"] == 1
    assert "venue" not in payload


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"trade_id": 1}, "changes"),
        ({"trade_id": 1, "changes": {}, "reason": "?"}, "reason"),
        ({"changes": {}, "reason": "?"}, "reason, trade_id"),
    ],
)
def test_what_happened_has_exactly_its_fields(values: dict[str, Any], wrong: str) -> None:
    with pytest.raises(TypeError, match=f"^DecisionExecuted: {wrong}$"):
        DecisionExecuted(**values)


def test_what_happened_has_the_fields_of_its_kind_and_of_the_kinds_above() -> None:
    with pytest.raises(TypeError, match=r"effect, .*, symbol$"):
        TradeRecorded()
    assert DecisionExecuted(trade_id=1, changes={}) != DecisionResolved(
        status="APPROVED", reason="", changes={}
    )


def test_what_happened_is_equal_by_its_values_and_cannot_change() -> None:
    happened = DecisionExecuted(trade_id=1, changes={})

    assert happened == DecisionExecuted(trade_id=1, changes={})
    assert happened != DecisionExecuted(trade_id=2, changes={})
    assert repr(happened) == "DecisionExecuted(trade_id=1, changes={})"
    with pytest.raises(AttributeError, match=r"DecisionExecuted\.trade_id has happened"):
        happened.trade_id = 2  # type: ignore[misc]


def test_settlement_is_cash_unless_told_otherwise() -> None:
    assert make("Trade").settlement is Settlement.CASH


def test_a_price_times_a_float_is_refused_by_python_and_times_a_decimal_is_exact() -> None:
    trade = Trade(symbol="AAPL", action="BUY", quantity=100, price=150.10)
    with pytest.raises(TypeError, match=r"unsupported operand type\(s\) for \*"):
        trade.price * 1.01  # type: ignore[operator]
    assert trade.price * Decimal("1.01") == Decimal("151.601")


def test_none_is_the_default_of_a_field_that_has_one() -> None:
    trade = Trade(
        symbol="AAPL",
        action="buy",
        quantity=1,
        price=2,
        order_id=17,
        execution_id=18,
        executed_at="2026-03-02T12:00+02:00",
        **dict.fromkeys(("fee", "fee_currency", "currency", "venue", "details", "status"), None),  # type: ignore[arg-type]
    )

    assert (trade.order_id, trade.execution_id, trade.action) == ("17", "18", "BUY")
    assert trade.executed_at == datetime(2026, 3, 2, 10, tzinfo=UTC)
    assert (trade.fee, trade.fee_currency, trade.details, trade.status) == (0, "USD", {}, "PENDING")
    with pytest.raises(InvalidInput, match="quantity: None"):
        Trade(symbol="AAPL", action="BUY", quantity=None, price=1)  # type: ignore[arg-type]
