"""The rules of direct edits: the table of `tests.support.direct_edits` against the domain's functions."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.support.assorted_records import KINDS
from tests.support.direct_edits import (
    BOOKKEEPING,
    CHANGES,
    IN_SESSIONS,
    KEPT,
    KIND_OF,
    MADE_BY_HANDLERS,
    NEW,
    NEW_STATES,
    REMOVALS,
    Edit,
    names_of,
    new_record,
)
from tradebook import (
    AgentAction,
    AgentDecision,
    Alert,
    InvalidInput,
    InvalidTransition,
    Portfolio,
    Position,
    Trade,
)
from tradebook.domain.edit_rules import (
    LEDGER_STATE,
    check_changes,
    check_new,
    check_removal,
    check_transition,
)
from tradebook.domain.entity import Entity

AHEAD = datetime(2926, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def trade(**values: Any) -> Trade:
    return Trade(symbol="X", action="BUY", quantity=1, price=1, **{"id": 7, **values})


def decision(**values: Any) -> AgentDecision:
    return AgentDecision(agent="bot", symbol="X", action="BUY", **{"id": 7, **values})


def portfolio(**values: Any) -> Portfolio:
    return Portfolio(cash_balance=Decimal(1), total_value=Decimal(1), **{"id": 7, **values})


def alert(**values: Any) -> Alert:
    return Alert(alert_type="drawdown", severity="INFO", **{"id": 7, **values})


def kind_of(entity: object) -> str:
    return type(entity).__name__


FIELDS = {(kind.__name__, field) for kind in KINDS for field in names_of(kind)}


def by_kind(edits: list[Edit]) -> set[tuple[str, str]]:
    """Return the kind and field of each edit."""
    return {(edit.kind.__name__, edit.field) for edit in edits}


def test_the_table_names_every_field_of_every_kind() -> None:
    bookkept = {(kind.__name__, field) for kind in KINDS for field in BOOKKEEPING}
    assert by_kind(CHANGES) == FIELDS - bookkept
    in_sessions = {
        ("Trade", "updated_at"),
        ("Alert", "updated_at"),
    }  # what is written is taken over
    assert {(e.record, e.field) for e in IN_SESSIONS} == {
        (record, field) for record in REMOVALS for field in BOOKKEEPING
    } - in_sessions
    given_by_the_book = {(kind.__name__, field) for kind in KINDS for field in ("id", "account")}
    assert by_kind(NEW) == FIELDS - given_by_the_book
    assert {kind.__name__ for kind in KINDS} == {record.split()[-1] for record in REMOVALS}


def recorded(record: str) -> Entity:
    """Build a record of the table with an id."""
    status = {"status": "EXECUTED"} if record == "booked Trade" else {}
    return new_record(KIND_OF[record.split()[-1]], id=7, **status)  # type: ignore[no-any-return]


@pytest.mark.parametrize("record", REMOVALS)
def test_changes_that_only_a_handler_may_make_are_refused_with_what_to_do(record: str) -> None:
    entity = recorded(record)
    for edit in [e for e in [*CHANGES, *IN_SESSIONS] if e.record == record]:
        refused = edit.advice if edit.advice not in (KEPT, "resolved_at") else None
        if record == "booked Trade":  # the guard and `update` refuse all, by its stored status
            refused = "record_trade" if edit.field in LEDGER_STATE[Trade] else None
        if refused is None:
            check_changes(entity, {edit.field})
            continue
        words = f"^{edit.kind.__name__} 7: {edit.field} cannot change .*{refused}"
        with pytest.raises(InvalidTransition, match=words):
            check_changes(entity, {edit.field})
    check_changes(entity, set())


def test_the_first_field_by_name_that_cannot_change_is_named() -> None:
    with pytest.raises(InvalidTransition, match=r"Trade 7: booked_at cannot change .*record_trade"):
        check_changes(trade(), {"strategy", "sequence", "bust_reason", "booked_at"})


@pytest.mark.parametrize("edit", [*NEW, *NEW_STATES], ids=lambda e: f"{e.record}-{e.field}")
def test_a_new_record_is_taken_or_refused_by_its_field(edit: Edit) -> None:
    entity = new_record(edit.kind, **{edit.field: edit.value})
    if edit.advice is None:
        check_new(entity)
        return
    with pytest.raises(InvalidInput, match=edit.advice) as refusal:
        check_new(entity)
    said = refusal.value
    if edit.record not in MADE_BY_HANDLERS:  # none is made but by its handler
        assert said.field == {"resolved": "resolved_at"}.get(edit.field, edit.field)
        assert said.value == getattr(entity, said.field)


def test_refusals_of_new_records_say_what_is_expected() -> None:
    for entity, words in (
        (trade(status="EXECUTED"), "status: .*; expected PENDING: record_trade"),
        (trade(sequence=1), "sequence: .*; expected the default: record_trade"),
        (portfolio(source="book"), "source: .*; expected 'external', .* take_snapshot"),
        (decision(status="EXECUTED"), "status: .*; expected another: its first booked trade"),
        (alert(resolved=True), "resolved_at: .*; expected a time"),
        (alert(timestamp=AHEAD), "timestamp: .*; expected a time no more than a day after"),
        (trade(executed_at=AHEAD), "executed_at: .*; expected a time no more than a day after"),
        (Position(symbol="X", marked_at=AHEAD), "marked_at: .*; expected a time no more than"),
    ):
        with pytest.raises(InvalidInput, match=f"^{words}"):
            check_new(entity)
    check_new(trade(status="CANCELLED"))
    check_new(alert(resolved=True, resolved_at=NOON))
    check_changes(alert(), {"resolved"})


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


@pytest.mark.parametrize("record", REMOVALS)
def test_what_is_recorded_for_good_is_not_deleted_and_the_rest_may_be(record: str) -> None:
    entity, advice = recorded(record), REMOVALS[record]
    if advice is None:
        check_removal(entity)
    else:
        words = (
            "Trade 7 is EXECUTED: .*in X.*" if record == "booked Trade" else f"{record} 7 cannot be"
        )
        with pytest.raises(InvalidTransition, match=f"^{words}.*{advice}"):
            check_removal(entity)


def test_a_busted_trade_is_not_deleted() -> None:
    with pytest.raises(
        InvalidTransition, match=r"^Trade 7 is BUSTED: .*, and booked trades are never deleted"
    ):
        check_removal(trade(status="BUSTED"))
