"""P&L of each agent: its own trades, folded by the same rules as the book's positions.

Two agents that trade a symbol in one account share its position, whose realized P&L is measured
against their common cost basis. Folding each agent's trades apart gives each agent its own cost basis:
amounts move between realized and unrealized P&L, but the net P&L of all agents, which is cash flow plus
market value, adds up to the book's to the last digit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Final, TypeAlias

from attrs import frozen

from tradebook.domain.accounting import Balance, BookedTrade
from tradebook.domain.numbers import ZERO, canonical, exact
from tradebook.domain.portfolio import Portfolio
from tradebook.domain.positions import Position
from tradebook.domain.trades import TradeStatus
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

Balances: TypeAlias = dict[str, Balance]
"""The holdings of one agent, by symbol."""

_PAGE: Final = 1000


@frozen
class AgentResult:
    """The P&L of one agent, in the account's currency.

    Attributes:
        agent: the strategy of its trades; `""` for trades without one.
        trades: the number of its trades.
        realized_pnl: price P&L of what it closed, before fees, on its own cost basis.
        unrealized_pnl: of what it holds, at the book's marks.
        fees: of its trades, less rebates.
    """

    agent: str
    trades: int = 0
    realized_pnl: Decimal = ZERO
    unrealized_pnl: Decimal = ZERO
    fees: Decimal = ZERO

    @property
    def net_pnl(self) -> Decimal:
        """Realized plus unrealized P&L, less fees."""
        return net_pnl(self)


def net_pnl(record: AgentResult | Portfolio) -> Decimal:
    """Add realized and unrealized P&L and subtract the fees, in the record's currency."""
    with exact():
        return canonical(record.realized_pnl + record.unrealized_pnl - record.fees)


def executed_trades(uow: AbstractUnitOfWork) -> Iterator[BookedTrade]:
    """Iterate over the executed trades of the account, in the order of booking within each symbol."""
    for position in uow.positions.all():
        after = 0
        while page := uow.trades.booked(position.symbol, after=after, limit=_PAGE):
            yield from (trade for trade in page if trade.status is TradeStatus.EXECUTED)
            after = page[-1].sequence


def balances_of(trades: Collection[BookedTrade]) -> dict[str, Balances]:
    """Fold each agent's own trades into a balance for each symbol."""
    agents: dict[str, Balances] = {}
    for trade in trades:
        balances = agents.setdefault(trade.strategy, {})
        balances[trade.symbol] = balances.get(trade.symbol, Balance()).apply(trade).balance
    return agents


def agent_results(
    trades: Collection[BookedTrade], positions: Mapping[str, Position]
) -> list[AgentResult]:
    """Compute the P&L of each agent, by name, at the current prices of `positions`."""
    counts = Counter(trade.strategy for trade in trades)
    results = []
    for agent, balances in sorted(balances_of(trades).items()):
        realized = unrealized = fees = ZERO
        with exact():
            for symbol, balance in balances.items():
                price = positions[symbol].current_price or ZERO
                realized += balance.realized_pnl
                unrealized += balance.quantity * price * positions[symbol].multiplier
                unrealized -= balance.cost_basis
                fees += balance.fees
        results.append(AgentResult(agent, counts[agent], realized, unrealized, fees))
    return results
