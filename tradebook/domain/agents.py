"""Decisions of AI agents with the signals behind them, and the single steps that agents took."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar, Final, NamedTuple

from attrs import define, field

from tradebook.domain.entity import IMMUTABLE, LINKS, Entity, named_fields
from tradebook.domain.errors import InvalidInput, InvalidTransition
from tradebook.domain.events import (
    ActionRecorded,
    DecisionExecuted,
    DecisionRecorded,
    DecisionResolved,
)
from tradebook.domain.numbers import (
    ZERO,
    Number,
    non_negative,
    optional_fraction,
    optional_non_negative,
    optional_number,
    positive,
)
from tradebook.domain.plain_values import entries, is_instance
from tradebook.domain.signals import Signal, SignalAction, signal_action
from tradebook.domain.validation import (
    Json,
    enum_member,
    identifier,
    json_object,
    json_value,
    long_text,
    optional_count,
    optional_id,
    optional_identifier,
    optional_json_object,
    optional_long_text,
    short_text,
    utc,
    utc_now,
)


class DecisionStatus(StrEnum):
    """PROPOSED until APPROVED, REJECTED or EXPIRED; EXECUTED by its first booked trade."""

    PROPOSED = "PROPOSED"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    EXECUTED = "EXECUTED"


class ActionStatus(StrEnum):
    """The outcomes of an agent's step."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


def decision_status(value: DecisionStatus | str) -> DecisionStatus:
    """Convert text to a `DecisionStatus`."""
    return enum_member(DecisionStatus, value)


def action_status(value: ActionStatus | str) -> ActionStatus:
    """Convert text to an `ActionStatus`."""
    return enum_member(ActionStatus, value)


def optional_quantity(value: Number | None) -> Decimal | None:
    """Convert a quantity above 0 that may be left out."""
    return None if value is None else positive(value)


def signal_list(value: Iterable[Signal]) -> list[Signal]:
    """Collect signals in a list, refusing anything else."""
    signals = entries(value)
    for signal in signals:
        if not is_instance(signal, Signal):
            raise InvalidInput("", signal, "a Signal")
    return signals


_VERDICTS: Final = (DecisionStatus.APPROVED, DecisionStatus.REJECTED, DecisionStatus.EXPIRED)
UNDECIDED: Final = (DecisionStatus.PROPOSED, DecisionStatus.APPROVED)
"""The statuses that the first booked trade changes to EXECUTED."""


@define(slots=False, eq=False, kw_only=True, field_transformer=named_fields)
class AgentDecision(Entity):
    """A decision of an agent: what to do, why, and what became of it.

    Attributes:
        agent: the name of the agent.
        strategy: the strategy that it decides for.
        symbol: the instrument.
        action: BUY, SELL or HOLD.
        quantity: how much, above 0; none for HOLD or when left open.
        price: the limit or the expected price.
        confidence: the probability, from 0 to 1, that the agent gives to being right; None where it gave none,
            which is not certainty.
        reasoning: the agent's explanation.
        model: the model and version that decided.
        inputs: the data that it decided on, as JSON. A `DecisionInput` also says when its data became available.
        status: see `DecisionStatus`.
        decided_at: the time of the decision, UTC.
        cost: of making the decision, in `cost_currency`, 0 or above: what the costs of its actions do not contain.
            0 is free; None is unpriced.
        cost_currency: of the cost.
        parent_id: the decision that this one was made upon, as a risk manager's is upon a trader's.
        parameters: of the model, such as its temperature and seed, as JSON; None where not recorded.
        prompt_hash: a digest of the prompt, such as its SHA-256 in hexadecimal; None where not recorded.
        reference: unique in the account where given; recording the same decision again returns the first.
        signals: the signals behind it; loaded only by `with_signals` reads.
    """

    ordered_by: ClassVar[str] = "decided_at"

    agent: str = field(converter=identifier, on_setattr=IMMUTABLE)
    strategy: str = field(default="", converter=short_text, on_setattr=IMMUTABLE)
    symbol: str = field(converter=identifier, on_setattr=IMMUTABLE)
    action: SignalAction = field(converter=signal_action, on_setattr=IMMUTABLE)
    quantity: Decimal | None = field(
        default=None, converter=optional_quantity, on_setattr=IMMUTABLE
    )
    price: Decimal | None = field(default=None, converter=optional_number, on_setattr=IMMUTABLE)
    confidence: Decimal | None = field(
        default=None, converter=optional_fraction, on_setattr=IMMUTABLE
    )
    reasoning: str = field(default="", converter=long_text, on_setattr=IMMUTABLE)
    model: str = field(default="", converter=short_text, on_setattr=IMMUTABLE)
    inputs: dict[str, Json] = field(factory=dict, converter=json_object, on_setattr=IMMUTABLE)
    status: DecisionStatus = field(default=DecisionStatus.PROPOSED, converter=decision_status)
    decided_at: datetime = field(factory=utc_now, converter=utc, on_setattr=IMMUTABLE)
    cost: Decimal | None = field(
        default=None, converter=optional_non_negative, on_setattr=IMMUTABLE
    )
    cost_currency: str = field(default="USD", converter=identifier, on_setattr=IMMUTABLE)
    parent_id: int | None = field(default=None, converter=optional_id, on_setattr=IMMUTABLE)
    parameters: dict[str, Json] | None = field(
        default=None, converter=optional_json_object, on_setattr=IMMUTABLE
    )
    prompt_hash: str | None = field(
        default=None, converter=optional_identifier, on_setattr=IMMUTABLE
    )
    reference: str | None = field(default=None, converter=optional_identifier, on_setattr=IMMUTABLE)
    signals: list[Signal] = field(factory=list, converter=signal_list, repr=False, metadata=LINKS)

    def recorded(self) -> DecisionRecorded:
        """Return the event that recording this decision emits."""
        return DecisionRecorded(
            agent=self.agent,
            symbol=self.symbol,
            action=self.action,
            status=self.status,
            signals=[signal.id for signal in self.signals],
        )

    def resolve(
        self, verdict: DecisionStatus, *, reason: str, at: datetime
    ) -> DecisionResolved | None:
        """Approve, reject or expire the decision; the same verdict again changes nothing.

        Returns:
            The event to record; None where the verdict was given before.

        Raises:
            InvalidTransition: not one of these verdicts, or the decision has another one already.
        """
        if self.status is verdict and verdict in _VERDICTS:
            return None
        if verdict not in _VERDICTS or self.status not in UNDECIDED:
            raise InvalidTransition(
                f"decision {self.id} is {self.status} and cannot become {verdict}; a PROPOSED one "
                "can be APPROVED, REJECTED or EXPIRED, an APPROVED one REJECTED or EXPIRED"
            )
        return DecisionResolved(status=verdict, reason=reason, changes=self._become(verdict, at))

    def execute(self, trade_id: int, at: datetime) -> DecisionExecuted | None:
        """Become EXECUTED by the first trade that was booked for this decision.

        A trade booked against a REJECTED or EXPIRED decision happened at the venue and is kept; the
        decision keeps its status, so that the contradiction stays visible.

        Returns:
            The event to record; None where the status stays.
        """
        if self.status not in UNDECIDED:
            return None
        return DecisionExecuted(
            trade_id=trade_id, changes=self._become(DecisionStatus.EXECUTED, at)
        )

    def _become(self, status: DecisionStatus, at: datetime) -> dict[str, Json]:
        before, self.status, self.updated_at = self.status, status, at
        return {"status": [before, status]}


class DecisionFacts(NamedTuple):
    """The fields of an `AgentDecision` that judging its quality reads, under their names there."""

    id: int
    agent: str
    symbol: str
    action: SignalAction
    quantity: Decimal | None
    price: Decimal | None
    confidence: Decimal | None
    status: DecisionStatus
    decided_at: datetime

    @property
    def direction(self) -> int:
        """1 for BUY, -1 for SELL, 0 for HOLD."""
        return _DIRECTIONS[self.action]


_DIRECTIONS: Final = {SignalAction.BUY: 1, SignalAction.SELL: -1, SignalAction.HOLD: 0}


@define(slots=False, eq=False, kw_only=True, field_transformer=named_fields)
class AgentAction(Entity):
    """One step that an agent took: a tool call, a model call.

    Attributes:
        agent: the name of the agent.
        action_type: the kind, such as `tool_call`.
        input, output: of the step, as JSON values.
        status: SUCCEEDED or FAILED.
        error: the error of a FAILED step.
        started_at: the time when it began, UTC.
        duration: of the step, in seconds, 0 or above.
        cost: of the step, in `cost_currency`, 0 or above; 0 is free, None is unpriced.
        cost_currency: of the cost.
        model: the model and version that was called; None for a step that called none.
        input_tokens, output_tokens: tokens that the model read and wrote; None where not recorded.
        trace_id, span_id: of the OpenTelemetry span of the step, in hexadecimal; None where there is none.
        reference: unique in the account where given; recording the same step again returns the first.
        decision_id: the decision that it served.
    """

    ordered_by: ClassVar[str] = "started_at"

    agent: str = field(converter=identifier, on_setattr=IMMUTABLE)
    action_type: str = field(converter=identifier, on_setattr=IMMUTABLE)
    input: Json = field(default=None, converter=json_value, on_setattr=IMMUTABLE)
    output: Json = field(default=None, converter=json_value, on_setattr=IMMUTABLE)
    status: ActionStatus = field(
        default=ActionStatus.SUCCEEDED, converter=action_status, on_setattr=IMMUTABLE
    )
    error: str | None = field(default=None, converter=optional_long_text, on_setattr=IMMUTABLE)
    started_at: datetime = field(factory=utc_now, converter=utc, on_setattr=IMMUTABLE)
    duration: Decimal = field(default=ZERO, converter=non_negative, on_setattr=IMMUTABLE)
    cost: Decimal | None = field(
        default=None, converter=optional_non_negative, on_setattr=IMMUTABLE
    )
    cost_currency: str = field(default="USD", converter=identifier, on_setattr=IMMUTABLE)
    model: str | None = field(default=None, converter=optional_identifier, on_setattr=IMMUTABLE)
    input_tokens: int | None = field(default=None, converter=optional_count, on_setattr=IMMUTABLE)
    output_tokens: int | None = field(default=None, converter=optional_count, on_setattr=IMMUTABLE)
    trace_id: str | None = field(default=None, converter=optional_identifier, on_setattr=IMMUTABLE)
    span_id: str | None = field(default=None, converter=optional_identifier, on_setattr=IMMUTABLE)
    reference: str | None = field(default=None, converter=optional_identifier, on_setattr=IMMUTABLE)
    decision_id: int | None = field(default=None, converter=optional_id, on_setattr=IMMUTABLE)

    def recorded(self) -> ActionRecorded:
        """Return the event that recording this action emits."""
        return ActionRecorded(agent=self.agent, action_type=self.action_type, status=self.status)
