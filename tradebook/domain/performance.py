"""Performance metrics: named values over a period, with the conventions behind them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from attrs import define, field

from tradebook.domain.entity import IMMUTABLE, Entity, named_fields
from tradebook.domain.errors import InvalidInput
from tradebook.domain.events import MetricRecorded
from tradebook.domain.numbers import number
from tradebook.domain.validation import Json, identifier, json_object, utc, utc_now


@define(slots=False, eq=False, kw_only=True, field_transformer=named_fields)
class PerformanceMetric(Entity):
    """A computed figure of performance over a period.

    Attributes:
        name: of the figure, such as `sharpe_ratio`.
        value: the figure; a ratio unless `parameters` state otherwise.
        period_start, period_end: the period that it covers, UTC; the start is not after the end.
        computed_at: the time of the computation, UTC.
        parameters: annualisation and other conventions, as JSON.
    """

    ordered_by: ClassVar[str] = "period_end"

    name: str = field(converter=identifier, on_setattr=IMMUTABLE)
    value: Decimal = field(converter=number, on_setattr=IMMUTABLE)
    period_start: datetime = field(converter=utc, on_setattr=IMMUTABLE)
    period_end: datetime = field(converter=utc, on_setattr=IMMUTABLE)
    computed_at: datetime = field(factory=utc_now, converter=utc, on_setattr=IMMUTABLE)
    parameters: dict[str, Json] = field(factory=dict, converter=json_object, on_setattr=IMMUTABLE)

    def __attrs_post_init__(self) -> None:
        """Refuse a period that ends before it starts."""
        if self.period_start > self.period_end:
            raise InvalidInput(
                "period_start", self.period_start.isoformat(), "a time not after period_end"
            )

    def recorded(self) -> MetricRecorded:
        """Return the event that recording this metric emits."""
        return MetricRecorded(name=self.name, value=self.value)
