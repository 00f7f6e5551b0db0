"""What may be written by hand: each refusal names what was tried, and the rest is let through."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tradebook import (
    Account,
    AgentAction,
    AgentDecision,
    Alert,
    CashFlow,
    Event,
    InvalidInput,
    InvalidTransition,
    PerformanceMetric,
    Portfolio,
    PortfolioPosition,
    Position,
    Signal,
    Trade,
)
from tradebook.domain.edit_rules import check_changes, check_new, check_removal, check_transition
from tradebook.domain.entity import Entity

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def trade(**values: Any) -> Trade:
    return Trade(symbol="X", action="BUY", quantity=1, price=1, **{"id": 7, **values})


def decision(**values: Any) -> AgentDecision:
    return AgentDecision(agent="bot", symbol="X", action="BUY", **{"id": 7, **values})


def portfolio(**values: Any) -> Portfolio:
    return Portfolio(cash_balance=Decimal(1), total_value=Decimal(1), **{"id": 7, **values})


def alert(**values: Any) -> Alert:
    return Alert(alert_type="drawdown", severity="INFO", **{"id": 7, **values})


def row() -> PortfolioPosition:
    held = Position(symbol="X", quantity=Decimal(1), current_price=Decimal(1), sequence=1)
    return PortfolioPosition.from_position(held, NOON)


APPEND_ONLY: list[Entity] = [
    Account(),
    AgentAction(agent="bot", action_type="tool_call"),
    CashFlow(kind="FEE", amount=-1, reference="r"),
    Event(event_type="Noted", entity="Note", entity_id=1, occurred_at=NOON),
    PerformanceMetric(name="sharpe", value=1, period_start=NOON, period_end=NOON),
    portfolio(),
    row(),
    Signal(symbol="X", action="BUY"),
]
INSTEAD = [
    "an account keeps",
    ".*record_action",
    ".*record_cash_flow",
    "the audit trail",
    ".*record_metric",
    ".*take_snapshot",
    ".*take_snapshot",
    ".*record_signal",
]


def kind_of(entity: object) -> str:
    return type(entity).__name__


@pytest.mark.parametrize(
    ("entity", "field", "value", "expected"),
    [
        (trade(status="EXECUTED"), "status", "EXECUTED", "PENDING: record_trade"),
        (trade(status="BUSTED"), "status", "BUSTED", "PENDING: record_trade"),
        (trade(sequence=1), "sequence", 1, "the default: record_trade sets it"),
        (trade(realized_pnl=Decimal(5)), "realized_pnl", Decimal(5), "the default"),
        (trade(bust_reason="typo"), "bust_reason", "typo", "the default"),
        (Position(symbol="X", quantity=Decimal(1)), "quantity", Decimal(1), "the default"),
        (Position(symbol="X", currency="EUR"), "currency", "EUR", "the default"),
        (Position(symbol="X", version=2), "version", 2, "the default"),
        (row(), "portfolio_id", 0, "positions made by take_snapshot"),
        (portfolio(source="book"), "source", "book", "'external', .* take_snapshot"),
        (decision(status="EXECUTED"), "status", "EXECUTED", "another: its first booked trade"),
        (alert(resolved=True), "resolved_at", None, "a time"),
        (alert(resolved_at=NOON), "resolved_at", NOON, "a time"),
    ],
    ids=lambda value: kind_of(value) if isinstance(value, Entity) else str(value)[:12],
)
def test_a_new_record_that_only_a_handler_may_make_is_refused_by_its_field(
    entity: Entity, field: str, value: Any, expected: str
) -> None:
    with pytest.raises(InvalidInput, match=f"^{field}: .*; expected {expected}") as refusal:
        check_new(entity)

    told = refusal.value
    assert (told.field, told.value, type(told.value)) == (field, value, type(value))


@pytest.mark.parametrize(
    "entity",
    [
        trade(),
        trade(status="CANCELLED"),
        Position(symbol="X", current_price=Decimal(5), marked_at=NOON),
        portfolio(),
        portfolio(source="broker"),
        decision(status="APPROVED"),
        alert(),
        alert(resolved=True, resolved_at=NOON),
        Signal(symbol="X", action="BUY"),
    ],
    ids=kind_of,
)
def test_any_other_record_may_be_new(entity: Entity) -> None:
    check_new(entity)


@pytest.mark.parametrize(
    ("entity", "advice"),
    list(zip(APPEND_ONLY, INSTEAD, strict=True)),
    ids=lambda value: kind_of(value) if isinstance(value, Entity) else "",
)
def test_what_is_only_appended_to_never_changes(entity: Entity, advice: str) -> None:
    with pytest.raises(
        InvalidTransition, match=f"{kind_of(entity)} .*: updated_at cannot .*; {advice}"
    ):
        check_changes(entity, {"updated_at"})


@pytest.mark.parametrize(
    ("entity", "changed", "named"),
    [
        (
            trade(),
            {"strategy", "sequence"},
            "Trade 7: sequence cannot .*; it follows .*record_trade",
        ),
        (trade(), {"bust_reason", "booked_at"}, "Trade 7: booked_at cannot change .*record_trade"),
        (Position(id=7, symbol="X"), {"quantity"}, "Position 7: quantity .*record_trade"),
        (Position(id=7, symbol="X"), {"symbol"}, "Position 7: symbol .*record_trade"),
        (decision(), {"status", "reasoning"}, "Decision 7: reasoning .*; record .*record_decision"),
    ],
    ids=lambda value: kind_of(value) if isinstance(value, Entity) else "-",
)
def test_a_change_that_only_a_handler_may_make_is_refused_with_what_to_do(
    entity: Entity, changed: set[str], named: str
) -> None:
    with pytest.raises(InvalidTransition, match=named):
        check_changes(entity, changed)


@pytest.mark.parametrize(
    ("entity", "changed"),
    [
        (trade(), {"price", "quantity", "strategy", "status"}),
        (Position(symbol="X"), {"current_price", "marked_at", "updated_at"}),
        (decision(), {"status"}),
        (alert(), {"severity", "message", "resolved"}),
        (Signal(symbol="X", action="BUY"), set()),
    ],
    ids=lambda value: kind_of(value) if isinstance(value, Entity) else "-",
)
def test_other_changes_are_let_through(entity: Entity, changed: set[str]) -> None:
    check_changes(entity, changed)


@pytest.mark.parametrize(
    ("entity", "before", "after", "named"),
    [
        (trade(), "EXECUTED", "CANCELLED", "Trade 7: status cannot change .* stays EXECUTED"),
        (trade(), "CANCELLED", "PENDING", "Trade 7: status cannot change .* stays CANCELLED"),
        (trade(), "PENDING", "EXECUTED", "Trade 7: status cannot change .*; execute_trade"),
        (trade(), "PENDING", "BUSTED", "Trade 7: status cannot change .*; execute_trade"),
        (decision(), "APPROVED", "EXECUTED", "AgentDecision 7: status .*; its first .* EXECUTED$"),
    ],
    ids=lambda value: kind_of(value) if isinstance(value, Entity) else str(value)[:10],
)
def test_a_status_that_only_a_handler_may_give_is_refused(
    entity: Entity, before: str, after: str, named: str
) -> None:
    with pytest.raises(InvalidTransition, match=named):
        check_transition(entity, before, after)


@pytest.mark.parametrize(
    ("entity", "before", "after"),
    [
        (trade(), "PENDING", "CANCELLED"),
        (decision(), "PROPOSED", "APPROVED"),
        (AgentAction(agent="bot", action_type="tool_call"), "FAILED", "EXECUTED"),
    ],
    ids=lambda value: kind_of(value) if isinstance(value, Entity) else str(value),
)
def test_other_statuses_may_be_given(entity: Entity, before: str, after: str) -> None:
    check_transition(entity, before, after)


@pytest.mark.parametrize(
    ("entity", "named"),
    [
        *((APPEND_ONLY[i], f"^{kind_of(APPEND_ONLY[i])} .*cannot be deleted;") for i in (0, 2, 3)),
        (portfolio(), "^Portfolio 7 cannot be deleted; .*take_snapshot"),
        (row(), "^PortfolioPosition None cannot be deleted"),
        (Position(id=7, symbol="X"), "^Position 7 cannot be deleted; .*record_trade"),
        (trade(status="EXECUTED"), "^Trade 7 is EXECUTED: .*in X.*bust_trade or correct_trade"),
        (trade(status="BUSTED"), "^Trade 7 is BUSTED: .*, and booked trades are never deleted"),
    ],
    ids=lambda value: kind_of(value) if isinstance(value, Entity) else "-",
)
def test_what_is_recorded_for_good_is_not_deleted(entity: Entity, named: str) -> None:
    with pytest.raises(InvalidTransition, match=named):
        check_removal(entity)


@pytest.mark.parametrize(
    "entity",
    [trade(), decision(), alert(), APPEND_ONLY[1], APPEND_ONLY[4], APPEND_ONLY[7]],
    ids=kind_of,
)
def test_the_rest_may_be_deleted(entity: Entity) -> None:
    check_removal(entity)
