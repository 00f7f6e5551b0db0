"""What happened: each change but a mark leaves one of these as an `Event` record.

The classes are what the domain's methods return; `Event` is how one is kept, in the same
transaction as the change. Events are append-only: the audit trail and the outbox.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Final, NoReturn, Self, dataclass_transform

from attrs import define, field

from tradebook.domain.entity import IMMUTABLE, Entity, named_fields
from tradebook.domain.limits import MAX_NAME
from tradebook.domain.numbers import plain
from tradebook.domain.validation import (
    Json,
    event_payload,
    identifier,
    optional_id,
    short_text,
    utc,
)


class Effect(StrEnum):
    """What a trade did to its position."""

    OPENED = "OPENED"
    INCREASED = "INCREASED"
    REDUCED = "REDUCED"
    CLOSED = "CLOSED"
    FLIPPED = "FLIPPED"


class JsonPayload(dict[str, Json]):
    """A payload that is JSON already."""


def _payload(value: Mapping[str, Json]) -> dict[str, Json]:
    return value if type(value) is JsonPayload else event_payload(value)


@define(slots=False, eq=False, kw_only=True, field_transformer=named_fields)
class Event(Entity):
    """One entry of the audit trail.

    Attributes:
        event_type: the name of what happened, such as `TradeRecorded`.
        entity: the kind of the record that changed, such as `Trade`.
        entity_id: its id.
        payload: the particulars; decimals as plain text.
        actor: who did it.
        correlation_id: shared by everything done in one call.
        occurred_at: when, UTC.
    """

    dated_by: ClassVar[str] = "occurred_at"

    event_type: str = field(converter=identifier, on_setattr=IMMUTABLE)
    entity: str = field(converter=identifier, on_setattr=IMMUTABLE)
    entity_id: int = field(converter=optional_id)
    payload: dict[str, Json] = field(factory=dict, converter=_payload, on_setattr=IMMUTABLE)
    actor: str = field(default="", converter=short_text, on_setattr=IMMUTABLE)
    correlation_id: str = field(default="", converter=short_text, on_setattr=IMMUTABLE)
    occurred_at: datetime = field(converter=utc, on_setattr=IMMUTABLE)


def _at_once(value: Json) -> Json:
    """A value as JSON, where it can be nothing else: each booking tells some twenty. Else none."""
    kind = type(value)
    if kind is str and len(value) <= MAX_NAME and value.isascii() and value.isprintable():
        return value
    if kind is Decimal:
        return plain(value)
    if kind is datetime and value.tzinfo is UTC:
        return value.isoformat()
    return value.value if issubclass(kind, StrEnum) else None


@dataclass_transform(kw_only_default=True, frozen_default=True)
class DomainEvent:
    """Something that happened to one record; its kinds say by annotations what is known of it.

    Where something changed, `changes` holds, for each changed field, the value before and the value after.
    """

    _required: ClassVar[frozenset[str]] = frozenset()
    _fields: ClassVar[frozenset[str]] = frozenset()

    # Not made by attrs, which would compile methods for each of the kinds whenever a program starts.
    def __init_subclass__(cls) -> None:
        cls._fields = cls._fields.union(cls.__annotations__)
        cls._required = frozenset(field for field in cls._fields if not hasattr(cls, field))

    def __init__(self, **values: Any) -> None:
        given = values.keys()
        if not self._required <= given <= self._fields:
            wrong = (self._required - given) | (given - self._fields)
            raise TypeError(f"{type(self).__name__}: {', '.join(sorted(wrong))}")
        vars(self).update(values)

    def __setattr__(self, field: str, _value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{field} has happened")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._known() == other._known()

    def __repr__(self) -> str:
        known = ", ".join(f"{name}={value!r}" for name, value in self._known().items())
        return f"{type(self).__name__}({known})"

    def _known(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}

    def with_changes(self, changes: dict[str, Json]) -> Self:
        """The same, with what it changed."""
        return type(self)(**{**vars(self), "changes": changes})

    def payload(self) -> JsonPayload:
        """What is known of it, by name, as JSON; fields that are none are left out."""
        known = self._known()
        told = {name: _at_once(value) for name, value in known.items()}
        rest = {name: known[name] for name, value in told.items() if value is None}
        return JsonPayload({**told, **event_payload(rest)})


class AccountOpened(DomainEvent):
    """An account was used for the first time."""

    base_currency: str


class TradeSubmitted(DomainEvent):
    """A trade was recorded that is not filled yet."""

    symbol: str
    order_id: str
    action: str
    quantity: Decimal
    price: Decimal


class TradeBooked(DomainEvent):
    """All that a trade was booked with: see `Trade.evidence`, which says what is left out."""

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
    strategy: str | None = None
    decision_id: int | None = None
    details: str | None = None
    booked_at: datetime | None = None
    revision: int | None = None
    corrects: int | None = None
    changes: dict[str, Json] | None = None


class TradeRecorded(TradeBooked):
    """A trade was booked, with what it did to its position.

    `quantity_before` and `quantity_after` are the position's signed quantities, `changes` what became of
    the pending order that it filled.
    """

    effect: Effect
    quantity_before: Decimal
    quantity_after: Decimal


class TradeBusted(DomainEvent):
    """A booked trade was taken out: its position is as if it had never been.

    `before` and `after` hold the position's totals; `changes` what became of the trade; `corrected_by`
    the number of the revision that counts instead.
    """

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


class TradeCorrected(TradeBooked):
    """A trade was booked in the place of the one that it `corrects`; `changes` are those of the terms."""


class PositionRebuilt(DomainEvent):
    """A position was folded from its trades again, and was not what it should have been.

    `before` and `after` hold the fields that differed; `trades` counts the trades whose realized P&L did.
    """

    symbol: str
    trades: int
    before: dict[str, Json]
    after: dict[str, Json]


class TradeCancelled(DomainEvent):
    """A pending trade will not be filled: it was cancelled."""

    order_id: str
    reason: str
    changes: dict[str, Json]


class TradeRejected(DomainEvent):
    """A pending trade will not be filled: the venue refused it."""

    order_id: str
    reason: str
    changes: dict[str, Json]


class CashFlowRecorded(DomainEvent):
    """Cash moved that no trade moved."""

    kind: str
    amount: Decimal
    currency: str
    reference: str


class SnapshotTaken(DomainEvent):
    """The portfolio was valued and kept."""

    total_value: Decimal
    cash_balance: Decimal
    currency: str
    timestamp: datetime


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


class ActionRecorded(DomainEvent):
    """An agent took a step."""

    agent: str
    action_type: str
    status: str


class AlertRaised(DomainEvent):
    """Something needs attention."""

    alert_type: str
    severity: str
    message: str


class AlertResolved(DomainEvent):
    """An alert was dealt with."""

    resolution: str
    resolved_by: str
    changes: dict[str, Json]


class MetricRecorded(DomainEvent):
    """A performance metric was computed."""

    name: str
    value: Decimal


class RecordCreated(DomainEvent):
    """A record was added without a handler of its own.

    `values` holds its fields.
    """

    values: dict[str, Json]


class RecordUpdated(DomainEvent):
    """A record was changed without a handler of its own."""

    changes: dict[str, Json]


class RecordDeleted(DomainEvent):
    """A record was deleted.

    `values` holds what its fields were.
    """

    values: dict[str, Json]


def _kinds(kind: type[DomainEvent]) -> Iterator[type[DomainEvent]]:
    for more in kind.__subclasses__():
        yield more
        yield from _kinds(more)


OWN: Final = frozenset(kind.__name__ for kind in _kinds(DomainEvent))
"""The names of what the book itself records: nobody else says that a trade was booked."""

BOOKINGS: Final = (TradeRecorded.__name__, TradeCorrected.__name__)
"""The events that say with which terms a trade was booked; each trade has one."""
BUSTS: Final = (TradeBusted.__name__,)
"""The event that says why and when one was taken out."""
