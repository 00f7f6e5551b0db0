"""The last price of a symbol in a period, for many periods with one walk over its prices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import Final, NamedTuple

from tradebook.domain.agents import DecisionFacts
from tradebook.domain.durations import shifted
from tradebook.domain.errors import InvalidInput
from tradebook.domain.numbers import number
from tradebook.domain.plain_values import is_instance
from tradebook.domain.validation import argument, utc
from tradebook.service_layer.ports.prices import PricePoint, Prices

TICK: Final = timedelta(microseconds=1)


class PricePeriod(NamedTuple):
    """A period whose last price is wanted.

    Attributes:
        symbol: the instrument.
        since: first time, included, UTC.
        until: last time, included, UTC.
    """

    symbol: str
    since: datetime
    until: datetime


def needed_periods(decision: DecisionFacts, horizon: timedelta) -> list[PricePeriod]:
    """Return the periods whose last prices judge a decision; see `judging_prices`."""
    after = _period_after(decision, horizon)
    return [after] if decision.price is not None else [_period_before(decision, horizon), after]


def judging_prices(
    decision: DecisionFacts, horizon: timedelta, found: Mapping[PricePeriod, Decimal]
) -> tuple[Decimal | None, Decimal | None]:
    """Return the price at a decision and the price at the horizon; None where there is none.

    The price at the decision is the one that it states, or the last in `[decided_at - horizon, decided_at]`. The price at
    the horizon is the last in `(decided_at, decided_at + horizon]`.
    """
    before = decision.price
    if before is None:
        before = found.get(_period_before(decision, horizon))
    return before, found.get(_period_after(decision, horizon))


def _period_before(decision: DecisionFacts, horizon: timedelta) -> PricePeriod:
    at = decision.decided_at
    return PricePeriod(decision.symbol, shifted(at, -horizon), at)


def _period_after(decision: DecisionFacts, horizon: timedelta) -> PricePeriod:
    at = decision.decided_at
    return PricePeriod(decision.symbol, shifted(at, TICK), shifted(at, horizon))


def last_prices(prices: Prices, periods: Iterable[PricePeriod]) -> dict[PricePeriod, Decimal]:
    """Return the last price in each period that has one.

    Periods that overlap, or lie no further apart than they are long, are read together, so that each price is read about
    once; no more prices are kept than periods are given.

    Raises:
        InvalidInput: a source returns what are no prices, or not sorted by time.
    """
    found: dict[PricePeriod, Decimal] = {}
    for together in _spans(set(periods)):
        start, end = together[0].since, max(each.until for each in together)
        points = _checked(prices.between(together[0].symbol, start, end))
        for period, point in _last_of(sorted(together, key=attrgetter("until")), points):
            if point is not None and point.at >= period.since:
                found[period] = argument("prices", number, point.price)
    return found


def _spans(periods: Iterable[PricePeriod]) -> Iterator[list[PricePeriod]]:
    """Group periods of one symbol that are near to each other, sorted by `since`."""
    by_symbol: dict[str, list[PricePeriod]] = defaultdict(list)
    for period in sorted(periods):
        by_symbol[period.symbol].append(period)
    for sorted_ones in by_symbol.values():
        span, end = [sorted_ones[0]], sorted_ones[0].until
        for period in sorted_ones[1:]:
            if period.since - end > period.until - period.since:
                yield span
                span, end = [], period.until
            span.append(period)
            end = max(end, period.until)
        yield span


def _last_of(
    periods: Sequence[PricePeriod], points: Iterator[PricePoint]
) -> Iterator[tuple[PricePeriod, PricePoint | None]]:
    """Pair periods, sorted by their ends, with the last point up to the end of each."""
    last: PricePoint | None = None
    following = next(points, None)
    for period in periods:
        while following is not None and following.at <= period.until:
            last, following = following, next(points, None)
        yield period, last


def _checked(points: Iterable[PricePoint]) -> Iterator[PricePoint]:
    """Iterate over the points of a source, which may be a caller's own."""
    if not is_instance(points, Iterable):
        raise InvalidInput("prices", points, "a list of PricePoint from `between`")
    before: datetime | None = None
    for point in points:
        if not is_instance(point, PricePoint):
            raise InvalidInput("prices", point, "PricePoint(at, price, source) from `between`")
        at = argument("prices", utc, point.at)
        if before is not None and at < before:
            raise InvalidInput(
                "prices", at.isoformat(), f"prices sorted by time: {before} came first"
            )
        before = at
        yield point if at is point.at else point._replace(at=at)
