"""Handlers of performance metrics and portfolio snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from tradebook.domain.errors import InvalidTransition
from tradebook.domain.numbers import Number
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.portfolio import Portfolio, Rates, value_holdings
from tradebook.domain.validation import Json, span
from tradebook.service_layer.handlers._common import account_currency, given_terms
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
    """Record a performance figure of a period.

    Args:
        uow: the unit of work.
        name: such as `sharpe_ratio`.
        value: the figure.
        period_start: first moment of the period, UTC.
        period_end: last moment of the period, UTC.
        parameters: annualisation and other conventions, as JSON.
        computed_at: time of the computation, UTC; now by default.

    Raises:
        InvalidInput: a value is refused.
    """
    terms = given_terms(locals(), "name", "value", "period_start", "period_end")
    defaults = {"computed_at": uow.now()}
    metric = PerformanceMetric(**{**defaults, **terms}, account=uow.account, created_at=uow.now())
    uow.metrics.add(metric)
    uow.record(metric.recorded(), metric)
    return metric


def take_snapshot(
    uow: AbstractUnitOfWork, *, rates: Mapping[str, Number] | None = None
) -> Portfolio:
    """Value all holdings of the account at one instant, and record the result.

    Args:
        uow: the unit of work.
        rates: for each other currency the value of one unit in the account's base currency, above 0.

    Returns:
        The snapshot, in the base currency. Its time is never before the last snapshot's, nor before
        the booking of a trade that it holds, also where the clock was set back.

    Raises:
        MissingRate: naming the currency that has no rate.
        InvalidTransition: an open position has no current price; or that time is more than a day ahead of the
            clock, since a clock was wrong: `rebuild` with `times` repairs it.
        InvalidInput: a rate is refused.
    """
    holdings = uow.ledger.holdings()
    dates = [uow.now(), *(position.updated_at for position in holdings.positions)]
    if holdings.snapshot_at is not None:
        dates.append(holdings.snapshot_at)
    at = max(dates)
    if uow.is_ahead(at):
        raise InvalidTransition(
            f"the last snapshot, or the last trade of a position, is dated {at.isoformat()}, more than "
            f"{span(uow.max_ahead)} after this machine's clock, which says {uow.now().isoformat()}: set the clock, or, if it is right "
            "and was wrong once, repair the book with `tradebook rebuild --times`"
        )
    base_currency = account_currency(uow, holdings.base_currency)
    portfolio, positions = value_holdings(
        holdings,
        account=uow.account,
        rates=Rates(base_currency, {} if rates is None else rates),
        at=at,
    )
    uow.portfolios.add(portfolio, positions)
    uow.record(portfolio.taken(positions, holdings.cash_flows), portfolio)
    return portfolio
