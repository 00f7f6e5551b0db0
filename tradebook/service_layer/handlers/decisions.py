"""Handlers of a decision as a whole: with its inputs and its actions, in as few statements as there are tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypedDict

from tradebook.domain.agents import ActionStatus, AgentAction, AgentDecision
from tradebook.domain.decision_inputs import InputTerms
from tradebook.domain.numbers import Number
from tradebook.domain.validation import Json
from tradebook.service_layer.handlers._common import Happened, confirm, given
from tradebook.service_layer.handlers.agents import add_decision, add_inputs, new_action
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


class _Step(TypedDict):
    agent: str
    action_type: str


class ActionTerms(_Step, total=False):
    """The terms of an action, as `record_action` takes them; see `AgentAction` for their units."""

    input: Json
    output: Json
    status: ActionStatus | str
    error: str | None
    started_at: datetime
    duration: Number | Decimal
    cost: Number | None
    cost_currency: str | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    trace_id: str | None
    span_id: str | None
    reference: str | None
    decision_id: int | None


def record_decision_with_actions(
    uow: AbstractUnitOfWork,
    *,
    terms: Mapping[str, Any],
    actions: Sequence[ActionTerms] = (),
    noted_at: Mapping[str, datetime] = MappingProxyType({}),
) -> AgentDecision:
    """Record a decision, its inputs, the actions that led to it, and the events of all of them.

    That takes one statement for each of the four tables, and one for each of what it refers to: a parent, signals.

    Args:
        uow: the unit of work.
        terms: the arguments of `record_decision`.
        actions: of the decision, in any order.
        noted_at: by name, the time at which an input was noted that has no `available_at`.

    Returns:
        The recorded decision: this one, or the one recorded before under the same `reference`.

    Raises:
        DuplicateRecord: a reference is taken by a record with other terms.
        NotFound: a signal, or the parent, is not in this account.
        InvalidInput: a value is refused.
    """
    decision, happened = add_decision(uow, given(**terms), noted_at)
    happened += _add_actions(uow, [{**each, "decision_id": decision.id} for each in actions])
    uow.record_all(happened)
    return decision


def record_rest_of_decision(
    uow: AbstractUnitOfWork,
    *,
    decision_id: int | None = None,
    reference: str | None = None,
    inputs: Sequence[InputTerms] = (),
    actions: Sequence[ActionTerms] = (),
    noted_at: Mapping[str, datetime] = MappingProxyType({}),
) -> int | None:
    """Record what a block of code did after its decision, or without one.

    Args:
        uow: the unit of work.
        decision_id: the decision, where it is known to be recorded.
        reference: of a decision whose recording failed: it may be on record, where the answer was lost.
        inputs: of the decision `decision_id`. One that is found by its reference was recorded with its inputs.
        actions: that the block took.
        noted_at: as in `record_decision_with_actions`.

    Returns:
        The id of the decision; None where there is none.
    """
    happened: list[Happened] = []
    if decision_id is not None:
        happened += add_inputs(uow, decision_id, inputs, noted_at)[1]
    elif reference is not None:
        decision_id = next((d.id for d in uow.decisions.page(limit=1, reference=reference)), None)
    happened += _add_actions(uow, [{**each, "decision_id": decision_id} for each in actions])
    uow.record_all(happened)
    return decision_id


def record_actions(uow: AbstractUnitOfWork, actions: Sequence[ActionTerms]) -> None:
    """Record steps of agents; each once under its reference.

    Raises:
        DuplicateRecord: a reference is taken by an action with other terms.
        NotFound: a `decision_id` names no decision of this account.
        InvalidInput: a value is refused.
    """
    for decision_id in dict.fromkeys(each.get("decision_id") for each in actions):
        if decision_id is not None:
            uow.decisions.get(decision_id)
    uow.record_all(_add_actions(uow, actions))


def _add_actions(uow: AbstractUnitOfWork, actions: Sequence[ActionTerms]) -> list[Happened]:
    terms = [given(**each) for each in actions]
    made: list[AgentAction] = [new_action(uow, each) for each in terms]
    happened: list[Happened] = []
    for stated, new, kept in zip(terms, made, uow.actions.add_all(made), strict=True):
        if kept is new:
            happened.append((new.recorded(), new))
        else:
            confirm(kept, new, stated, str(new.reference))
    return happened
