"""The points of time of an equity curve."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, cast

from tradebook.domain.equity import Basis
from tradebook.domain.errors import InvalidInput
from tradebook.domain.frequencies import Frequency, point_times, zone
from tradebook.domain.plain_values import is_instance, plain_text
from tradebook.domain.portfolio import BOOK
from tradebook.domain.trades import TradeStatus
from tradebook.domain.validation import argument, optional_utc
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

SNAPSHOT: Final = "snapshot"
"""The frequency of the times at which snapshots were taken."""
_TICK: Final = timedelta(microseconds=1)
_END: Final = datetime.max.replace(tzinfo=UTC)


def curve_times(
    uow: AbstractUnitOfWork,
    basis: Basis,
    start: datetime | None,
    end: datetime | None,
    frequency: Frequency,
    time_zone: str,
) -> list[datetime]:
    """Return the times of an equity curve, sorted; see `equity_curve`.

    Raises:
        InvalidInput: the start is after the end; the frequency or the time zone is refused; or there are too many points.
    """
    first = argument("start", optional_utc, start)
    last = argument("end", optional_utc, end) or uow.now()
    if first is None:
        first = min(_first_record(uow, basis) or last, last)
    if first > last:
        raise InvalidInput("start", first.isoformat(), f"a time up to `end`, {last.isoformat()}")
    if is_instance(frequency, str) and plain_text(cast("str", frequency)) == SNAPSHOT:
        return _snapshot_times(uow, first, last)
    in_zone = argument("time_zone", zone, time_zone)
    of_period = partial(point_times, first, last, time_zone=in_zone)
    return argument("frequency", of_period, frequency)


def _snapshot_times(uow: AbstractUnitOfWork, start: datetime, end: datetime) -> list[datetime]:
    until = None if end == _END else end + _TICK
    found = uow.portfolios.iterate(since=start, until=until, source=BOOK)
    return sorted({start, end, *(portfolio.timestamp for portfolio in found)})


def _first_record(uow: AbstractUnitOfWork, basis: Basis) -> datetime | None:
    """Return the time of the first trade or cash flow; None where there is none."""
    if basis is Basis.RECORDED:
        account = uow.accounts.current()
        return None if account is None else account.created_at
    trades = (
        at
        for _, at, status in uow.trades.values("executed_at", "status")
        if status is TradeStatus.EXECUTED
    )
    flows = (at for _, at in uow.cash_flows.values("occurred_at"))
    return min((at for times in (trades, flows) for at in times), default=None)
