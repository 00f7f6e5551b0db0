"""P&L by agent adds up to the position's, to the last digit."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, localcontext
from random import Random

import pytest

from tradebook.demo.attribution import AgentResult, agent_results, balances_of
from tradebook.domain.numbers import EXACT, ZERO
from tradebook.domain.positions import Position
from tradebook.domain.trades import Settlement, Trade

NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)


def traded(fills: list[tuple[str, str, int, str]], mark: str = "13.37") -> list[AgentResult]:
    """The results of (agent, action, quantity, price) fills of one stock, each with a fee of 1.01."""
    return _booked(fills, Settlement.CASH, mark)[0]


def _booked(
    fills: list[tuple[str, str, int, str]], settlement: Settlement, mark: str
) -> tuple[list[AgentResult], Position]:
    position = Position(symbol="X")
    trades = [
        Trade(
            symbol="X",
            action=action,
            quantity=quantity,
            price=price,
            fee="1.01",
            strategy=agent,
            settlement=settlement,
        )
        for agent, action, quantity, price in fills
    ]
    for trade in trades:
        position.apply(trade, NOON)
    position.mark(mark, datetime.now(UTC))
    return agent_results(trades, {"X": position}), position


def test_each_agent_has_its_own_cost_basis() -> None:
    cheap, dear = traded(
        [("cheap", "BUY", 10, "10"), ("dear", "BUY", 10, "20"), ("cheap", "SELL", 10, "15")],
        mark="18",
    )
    assert cheap == AgentResult(
        agent="cheap", trades=2, realized_pnl=Decimal(50), fees=Decimal("2.02")
    )
    assert dear == AgentResult(
        agent="dear", trades=1, unrealized_pnl=Decimal(-20), fees=Decimal("1.01")
    )


def test_one_agent_alone_earned_what_the_position_did() -> None:
    (alone,), position = _booked(
        [("a", "BUY", 3, "7"), ("a", "SELL", 1, "8")], Settlement.CASH, "9"
    )
    assert alone.realized_pnl == position.realized_pnl
    assert alone.unrealized_pnl == position.unrealized_pnl
    assert alone.net_pnl == position.net_pnl


@pytest.mark.parametrize("settlement", Settlement)
@pytest.mark.parametrize("seed", range(20))
def test_any_fills_of_any_agents_add_up_to_the_position(seed: int, settlement: Settlement) -> None:
    random = Random(seed)
    fills = [
        (
            random.choice("abc"),
            random.choice(("BUY", "SELL")),
            random.randint(1, 97),
            f"{random.randint(-500, 9999)}e-3",
        )
        for _ in range(60)
    ]
    results, position = _booked(fills, settlement, "13.37")
    with localcontext(EXACT):
        assert sum((r.net_pnl for r in results), start=ZERO) == position.net_pnl
        assert sum((r.fees for r in results), start=ZERO) == position.fees
    assert sum(r.trades for r in results) == len(fills)


def test_trades_of_no_strategy_are_somebodys_too() -> None:
    (result,) = traded([("", "BUY", 1, "10")])
    assert result.agent == ""
    assert balances_of([]) == {}
