"""Handlers of signals, decisions and actions of agents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

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
    ids = argument("signals", record_ids, terms.pop("signals"))
    dated_inputs = argument("dated_inputs", input_terms, terms.pop("dated_inputs"))
    defaults = {"decided_at": uow.now(), "cost_currency": uow.base_currency}
    decision = AgentDecision(
        **{**defaults, **terms},
        signals=sorted(uow.signals.of_ids(list(dict.fromkeys(ids))), key=lambda s: s.id),
        account=uow.account,
        created_at=uow.now(),
    )
    if decision.parent_id is not None:
        uow.decisions.get(decision.parent_id)
    recorded = uow.decisions.add(dated(uow, decision))
    if recorded is not decision:
        recorded = uow.decisions.with_signals.get(recorded.id)
        if ids:
            terms["signals"] = ids
        confirm(recorded, decision, terms, str(decision.reference))
        record_inputs(uow, recorded.id, dated_inputs)
        return recorded
    made = [_input(uow, decision.id, each) for each in dated_inputs]
    uow.decision_inputs.add_all(made)
    uow.record_all([(decision.recorded(), decision), *((each.recorded(), each) for each in made)])
    return decision


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
    found = []
    for each in argument("inputs", input_terms, inputs):
        made = _input(uow, decision.id, each)
        recorded = uow.decision_inputs.add(made)
        if recorded is made:
            uow.record(made.recorded(), made)
        else:
            named = f"{made.name} of decision {decision.id}"
            stated = given(digest=made.digest, **{**each, "value": None})
            confirm(recorded, made, stated, named)
        found.append(recorded)
    return found


def _input(uow: AbstractUnitOfWork, decision_id: int, terms: InputTerms) -> DecisionInput:
    value = argument("value", json_value, terms["value"])
    rest = given(available_at=terms.get("available_at"), source=terms.get("source"))
    return dated(
        uow,
        DecisionInput(
            **{"available_at": uow.now(), **rest, "name": terms["name"], "value": value},
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
    defaults = {"started_at": uow.now(), "cost_currency": uow.base_currency}
    action = dated(
        uow, AgentAction(**{**defaults, **terms}, account=uow.account, created_at=uow.now())
    )
    if action.decision_id is not None:
        uow.decisions.get(action.decision_id)
    return record_once(uow, uow.actions.add(action), action, terms)
