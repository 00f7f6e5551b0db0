"""Rules of direct edits: `create`, `update` and `delete`, and sessions that the caller opens.

A direct edit may not change a position, a booked trade or the audit trail; each refusal names the
handler to call instead.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from tradebook.domain.agents import AgentAction, AgentDecision, DecisionStatus
from tradebook.domain.alerts import Alert
from tradebook.domain.cash import Account, CashFlow
from tradebook.domain.decision_inputs import DecisionInput
from tradebook.domain.entity import Entity, default_of, same
from tradebook.domain.errors import InvalidInput, InvalidTransition
from tradebook.domain.events import Event
from tradebook.domain.folding import TOTALS
from tradebook.domain.imports import Import
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.portfolio import BOOK, EXTERNAL_SOURCE, Portfolio, PortfolioPosition
from tradebook.domain.positions import INSTRUMENT, MarkSource, Position
from tradebook.domain.seals import Seal
from tradebook.domain.signals import Signal
from tradebook.domain.trades import BOOKED, BUST, Trade, TradeStatus
from tradebook.domain.validation import MAX_AHEAD, require_past, utc_now

LEDGER_STATE: Final[Mapping[type[Entity], Collection[str]]] = {
    Trade: ("sequence", "booked_at", "realized_pnl", "revision", "corrects_id", *BUST[1:]),
    Position: (
        *("symbol", *TOTALS, *INSTRUMENT),
        *("status", "opened_at", "closed_at", "sequence", "version"),
    ),
    CashFlow: ("busts_id", "bust_reason"),
}
"""Fields that follow from booked trades and from busts, and that no direct edit sets."""

_APPEND_ONLY: Final[Mapping[type[Entity], str]] = {
    Account: "an account keeps its base currency",
    AgentAction: "record another action with record_action",
    CashFlow: "take it back with bust_cash_flow",
    DecisionInput: "record another input with record_inputs",
    Event: "the audit trail only grows",
    Import: "take it back with undo_import",
    PerformanceMetric: "record another metric with record_metric",
    Portfolio: "take another snapshot with take_snapshot",
    PortfolioPosition: "take another snapshot with take_snapshot",
    Seal: "a seal never changes",
    Signal: "record another signal with record_signal",
}
"""Kinds of records that never change, with the alternative."""

TIMES: Final[Mapping[type[Entity], str]] = {
    AgentAction: "started_at",
    AgentDecision: "decided_at",
    DecisionInput: "available_at",
    Alert: "timestamp",
    CashFlow: "occurred_at",
    Portfolio: "timestamp",
    Signal: "generated_at",
    Trade: "executed_at",
}
"""The field that holds the time of what a record tells of, which is never far ahead of the clock."""

_KEPT: Final[Mapping[type[Entity], str]] = {
    kind: _APPEND_ONLY[kind]
    for kind in (
        *(Account, CashFlow, DecisionInput, Event, Import),
        *(Portfolio, PortfolioPosition, Seal),
    )
} | {Position: "trade it flat with record_trade"}
"""Kinds of records that are never deleted, with the alternative."""


def check_new(entity: Entity, max_ahead: timedelta = MAX_AHEAD) -> None:
    """Raise InvalidInput, naming the handler to call, for a new record that only a handler may make."""
    if isinstance(entity, Trade) and entity.status in BOOKED:
        raise InvalidInput(
            "status", str(entity.status), "PENDING: record_trade books an executed trade"
        )
    check_ledger_state(entity)
    if isinstance(entity, Position) and entity.mark_source is MarkSource.TRADE:
        raise InvalidInput("mark_source", "TRADE", "QUOTE: record_trade makes the marks of trades")
    if isinstance(entity, PortfolioPosition):
        raise InvalidInput("portfolio_id", entity.portfolio_id, "positions made by take_snapshot")
    if isinstance(entity, Event):
        raise InvalidInput(
            "event_type", entity.event_type, "no direct edit: handlers write the audit trail"
        )
    if isinstance(entity, DecisionInput):
        raise InvalidInput(
            "recorded_at",
            entity.recorded_at,
            "no direct edit: record_decision and record_inputs state when the book recorded it",
        )
    if isinstance(entity, Import):
        raise InvalidInput(
            "source", entity.source, "no direct edit: import_trades makes it, with a source"
        )
    if isinstance(entity, Seal):
        raise InvalidInput("number", entity.number, "no direct edit: `seal` makes them")
    if isinstance(entity, Portfolio) and entity.source == BOOK:
        raise InvalidInput(
            "source", BOOK, f"{EXTERNAL_SOURCE!r}, or another name: take_snapshot makes the book's"
        )
    if isinstance(entity, AgentDecision) and entity.status is DecisionStatus.EXECUTED:
        raise InvalidInput(
            "status", str(entity.status), "another: its first booked trade makes it EXECUTED"
        )
    check_time(entity, utc_now(), max_ahead)
    check_consistent(entity, max_ahead)


def check_time(entity: Entity, at: datetime, max_ahead: timedelta = MAX_AHEAD) -> None:
    """Raise InvalidInput for a record whose time is too far ahead of a clock that is at `at`."""
    field = TIMES.get(type(entity))
    if field is not None:
        require_past(field, getattr(entity, field), at, max_ahead)


def check_ledger_state(entity: Entity) -> None:
    """Raise InvalidInput for a new record with a value that follows from booked trades or a bust."""
    kind = type(entity)
    setter = "bust_cash_flow" if kind is CashFlow else "record_trade"
    for field in LEDGER_STATE.get(kind, ()):
        value = getattr(entity, field)
        if field != "symbol" and not same(value, default_of(entity, field)):
            raise InvalidInput(field, value, f"the default: {setter} sets it")


def check_consistent(entity: Entity, max_ahead: timedelta = MAX_AHEAD) -> None:
    """Raise InvalidInput for a record whose fields contradict each other."""
    if isinstance(entity, Position):
        require_past("marked_at", entity.marked_at, utc_now(), max_ahead)
    if isinstance(entity, Alert) and entity.resolved != (entity.resolved_at is not None):
        raise InvalidInput("resolved_at", entity.resolved_at, "a time, for a resolved alert only")


def check_changes(entity: Entity, changed: Collection[str]) -> None:
    """Refuse changes that only a handler may make.

    Args:
        entity: the record, with its changes.
        changed: the names of the fields that change.

    Raises:
        InvalidTransition: naming a field and what to do instead.
    """
    kind = type(entity)
    for field in sorted(changed):
        if kind in _APPEND_ONLY:
            _refuse_change(entity, field, _APPEND_ONLY[kind])
        if field in LEDGER_STATE.get(kind, ()):
            _refuse_change(entity, field, "it follows from the trades: book one with record_trade")
        if field == "mark_source" and getattr(entity, field) is not MarkSource.QUOTE:
            _refuse_change(entity, field, "record_trade makes the marks of trades")
        if kind is AgentDecision and field != "status":
            _refuse_change(entity, field, "record another decision with record_decision")


def check_transition(entity: Entity, before: str, after: str) -> None:
    """Raise InvalidTransition for a change of status that only a handler may make."""
    if isinstance(entity, Trade):
        if before != TradeStatus.PENDING:
            _refuse_change(entity, "status", f"it stays {before}; record another trade")
        if after in BOOKED:
            _refuse_change(entity, "status", "execute_trade books a pending trade")
    if isinstance(entity, AgentDecision) and after == DecisionStatus.EXECUTED:
        _refuse_change(entity, "status", "its first booked trade makes it EXECUTED")


def check_removal(entity: Entity) -> None:
    """Raise InvalidTransition, naming the alternative, for a record that must not be deleted."""
    kind = type(entity)
    if kind in _KEPT:
        raise InvalidTransition(f"{_label(entity)} cannot be deleted; {_KEPT[kind]}")
    if isinstance(entity, Trade) and entity.status in BOOKED:
        raise InvalidTransition(
            f"{_label(entity)} is {entity.status}: it moved the position in {entity.symbol}, and "
            "booked trades are never deleted; call bust_trade or correct_trade"
        )


def _refuse_change(entity: Entity, field: str, advice: str) -> None:
    raise InvalidTransition(f"{_label(entity)}: {field} cannot change by a direct edit; {advice}")


def _label(entity: Entity) -> str:
    return f"{type(entity).__name__} {entity.id}"
