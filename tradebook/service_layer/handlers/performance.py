"""Performance metrics."""

from __future__ import annotations

from datetime import datetime

from tradebook.domain.fields import Json
from tradebook.domain.numbers import Number
from tradebook.domain.performance import PerformanceMetric
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


def record_metric(
    uow: AbstractUnitOfWork,
    name: str,
    value: Number,
    *,
    period_start: datetime,
    period_end: datetime,
    parameters: dict[str, Json] | None = None,
    computed_at: datetime | None = None,
) -> PerformanceMetric:
    """Record a computed figure.

    Args:
        uow: the unit of work.
        name: such as `sharpe_ratio`.
        value: the figure.
        period_start, period_end: what it covers, UTC.
        parameters: annualisation and other conventions, as JSON.
        computed_at: when, UTC; now by default.

    Raises:
        InvalidInput: a value is refused.
    """
    metric = PerformanceMetric(
        account=uow.account,
        created_at=uow.now(),
        name=name,
        value=value,
        period_start=period_start,
        period_end=period_end,
        parameters={} if parameters is None else parameters,
        computed_at=uow.now() if computed_at is None else computed_at,
    )
    uow.metrics.add(metric)
    uow.record(metric.recorded(), metric)
    return metric
