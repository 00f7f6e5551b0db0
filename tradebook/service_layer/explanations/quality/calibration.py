"""Calibration of agents: how often their decisions were right, and how well their confidence said so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeAlias

from attrs import define, field, frozen

from tradebook.domain.accounting import BookedTrade
from tradebook.domain.agents import DecisionFacts
from tradebook.domain.decision_outcomes import (
    Outcome,
    OutcomeKind,
    Unscored,
    price_outcome,
    realized_outcome,
)
from tradebook.domain.decision_scores import (
    HorizonCalibration,
    HorizonScores,
    Latencies,
    Latency,
)
from tradebook.domain.durations import Duration, durations, shifted
from tradebook.domain.errors import InvalidInput
from tradebook.domain.plain_values import optional_function, plain_int
from tradebook.domain.validation import argument, enum_member, optional_identifier, optional_utc
from tradebook.service_layer.explanations.quality.price_lookups import (
    PriceReader,
    judging_prices,
    needed_periods,
)
from tradebook.service_layer.explanations.quality.prices import GivenPrices, as_prices
from tradebook.service_layer.handlers._common import given
from tradebook.service_layer.instrumentation import Progress, ProgressCallback
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

BINS: Final = 10
_MOST_BINS: Final = 100
_OutcomeOf: TypeAlias = Callable[[DecisionFacts, timedelta], Outcome]


@frozen
class Calibration:
    """The share of decisions that were right, and how well confidence stated it; of an agent, or of all.

    Attributes:
        agent: the agent; None for all.
        outcome: what decisions are judged by.
        decisions: of the agent in the period, also those that cannot be judged.
        held: those with HOLD, which are not judged.
        horizons: the result at each horizon, the shortest first.
        latency: from decisions to their first trades; the same whatever the outcome.
    """

    agent: str | None
    outcome: OutcomeKind
    decisions: int
    held: int
    horizons: tuple[HorizonCalibration, ...]
    latency: Latency


def calibration(
    uow: AbstractUnitOfWork,
    agent: str | None = None,
    *,
    horizon: Duration | Sequence[Duration],
    outcome: OutcomeKind | str = OutcomeKind.PRICE,
    since: datetime | None = None,
    until: datetime | None = None,
    bins: int = BINS,
    prices: GivenPrices | None = None,
    progress: ProgressCallback | None = None,
) -> Calibration:
    """Judge decisions by what happened within a time after them, and their confidence by how often they were right.

    By price, a BUY is right where the last price in `(decided_at, decided_at + horizon]` is above the price at the
    decision, and a SELL where it is below; an unchanged price is not right. The price at the decision is the one that
    it states, or the last in `[decided_at - horizon, decided_at]`. Trades of the decision itself are prices too.

    By P&L, a decision is right where its trades that were executed up to `decided_at + horizon` realized more than
    their fees. That is the P&L that the book states for these trades, against the average cost of the position: where
    one decision opens a position and another closes it, the P&L is the second one's, and the first one is `open`.

    Decisions whose horizon is not over are counted and not judged. A Brier score compares `confidence` with whether the
    decision was right: 0 is perfect, and one that always says 0.5 has 0.25. See `tradebook.domain.calibration` for the
    formulas. Decisions are read 1,000 at a time.

    Args:
        uow: a read-only unit of work, which has one consistent view.
        agent: the agent; all by default. One that never decided has an empty result.
        horizon: a `timedelta`, or text such as `30m`, `1h`, `1d`, `2w` or `PT1H`; or a list of up to 20, each of which
            gets a result.
        outcome: "price" or "pnl".
        since: decisions from this time on; a naive time is taken as UTC.
        until: decisions before this time.
        bins: the number of reliability bins of equal width, from 1 to 100.
        prices: the prices to judge by, see `as_prices`; those in the book by default.
        progress: called with (decisions judged, decisions in all) as it goes.

    Raises:
        InvalidInput: a horizon, the outcome, the number of bins, or a price is refused.
    """
    lengths = argument("horizon", durations, horizon)
    kind = argument("outcome", partial(enum_member, OutcomeKind), outcome)
    number = argument("bins", _bin_count, bins)
    source = PriceReader(as_prices(uow, prices))
    name = argument("agent", optional_identifier, agent)
    start, end = argument("since", optional_utc, since), argument("until", optional_utc, until)
    report = argument("progress", optional_function, progress)
    period = given(since=start, until=end, agent=name)
    judging = _Judging(uow.now(), kind, source, [HorizonScores(each, number) for each in lengths])
    done = Progress(report, uow.decisions.count(**period))
    for decisions in uow.decisions.facts(**period):
        judging.judge(decisions, _trades_by_decision(uow, decisions))
        done.add(len(decisions))
    return judging.result(name)


def _bin_count(value: int) -> int:
    expected = f"a whole number from 1 to {_MOST_BINS}"
    count = plain_int(value, expected)
    if not 1 <= count <= _MOST_BINS:
        raise InvalidInput("", value, expected)
    return count


def _trades_by_decision(
    uow: AbstractUnitOfWork, decisions: Iterable[DecisionFacts]
) -> Mapping[int, list[BookedTrade]]:
    found: dict[int, list[BookedTrade]] = defaultdict(list)
    for trade in uow.trades.of_decisions([each.id for each in decisions]):
        found[trade.decision_id or 0].append(trade)
    return found


@define
class _Judging:
    """The decisions judged so far, at each horizon."""

    now: datetime
    kind: OutcomeKind
    prices: PriceReader
    horizons: Sequence[HorizonScores]
    decisions: int = 0
    held: int = 0
    latencies: Latencies = field(factory=Latencies)

    def judge(
        self, decisions: Sequence[DecisionFacts], trades: Mapping[int, list[BookedTrade]]
    ) -> None:
        """Judge some decisions by their trades or by prices."""
        self.decisions += len(decisions)
        for decision in decisions:
            self.latencies.add(decision, trades.get(decision.id, ()))
        judged = [each for each in decisions if each.direction]
        self.held += len(decisions) - len(judged)
        by_price = self.kind is OutcomeKind.PRICE
        outcome = self._by_price(judged) if by_price else self._by_pnl(trades)
        for horizon in self.horizons:
            for decision in judged:
                is_over = self._is_over(decision, horizon.length)
                gained = outcome(decision, horizon.length) if is_over else Unscored.UNFINISHED
                horizon.add(decision, gained)

    def _is_over(self, decision: DecisionFacts, horizon: timedelta) -> bool:
        return shifted(decision.decided_at, horizon) <= self.now

    def _by_price(self, decisions: Sequence[DecisionFacts]) -> _OutcomeOf:
        """Return the function that judges decisions by prices, which are looked up together."""
        found = self.prices.last_prices(
            period
            for horizon in self.horizons
            for decision in decisions
            if self._is_over(decision, horizon.length)
            for period in needed_periods(decision, horizon.length)
        )

        def outcome(decision: DecisionFacts, horizon: timedelta) -> Outcome:
            return price_outcome(decision.direction, *judging_prices(decision, horizon, found))

        return outcome

    def _by_pnl(self, trades: Mapping[int, list[BookedTrade]]) -> _OutcomeOf:
        """Return the function that judges decisions by their trades up to the end of a horizon."""

        def outcome(decision: DecisionFacts, horizon: timedelta) -> Outcome:
            end = shifted(decision.decided_at, horizon)
            executed = trades.get(decision.id, ())
            return realized_outcome([each for each in executed if each.executed_at <= end])

        return outcome

    def result(self, agent: str | None) -> Calibration:
        """Return the result of all that was judged."""
        return Calibration(
            agent=agent,
            outcome=self.kind,
            decisions=self.decisions,
            held=self.held,
            horizons=tuple(each.result() for each in self.horizons),
            latency=self.latencies.result(),
        )
