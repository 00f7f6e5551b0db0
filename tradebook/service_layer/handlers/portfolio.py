"""Performance metrics."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from tradebook.domain.numbers import Number
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.portfolio import Holdings, Portfolio, Rates, value_holdings
from tradebook.domain.validation import Json
from tradebook.service_layer.handlers._common import open_account
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


def take_snapshot(
    uow: AbstractUnitOfWork, *, rates: Mapping[str, Number] | None = None
) -> Portfolio:
    """Value everything the account holds, at one instant, and keep the result.

    Args:
        uow: the unit of work.
        rates: for each currency other than the account's base currency, what one unit is worth in the
            base currency, above 0.

    Returns:
        The snapshot, in the base currency. Its time is never before the last one's, nor before the
        booking of a trade that it holds, though the clock went back.

    Raises:
        MissingRate: naming the currency that has no rate.
        InvalidInput: a rate is refused.
    """
    holdings = uow.ledger.holdings()
    base_currency = holdings.base_currency or open_account(uow).base_currency
    portfolio, positions = value_holdings(
        holdings,
        account=uow.account,
        rates=Rates(base_currency, {} if rates is None else rates),
        at=_time_of(uow, holdings),
    )
    uow.portfolios.add(portfolio, positions)
    uow.record(portfolio.taken(), portfolio)
    return portfolio


def _time_of(uow: AbstractUnitOfWork, holdings: Holdings) -> datetime:
    entries = [position.updated_at for position in holdings.positions]
    return max(uow.now(), holdings.snapshot_at or uow.now(), *entries)
