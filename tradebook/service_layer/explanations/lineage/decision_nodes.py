"""The part of a tree that is about decisions: signals, inputs, actions, costs, verdicts, and decisions above."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from attrs import frozen

from tradebook.domain.agents import AgentAction, AgentDecision, DecisionStatus
from tradebook.domain.decision_inputs import DecisionInput
from tradebook.domain.events import DecisionResolved, Event
from tradebook.domain.numbers import plain, sums_by_name
from tradebook.domain.signals import Signal
from tradebook.domain.trades import Trade
from tradebook.domain.validation import Json
from tradebook.service_layer.explanations.lineage.explanation import (
    READ,
    SHOWN,
    Amount,
    Explanation,
    NodeKind,
    amounts_in,
    known,
    limited,
    note,
)
from tradebook.service_layer.explanations.lineage.fills import FillRecords
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

T = TypeVar("T")

_AGAINST: Final = (DecisionStatus.REJECTED, DecisionStatus.EXPIRED)


@frozen
class Several(Generic[T]):
    """The records of one kind that belong to some decisions, by the id of the decision.

    Attributes:
        records: in the order in which they were recorded.
        cut_at: the id of the decision whose last records may not have been read; those below have none at all.
            None where all were read.
    """

    records: Mapping[int, Sequence[T]]
    cut_at: int | None

    @classmethod
    def from_newest(cls, found: Sequence[tuple[int, T]]) -> Several[T]:
        """Group records that were read in the order of descending decision ids, one more than `READ` of them."""
        grouped: dict[int, list[T]] = defaultdict(list)
        for decision_id, record in found[:READ]:
            grouped[decision_id].insert(0, record)
        return cls(grouped, found[READ - 1][0] if len(found) > READ else None)

    def of(self, decision_id: int) -> Sequence[T]:
        """Return the records of a decision."""
        return self.records.get(decision_id, ())

    def has_all(self, decision_id: int) -> bool:
        """Return whether all records of a decision were read."""
        return self.cut_at is None or decision_id > self.cut_at


@frozen
class DecisionRecords:
    """Decisions with what led to each, and the decisions above them.

    Attributes:
        decisions: by id.
        signals: behind each.
        inputs: of each.
        actions: that served each.
        events: of each.
    """

    decisions: Mapping[int, AgentDecision]
    signals: Several[Signal]
    inputs: Several[DecisionInput]
    actions: Several[AgentAction]
    events: Several[Event]

    @classmethod
    def read(cls, uow: AbstractUnitOfWork, ids: Collection[int]) -> DecisionRecords:
        """Read decisions, at most 20 levels of those above, and their records: five statements; none for no id."""
        decisions = uow.decisions.ancestry(ids, limit=SHOWN) if ids else []
        return cls.about(uow, decisions)

    @classmethod
    def about(cls, uow: AbstractUnitOfWork, decisions: Sequence[AgentDecision]) -> DecisionRecords:
        """Read the records of decisions that are read already, in four statements."""
        ids, most = [decision.id for decision in decisions], READ + 1
        if not ids:
            empty: Several[Any] = Several({}, None)
            return cls({}, empty, empty, empty, empty)
        inputs = uow.decision_inputs.referring("decision_id", ids, limit=most)
        actions = uow.actions.referring("decision_id", ids, limit=most)
        events = uow.events.referring("entity_id", ids, limit=most, entity=AgentDecision.__name__)
        return cls(
            decisions={decision.id: decision for decision in decisions},
            signals=Several.from_newest(uow.signals.behind(ids, limit=most)),
            inputs=Several.from_newest([(each.decision_id, each) for each in inputs]),
            actions=Several.from_newest([(each.decision_id or 0, each) for each in actions]),
            events=Several.from_newest([(each.entity_id, each) for each in events]),
        )

    def limited(
        self, several: Several[T], decision_id: int, make: Callable[[T], Explanation], noun: str
    ) -> list[Explanation]:
        """Return the nodes of the records of one decision, and a note on how many more there are."""
        is_whole = several.has_all(decision_id)
        return limited(several.of(decision_id), make, noun, is_whole=is_whole)


def words_of(decision: AgentDecision) -> str:
    """Write who decided what: `momentum-bot BUY 60 AAPL, EXECUTED`."""
    quantity = "" if decision.quantity is None else f" {plain(decision.quantity)}"
    return f"{decision.agent} {decision.action}{quantity} {decision.symbol}, {decision.status}"


def decision_node(
    decision_id: int,
    records: DecisionRecords,
    *below: Explanation,
    kind: NodeKind = NodeKind.DECISION,
) -> Explanation:
    """Return the node of a decision: those above it, signals, inputs, actions, cost, verdict, and nodes below."""
    decision = records.decisions.get(decision_id)
    if decision is None:
        return note(f"decision {decision_id} is not in the book any more")
    upon = "made upon " if kind is NodeKind.PARENT else ""
    return Explanation(
        kind=kind,
        title=f"{upon}decision {decision.id}: {words_of(decision)}",
        id=decision.id,
        at=decision.decided_at,
        amounts=_decision_amounts(decision),
        facts=_decision_facts(decision, records),
        children=(
            *(() if kind is NodeKind.CHILD else _above(decision, records)),
            *_behind(decision, records),
            *below,
        ),
    )


def brief_decision(decision: AgentDecision) -> Explanation:
    """Return a decision in short: one node, nothing below it."""
    return Explanation(
        kind=NodeKind.DECISION,
        title=f"decision {decision.id}: {words_of(decision)}",
        id=decision.id,
        at=decision.decided_at,
        amounts=_decision_amounts(decision),
        facts=known(strategy=decision.strategy, model=decision.model, reasoning=decision.reasoning),
    )


def no_decision(noun: str, trade: Trade, records: FillRecords) -> Explanation:
    """Return the note that a trade or order names no decision, with what there is instead."""
    booking = records.booking(trade)
    by = f" {booking.actor} recorded it." if booking is not None and booking.actor else ""
    strategy = f" Its strategy is {trade.strategy}." if trade.strategy else ""
    return note(f"no decision: the {noun} names none.{strategy}{by}")


def _decision_amounts(decision: AgentDecision) -> dict[str, Amount]:
    return {
        **amounts_in(
            "", quantity=decision.quantity, price=decision.price, confidence=decision.confidence
        ),
        **amounts_in(decision.cost_currency, cost=decision.cost),
    }


def _decision_facts(decision: AgentDecision, records: DecisionRecords) -> dict[str, object]:
    actions = records.actions.of(decision.id)
    is_whole = records.actions.has_all(decision.id)
    return known(
        status=decision.status,
        strategy=decision.strategy,
        model=decision.model,
        parameters=decision.parameters,
        prompt_hash=decision.prompt_hash,
        reasoning=decision.reasoning,
        inputs=decision.inputs,
        reference=decision.reference,
        cost="unpriced" if decision.cost is None else None,
        actions=len(actions) or None if is_whole else None,
        unpriced_actions=sum(action.cost is None for action in actions) or None
        if is_whole
        else None,
        input_tokens=_tokens(actions, "input_tokens") if is_whole else None,
        output_tokens=_tokens(actions, "output_tokens") if is_whole else None,
    )


def _tokens(actions: Iterable[AgentAction], name: str) -> int | None:
    counts = [getattr(action, name) for action in actions]
    return sum(count for count in counts if count is not None) or None


def _above(decision: AgentDecision, records: DecisionRecords) -> list[Explanation]:
    """Return the node of the decision upon which another was made; a note where more are above than are read."""
    parent_id = decision.parent_id
    if parent_id is None:
        return []
    if parent_id in records.decisions:
        return [decision_node(parent_id, records, kind=NodeKind.PARENT)]
    return [note(f"made upon decision {parent_id}, and upon those above that")]


def _behind(decision: AgentDecision, records: DecisionRecords) -> list[Explanation]:
    nodes = records.limited(records.signals, decision.id, _signal, "signals")
    nodes += records.limited(records.inputs, decision.id, _input, "inputs")
    nodes += records.limited(records.actions, decision.id, _action, "actions")
    nodes += _costs(decision, records)
    verdicts = [
        e for e in records.events.of(decision.id) if e.event_type == DecisionResolved.__name__
    ]
    nodes += limited(verdicts, _verdict, "verdicts", is_whole=records.events.has_all(decision.id))
    return nodes


def _signal(signal: Signal) -> Explanation:
    source = f" from {signal.source}" if signal.source else ""
    return Explanation(
        kind=NodeKind.SIGNAL,
        title=f"signal {signal.id}: {signal.action} {signal.symbol}{source}",
        id=signal.id,
        at=signal.generated_at,
        amounts={
            **amounts_in(
                "", strength=signal.strength, confidence=signal.confidence, price=signal.price
            ),
            **amounts_in("s", horizon=signal.horizon),
        },
        facts=known(
            source=signal.source,
            strategy=signal.strategy,
            reference=signal.reference,
            details=signal.details,
        ),
    )


def _input(given: DecisionInput) -> Explanation:
    source = f" from {given.source}" if given.source else ""
    return Explanation(
        kind=NodeKind.INPUT,
        title=f"input {given.name}{source}",
        id=given.id,
        at=given.available_at,
        facts={
            "name": given.name,
            "value": given.value,
            "available_at": given.available_at,
            "recorded_at": given.recorded_at,
            "digest": given.digest,
            **known(source=given.source),
        },
    )


def _action(action: AgentAction) -> Explanation:
    return Explanation(
        kind=NodeKind.ACTION,
        title=f"action {action.id}: {action.action_type} of {action.agent}, {action.status}",
        id=action.id,
        at=action.started_at,
        amounts={
            **amounts_in("s", duration=action.duration),
            **amounts_in(action.cost_currency, cost=action.cost),
        },
        facts=known(
            model=action.model,
            input_tokens=action.input_tokens,
            output_tokens=action.output_tokens,
            cost="unpriced" if action.cost is None else None,
            error=action.error,
            input=action.input,
            output=action.output,
            trace_id=action.trace_id,
            span_id=action.span_id,
            reference=action.reference,
        ),
    )


def _costs(decision: AgentDecision, records: DecisionRecords) -> list[Explanation]:
    """Return what a decision cost with its actions, a node for each currency; unpriced steps are in no sum."""
    if not records.actions.has_all(decision.id):
        return [note("its cost is not added up here: not all of its actions are read")]
    steps: list[AgentDecision | AgentAction] = [decision, *records.actions.of(decision.id)]
    priced = [(step.cost, step.cost_currency) for step in steps if step.cost is not None]
    return [
        Explanation(
            kind=NodeKind.COST,
            title=f"cost {plain(cost)} {currency}: the decision and its actions, as far as priced",
            amounts=amounts_in(currency, cost=cost),
        )
        for currency, cost in sums_by_name(priced).items()
    ]


def _verdict(event: Event) -> Explanation:
    status, reason = event.payload.get("status"), event.payload.get("reason")
    facts = {"status": status, "actor": event.actor, "reason": reason}
    return event_node(NodeKind.VERDICT, str(status), event, facts)


def event_node(kind: NodeKind, title: str, event: Event, facts: Mapping[str, Json]) -> Explanation:
    """Return a node of an event, with its actor in the title; facts without a value are left out."""
    by = f" by {event.actor}" if event.actor else ""
    return Explanation(
        kind=kind,
        title=f"{title}{by}",
        id=event.id,
        at=event.occurred_at,
        facts=known(**facts),
    )


def contradiction(trade: Trade, decision: AgentDecision | None) -> list[Explanation]:
    """Return the note that a trade was booked although its decision was rejected or expired."""
    if decision is None or decision.status not in _AGAINST or trade.sequence is None:
        return []
    return [
        note(
            f"decision {decision.id} was {decision.status}, and trade {trade.id} was booked all the same"
        )
    ]
