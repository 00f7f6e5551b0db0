"""Handlers of signals, decisions and actions of agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from tradebook.domain.agents import (
    ActionStatus,
    AgentAction,
    AgentDecision,
    DecisionStatus,
    decision_status,
)
from tradebook.domain.decision_inputs import (
    DecisionInput,
    InputTerms,
    input_digest,
    input_terms,
)
from tradebook.domain.numbers import Number
from tradebook.domain.signals import Signal, SignalAction
from tradebook.domain.validation import (
    Json,
    argument,
    json_value,
    long_text,
    record_id,
    record_ids,
)
from tradebook.service_layer.handlers._common import (
    Happened,
    confirm,
    dated,
    given,
    given_terms,
    record_once,
)
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


def record_signal(
    uow: AbstractUnitOfWork,
    symbol: str,
    action: SignalAction | str,
    *,
    strength: Number | None = None,
    confidence: Number | None = None,
    source: str | None = None,
    strategy: str | None = None,
    price: Number | None = None,
    generated_at: datetime | None = None,
    horizon: Number | None = None,
    reference: str | None = None,
    details: dict[str, Json] | None = None,
) -> Signal:
    """Record a signal of a model or an indicator; see `Signal` for the fields and their units.

    Returns:
        The recorded signal: this one, or the one recorded before under the same `reference`.

    Raises:
        DuplicateRecord: the reference is taken by a signal with other terms.
        InvalidInput: a value is refused.
    """
    terms = given_terms(locals(), "symbol", "action")  # before there are other names
    defaults = {"generated_at": uow.now()}
    signal = dated(uow, Signal(**{**defaults, **terms}, account=uow.account, created_at=uow.now()))
    return record_once(uow, uow.signals.add(signal), signal, terms)


def record_decision(
    uow: AbstractUnitOfWork,
    agent: str,
    symbol: str,
    action: SignalAction | str,
    *,
    strategy: str | None = None,
    quantity: Number | None = None,
    price: Number | None = None,
    confidence: Number | None = None,
    reasoning: str | None = None,
    model: str | None = None,
    inputs: dict[str, Json] | None = None,
    decided_at: datetime | None = None,
    cost: Number | None = None,
    cost_currency: str | None = None,
    parent_id: int | None = None,
    parameters: dict[str, Json] | None = None,
    prompt_hash: str | None = None,
    reference: str | None = None,
    signals: Sequence[int] = (),
    dated_inputs: Sequence[InputTerms] = (),
) -> AgentDecision:
    """Record a decision of an agent, as PROPOSED; see `AgentDecision` for the fields and their units.

    `signals` are the ids of the signals behind it. `dated_inputs` are pieces of data that it was made from, each
    with the time at which it became available: they are recorded as a `DecisionInput` each.

    Returns:
        The recorded decision: this one, or the one recorded before under the same `reference`.

    Raises:
        DuplicateRecord: the reference is taken by a decision with other terms or other inputs.
        NotFound: a signal, or the decision `parent_id`, is not in this account.
        InvalidInput: a value is refused.
    """
    terms = given_terms(locals(), "agent", "symbol", "action", "signals", "dated_inputs")
    decision, happened = add_decision(uow, terms)
    uow.record_all(happened)
    return decision


def add_decision(
    uow: AbstractUnitOfWork,
    terms: Mapping[str, Any],
    noted_at: Mapping[str, datetime] = MappingProxyType({}),
) -> tuple[AgentDecision, list[Happened]]:
    """Add a decision with its inputs, and return it with the events that the caller has to record.

    Args:
        uow: the unit of work.
        terms: the arguments of `record_decision`.
        noted_at: see `add_inputs`.
    """
    given_ids, dated_inputs = terms.get("signals", ()), terms.get("dated_inputs", ())
    ids = argument("signals", record_ids, given_ids)
    dated_inputs = argument("dated_inputs", input_terms, dated_inputs)
    own = {k: v for k, v in terms.items() if k not in ("signals", "dated_inputs")}
    defaults = {"decided_at": uow.now(), "cost_currency": uow.base_currency}
    decision = AgentDecision(
        **{**defaults, **own},
        signals=sorted(uow.signals.of_ids(list(dict.fromkeys(ids))), key=lambda s: s.id),
        account=uow.account,
        created_at=uow.now(),
    )
    if decision.parent_id is not None:
        uow.decisions.get(decision.parent_id)
    recorded = uow.decisions.add(dated(uow, decision))
    happened: list[Happened] = []
    if recorded is decision:
        happened.append((decision.recorded(), decision))
    else:
        recorded = uow.decisions.with_signals.get(recorded.id)
        confirm(
            recorded,
            decision,
            {**own, **({"signals": ids} if ids else {})},
            str(decision.reference),
        )
    happened += add_inputs(uow, recorded.id, dated_inputs, noted_at)[1]
    return recorded, happened


def record_inputs(
    uow: AbstractUnitOfWork, decision_id: int, inputs: Sequence[InputTerms]
) -> list[DecisionInput]:
    """Record pieces of data that a recorded decision was made from; see `InputTerms` for each.

    Data that is recorded after the decision was made is no proof of what it was made from: `look_ahead` reports it
    as claimed. Give `record_decision` the inputs that are known when it is called.

    Returns:
        The recorded inputs: these, or those recorded before under the same names.

    Raises:
        NotFound: this account has no such decision.
        DuplicateRecord: the decision has another input of this name.
        InvalidInput: a value is refused.
    """
    decision = uow.decisions.get(argument("decision_id", record_id, decision_id))
    recorded, happened = add_inputs(uow, decision.id, argument("inputs", input_terms, inputs))
    uow.record_all(happened)
    return recorded


def add_inputs(
    uow: AbstractUnitOfWork,
    decision_id: int,
    inputs: Sequence[InputTerms],
    noted_at: Mapping[str, datetime] = MappingProxyType({}),
) -> tuple[list[DecisionInput], list[Happened]]:
    """Add inputs of a decision, and return those on record with the events that the caller has to record.

    Args:
        uow: the unit of work.
        decision_id: of a decision of this account.
        inputs: checked terms.
        noted_at: by name, the time at which an input was noted whose terms have no `available_at`: no later than
            that it was available.
    """
    made = [_input(uow, decision_id, each, noted_at) for each in inputs]
    recorded = uow.decision_inputs.add_all(made)
    happened: list[Happened] = []
    for given_now, new, kept in zip(inputs, made, recorded, strict=True):
        if kept is new:
            happened.append((new.recorded(), new))
        else:
            stated = given(digest=new.digest, **{**given_now, "value": None})
            confirm(kept, new, stated, f"{new.name} of decision {decision_id}")
    return recorded, happened


def _input(
    uow: AbstractUnitOfWork,
    decision_id: int,
    terms: InputTerms,
    noted_at: Mapping[str, datetime],
) -> DecisionInput:
    value = argument("value", json_value, terms["value"])
    noted = min(noted_at.get(terms["name"], uow.now()), uow.now())
    rest = given(available_at=terms.get("available_at"), source=terms.get("source"))
    return dated(
        uow,
        DecisionInput(
            **{"available_at": noted, **rest, "name": terms["name"], "value": value},
            account=uow.account,
            created_at=uow.now(),
            recorded_at=uow.now(),
            decision_id=decision_id,
            digest=input_digest(value),
        ),
    )


def decide(
    uow: AbstractUnitOfWork,
    decision_id: int,
    status: DecisionStatus | str,
    *,
    reason: str = "",
) -> AgentDecision:
    """Approve, reject or expire a decision; the same verdict again changes nothing.

    Args:
        uow: the unit of work.
        decision_id: the decision's id.
        status: APPROVED, REJECTED or EXPIRED.
        reason: kept in the event.

    Raises:
        NotFound: there is no such decision.
        InvalidTransition: it has another verdict already, or was executed.
    """
    verdict = argument("status", decision_status, status)
    why = argument("reason", long_text, reason)
    decision = uow.decisions.get(argument("decision_id", record_id, decision_id), lock=True)
    uow.record(decision.resolve(verdict, reason=why, at=uow.now()), decision)
    return decision


def record_action(
    uow: AbstractUnitOfWork,
    agent: str,
    action_type: str,
    *,
    input: Json = None,
    output: Json = None,
    status: ActionStatus | str | None = None,
    error: str | None = None,
    started_at: datetime | None = None,
    duration: Number | None = None,
    cost: Number | None = None,
    cost_currency: str | None = None,
    model: str | None = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    trace_id: str | None = None,
    span_id: str | None = None,
    reference: str | None = None,
    decision_id: int | None = None,
) -> AgentAction:
    """Record one step of an agent; see `AgentAction` for the fields and their units.

    Returns:
        The recorded action: this one, or the one recorded before under the same `reference`.

    Raises:
        DuplicateRecord: the reference is taken by an action with other terms.
        NotFound: `decision_id` names no decision of this account.
        InvalidInput: a value is refused.
    """
    terms = given_terms(locals(), "agent", "action_type")
    action = new_action(uow, terms)
    if action.decision_id is not None:
        uow.decisions.get(action.decision_id)
    return record_once(uow, uow.actions.add(action), action, terms)


def new_action(uow: AbstractUnitOfWork, terms: Mapping[str, Any]) -> AgentAction:
    """Make an action of the arguments of `record_action`, with the time of the call as default."""
    defaults = {"started_at": uow.now(), "cost_currency": uow.base_currency}
    made = AgentAction(**{**defaults, **terms}, account=uow.account, created_at=uow.now())
    return dated(uow, made)
