"""Domain events: each change but a quote is recorded as an event in the same transaction.

The methods of the domain return `DomainEvent` objects; `Event` is the record that keeps one. Events are
append-only: the audit trail and the outbox.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar, Final

from attrs import define, field

from tradebook.domain.domain_event import DomainEvent, payload_object
from tradebook.domain.entity import IMMUTABLE, Entity, named_fields
from tradebook.domain.validation import (
    Json,
    identifier,
    optional_id,
    short_text,
    utc,
)


class Effect(StrEnum):
    """The effect of a trade on its position."""

    OPENED = "OPENED"
    INCREASED = "INCREASED"
    REDUCED = "REDUCED"
    CLOSED = "CLOSED"
    FLIPPED = "FLIPPED"


@define(slots=False, eq=False, kw_only=True, field_transformer=named_fields)
class Event(Entity):
    """One entry of the audit trail.

    Attributes:
        event_type: the name of the domain event, such as `TradeRecorded`.
        entity: the kind of the record that changed, such as `Trade`.
        entity_id: its id.
        payload: the particulars; decimals as plain text.
        actor: the user or program that made the call.
        correlation_id: shared by everything done in one call.
        occurred_at: when, UTC.
    """

    dated_by: ClassVar[str] = "occurred_at"

    event_type: str = field(converter=identifier, on_setattr=IMMUTABLE)
    entity: str = field(converter=identifier, on_setattr=IMMUTABLE)
    entity_id: int = field(converter=optional_id)
    payload: dict[str, Json] = field(factory=dict, converter=payload_object, on_setattr=IMMUTABLE)
    actor: str = field(default="", converter=short_text, on_setattr=IMMUTABLE)
    correlation_id: str = field(default="", converter=short_text, on_setattr=IMMUTABLE)
    occurred_at: datetime = field(converter=utc, on_setattr=IMMUTABLE)


class AccountOpened(DomainEvent):
    """An account was used for the first time."""

    base_currency: str


class TradeSubmitted(DomainEvent):
    """An order was recorded that is not filled yet.

    `quantity` is what is open of it; `ordered` what was ordered, where fills came before the order.
    """

    symbol: str
    order_id: str
    action: str
    quantity: Decimal
    price: Decimal | None = None
    ordered: Decimal | None = None


class TradePartiallyFilled(DomainEvent):
    """A fill of `quantity`, a trade of its own, left the rest of a pending order open.

    `changes` holds the open quantity before and after.
    """

    order_id: str
    execution_id: str
    quantity: Decimal
    changes: dict[str, Json]


class TradeBooked(DomainEvent):
    """All values that a trade was booked with; `evidence` lists the defaults that are left out."""

    states_record = False

    symbol: str
    order_id: str
    execution_id: str
    action: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    currency: str
    executed_at: datetime
    sequence: int
    realized_pnl: Decimal
    venue: str | None = None
    fee_currency: str | None = None
    multiplier: Decimal | None = None
    settlement: str | None = None
    asset: str | None = None
    strategy: str | None = None
    decision_id: int | None = None
    details: str | None = None
    booked_at: datetime | None = None
    revision: int | None = None
    corrects: int | None = None
    changes: dict[str, Json] | None = None


class TradeRecorded(TradeBooked):
    """A trade was booked, with its effect on the position.

    `quantity_before` and `quantity_after` are the position's signed quantities. The last fill of a pending
    order has its `changes`, what was `ordered` in all, and by how much the fill `overfilled` what was open.
    """

    effect: Effect
    quantity_before: Decimal
    quantity_after: Decimal
    ordered: Decimal | None = None
    overfilled: Decimal | None = None


class TradeBusted(DomainEvent):
    """A booked trade was taken out: its position is as if it had never been.

    `before` and `after` hold the position's totals, of an import that is undone those around the whole of it;
    `changes` those of the trade; `corrected_by` the number of the revision that counts instead; `undone_import` the id
    of the import that was undone: its orders may be booked again.
    """

    states_record = False

    symbol: str
    order_id: str
    execution_id: str
    revision: int
    sequence: int
    reason: str
    before: dict[str, Json]
    after: dict[str, Json]
    changes: dict[str, Json]
    corrected_by: int | None = None
    undone_import: int | None = None


class TradeCorrected(TradeBooked):
    """A trade was booked in the place of the one that it `corrects`; `changes` are those of the terms."""


class PositionRebuilt(DomainEvent):
    """A position was folded from its trades again, and was not what it should have been.

    `before` and `after` hold the fields that differed; `trades` counts the trades whose realized P&L did; `skipped`
    the versions that were left out so that none comes again.
    """

    states_record = False

    symbol: str
    trades: int
    before: dict[str, Json]
    after: dict[str, Json]
    skipped: int | None = None


class TradeCancelled(DomainEvent):
    """The open part of an order will not be filled: it was cancelled.

    `ordered` is the quantity of the whole order, filled and not.
    """

    order_id: str
    reason: str
    changes: dict[str, Json]
    ordered: Decimal | None = None


class TradeRejected(DomainEvent):
    """The open part of an order will not be filled: the venue refused it.

    `ordered` is the quantity of the whole order, filled and not.
    """

    order_id: str
    reason: str
    changes: dict[str, Json]
    ordered: Decimal | None = None


class CashFlowRecorded(DomainEvent):
    """Cash moved that no trade moved."""

    kind: str
    amount: Decimal
    currency: str
    reference: str


class CashFlowBusted(DomainEvent):
    """A cash flow was taken back by another entry, its reversal."""

    reference: str
    reason: str
    reversal_id: int


class ImportStarted(DomainEvent):
    """An import began; its trades and cash flows are those whose events have its `reference` as correlation id."""

    source: str
    reference: str
    digest: str | None = None


class ImportFinished(DomainEvent):
    """An import ended; `changes` has its counts."""

    changes: dict[str, Json]


class ImportUndone(DomainEvent):
    """All that an import recorded was taken back."""

    reason: str
    changes: dict[str, Json]


class SnapshotTaken(DomainEvent):
    """The portfolio was valued and kept.

    `positions` holds for each open position the hash of its row; `cash_flows` how many cash flows were counted, and
    the highest id of them. Neither is there where a caller built the snapshot.
    """

    total_value: Decimal
    cash_balance: Decimal
    currency: str
    timestamp: datetime
    positions: dict[str, str] | None = None
    cash_flows: list[int] | None = None


class SignalRecorded(DomainEvent):
    """A signal was emitted."""

    symbol: str
    action: str
    source: str


class DecisionRecorded(DomainEvent):
    """An agent made a decision, on these signals."""

    agent: str
    symbol: str
    action: str
    status: str
    signals: list[int]


class DecisionResolved(DomainEvent):
    """A decision was approved, rejected or expired."""

    status: str
    reason: str
    changes: dict[str, Json]


class DecisionExecuted(DomainEvent):
    """The first trade of a decision was booked."""

    trade_id: int
    changes: dict[str, Json]


class InputRecorded(DomainEvent):
    """A piece of data was recorded that a decision was made from."""

    decision_id: int
    name: str
    digest: str


class ActionRecorded(DomainEvent):
    """An agent completed a step."""

    agent: str
    action_type: str
    status: str


class AlertRaised(DomainEvent):
    """An alert was raised."""

    alert_type: str
    severity: str
    message: str


class AlertResolved(DomainEvent):
    """An alert was resolved."""

    resolution: str
    resolved_by: str
    changes: dict[str, Json]


class MetricRecorded(DomainEvent):
    """A performance metric was computed."""

    name: str
    value: Decimal


class RecordCreated(DomainEvent):
    """A record was added without a handler of its own; `values` holds its fields, `signals` those of a decision."""

    values: dict[str, Json]
    signals: list[int] | None = None


class RecordUpdated(DomainEvent):
    """A record was changed without a handler of its own."""

    changes: dict[str, Json]


class RecordDeleted(DomainEvent):
    """A record was deleted; `values` holds what its fields were."""

    states_record = False

    values: dict[str, Json]


def _kinds(kind: type[DomainEvent]) -> Iterator[type[DomainEvent]]:
    for more in kind.__subclasses__():
        yield more
        yield from _kinds(more)


OWN: Final = frozenset(kind.__name__ for kind in _kinds(DomainEvent))
"""The names of the book's own events; applications may not record events under these."""

BOOKINGS: Final = (TradeRecorded.__name__, TradeCorrected.__name__)
"""The events that record the terms with which a trade was booked; each trade has one."""
BUSTS: Final = (TradeBusted.__name__,)
"""The event that records when and why a trade was busted."""

CREATIONS: Final = tuple(
    kind.__name__
    for kind in (
        *(AccountOpened, ActionRecorded, AlertRaised, CashFlowRecorded, DecisionRecorded),
        *(ImportStarted, InputRecorded, MetricRecorded, RecordCreated, SignalRecorded),
        SnapshotTaken,
        *(TradeCorrected, TradeRecorded, TradeSubmitted),
    )
)
"""The events that record a new record; each record has one, a trade that was ordered first two."""
DELETIONS: Final = (RecordDeleted.__name__,)
"""The event after which a record is gone."""
