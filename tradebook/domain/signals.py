"""Signals: the advice of a model or an indicator about a symbol."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

from attrs import define, field

from tradebook.domain.entity import IMMUTABLE, Entity, named_fields
from tradebook.domain.events import SignalRecorded
from tradebook.domain.numbers import ONE, ZERO, fraction, number, optional_number
from tradebook.domain.validation import (
    Json,
    enum_member,
    identifier,
    json_object,
    optional_identifier,
    short_text,
    utc,
    utc_now,
)


class SignalAction(StrEnum):
    """The actions that a signal advises; HOLD is to do nothing."""

    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"


def signal_action(value: SignalAction | str) -> SignalAction:
    """Convert text to a `SignalAction`."""
    return enum_member(SignalAction, value)


@define(slots=False, eq=False, kw_only=True, field_transformer=named_fields)
class Signal(Entity):
    """Advice about a symbol, immutable once recorded.

    Attributes:
        symbol: the instrument.
        action: BUY, SELL or HOLD.
        strength: how strong, on the source's own scale.
        confidence: from 0 to 1.
        source: the model or indicator that emitted it.
        strategy: the strategy that it is meant for.
        price: of the instrument when it was emitted.
        generated_at: the time when it was emitted, UTC.
        horizon: the time for which it is meant to hold, in seconds.
        reference: unique in the account where given; recording the same signal again returns the first.
        details: anything else, as JSON.
    """

    ordered_by: ClassVar[str] = "generated_at"

    symbol: str = field(converter=identifier, on_setattr=IMMUTABLE)
    action: SignalAction = field(converter=signal_action, on_setattr=IMMUTABLE)
    strength: Decimal = field(default=ZERO, converter=number, on_setattr=IMMUTABLE)
    confidence: Decimal = field(default=ONE, converter=fraction, on_setattr=IMMUTABLE)
    source: str = field(default="", converter=short_text, on_setattr=IMMUTABLE)
    strategy: str = field(default="", converter=short_text, on_setattr=IMMUTABLE)
    price: Decimal | None = field(default=None, converter=optional_number, on_setattr=IMMUTABLE)
    generated_at: datetime = field(factory=utc_now, converter=utc, on_setattr=IMMUTABLE)
    horizon: Decimal | None = field(default=None, converter=optional_number, on_setattr=IMMUTABLE)
    reference: str | None = field(default=None, converter=optional_identifier, on_setattr=IMMUTABLE)
    details: dict[str, Json] = field(factory=dict, converter=json_object, on_setattr=IMMUTABLE)

    def recorded(self) -> SignalRecorded:
        """Return the event that recording this signal emits."""
        return SignalRecorded(symbol=self.symbol, action=self.action, source=self.source)
