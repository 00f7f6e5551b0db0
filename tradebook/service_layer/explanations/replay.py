"""Replay: everything that a decision was made from, as it was recorded."""

from __future__ import annotations

from attrs import frozen

from tradebook.domain.agents import AgentDecision
from tradebook.domain.decision_inputs import DecisionInput
from tradebook.domain.validation import argument, record_id
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


@frozen
class Replay:
    """A decision with all that it takes to make it again.

    Attributes:
        decision: the decision with its model, parameters, prompt hash, JSON `inputs`, and its signals.
        inputs: its dated inputs in the order in which they were recorded; `canonical_value` has the bytes of each.
    """

    decision: AgentDecision
    inputs: tuple[DecisionInput, ...]

    @property
    def damaged(self) -> tuple[str, ...]:
        """The names of inputs whose value no longer has the digest that was recorded with it."""
        return tuple(each.name for each in self.inputs if not each.is_intact)


def replay(uow: AbstractUnitOfWork, decision_id: int) -> Replay:
    """Return a decision with every input that was recorded for it, byte for byte, and its model's settings.

    Args:
        uow: a read-only unit of work.
        decision_id: the decision's id.

    Raises:
        NotFound: this account has no such decision.
    """
    id_ = argument("decision_id", record_id, decision_id)
    decision = uow.decisions.with_signals.get(id_)
    return Replay(decision, tuple(uow.decision_inputs.of_decisions([id_])))
