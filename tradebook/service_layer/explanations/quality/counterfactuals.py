"""Counterfactuals: what decisions that were never executed would have earned. Hypothetical, and no part of the book.

Nothing here is written or enters any total of the book: the amounts are of trades that did not happen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

from attrs import define, field, frozen

from tradebook.domain.agents import DecisionFacts, DecisionStatus
from tradebook.domain.decision_outcomes import Unscored, gain
from tradebook.domain.durations import Duration, duration, seconds, shifted
from tradebook.domain.numbers import EXACT, ONE, ZERO, Number, canonical, exact
from tradebook.domain.plain_values import optional_function, optional_mapping
from tradebook.domain.portfolio import Rates
from tradebook.domain.validation import argument, optional_identifier, optional_utc
from tradebook.service_layer.explanations.quality.price_lookups import (
    PricePeriod,
    PriceReader,
    judging_prices,
    needed_periods,
)
from tradebook.service_layer.explanations.quality.prices import GivenPrices, as_prices
from tradebook.service_layer.handlers._common import given, present_currency
from tradebook.service_layer.instrumentation import Progress, ProgressCallback
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_NEVER_EXECUTED: Final = frozenset(DecisionStatus) - {DecisionStatus.EXECUTED}


@frozen
class CounterfactualRow:
    """The decisions of one status, agent and currency that were never executed. All amounts are hypothetical.

    Attributes:
        status: REJECTED, EXPIRED, PROPOSED or APPROVED.
        agent: the agent that decided.
        currency: that of the symbols' positions; of a symbol without one the base currency of the account.
        decisions: with BUY or SELL; the sum of `valued`, `no_quantity`, `unfinished`, `no_price` and `traded`.
        valued: those whose hypothetical P&L is known.
        gained: those of them whose hypothetical P&L is above 0.
        no_quantity: those that state no quantity.
        unfinished: those whose horizon was not over at the time of the call.
        no_price: those without a price within the horizon, before or after them.
        traded: those for which trades were executed all the same, against a rejection: their P&L is in the book.
        hypothetical_pnl: the sum of what the valued ones would have earned, in `currency`, without fees; None where there
            is none.
    """

    status: DecisionStatus
    agent: str
    currency: str
    decisions: int
    valued: int
    gained: int
    no_quantity: int
    unfinished: int
    no_price: int
    traded: int
    hypothetical_pnl: Decimal | None


@frozen
class Counterfactuals:
    """The earnings that decisions which were never executed would have had: hypothetical, no part of the book.

    Attributes:
        label: "hypothetical".
        agent: the agent; None for all.
        horizon: the time after each decision at which it is valued, in seconds.
        held: decisions with HOLD that were never executed; they earn nothing and are in no row.
        rows: sorted by status, agent and currency.
        currency: the base currency of the account.
        hypothetical_total: the sum of all rows in `currency`; None where none is valued, or where rows have another
            currency and no `rates` were given.
    """

    agent: str | None
    horizon: Decimal
    held: int
    rows: tuple[CounterfactualRow, ...]
    currency: str
    hypothetical_total: Decimal | None
    label: str = "hypothetical"


def counterfactuals(
    uow: AbstractUnitOfWork,
    *,
    agent: str | None = None,
    horizon: Duration,
    since: datetime | None = None,
    until: datetime | None = None,
    prices: GivenPrices | None = None,
    rates: Mapping[str, Number] | None = None,
    progress: ProgressCallback | None = None,
) -> Counterfactuals:
    """Compute what rejected, expired and never executed decisions with BUY or SELL would have earned.

    Each is `quantity * (price at the horizon - price at the decision) * multiplier`, negated for SELL: as if all of its
    quantity had been filled at the price at the decision, without fees, and without an effect on the market or on any other
    trade. The price at the decision is the one that it states, or the last in `[decided_at - horizon, decided_at]`; the price
    at the horizon is the last in `(decided_at, decided_at + horizon]`. The multiplier is that of the symbol's position, 1
    where it has none. Nothing is recorded, and no total of the book contains these amounts.

    Args:
        uow: a read-only unit of work, which has one consistent view.
        agent: the agent; all by default.
        horizon: a `timedelta`, or text such as `30m`, `1h`, `1d`, `2w` or `PT1H`.
        since: decisions from this time on; a naive time is taken as UTC.
        until: decisions before this time.
        prices: the prices to value by, see `as_prices`; those in the book by default.
        rates: the value of one unit of each other currency in the account's base currency, above 0, for the total.
        progress: called with (decisions read, decisions in all) as it goes.

    Raises:
        MissingRate: `rates` are given, and lack a currency.
        InvalidInput: the horizon, a price or a rate is refused.
    """
    length = argument("horizon", duration, horizon)
    source = PriceReader(as_prices(uow, prices))
    name = argument("agent", optional_identifier, agent)
    start, end = argument("since", optional_utc, since), argument("until", optional_utc, until)
    report = argument("progress", optional_function, progress)
    currency = present_currency(uow)
    converter = Rates(currency, argument("rates", optional_mapping, rates))
    period = given(since=start, until=end, agent=name)
    groups = _Groups(uow, length, source, currency)
    done = Progress(report, uow.decisions.count(**period))
    for decisions in uow.decisions.facts(**period):
        groups.add([each for each in decisions if each.status in _NEVER_EXECUTED])
        done.add(len(decisions))
    rows = groups.rows()
    return Counterfactuals(
        agent=name,
        horizon=seconds(length),
        held=groups.held,
        rows=rows,
        currency=currency,
        hypothetical_total=_total(rows, converter, are_rates_given=rates is not None),
    )


def _total(
    rows: Iterable[CounterfactualRow], rates: Rates, *, are_rates_given: bool
) -> Decimal | None:
    """Add up rows in the base currency; None where there is none, or one is foreign and no rates were given."""
    amounts = [
        (row.hypothetical_pnl, row.currency) for row in rows if row.hypothetical_pnl is not None
    ]
    foreign = any(currency != rates.base_currency for _, currency in amounts)
    if not amounts or (foreign and not are_rates_given):
        return None
    with exact():
        return canonical(sum((rates.convert(*amount) for amount in amounts), ZERO))


class _Left(StrEnum):
    """Reasons to leave a decision out that no outcome has."""

    NO_QUANTITY = "no_quantity"
    TRADED = "traded"


class _Group(NamedTuple):
    """The values that the decisions of a row have in common."""

    status: DecisionStatus
    agent: str
    currency: str


@define
class _Sums:
    """The decisions of a row so far."""

    left_out: Counter[str] = field(factory=Counter)
    valued: int = 0
    gained: int = 0
    total: Decimal = ZERO

    def add(self, outcome: Decimal | Unscored | _Left) -> None:
        if isinstance(outcome, StrEnum):
            self.left_out[outcome.value] += 1
            return
        self.valued += 1
        self.gained += outcome > 0
        self.total = EXACT.add(self.total, outcome)

    def row(self, group: _Group) -> CounterfactualRow:
        left_out = self.left_out
        return CounterfactualRow(
            status=group.status,
            agent=group.agent,
            currency=group.currency,
            decisions=self.valued + left_out.total(),
            valued=self.valued,
            gained=self.gained,
            no_quantity=left_out[_Left.NO_QUANTITY],
            unfinished=left_out[Unscored.UNFINISHED],
            no_price=left_out[Unscored.NO_PRICE],
            traded=left_out[_Left.TRADED],
            hypothetical_pnl=canonical(self.total) if self.valued else None,
        )


@define
class _Groups:
    """The rows so far."""

    uow: AbstractUnitOfWork
    length: timedelta
    prices: PriceReader
    currency: str
    held: int = 0
    _sums: dict[_Group, _Sums] = field(factory=lambda: defaultdict(_Sums))
    _instruments: dict[str, tuple[str, Decimal]] = field(factory=dict)

    def add(self, decisions: Sequence[DecisionFacts]) -> None:
        """Value some decisions that were not executed; their prices are looked up together."""
        judged = [each for each in decisions if each.direction]
        self.held += len(decisions) - len(judged)
        traded = {t.decision_id for t in self.uow.trades.of_decisions([d.id for d in judged])}
        left_out = {each.id: self._left_out(each, traded) for each in judged}
        valued = [each for each in judged if left_out[each.id] is None]
        periods = [period for each in valued for period in needed_periods(each, self.length)]
        found = self.prices.last_prices(periods)
        for each in judged:
            currency, multiplier = self._instrument(each.symbol)
            outcome = left_out[each.id] or self._gain(each, multiplier, found)
            self._sums[_Group(each.status, each.agent, currency)].add(outcome)

    def _left_out(
        self, decision: DecisionFacts, traded: set[int | None]
    ) -> _Left | Unscored | None:
        if decision.id in traded:
            return _Left.TRADED
        if decision.quantity is None:
            return _Left.NO_QUANTITY
        is_over = shifted(decision.decided_at, self.length) <= self.uow.now()
        return None if is_over else Unscored.UNFINISHED

    def _gain(
        self, decision: DecisionFacts, multiplier: Decimal, found: Mapping[PricePeriod, Decimal]
    ) -> Decimal | Unscored:
        before, after = judging_prices(decision, self.length, found)
        return gain(decision.direction, decision.quantity or ZERO, multiplier, before, after)

    def _instrument(self, symbol: str) -> tuple[str, Decimal]:
        """Return the currency and the multiplier of a symbol; each is looked up once."""
        if symbol not in self._instruments:
            position = self.uow.positions.by_symbol(symbol)
            self._instruments[symbol] = (
                (self.currency, ONE)
                if position is None
                else (position.currency, position.multiplier)
            )
        return self._instruments[symbol]

    def rows(self) -> tuple[CounterfactualRow, ...]:
        """Return the rows, sorted by status, agent and currency."""
        return tuple(self._sums[group].row(group) for group in sorted(self._sums))
