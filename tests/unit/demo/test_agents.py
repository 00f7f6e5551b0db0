"""What the demo's agents say of prices made for the purpose."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import pytest

from tradebook.demo.agents import Agent, Momentum, Opinion, Reversion, deviations, mean
from tradebook.domain.signals import SignalAction

CALM = [Decimal(100), Decimal(102)] * 40


def after(agent: Agent, closes: Iterable[int | Decimal], symbol: str = "X") -> Agent:
    for close in closes:
        agent.observe({symbol: Decimal(close)})
    return agent


def only(opinions: list[Opinion]) -> Opinion:
    (opinion,) = opinions
    return opinion


@pytest.mark.parametrize("agent", [Momentum, Reversion])
def test_says_nothing_before_it_has_seen_enough(agent: type[Agent]) -> None:
    closes = [*CALM[: agent.memory - 2], Decimal(50)]
    assert after(agent(), closes).opinions(set()) == []


@pytest.mark.parametrize("agent", [Momentum, Reversion])
def test_buys_nothing_at_prices_that_never_move(agent: type[Agent]) -> None:
    assert after(agent(), [100] * 80).opinions(set()) == []


def test_momentum_buys_on_the_day_the_fast_average_rises_above_the_slow_one() -> None:
    agent = after(Momentum(), [100] * 60)
    agent = after(agent, [120])
    opinion = only(agent.opinions(set()))
    assert opinion.action is SignalAction.BUY
    assert opinion.price == 120
    assert opinion.inputs == {"average_20": "101.0000", "average_60": "100.3333"}
    assert opinion.reasoning == "The 20-day average 101.00 rose above the 60-day average 100.33."


def test_momentum_does_not_buy_on_the_days_after() -> None:
    agent = after(Momentum(), [*[100] * 60, 120, 121])
    assert agent.opinions(set()) == []


def test_momentum_holds_while_the_fast_average_is_above_and_sells_once_it_is_below() -> None:
    agent = after(Momentum(), [*[100] * 60, 120])
    assert agent.opinions({"X"}) == []
    after(agent, [60, 60])
    assert only(agent.opinions({"X"})).action is SignalAction.SELL
    assert agent.opinions(set()) == []


def test_reversion_buys_a_fall_out_of_the_band() -> None:
    agent = after(Reversion(), [*CALM, 95])
    opinion = only(agent.opinions(set()))
    assert opinion.action is SignalAction.BUY
    assert opinion.strength < -2
    assert "deviations below the 20-day average" in opinion.reasoning


def test_reversion_buys_a_fall_once() -> None:
    agent = after(Reversion(), [*CALM, 95, 89])
    assert deviations([*CALM[-18:], Decimal(95), Decimal(89)]) < -2
    assert agent.opinions(set()) == []


def test_reversion_waits_below_the_average_and_sells_when_it_is_regained() -> None:
    agent = after(Reversion(), [*CALM, 95, 99])
    assert agent.opinions({"X"}) == []
    after(agent, [103])
    assert only(agent.opinions({"X"})).action is SignalAction.SELL


def test_judges_each_stock_by_its_own_prices() -> None:
    agent = after(Reversion(), [*CALM, 95], "FALLING")
    after(agent, CALM, "CALM")
    after(agent, [5, 4, 3], "NEW")
    assert only(agent.opinions(set())).symbol == "FALLING"


@pytest.mark.parametrize("last", [95, 50, 1])
def test_is_never_quite_certain(last: int) -> None:
    opinion = only(after(Reversion(), [*CALM, last]).opinions(set()))
    assert Decimal("0.5") <= opinion.confidence <= Decimal("0.95")


def test_the_mean_and_the_deviations_are_those_of_the_textbook() -> None:
    values = [Decimal(v) for v in (2, 4, 4, 4, 5, 5, 7, 9)]
    assert mean(values) == 5
    assert deviations(values) == 2
